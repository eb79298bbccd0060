/* SPDX-License-Identifier: MIT */
/* A record of a fixed size with descriptors, over a SEQPACKET socket. */

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include "admin.h"

enum {
    MAX_FDS = 253 /* the kernel's */
};

int sbxi_send_fds(int sock, const void *record, size_t size, const int *fds, size_t nfds)
{
    _Alignas(struct cmsghdr) char space[CMSG_SPACE(MAX_FDS * sizeof(int))] = {0};
    struct iovec iov = {(void *)(uintptr_t)record, size};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    if (nfds > MAX_FDS)
        return -E2BIG;
    if (nfds > 0) {
        message.msg_control = space;
        message.msg_controllen = CMSG_SPACE(nfds * sizeof *fds);
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&message);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(nfds * sizeof *fds);
        memcpy(CMSG_DATA(cmsg), fds, nfds * sizeof *fds);
    }
    return sendmsg(sock, &message, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}
