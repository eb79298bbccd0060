/* SPDX-License-Identifier: MIT */
/* A command that may come with descriptors: those of SBXI_START, which say what a session is to be. */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include "init.h"

void init_parcel_close(struct parcel *parcel)
{
    while (parcel->n > 0)
        if (parcel->fds[--parcel->n] >= 0)
            close(parcel->fds[parcel->n]);
}

ssize_t init_receive(int sock, struct sbxi_command *command, struct parcel *parcel, int flags)
{
    _Alignas(struct cmsghdr) char space[CMSG_SPACE(sizeof parcel->fds)];
    struct iovec iov = {command, sizeof *command};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = space,
                             .msg_controllen = CMSG_LEN(sizeof parcel->fds)};
    parcel->n = 0;
    ssize_t n = recvmsg(sock, &message, flags | MSG_CMSG_CLOEXEC);
    struct cmsghdr *cmsg = n < 0 ? NULL : CMSG_FIRSTHDR(&message);
    if (!cmsg || cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
        return n;
    parcel->n = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    memcpy(parcel->fds, CMSG_DATA(cmsg), parcel->n * sizeof(int));
    if (n != (ssize_t)sizeof *command || command->type != SBXI_START ||
        parcel->n < SBXI_SESSION_PASSED || (message.msg_flags & MSG_CTRUNC))
        init_parcel_close(parcel);
    return n;
}

/* As a payload's lie: 0 to 2, control, blob; the request and what is passed behind them. Ours are closed. */
int init_parcel_lay_out(const struct parcel *parcel)
{
    int moved[SBXI_SESSION_MOST];
    size_t last = parcel->n - 1; /* the blob */
    int above = SBXI_FD_PASSED + 1 + (int)parcel->n;
    for (size_t i = 0; i < parcel->n; i++)
        if ((moved[i] = fcntl(parcel->fds[i], F_DUPFD_CLOEXEC, above)) < 0)
            return -errno;
    for (size_t i = 0; i < parcel->n; i++) {
        int place = i == last                   ? SBXI_FD_BLOB
                    : i == SBXI_SESSION_CONTROL ? SBXI_FD_CONTROL
                    : i == SBXI_SESSION_REQUEST ? SBXI_FD_PASSED
                    : i < SBXI_SESSION_PASSED   ? (int)(i - SBXI_SESSION_STDIO)
                                              : (int)(SBXI_FD_PASSED + 1 + i - SBXI_SESSION_PASSED);
        if (dup2(moved[i], place) < 0)
            return -errno;
    }
    close_range((unsigned)(SBXI_FD_PASSED + 1 + last - SBXI_SESSION_PASSED), ~0U, 0);
    return 0;
}

/*
 * The payload's process of a sandbox that waits. It has given up all that a payload has not, so nothing is left to do but to
 * become it. The lowest free numbers are what recvmsg(2) gives out: they come as 3, 4, … in their order.
 */
int init_act_await(struct init *init)
{
    struct sbxi_command command;
    struct parcel parcel;
    ssize_t n;
    close_range(3, ~0U, 0); /* PID 1 sees it, and says that we are there */
    init->error_fd = init->root = init->proc = -1;
    do
        n = init_receive(0, &command, &parcel, 0);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        _exit(0); /* the launcher is gone, or wants none any more */
    if (parcel.n == 0)
        _exit(127);
    init->session = true;
    init->error_fd = parcel.fds[SBXI_SESSION_CONTROL];
    if (init->error_fd != SBXI_FD_CONTROL)
        return -EBADF;
    for (int i = 0; i < 3; i++)
        if (dup2(parcel.fds[SBXI_SESSION_STDIO + i], i) < 0)
            return -errno;
    init->passed = parcel.fds[0] + SBXI_SESSION_PASSED;
    return init_read_request(init, parcel.fds[SBXI_SESSION_REQUEST]);
}
