/* SPDX-License-Identifier: MIT */
/* What comes from init, made safe to use. A payload that took init over could send anything; one descriptor at most. */

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "cleanup.h"
#include "running.h"

/* Of all descriptors only this end of a terminal answers that question. */
static bool is_master(int fd)
{
    int number;
    return fd >= 0 && ioctl(fd, TIOCGPTN, &number) == 0;
}

static int take_descriptor(struct msghdr *message)
{
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(message);
    int fd;
    if (!cmsg || cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS ||
        cmsg->cmsg_len != CMSG_LEN(sizeof fd))
        return -1;
    memcpy(&fd, CMSG_DATA(cmsg), sizeof fd);
    return fd;
}

int sbxi_event_receive(int control, struct sbxi_event *ret, int *ret_terminal)
{
    struct sbxi_event event;
    _Alignas(struct cmsghdr) char space[CMSG_SPACE(sizeof(int))];
    struct iovec iov = {&event, sizeof event};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = space,
                             .msg_controllen = CMSG_LEN(sizeof(int))};
    ssize_t n = recvmsg(control, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -EPIPE;
    if (n == 0)
        return -EPIPE;
    _cleanup_close_ int fd = take_descriptor(&message);
    if (n != (ssize_t)sizeof event || (message.msg_flags & MSG_TRUNC) ||
        event.type < SBXI_RUNNING || event.type > SBXI_RESULT ||
        (event.type == SBXI_TERMINAL_MADE) != is_master(fd))
        return -EBADMSG;
    if (event.err <= 0 || event.err > 4095)
        event.err = EPROTO;
    if (!WIFEXITED(event.status) && !WIFSIGNALED(event.status))
        event.status = SIGKILL;
    event.detail[sizeof event.detail - 1] = '\0';
    if (fd >= 0 && *ret_terminal < 0) /* the first is it */
        *ret_terminal = sbxi_take_fd(&fd);
    *ret = event;
    return 1;
}
