/* SPDX-License-Identifier: MIT */
#ifndef UDS_LISTENER_H
#define UDS_LISTENER_H

#include <stdbool.h>

#include <sys/types.h>

#include <uds/addr.h>
#include <uds/version.h>

/*
 * A listening socket. For a pathname it also owns the socket file: a stale one (nothing listens) is taken over, a live
 * one is left alone; mode, owner and group are in force before the first connect can succeed; closing unlinks the file
 * if it still is ours. In the child of a fork(2) it may only be freed, which leaves the file to the parent.
 *
 * Unless a comment says otherwise: @listener is not NULL, nothing changes owner, there are no errors, blocking: never, threads:
 * the one that owns the listener, since: 0.1.
 */

UDS_BEGIN_DECLS

typedef struct uds_listener uds_listener;

struct uds_listener_options {
    /* sizeof(struct uds_listener_options), as UDS_LISTENER_OPTIONS_INIT sets it; anything else is -EINVAL */
    size_t size;
    int backlog; /* 0 = SOMAXCONN */
    mode_t mode; /* of the socket file; 0 = 0600 */
    uid_t owner; /* (uid_t)-1 = leave */
    gid_t group; /* (gid_t)-1 = leave */
    /* no connection of it takes descriptors: the kernel (6.16) refuses them from the first byte on, before accept,
     * and whatever a uds_conn made of it wants. Before 6.16 max_fds = 0 of the uds_conn does what can be done */
    bool refuse_fds;
};
#define UDS_LISTENER_OPTIONS_INIT \
    UDS_INIT_2(uds_listener_options, .owner = (uid_t)-1, .group = (gid_t)-1)

/**
 * uds_listener_new() - listen on an address
 * @ret:     written on success only
 * @addr:    stream or seqpacket; kind fd adopts a duplicate of a listening socket (socket activation), which becomes
 *           O_NONBLOCK under its former number, too
 * @options: NULL for the defaults
 *
 * Ownership: the caller frees @ret. On failure nothing is left behind: no file, no socket.
 * Errors:    -EADDRINUSE somebody listens there, or the file is no socket; -EACCES; -ENOENT directory missing; -EPERM owner or
 *            group; -ENAMETOOLONG; -EPROTOTYPE dgram; -EINVAL options, or an fd that does not listen; -EAFNOSUPPORT an fd
 *            that is not AF_UNIX; -EMFILE, -ENFILE; -ENOMEM.
 * Blocking:  file system calls.   Threads: any; the listener then belongs to one at a time.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_listener_new(uds_listener **ret,
                                              const struct uds_addr *addr,
                                              const struct uds_listener_options *options);

/** uds_listener_free() - close; unlink the file if it is still ours. NULL is fine. Returns NULL. Errors: none. Blocking: file system calls. Since: 0.1. */
UDS_EXPORT uds_listener *uds_listener_free(uds_listener *listener);

/** uds_listener_abandon() - close without unlinking (another process goes on with the socket). NULL is fine. Returns NULL. Errors: none. Blocking: never. Since: 0.1. */
UDS_EXPORT uds_listener *uds_listener_abandon(uds_listener *listener);

/** uds_listener_get_fd() - the non-blocking listening socket, to poll for POLLIN or to pass on; stays the listener's. Since: 0.1. */
UDS_EXPORT int uds_listener_get_fd(const uds_listener *listener);

/**
 * uds_listener_accept() - accept one connection
 *
 * Ownership: the caller closes the fd that is returned: connected, CLOEXEC, non-blocking.
 * Errors:    -EAGAIN nobody waits; -EMFILE, -ENFILE no descriptor is left (the peer is still queued: stop polling for a while);
 *            others per accept4(2).
 * Blocking:  never.   Threads: owner.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_listener_accept(uds_listener *listener);

UDS_END_DECLS

#endif
