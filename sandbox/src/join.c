/* SPDX-License-Identifier: MIT */
/*
 * A child in namespaces that exist already. Neither can the caller enter them (it would stay there, and a process with
 * threads cannot enter a user namespace at all), nor can clone3; so a helper enters, and its child is made a child of
 * ours (CLONE_PARENT), which we can wait for and signal as any other. A pid namespace is entered by children alone, and a
 * new one below it is made by those only: then there is a second helper, made the same way.
 *
 * The child says that it is there, over a socket where the kernel writes down who says it, in our numbers.
 */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "cleanup.h"
#include "error.h"
#include "kernel.h"
#include "running.h"

struct answer {
    pid_t helper; /* a second one, for us to wait for */
    int err;      /* what failed; 0 = nothing did, the child or a helper speaks */
    uint32_t ns;  /* the namespace that could not be entered; 0 = clone3 failed */
};

static _Noreturn void fail(int socket, uint32_t ns)
{
    struct answer answer = {.err = errno, .ns = ns};
    (void)!write(socket, &answer, sizeof answer);
    _exit(1);
}

/*
 * What we have a right to already, then the user namespace, which gives the right to what it owns and takes any other, then
 * the rest. The caller's groups stay outside, where that is ours to say; inside it may be forbidden.
 */
static void enter(const sbx_plan *plan, int socket)
{
    bool entered[sizeof plan->joins / sizeof plan->joins[0]] = {false};
    if (plan->joined_user)
        (void)syscall(SYS_setgroups, 0, NULL);
    for (int round = 0; round < 3; round++)
        for (size_t i = 0; i < plan->njoins; i++) {
            uint32_t ns = (uint32_t)plan->joins[i].ns;
            if (entered[i] || (ns == SBX_NS_USER) != (round == 1))
                continue;
            entered[i] = setns(plan->joins[i].fd, sbxi_ns_flag(ns)) == 0;
            if (!entered[i] && (round > 0 || errno != EPERM))
                fail(socket, ns);
        }
}

static bool joins_cgroups(const sbx_plan *plan)
{
    for (size_t i = 0; i < plan->njoins; i++)
        if (plan->joins[i].ns == SBX_NS_CGROUP)
            return true;
    return false;
}

/*
 * From a cgroup namespace nobody is cloned into a cgroup that lies outside of it (ENOENT, of a cgroup2 mounted with
 * nsdelegate): so the helper goes there before it enters, and its child is born there.
 */
static void move_first(const sbx_plan *plan, int socket, struct clone_args *args)
{
    if (!(args->flags & CLONE_INTO_CGROUP) || !joins_cgroups(plan))
        return;
    int fd = openat((int)args->cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "0", 1) != 1)
        fail(socket, 0);
    close(fd);
    args->flags &= ~(uint64_t)CLONE_INTO_CGROUP;
    args->cgroup = 0;
}

/* As a child of the launcher's, that says so. */
static long clone_sibling(struct clone_args args, int socket)
{
    const struct answer born = {0};
    args.flags = (args.flags & ~(uint64_t)CLONE_PIDFD) | CLONE_PARENT;
    args.exit_signal = 0; /* of ours: SIGCHLD */
    long pid = sbxi_clone3(&args);
    if (pid < 0)
        fail(socket, 0);
    if (pid == 0 && write(socket, &born, sizeof born) != (ssize_t)sizeof born)
        _exit(1);
    return pid;
}

static bool needs_second(const sbx_plan *plan)
{
    bool pid = false;
    for (size_t i = 0; i < plan->njoins; i++)
        pid |= plan->joins[i].ns == SBX_NS_PID;
    return pid && (plan->isolate & SBX_NS_PID);
}

static _Noreturn void
help(const sbx_plan *plan, int socket, struct clone_args args, const struct sbxi_child *child)
{
    struct clone_args plain = {0};
    struct answer answer = {0};
    move_first(plan, socket, &args);
    enter(plan, socket);
    if (needs_second(plan)) {
        plain.flags = CLONE_PARENT;
        answer.helper = (pid_t)sbxi_clone3(&plain);
        if (answer.helper < 0)
            fail(socket, 0);
        if (answer.helper > 0)
            _exit(write(socket, &answer, sizeof answer) == (ssize_t)sizeof answer ? 0 : 1);
    }
    if (clone_sibling(args, socket) == 0)
        sbxi_child_run(child);
    _exit(0);
}

/* 1: the child's number, 0: another answer, -ECHILD: nobody is left to say anything. */
static int receive(int socket, struct answer *ret, pid_t *ret_pid)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct ucred))];
    struct iovec iov = {.iov_base = ret, .iov_len = sizeof *ret};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct ucred cred;
    ssize_t n;
    do
        n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (n != (ssize_t)sizeof *ret || !header || header->cmsg_level != SOL_SOCKET ||
        header->cmsg_type != SCM_CREDENTIALS || header->cmsg_len != CMSG_LEN(sizeof cred))
        return -ECHILD;
    if (ret->err || ret->helper)
        return 0;
    memcpy(&cred, CMSG_DATA(header), sizeof cred);
    *ret_pid = cred.pid;
    return 1;
}

static void reap(pid_t pid)
{
    while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
}

static const char *advice(const sbx_plan *plan, const struct answer *answer)
{
    if (answer->ns == SBX_NS_USER && answer->err == EINVAL)
        return "; it must be below ours, and not ours";
    if (answer->ns == SBX_NS_USER && answer->err == EPERM)
        return "; only root and who made it may enter it";
    if (answer->err == EPERM && !plan->joined_user)
        return "; it belongs to a user namespace that is not ours: join that one too (--join "
               "user=…), or be root";
    if (answer->err == EPERM)
        return "; it does not belong to the user namespace that is joined";
    return "";
}

static int explain(const sbx_plan *plan, const struct answer *answer, struct sbx_error *error)
{
    if (answer->ns == 0)
        return -answer->err; /* the caller knows about clone3 */
    return sbxi_error(error, answer->err, "sandbox %s: join %s namespace: %s%s", plan->name,
                      sbx_ns_name(answer->ns), strerror(answer->err), advice(plan, answer));
}

int sbxi_join_clone(const sbx_plan *plan,
                    const struct clone_args *args,
                    const struct sbxi_child *child,
                    pid_t *ret_pid,
                    int *ret_pidfd,
                    struct sbx_error *error)
{
    struct answer answer = {0};
    int pair[2], on = 1, r = 0;
    pid_t helper = -1, second = 0, pid = 0;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    if (setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0 || (helper = fork()) < 0)
        r = -errno;
    if (helper == 0)
        help(plan, pair[1], *args, child);
    close(pair[1]);
    while (r == 0 && (r = receive(pair[0], &answer, &pid)) == 0 && !answer.err)
        second = answer.helper;
    close(pair[0]);
    reap(helper);
    reap(second);
    if (r <= 0)
        return r < 0 ? r : explain(plan, &answer, error);
    *ret_pidfd = pidfd_open(pid, 0); /* nobody has waited for it: the number is its own */
    if (*ret_pidfd < 0) {
        r = -errno;
        kill(pid, SIGKILL);
        reap(pid);
        return r;
    }
    *ret_pid = pid;
    return 0;
}
