/* SPDX-License-Identifier: MIT */
/*
 * Namespaces that exist already. Who is root in them owns whoever enters their user namespace, and sees whoever is in their
 * pid namespace: so nobody enters who has anything of the launcher's. We were executed outside, hold no memory but our own,
 * and are not dumpable; a process's memory belongs to the user namespace that it was executed in, so that only who may trace
 * processes out there could look into ours (CVE-2016-9962 was a runtime that did not see to that). It stays so until the
 * payload's execve: from here on nothing may make us dumpable. What would have to is done here, before anybody sees us.
 *
 * The launcher cannot enter itself (it would stay there), nor can clone3. So a helper enters, and its child is made a child
 * of the launcher's (CLONE_PARENT), who can wait for it and signal it as any other. A pid namespace is entered by children
 * alone, and a new one below it is made by those only: then there is a second helper, made the same way.
 *
 * The child says that it is there, over a socket where the kernel writes down who says it, in the launcher's numbers. Then
 * it waits for its ids.
 */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "init.h"
#include "kernel.h"
#include "without.h"

enum {
    NAMESPACES = sizeof((struct sbxi_joined *)0)->inode / sizeof(uint64_t),
    USER = 0,
    NET = 3,
    MAX_FDS = SBXI_MAX_JOINS + 1 + SBXI_MAX_CGROUPS
};

struct join {
    struct sbxi_join ask;
    int socket;
    int fds[MAX_FDS], cgroup, *moves; /* the last two are among the first */
};

static _Noreturn void fail(const struct join *join, int which)
{
    const struct sbxi_joined answer = {.err = errno, .join = which};
    (void)!write(join->socket, &answer, sizeof answer);
    _exit(1);
}

static int receive(struct join *join)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof join->fds)];
    struct iovec iov = {.iov_base = &join->ask, .iov_len = sizeof join->ask};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(join->socket, &message, MSG_CMSG_CLOEXEC);
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    const struct sbxi_join *ask = &join->ask;
    if (n != (ssize_t)sizeof *ask || !header || ask->njoins > SBXI_MAX_JOINS ||
        ask->nmoves > SBXI_MAX_CGROUPS)
        return -EBADMSG;
    bool into = ask->flags & CLONE_INTO_CGROUP;
    size_t count = ask->njoins + into + ask->nmoves;
    if (header->cmsg_len != CMSG_LEN(count * sizeof(int)))
        return -EBADMSG;
    memcpy(join->fds, CMSG_DATA(header), count * sizeof(int));
    join->cgroup = into ? join->fds[ask->njoins] : -1;
    join->moves = join->fds + ask->njoins + into;
    return 0;
}

static const struct sbxi_step *find(const struct init *init, uint32_t op)
{
    const struct sbxi_step *end = init->steps + init->blob->nsteps;
    for (const struct sbxi_step *step = init->steps; step < end; step++)
        if (step->op == op)
            return step;
    return NULL;
}

static bool joins(const struct sbxi_join *ask, int kind)
{
    for (uint32_t i = 0; i < ask->njoins; i++)
        if (ask->kind[i] == kind)
            return true;
    return false;
}

/*
 * What we have a right to already, then the user namespace, which gives the right to what it owns and takes any other, then
 * the rest. The caller's groups stay outside, where that is ours to say; inside it may be forbidden.
 */
static void enter(const struct join *join)
{
    const struct sbxi_join *ask = &join->ask;
    bool entered[SBXI_MAX_JOINS] = {false};
    if (joins(ask, CLONE_NEWUSER))
        (void)setgroups(0, NULL);
    for (int round = 0; round < 3; round++)
        for (uint32_t i = 0; i < ask->njoins; i++) {
            if (entered[i] || (ask->kind[i] == CLONE_NEWUSER) != (round == 1))
                continue;
            entered[i] = setns(join->fds[i], ask->kind[i]) == 0;
            if (!entered[i] && (round > 0 || errno != EPERM))
                fail(join, (int)i);
        }
}

/*
 * From a cgroup namespace nobody is cloned into a cgroup that lies outside of it (ENOENT, of a cgroup2 mounted with
 * nsdelegate): so the helper goes there before it enters, and its child is born there.
 */
static void move_first(struct join *join)
{
    if (join->cgroup < 0 || !joins(&join->ask, CLONE_NEWCGROUP))
        return;
    int fd = openat(join->cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "0", 1) != 1)
        fail(join, -1);
    close(fd);
    join->ask.flags &= ~(uint64_t)CLONE_INTO_CGROUP;
}

/* As a child of the launcher's. */
static pid_t clone_sibling(const struct join *join, uint64_t flags)
{
    struct clone_args args = {.flags = flags | CLONE_PARENT};
    if (flags & CLONE_INTO_CGROUP)
        args.cgroup = (unsigned)join->cgroup;
    pid_t pid = (pid_t)sbxi_clone3(&args); /* exit_signal 0: ours, which is SIGCHLD */
    if (pid < 0)
        fail(join, -1);
    return pid;
}

/* Below a pid namespace that we have entered, a new one is our children's to make. */
static void pass_on(const struct join *join)
{
    struct sbxi_joined answer = {.join = -1};
    if (!joins(&join->ask, CLONE_NEWPID) || !(join->ask.flags & CLONE_NEWPID))
        return;
    answer.helper = clone_sibling(join, 0);
    if (answer.helper > 0)
        _exit(write(join->socket, &answer, sizeof answer) == (ssize_t)sizeof answer ? 0 : 1);
}

/* Nobody outside can look who we are, but we can: /proc lets everybody see themselves. */
static bool say_born(const struct join *join, int proc)
{
    static const char *const names[NAMESPACES] = {"self/ns/user",   "self/ns/mnt", "self/ns/pid",
                                                  "self/ns/net",    "self/ns/ipc", "self/ns/uts",
                                                  "self/ns/cgroup", "self/ns/time"};
    struct sbxi_joined answer = {.join = -1};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(2 * sizeof(int))] = {0};
    struct iovec iov = {.iov_base = &answer, .iov_len = sizeof answer};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    struct stat st;
    for (int i = 0; i < NAMESPACES; i++)
        answer.inode[i] = fstatat(proc, names[i], &st, 0) == 0 ? (uint64_t)st.st_ino : 0;
    int fds[2] = {openat(proc, names[USER], O_RDONLY | O_CLOEXEC),
                  openat(proc, names[NET], O_RDONLY | O_CLOEXEC)};
    if (fds[0] >= 0 && fds[1] >= 0) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *header = (struct cmsghdr *)(void *)control;
        *header = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof fds)};
        memcpy(CMSG_DATA(header), fds, sizeof fds);
    }
    bool sent = sendmsg(join->socket, &message, MSG_NOSIGNAL) == (ssize_t)sizeof answer;
    close(fds[0]);
    close(fds[1]);
    return sent;
}

/* The last is for the launcher to write our ids, which are known by our number. */
static int settle(struct init *init, const struct join *join, int proc)
{
    char go;
    ssize_t n;
    for (uint32_t i = 0; i < join->ask.nmoves; i++)
        if (write(join->moves[i], "0", 1) != 1)
            return init_fail(init, errno, "join the cgroup");
    if (!say_born(join, proc))
        _exit(1);
    close_range((unsigned)join->socket, ~0U, 0);
    do
        n = recv(SBXI_FD_CONTROL, &go, sizeof go, 0);
    while (n < 0 && errno == EINTR);
    if (n != 1)
        _exit(1);
    if (join->ask.become_root && ((!SBXI_WITHOUT("groups") && setgroups(0, NULL) < 0) ||
                                  setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
        return init_fail(init, errno, "become root of the user namespace");
    return 0;
}

int init_join(struct init *init)
{
    struct join join = {.socket = SBXI_FD_PASSED + (int)init->blob->npassed};
    const struct sbxi_step *oom = find(init, SBXI_OOM_SCORE), *time = find(init, SBXI_TIME);
    for (uint32_t i = 0; i < init->blob->nsteps; i++)
        join.socket += (init->steps[i].flags & SBXI_F_GIVEN) != 0;
    int r = receive(&join);
    if (r < 0)
        return init_fail(init, -r, "which namespaces to join");
    bool seen = init->blob->style & SBXI_S_SEEN;
    prctl(
        PR_SET_NAME,
        "uds-sandbox-init"); /* a copy has another, and older kernels make one of a descriptor's number */
    if (seen && oom)
        init_act_oom_score(init, oom);
    int proc = init->proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    move_first(&join);
    enter(&join);
    if (seen && time && (r = init_act_time(init, time)) < 0)
        return r;
    pass_on(&join);
    if (clone_sibling(&join, join.ask.flags) > 0)
        _exit(0);
    init->seen = seen;
    return settle(init, &join, proc);
}
