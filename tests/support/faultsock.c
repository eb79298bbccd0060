/* SPDX-License-Identifier: MIT */

/* Scripted interposition behind udsi_io_hooks. One script at a time, one thread. */

#include "faultsock.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "socket/io.h"

#define IOV_MAX_HERE 64

static struct {
    struct fault *faults;
    size_t count;
    unsigned sends, receives;
} script;

static const struct fault pass = {.what = FAULT_PASS};

static const struct fault *next_fault(enum fault_call call)
{
    for (size_t i = 0; i < script.count; i++) {
        struct fault *fault = &script.faults[i];

        if (fault->call != call || fault->times == (unsigned)-1)
            continue;
        if (fault->times > 0 && --fault->times == 0)
            fault->times = (unsigned)-1; /* used up after this one */
        return fault;
    }
    return &pass;
}

/* @msg cut to @limit bytes, its vector in @iov. */
static struct msghdr cut(const struct msghdr *msg, size_t limit, struct iovec *iov)
{
    struct msghdr out = *msg;

    out.msg_iov = iov;
    out.msg_iovlen = 0;
    for (size_t i = 0; i < msg->msg_iovlen && i < IOV_MAX_HERE && limit > 0; i++) {
        iov[i] = msg->msg_iov[i];
        if (iov[i].iov_len > limit)
            iov[i].iov_len = limit;
        limit -= iov[i].iov_len;
        out.msg_iovlen = i + 1;
    }
    return out;
}

static ssize_t fault_sendmsg(int fd, const struct msghdr *msg, int flags)
{
    const struct fault *fault = next_fault(FAULT_SEND);
    struct iovec iov[IOV_MAX_HERE];
    struct msghdr short_msg;

    script.sends++;
    if (fault->what == FAULT_ERRNO) {
        errno = fault->value;
        return -1;
    }
    if (fault->what != FAULT_LIMIT)
        return sendmsg(fd, msg, flags);
    short_msg = cut(msg, (size_t)fault->value, iov);
    return sendmsg(fd, &short_msg, flags);
}

/* One call for the script, whichever of the two the library finds cheaper. */
static ssize_t fault_send(int fd, const void *data, size_t len, int flags)
{
    union {
        const void *in;
        void *out;
    } bytes = {.in = data};
    struct iovec iov = {.iov_base = bytes.out, .iov_len = len};

    return fault_sendmsg(fd, &(struct msghdr){.msg_iov = &iov, .msg_iovlen = 1}, flags);
}

static void close_rights(struct msghdr *msg)
{
    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t at = 0; at + sizeof(int) <= cmsg->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
            int fd;

            memcpy(&fd, CMSG_DATA(cmsg) + at, sizeof(fd));
            (void)close(fd);
        }
    }
    msg->msg_controllen = 0;
    msg->msg_flags |= MSG_CTRUNC;
}

static ssize_t fault_recvmsg(int fd, struct msghdr *msg, int flags)
{
    const struct fault *fault = next_fault(FAULT_RECV);
    struct iovec iov[IOV_MAX_HERE];
    struct msghdr short_msg = *msg;
    ssize_t n;

    script.receives++;
    if (fault->what == FAULT_ERRNO) {
        errno = fault->value;
        return -1;
    }
    if (fault->what == FAULT_LIMIT)
        short_msg = cut(msg, (size_t)fault->value, iov);
    n = recvmsg(fd, &short_msg, flags);
    if (n < 0)
        return n;
    if (fault->what == FAULT_CTRUNC)
        close_rights(&short_msg);
    msg->msg_namelen = short_msg.msg_namelen;
    msg->msg_controllen = short_msg.msg_controllen;
    msg->msg_flags = short_msg.msg_flags;
    return n;
}

/* Many datagrams are one after the other, each by the script; what the kernel says to a failure after the first, too. */
static int fault_sendmmsg(int fd, struct mmsghdr *msgs, unsigned count, int flags)
{
    for (unsigned i = 0; i < count; i++) {
        ssize_t n = fault_sendmsg(fd, &msgs[i].msg_hdr, flags);

        if (n < 0)
            return i > 0 ? (int)i : -1;
        msgs[i].msg_len = (unsigned)n;
    }
    return (int)count;
}

static int
fault_recvmmsg(int fd, struct mmsghdr *msgs, unsigned count, int flags, struct timespec *timeout)
{
    (void)timeout;
    for (unsigned i = 0; i < count; i++) {
        ssize_t n = fault_recvmsg(fd, &msgs[i].msg_hdr, flags);

        if (n < 0)
            return i > 0 ? (int)i : -1;
        msgs[i].msg_len = (unsigned)n;
    }
    return (int)count;
}

void faultsock_install(struct fault *faults, size_t count)
{
    script.faults = faults;
    script.count = count;
    script.sends = script.receives = 0;
    udsi_io_hooks = (struct udsi_io_hooks){.send = fault_send,
                                           .sendmsg = fault_sendmsg,
                                           .recvmsg = fault_recvmsg,
                                           .sendmmsg = fault_sendmmsg,
                                           .recvmmsg = fault_recvmmsg};
}

void faultsock_remove(void)
{
    script.count = 0;
    udsi_io_hooks = (struct udsi_io_hooks){.send = send,
                                           .sendmsg = sendmsg,
                                           .recvmsg = recvmsg,
                                           .sendmmsg = sendmmsg,
                                           .recvmmsg = recvmmsg};
}

unsigned faultsock_sends(void)
{
    return script.sends;
}

unsigned faultsock_receives(void)
{
    return script.receives;
}
