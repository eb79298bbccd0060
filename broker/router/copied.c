/* SPDX-License-Identifier: MIT */
/*
 * Sealed copies that sandboxes hold (fdcopy.c). Their pages are this router's: the kernel charges them to who wrote them,
 * whoever keeps them. So each copy is charged to the sandbox that it was made for, with a share for each sender
 * (quota.c), from before its first page until nobody has it any more:
 *
 *   charged ── the last descriptor, mapping or O_PATH of the memfd is gone, and its pages with it ──▶ released
 *
 * The kernel says when: fanotify(7) reports FAN_DELETE_SELF of an inode without a name as its last reference goes. It
 * needs no path and no privilege (Linux 5.13), and unlike a duplicate of the descriptor the mark does not keep the pages.
 * A copy that is lost on its way, with its message or its sender, is released by the same event. Where fanotify is
 * refused (an old kernel, a container's filter), the charge lasts until the sandbox's generation ends.
 *
 * Invariant: what router->copied holds is what is charged; those of `watched` have a mark in the group.
 */
#include "copied.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/fanotify.h>

#include "identity.h"
#include "quota.h"
#include "router.h"
#include "sandbox.h"

#define HANDLE_MAX 64u
#define COST_MIN \
    (64u << 10) /* of a small copy: an inode, a file, a mark; this bounds how many there are */

struct copied {
    uint64_t key; /* of its file handle */
    bool watched;
    struct account *receiver, *sender; /* references */
    uint64_t bytes;
    uint32_t sandbox_id, generation;
};

/* One number of a file handle, the same in the next router. The kernel makes handles, no peer chooses one. */
static uint64_t fold(const char *handle, size_t len)
{
    uint64_t key = 0xcbf29ce484222325u;
    for (size_t i = 0; i < len; i++)
        key = (key ^ (uint8_t)handle[i]) * 0x100000001b3u;
    return key;
}

static void release(struct router *router, struct copied *copied)
{
    table_take(&router->copied, copied->key);
    copies_release(copied->receiver, copied->sender, copied->bytes);
    account_unref(copied->receiver);
    account_unref(copied->sender);
    free(copied);
}

/* Events were lost: nobody knows any more which copies are gone. */
static void watch_none(struct router *router)
{
    struct copied *copied;
    for (size_t pos = 0; (copied = table_next(&router->copied, &pos)) != NULL;)
        copied->watched = false;
}

static void
take_event(struct router *router, const struct fanotify_event_metadata *event, const char *at)
{
    struct fanotify_event_info_fid info;
    struct file_handle handle;
    size_t len = event->event_len - event->metadata_len;
    if ((event->mask & FAN_Q_OVERFLOW) != 0)
        watch_none(router);
    if (len < sizeof(info) + sizeof(handle))
        return;
    memcpy(&handle, at + sizeof(info), sizeof(handle));
    if (handle.handle_bytes > len - sizeof(info) - sizeof(handle))
        return;
    at += sizeof(info) + offsetof(struct file_handle, f_handle);
    struct copied *copied = table_get(&router->copied, fold(at, handle.handle_bytes));
    if (copied != NULL && copied->watched)
        release(router, copied);
}

static void on_gone(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    _Alignas(struct fanotify_event_metadata) char buf[8192];
    ssize_t n = read(fd, buf, sizeof(buf));
    for (size_t at = 0, end = n > 0 ? (size_t)n : 0;
         end - at >= sizeof(struct fanotify_event_metadata);) {
        struct fanotify_event_metadata event;
        memcpy(&event, buf + at, sizeof(event));
        if (event.event_len < event.metadata_len || event.event_len < sizeof(event) ||
            event.event_len > end - at)
            break;
        take_event(arg, &event, buf + at + event.metadata_len);
        at += event.event_len;
    }
}

/* Takes @group over; -1: nothing can be watched. */
static void adopt(struct router *router, int group)
{
    if (group < 0)
        return;
    router->copied_event = event_new(router->base, group, EV_READ | EV_PERSIST, on_gone, router);
    if (router->copied_event == NULL || event_add(router->copied_event, NULL) < 0) {
        close(group);
        return;
    }
    router->copied_group = group;
}

static void let_go(struct router *router)
{
    if (router->copied_event != NULL)
        event_free(router->copied_event);
    router->copied_event = NULL;
    if (router->copied_group >= 0)
        close(router->copied_group);
    router->copied_group = -1;
}

void copied_init(struct router *router)
{
    router->copied_group = -1;
    adopt(router, fanotify_init(FAN_CLASS_NOTIF | FAN_REPORT_FID | FAN_CLOEXEC | FAN_NONBLOCK, 0));
}

void copied_deinit(struct router *router)
{
    struct copied *copied;
    for (size_t pos = 0; (copied = table_next(&router->copied, &pos)) != NULL;)
        release(router, copied);
    table_deinit(&router->copied);
    let_go(router);
}

/* The key of @memfd, and a mark on it. */
static bool watch(const struct router *router, int memfd, uint64_t *ret_key)
{
    _Alignas(struct file_handle) char room[sizeof(struct file_handle) + HANDLE_MAX];
    struct file_handle *handle = (void *)room;
    int mount;
    handle->handle_bytes = HANDLE_MAX;
    if (router->copied_group < 0 ||
        name_to_handle_at(memfd, "", handle, &mount, AT_EMPTY_PATH) < 0 ||
        fanotify_mark(router->copied_group, FAN_MARK_ADD, FAN_DELETE_SELF, memfd, NULL) < 0)
        return false;
    *ret_key = fold(room + offsetof(struct file_handle, f_handle), handle->handle_bytes);
    return true;
}

/* Makes the record of a charge that is already taken. */
static int record(struct router *router, const struct copied *from)
{
    struct copied *copied = malloc(sizeof(*copied));
    if (copied == NULL)
        return -ENOMEM;
    *copied = *from;
    int r = table_put(&router->copied, copied->key, copied);
    if (r < 0) {
        free(copied);
        return r;
    }
    account_ref(copied->receiver);
    account_ref(copied->sender);
    return 0;
}

int copied_add(
    struct router *router, int memfd, uint64_t bytes, uint32_t sandbox_id, struct account *sender)
{
    const struct sandbox *sandbox = sandbox_get(router, sandbox_id);
    struct identity identity;
    struct account *receiver;
    if (sandbox == NULL)
        return -ENOENT;
    identity_sandbox(&identity, sandbox_id, sandbox->info->generation, sandbox->info->name);
    int r = account_get(&router->quota, &identity, &receiver);
    identity_deinit(&identity);
    if (r < 0)
        return r;
    struct copied copied = {.receiver = receiver,
                            .sender = sender,
                            .bytes = bytes < COST_MIN ? COST_MIN : bytes,
                            .sandbox_id = sandbox_id,
                            .generation = sandbox->info->generation};
    r = copies_charge(receiver, sender, copied.bytes, false);
    if (r == 0) {
        copied.watched = watch(router, memfd, &copied.key);
        if (!copied.watched)
            copied.key = ++router->next_copied;
        r = record(router, &copied);
        if (r < 0)
            copies_release(receiver, sender, copied.bytes);
    }
    account_unref(receiver);
    return r;
}

static bool is_over(const struct copied *copied, const Uds__Supervisor__Sandbox *info)
{
    return info->generation != copied->generation ||
           (info->state != UDS__SUPERVISOR__STATE__RUNNING &&
            info->state != UDS__SUPERVISOR__STATE__STARTING);
}

void copied_sandbox_changed(struct router *router, uint32_t sandbox_id)
{
    const struct sandbox *sandbox = sandbox_get(router, sandbox_id);
    struct copied *copied;
    for (size_t pos = 0; (copied = table_next(&router->copied, &pos)) != NULL;) {
        if (!copied->watched && copied->sandbox_id == sandbox_id && is_over(copied, sandbox->info))
            release(router, copied);
    }
}

void copied_serialise(const struct router *router, uds_snapshot *s)
{
    const struct copied *copied;
    uds_snapshot_put_u32(s, router->copied_group >= 0);
    if (router->copied_group >= 0)
        uds_snapshot_put_fd(s, router->copied_group);
    uds_snapshot_put_u64(s, router->next_copied);
    uds_snapshot_put_u32(s, (uint32_t)router->copied.count);
    for (size_t pos = 0; (copied = table_next(&router->copied, &pos)) != NULL;) {
        account_serialise(copied->receiver, s);
        account_serialise(copied->sender, s);
        uds_snapshot_put_u64(s, copied->key);
        uds_snapshot_put_u64(s, copied->bytes);
        uds_snapshot_put_u32(s, copied->watched);
        uds_snapshot_put_u32(s, copied->sandbox_id);
        uds_snapshot_put_u32(s, copied->generation);
    }
}

static int restore_one(struct router *router, uds_snapshot *s)
{
    struct copied copied = {0};
    int r = account_restore(&router->quota, s, &copied.receiver);
    if (r == 0)
        r = account_restore(&router->quota, s, &copied.sender);
    if (r == 0) {
        copied.key = uds_snapshot_get_u64(s);
        copied.bytes = uds_snapshot_get_u64(s);
        copied.watched = uds_snapshot_get_u32(s) != 0;
        copied.sandbox_id = uds_snapshot_get_u32(s);
        copied.generation = uds_snapshot_get_u32(s);
        r = uds_snapshot_error(s);
    }
    if (r == 0)
        r = copies_charge(copied.receiver, copied.sender, copied.bytes, true);
    if (r == 0) {
        r = record(router, &copied);
        if (r < 0)
            copies_release(copied.receiver, copied.sender, copied.bytes);
    }
    account_unref(copied.receiver);
    account_unref(copied.sender);
    return r;
}

int copied_restore(struct router *router, uds_snapshot *s)
{
    if (uds_snapshot_get_u32(s) != 0) {
        let_go(router);
        adopt(router, uds_snapshot_get_fd(s));
    }
    router->next_copied = uds_snapshot_get_u64(s);
    int r = uds_snapshot_error(s);
    for (uint32_t count = r == 0 ? uds_snapshot_get_u32(s) : 0; r == 0 && count > 0; count--)
        r = restore_one(router, s);
    return r;
}
