/* SPDX-License-Identifier: MIT */
/*
 * A child in namespaces that exist already. None of ours enters them: they may belong to somebody who would then own what
 * is in our memory. The program of init does, and makes the child (init/join.c); we say where to and hear how it went.
 */

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "child-process.h"
#include "cleanup.h"
#include "error.h"
#include "kernel.h"
#include "running.h"

enum {
    ENTER_TIMEOUT_S = 10 /* what is entered takes milliseconds */
};

/* It waits in the socket for who will read it. */
static int send_request(int socket,
                        const sbx_plan *plan,
                        const struct clone_args *args,
                        const struct sbxi_child *child)
{
    struct sbxi_join ask = {.flags = args->flags & ~(uint64_t)(CLONE_PIDFD | CLONE_CLEAR_SIGHAND),
                            .njoins = (uint32_t)plan->njoins,
                            .nmoves = (uint32_t)child->njoins,
                            .become_root = child->become_root};
    int fds[SBXI_MAX_JOINS + 1 + SBXI_MAX_CGROUPS];
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof fds)] = {0};
    struct iovec iov = {.iov_base = &ask, .iov_len = sizeof ask};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control};
    size_t n = 0;
    for (size_t i = 0; i < plan->njoins; i++) {
        ask.kind[i] = sbxi_ns_flag((uint32_t)plan->joins[i].ns);
        fds[n++] = plan->joins[i].fd;
    }
    if (args->flags & CLONE_INTO_CGROUP)
        fds[n++] = (int)args->cgroup;
    memcpy(fds + n, child->joins, child->njoins * sizeof *fds);
    n += child->njoins;
    message.msg_controllen = CMSG_SPACE(n * sizeof *fds);
    struct cmsghdr *header = (struct cmsghdr *)(void *)control;
    *header = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(n * sizeof *fds)};
    memcpy(CMSG_DATA(header), fds, n * sizeof *fds);
    return sendmsg(socket, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

/* 1: the child's number, 0: another answer, -ECHILD: nobody is left to say anything, -ETIMEDOUT: somebody is, and does not. */
static int receive(int socket, struct sbxi_joined *ret, pid_t *ret_pid, int ret_ns[2])
{
    _Alignas(struct cmsghdr) char
        control[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(2 * sizeof(int))];
    struct iovec iov = {.iov_base = ret, .iov_len = sizeof *ret};
    struct msghdr message = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct ucred cred = {0};
    ssize_t n;
    do
        n = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EAGAIN)
        return -ETIMEDOUT;
    for (struct cmsghdr *h = n < 0 ? NULL : CMSG_FIRSTHDR(&message); h;
         h = CMSG_NXTHDR(&message, h)) {
        if (h->cmsg_type == SCM_CREDENTIALS && h->cmsg_len == CMSG_LEN(sizeof cred))
            memcpy(&cred, CMSG_DATA(h), sizeof cred);
        if (h->cmsg_type == SCM_RIGHTS && h->cmsg_len == CMSG_LEN(2 * sizeof(int)))
            memcpy(ret_ns, CMSG_DATA(h), 2 * sizeof(int));
    }
    if (n != (ssize_t)sizeof *ret || cred.pid <= 0)
        return -ECHILD;
    if (ret->err || ret->helper)
        return 0;
    *ret_pid = cred.pid;
    return 1;
}

/* It has done what it was there for. Who is root where it went can have stopped it before its end. */
static void end_helper(int *pidfd)
{
    if (*pidfd >= 0)
        sbxi_kill_and_reap(*pidfd);
    sbxi_closep(pidfd);
}

static const char *advice(const sbx_plan *plan, enum sbx_ns ns, int err)
{
    if (ns == SBX_NS_USER && err == EINVAL)
        return "; it must be below ours, and not ours";
    if (ns == SBX_NS_USER && err == EPERM)
        return "; only root and who made it may enter it";
    if (err == EPERM && !plan->joined_user)
        return "; it belongs to a user namespace that is not ours: join that one too (--join "
               "user=…), or be root";
    if (err == EPERM)
        return "; it does not belong to the user namespace that is joined";
    return "";
}

/* Nobody said where it failed: before it could enter, then, and that is on the control socket. */
static int explain_silence(const sbx_plan *plan, sbx *s, struct sbx_error *error)
{
    struct sbxi_event event;
    if (sbxi_event_receive(s->control, &event, &s->terminal) == 1 && event.type == SBXI_FAILED)
        return sbxi_report_failure(plan, &event, error);
    return -ECHILD;
}

static int explain(const sbx_plan *plan, const struct sbxi_joined *answer, struct sbx_error *error)
{
    if (answer->join < 0 || (size_t)answer->join >= plan->njoins)
        return -answer->err; /* the caller knows about clone3 */
    enum sbx_ns ns = plan->joins[answer->join].ns;
    return sbxi_error(error, answer->err, "sandbox %s: join %s namespace: %s%s", plan->name,
                      sbx_ns_name((uint32_t)ns), strerror(answer->err),
                      advice(plan, ns, answer->err));
}

/* It waits for us to go on: the number is its own. */
static int take_child(sbx *s, pid_t pid, const struct sbxi_joined *answer)
{
    s->init_fd = pidfd_open(pid, 0);
    if (s->init_fd < 0) {
        int r = -errno;
        kill(pid, SIGKILL);
        waitpid(pid, NULL, __WALL);
        return r;
    }
    s->init_pid = pid;
    memcpy(s->report.ns_inode, answer->inode, sizeof s->report.ns_inode);
    return 0;
}

int sbxi_join_clone(const sbx_plan *plan,
                    sbx *s,
                    const struct clone_args *args,
                    struct sbxi_child child,
                    struct sbx_error *error)
{
    struct sbxi_joined answer = {0};
    int pair[2], on = 1;
    const struct timeval patience = {.tv_sec = sbxi_patience_s(plan, ENTER_TIMEOUT_S)};
    pid_t pid = 0;
    int helper = -1, second = -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    int r = setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0 ||
                    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0
                ? -errno
                : 0;
    if (r == 0)
        r = send_request(pair[0], plan, args, &child);
    child.fds[child.nfds++] = pair[1];
    pid_t first = r < 0 ? r : sbxi_fork_unseen(&helper);
    if (first == 0)
        sbxi_child_run(&child);
    if (first < 0)
        r = first;
    close(pair[1]);
    while (r == 0 && (r = receive(pair[0], &answer, &pid, s->ns)) == 0 && !answer.err)
        second = answer.helper > 0 ? pidfd_open(answer.helper, 0) : -1;
    close(pair[0]);
    end_helper(&helper);
    end_helper(&second);
    if (r == -ECHILD)
        return explain_silence(plan, s, error);
    if (r == -ETIMEDOUT)
        return sbxi_error(
            error, ETIMEDOUT,
            "sandbox %s: join: no answer for %d s from who has entered; whoever is root "
            "there can stop it",
            plan->name, sbxi_patience_s(plan, ENTER_TIMEOUT_S));
    if (r <= 0)
        return r < 0 ? r : explain(plan, &answer, error);
    return take_child(s, pid, &answer);
}
