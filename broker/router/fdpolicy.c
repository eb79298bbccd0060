/* SPDX-License-Identifier: MIT */
/*
 * Every descriptor is classified by what the kernel says it is, then held against two masks: what the sender may send
 * and what the receiver may receive.
 *
 * A read-only *description* is not a read-only *file*: whoever owns the inode, or may write it, opens it again through
 * /proc/self/fd or changes its mode (measured). So a regular file goes to a sandbox as it is only if no id of that
 * sandbox owns or may write it, or if the sandbox is guarded against just that. Otherwise it is handed over as a sealed
 * copy. Ids that the kernel cannot map for us (overflow) may be anybody's and count as the receiver's.
 */
#include "fdpolicy.h"

#include <errno.h>
#include <stdio.h>

#include <sys/stat.h>
#include <sys/xattr.h>

#include "idmap.h"

static bool has_id(const struct fdpolicy_receiver *receiver, enum idmap_kind kind, uint32_t seen)
{
    uint32_t id;
    if (!idmap_host(kind, seen, &id))
        return true;
    return id >= receiver->uid_first && id - receiver->uid_first < receiver->uid_count;
}

bool fdpolicy_may_change(const struct fdpolicy_receiver *receiver,
                         int fd,
                         const struct uds_fd_info *info)
{
    if (has_id(receiver, IDMAP_UID, info->uid) || (info->mode & S_IWOTH) != 0)
        return true;
    /* With an ACL the group bits are its mask: somebody among its entries may write. */
    if ((info->mode & S_IWGRP) == 0)
        return false;
    if (has_id(receiver, IDMAP_GID, info->gid))
        return true;
    ssize_t n = fgetxattr(fd, "system.posix_acl_access", NULL, 0);
    return n > 0 || (n < 0 && errno != ENODATA && errno != EOPNOTSUPP);
}

static struct fdpolicy_decision
refuse(size_t index, enum uds_fd_kind kind, const char *what, const char *hint)
{
    struct fdpolicy_decision decision = {.verdict = FDPOLICY_REFUSE, .index = index};
    snprintf(decision.detail, sizeof(decision.detail), "descriptor %zu is %s: the %s%s", index,
             uds_fd_kind_name(kind), what, hint);
    return decision;
}

static struct fdpolicy_decision check_one(const uds_msg *msg,
                                          size_t index,
                                          uint32_t send,
                                          const struct fdpolicy_receiver *receiver,
                                          bool is_copy)
{
    struct uds_fd_info info;
    int fd = uds_msg_peek_fd(msg, index);
    if (fd < 0 || uds_fd_classify(fd, &info) < 0)
        return refuse(index, UDS_FD_OTHER, "broker cannot tell what it is", "");
    uint32_t kind = is_copy ? UDS_FD_FILE_RO : info.kind;
    if ((send & kind) == 0)
        return refuse(index, info.kind, "sender may not send this kind", "");
    if ((receiver->mask & kind) == 0)
        return refuse(index, info.kind, "receiver may not receive this kind", "");
    if (kind == UDS_FD_FILE_RO && !is_copy && receiver->is_sandbox && !receiver->guarded &&
        fdpolicy_may_change(receiver, fd, &info))
        return (struct fdpolicy_decision){.verdict = FDPOLICY_COPY, .index = index};
    return (struct fdpolicy_decision){.verdict = FDPOLICY_PASS};
}

struct fdpolicy_decision fdpolicy_check(const uds_msg *msg,
                                        uint32_t send,
                                        const struct fdpolicy_receiver *receiver,
                                        const struct fdpolicy_copies *copies)
{
    struct fdpolicy_decision decision = {.verdict = FDPOLICY_PASS};
    size_t count = uds_msg_get_fd_count(msg);
    for (size_t i = 0; i < count; i++) {
        struct fdpolicy_decision one =
            check_one(msg, i, send, receiver, fdpolicy_is_copy(copies, i));
        if (one.verdict == FDPOLICY_REFUSE)
            return one;
        if (one.verdict == FDPOLICY_COPY && decision.verdict == FDPOLICY_PASS)
            decision = one;
    }
    return decision;
}
