/* SPDX-License-Identifier: MIT */
/*
 * User namespaces after the one that init was born in. A limit of zero is enough for a payload without capabilities;
 * one with capabilities over the namespace could raise it, and gets another below, where nothing it holds reaches the
 * limit.
 */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "init.h"
#include "without.h"

static int write_proc(const struct init *init, const char *file, const char *text)
{
    int fd = openat(init->proc, file, O_WRONLY | O_CLOEXEC);
    int r = fd < 0 || write(fd, text, strlen(text)) < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    return r;
}

static int limit(struct init *init, const struct sbxi_step *step)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)step->args[0]);
    int r = write_proc(init, "sys/user/max_user_namespaces", text);
    return r < 0 ? init_fail(init, -r, "/proc/sys/user/max_user_namespaces") : 0;
}

/*
 * /proc files of a non-dumpable process belong to the namespace's root, which one of one id does not have. Who is seen in a pid
 * namespace of others came there from root, whose files they are: it stays closed to root there.
 */
static int nest(struct init *init, const struct sbxi_step *step)
{
    char map[64];
    const char *file = "self/uid_map";
    if (unshare(CLONE_NEWUSER) < 0)
        return -errno;
    if (!init->seen || SBXI_WITHOUT("seen"))
        prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    snprintf(map, sizeof map, "%llu %llu 1\n", (unsigned long long)step->args[0],
             (unsigned long long)step->args[0]);
    int r = write_proc(init, file, map);
    snprintf(map, sizeof map, "%llu %llu 1\n", (unsigned long long)step->args[1],
             (unsigned long long)step->args[1]);
    if (r >= 0)
        r = write_proc(init, file = "self/gid_map", map);
    SBXI_BOUNDARY("nest");
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    return r < 0 ? init_fail(init, -r, "%s", file) : 0;
}

/* By trying, in a process that is of no more use if it can. */
static int check(struct init *init)
{
    int status = -1;
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0)
        _exit(unshare(CLONE_NEWUSER) < 0 ? 0 : 1);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return status == 0 ? 0 : init_fail(init, EPERM, "one could be made");
}

/*
 * Ids of a namespace that was joined; capabilities survive the change. The caller's groups go with its ids, but where the
 * namespace has setgroups(2) denied (EPERM).
 */
static int become(uid_t uid, gid_t gid)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{0}};
    if (setgroups(0, NULL) < 0 && errno != EPERM)
        return -errno;
    if (syscall(SYS_capget, &header, data) < 0 || prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 ||
        setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
        return -errno;
    data[0].effective = data[0].permitted;
    data[1].effective = data[1].permitted;
    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

static int switch_ids(const struct sbxi_step *step)
{
    int r = step->flags & SBXI_F_OPTIONAL ? become(0, 0) : -EINVAL;
    if (r != -EINVAL)
        return r;
    if ((step->flags & SBXI_F_OPTIONAL) && !step->args[2])
        return 0;
    return become((uid_t)step->args[0], (gid_t)step->args[1]);
}

static int join(struct init *init, const struct sbxi_step *step)
{
    int *fd = &init->tree[step->slot];
    int r = setns(*fd, CLONE_NEWUSER) < 0 ? -errno : 0;
    close(*fd);
    *fd = -1;
    return r;
}

static int wait_for(struct init *init, const struct sbxi_step *step)
{
    char byte;
    int *fd = &init->tree[step->slot];
    while (read(*fd, &byte, 1) < 0 && errno == EINTR)
        continue;
    close(*fd);
    *fd = -1;
    return 0;
}

int init_act_userns(struct init *init, const struct sbxi_step *step)
{
    switch (step->op) {
    case SBXI_USERNS_JOIN:
        return join(init, step);
    case SBXI_USERNS_LIMIT:
        return limit(init, step);
    case SBXI_USERNS_NEST:
        return nest(init, step);
    case SBXI_USERNS_CHECK:
        return check(init);
    case SBXI_SWITCH_IDS:
        return switch_ids(step);
    case SBXI_COUNT_MEMORY:
        return init_memory_begin(step);
    case SBXI_WAIT:
        return wait_for(init, step);
    default:
        return -ENOSYS;
    }
}
