/* SPDX-License-Identifier: MIT */

/*
 * The one place in the tree that calls sendmsg(2), recvmsg(2) and their forms for many datagrams.
 *
 * What the kernel does with fds on a stream (net/unix/af_unix.c, unix_stream_read_generic):
 *  - they hang on the first byte of the sendmsg that brought them; whoever receives that byte gets them;
 *  - one recvmsg never goes past the buffer that carried fds, so it returns at most one set; but bytes that were sent
 *    *before* it may be in the same recvmsg;
 *  - a control buffer that is too short, RLIMIT_NOFILE or an LSM make it drop fds, set MSG_CTRUNC, and deliver the bytes
 *    all the same.
 *
 * Nothing here trusts a flag of the socket: O_NONBLOCK lives on the description, which a peer may share, so every
 * non-blocking call says MSG_DONTWAIT itself; and the options that ask for credentials may be set by it too, so
 * whatever they bring is taken out and, where it is a descriptor, owned.
 */

#include "socket/io.h"

#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "socket/kernel.h"

struct udsi_io_hooks udsi_io_hooks = {.send = send,
                                      .sendmsg = sendmsg,
                                      .recvmsg = recvmsg,
                                      .sendmmsg = sendmmsg,
                                      .recvmmsg = recvmmsg};

#define LABEL_ROOM 256 /* SCM_SECURITY, if somebody asked for it */
#define CONTROL_SIZE                                                            \
    (CMSG_SPACE(sizeof(int) * UDS_FDS_MAX) + CMSG_SPACE(sizeof(struct ucred)) + \
     CMSG_SPACE(sizeof(int)) + CMSG_SPACE(LABEL_ROOM))

struct control {
    _Alignas(struct cmsghdr) uint8_t bytes[CONTROL_SIZE];
};

void udsi_ancillary_clear(struct udsi_ancillary *ancillary)
{
    for (size_t i = 0; i < ancillary->nfds; i++)
        uds_fd_close(ancillary->fds[i]);
    ancillary->nfds = 0;
    udsi_close(ancillary->pidfd);
    ancillary->pidfd = -1;
}

/*
 * The count comes from cmsg_len and never from the space that is left: rounding that up to CMSG_SPACE is how an odd
 * number of fds overflowed dbus-daemon's array by one (CVE-2014-3635).
 */
static void take_rights(struct udsi_ancillary *ancillary, const struct cmsghdr *cmsg)
{
    size_t count = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    const unsigned char *data = CMSG_DATA(cmsg);

    for (size_t i = 0; i < count; i++) {
        int fd;

        memcpy(&fd, data + i * sizeof(int), sizeof(int));
        if (ancillary->nfds < UDS_FDS_MAX) {
            ancillary->fds[ancillary->nfds++] = fd;
        } else {
            uds_fd_close(fd);
            ancillary->truncated = true;
        }
    }
}

__attribute__((noinline)) static void take_control(struct udsi_ancillary *ancillary,
                                                   struct msghdr *msg)
{
    for (struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg); cmsg; cmsg = CMSG_NXTHDR(msg, cmsg)) {
        if (cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_len < CMSG_LEN(0))
            continue;
        if (cmsg->cmsg_type == SCM_RIGHTS) {
            take_rights(ancillary, cmsg);
        } else if (cmsg->cmsg_type == SCM_CREDENTIALS &&
                   cmsg->cmsg_len == CMSG_LEN(sizeof(struct ucred))) {
            memcpy(&ancillary->cred, CMSG_DATA(cmsg), sizeof(struct ucred));
            ancillary->has_cred = true;
        } else if (cmsg->cmsg_type == SCM_PIDFD && cmsg->cmsg_len == CMSG_LEN(sizeof(int))) {
            int pidfd;

            memcpy(&pidfd, CMSG_DATA(cmsg), sizeof(int));
            udsi_close(ancillary->pidfd);
            ancillary->pidfd = pidfd;
        }
        /* Labels and timestamps hold no descriptor: passing over them loses nothing. */
    }
}

/* What came beside @n bytes, after a receive that succeeded. */
static inline void take_ancillary(struct msghdr *msg, size_t n, struct udsi_ancillary *ret)
{
    ret->nfds = 0;
    ret->pidfd = -1;
    ret->truncated = (msg->msg_flags & MSG_CTRUNC) != 0;
    ret->record_truncated = (msg->msg_flags & MSG_TRUNC) != 0;
    ret->has_cred = false;
    if (msg->msg_controllen > 0)
        take_control(ret, msg);
    /* Some of the fds are worse than none: nobody can tell which are missing (CVE-2020-12049 leaked them). */
    if (ret->truncated || n == 0)
        udsi_ancillary_clear(ret);
}

ssize_t
udsi_recv(int fd, const struct iovec *iov, size_t niov, int flags, struct udsi_ancillary *ret)
{
    struct control control;
    union {
        const struct iovec *in;
        struct iovec *out;
    } vector = {.in = iov};
    struct msghdr msg = {
        .msg_iov = vector.out,
        .msg_iovlen = niov,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };
    ssize_t n;

    do {
        n = udsi_io_hooks.recvmsg(fd, &msg, flags | MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR && (flags & MSG_DONTWAIT));
    if (n < 0)
        return -errno;

    take_ancillary(&msg, (size_t)n, ret);
    return n;
}

int udsi_recv_records(int fd, struct udsi_record *records, unsigned count)
{
    struct control control[UDSI_RECORDS_MAX];
    struct mmsghdr msgs[UDSI_RECORDS_MAX];
    int n;

    if (count > UDSI_RECORDS_MAX)
        count = UDSI_RECORDS_MAX;
    for (unsigned i = 0; i < count; i++)
        msgs[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &records[i].from,
                                               .msg_namelen = sizeof(records[i].from),
                                               .msg_iov = &records[i].room,
                                               .msg_iovlen = 1,
                                               .msg_control = control[i].bytes,
                                               .msg_controllen = sizeof(control[i].bytes)}};
    do {
        n = udsi_io_hooks.recvmmsg(fd, msgs, count, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, NULL);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    for (int i = 0; i < n; i++) {
        records[i].len = msgs[i].msg_len;
        records[i].from_len = msgs[i].msg_hdr.msg_namelen;
        take_ancillary(&msgs[i].msg_hdr, msgs[i].msg_len, &records[i].ancillary);
    }
    return n;
}

ssize_t udsi_peek_length(int fd)
{
    struct msghdr msg = {0};
    ssize_t n;

    do {
        n = udsi_io_hooks.recvmsg(fd, &msg, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* All fds in one SCM_RIGHTS, in a control buffer that lives until the call is over. */
static void put_rights(struct msghdr *msg, struct control *control, const int *fds, size_t nfds)
{
    struct cmsghdr *cmsg = (struct cmsghdr *)(void *)control->bytes;

    if (nfds == 0)
        return;
    msg->msg_control = control->bytes;
    msg->msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
    /* The padding after an odd number of fds goes to the kernel too. */
    memset(control->bytes, 0, msg->msg_controllen);
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
    memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * nfds);
}

/* Without a vector and fds the kernel has no header to fetch: 4% of a round trip on one core (measured, 64 bytes). */
static ssize_t send_plain(int fd, const struct iovec *iov)
{
    ssize_t n;

    do {
        n = udsi_io_hooks.send(fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static ssize_t
send_message(int fd, const struct iovec *iov, size_t niov, const int *fds, size_t nfds)
{
    struct control control;
    union {
        const struct iovec *in;
        struct iovec *out;
    } vector = {.in = iov};
    struct msghdr msg = {.msg_iov = vector.out, .msg_iovlen = niov};
    ssize_t n;

    put_rights(&msg, &control, fds, nfds);
    do {
        n = udsi_io_hooks.sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

ssize_t udsi_send(int fd, const struct iovec *iov, size_t niov, const int *fds, size_t nfds)
{
    if (nfds > UDS_FDS_MAX)
        return -E2BIG;
    return niov == 1 && nfds == 0 ? send_plain(fd, iov) : send_message(fd, iov, niov, fds, nfds);
}

int udsi_send_records(int fd,
                      const struct sockaddr_un *to,
                      socklen_t to_len,
                      const struct udsi_parcel *parcels,
                      unsigned count)
{
    struct control control[UDSI_RECORDS_MAX];
    struct mmsghdr msgs[UDSI_RECORDS_MAX];
    union {
        const struct sockaddr_un *in;
        struct sockaddr_un *out;
    } name = {.in = to};
    int n;

    if (count > UDSI_RECORDS_MAX)
        count = UDSI_RECORDS_MAX;
    for (unsigned i = 0; i < count; i++) {
        union {
            const struct iovec *in;
            struct iovec *out;
        } vector = {.in = parcels[i].iov};

        if (parcels[i].nfds > UDS_FDS_MAX)
            return -E2BIG;
        msgs[i] = (struct mmsghdr){.msg_hdr = {.msg_name = name.out,
                                               .msg_namelen = to ? to_len : 0,
                                               .msg_iov = vector.out,
                                               .msg_iovlen = parcels[i].niov}};
        put_rights(&msgs[i].msg_hdr, &control[i], parcels[i].fds, parcels[i].nfds);
    }
    do {
        n = udsi_io_hooks.sendmmsg(fd, msgs, count, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

int uds_fd_send(int socket, int fd)
{
    uint8_t byte = 0;
    ssize_t n = udsi_send(socket, &(struct iovec){.iov_base = &byte, .iov_len = 1}, 1, &fd, 1);

    return n < 0 ? (int)n : 0;
}

int udsi_recv_fd(int fd)
{
    struct udsi_ancillary ancillary;
    uint8_t bytes[2];
    struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    ssize_t n = udsi_recv(fd, &iov, 1, MSG_DONTWAIT, &ancillary);
    int r;

    if (n < 0)
        return (int)n;
    if (n == 0)
        return -ECONNRESET;
    if (ancillary.truncated)
        r = -EMFILE;
    else if (n != 1 || ancillary.nfds != 1)
        r = -EPROTO;
    else {
        r = ancillary.fds[0];
        ancillary.nfds = 0;
    }
    udsi_ancillary_clear(&ancillary);
    return r;
}
