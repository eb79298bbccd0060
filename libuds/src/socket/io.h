/* SPDX-License-Identifier: MIT */
#ifndef UDSI_SOCKET_IO_H
#define UDSI_SOCKET_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <uds/fdset.h>

/* What came beside the bytes of one receive. */
struct udsi_ancillary {
    size_t nfds; /* the caller owns fds[0 … nfds) */
    int pidfd;   /* of the sender (SCM_PIDFD, its claim), -1 if none; the caller owns it */
    bool
        truncated; /* MSG_CTRUNC: the kernel dropped something; all that arrived is closed, nfds is 0 */
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

/* Length of the next record of a SEQPACKET socket, 0 at the end (or an empty record), -EAGAIN, -errno. */
ssize_t udsi_peek_length(int fd);

/* The counterpart of uds_fd_send(). Returns the fd; -EAGAIN none is waiting; -ECONNRESET the end; -EPROTO not one byte with one fd; -EMFILE. */
int udsi_recv_fd(int fd);

/* Closes what @ancillary still owns. */
void udsi_ancillary_clear(struct udsi_ancillary *ancillary);

/* The two system calls behind all this, replaceable by tests (tests/support/faultsock.c). */
struct udsi_io_hooks {
    ssize_t (*sendmsg)(int fd, const struct msghdr *msg, int flags);
    ssize_t (*recvmsg)(int fd, struct msghdr *msg, int flags);
};
extern struct udsi_io_hooks udsi_io_hooks;

#endif
