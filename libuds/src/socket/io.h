/* SPDX-License-Identifier: MIT */
#ifndef UDSI_SOCKET_IO_H
#define UDSI_SOCKET_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>

#include <uds/fdset.h>

/* What came beside the bytes of one receive. */
struct udsi_ancillary {
    size_t nfds; /* the caller owns fds[0 … nfds) */
    int pidfd;   /* of the sender (SCM_PIDFD, its claim), -1 if none; the caller owns it */
    /* MSG_CTRUNC: the kernel dropped something; all that arrived is closed, nfds is 0 */
    bool truncated;
    bool record_truncated; /* MSG_TRUNC: the record was longer than the buffer */
    bool has_cred;
    struct ucred cred; /* of the sender (SCM_CREDENTIALS, its claim within its privileges) */
    int fds[UDS_FDS_MAX];
};

/*
 * One receive. @flags are ORed to MSG_CMSG_CLOEXEC; give MSG_DONTWAIT unless blocking is wanted. Retries EINTR only with
 * MSG_DONTWAIT.
 *
 * Returns the number of bytes, 0 at the end of the stream, or -errno; @ret is written on success only.
 */
ssize_t
udsi_recv(int fd, const struct iovec *iov, size_t niov, int flags, struct udsi_ancillary *ret);

/*
 * One send, never blocking, never SIGPIPE. @nfds <= UDS_FDS_MAX fds ride on the first byte and stay the caller's.
 *
 * Returns the number of bytes (at least 1: the fds are gone with it), or -errno. -EAGAIN: poll for POLLOUT. -ENOBUFS,
 * -ENOMEM and -ETOOMANYREFS (too many fds of this user in flight, unix(7)): try again later, poll does not tell when.
 */
ssize_t udsi_send(int fd, const struct iovec *iov, size_t niov, const int *fds, size_t nfds);

#define UDSI_RECORDS_MAX 16 /* in one call: what a system call costs is a tenth then */

/* A datagram that came: the caller gives @room, the rest is written. */
struct udsi_record {
    struct iovec room;
    size_t len; /* bytes in @room, 0 for an empty one; those that did not fit are lost */
    /* as the sender bound itself, in its own namespaces; sun_path may lack its NUL */
    struct sockaddr_un from;
    socklen_t from_len; /* 0 or sizeof(sa_family_t): it has no name */
    struct udsi_ancillary ancillary;
};

/*
 * As many datagrams as wait, at most @count (<= UDSI_RECORDS_MAX), in one call that never blocks. Returns how many, at
 * least 1, or -errno: -EAGAIN none waits.
 */
int udsi_recv_records(int fd, struct udsi_record *records, unsigned count);

/* A datagram to send. What it names stays the caller's. */
struct udsi_parcel {
    const struct iovec *iov;
    size_t niov;
    const int *fds;
    size_t nfds;
};

/*
 * Sends datagrams in order, at most @count (<= UDSI_RECORDS_MAX), to @to, or where the socket is connected to if that is
 * NULL. Returns how many the kernel took, at least 1, or the -errno of the first: as udsi_send(), and -EMSGSIZE,
 * -ECONNREFUSED, -ENOTCONN. Each goes whole or not at all.
 */
int udsi_send_records(int fd,
                      const struct sockaddr_un *to,
                      socklen_t to_len,
                      const struct udsi_parcel *parcels,
                      unsigned count);

/* Length of the next record of a SEQPACKET socket, 0 at the end (or an empty record), -EAGAIN, -errno. */
ssize_t udsi_peek_length(int fd);

/* The counterpart of uds_fd_send(). Returns the fd; -EAGAIN none is waiting; -ECONNRESET the end; -EPROTO not one byte with one fd; -EMFILE. */
int udsi_recv_fd(int fd);

/* Closes what @ancillary still owns. */
void udsi_ancillary_clear(struct udsi_ancillary *ancillary);

/* The system calls behind all this, replaceable by tests (tests/support/faultsock.c). */
struct udsi_io_hooks {
    ssize_t (*send)(int fd, const void *data, size_t len, int flags);
    ssize_t (*sendmsg)(int fd, const struct msghdr *msg, int flags);
    ssize_t (*recvmsg)(int fd, struct msghdr *msg, int flags);
    int (*sendmmsg)(int fd, struct mmsghdr *msgs, unsigned count, int flags);
    int (*recvmmsg)(
        int fd, struct mmsghdr *msgs, unsigned count, int flags, struct timespec *timeout);
};
extern struct udsi_io_hooks udsi_io_hooks;

#endif
