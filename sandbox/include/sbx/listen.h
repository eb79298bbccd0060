/* SPDX-License-Identifier: MIT */
#ifndef SBX_LISTEN_H
#define SBX_LISTEN_H

#include <sbx/cleaner.h>
#include <sbx/error.h>
#include <stdbool.h>

/*
 * A socket that is bound outside and served from inside: passed by name (struct sbx_named_fd), it works in a sandbox
 * that has no network at all. Its owner keeps it over restarts, and who connects meanwhile waits in its queue.
 *
 *   tcp:127.0.0.1:80   tcp:[::1]:80   tcp:localhost:80   tcp:*:80     stream; port 0 = any that is free
 *   udp:127.0.0.1:53   …                                              datagrams
 *   unix:/run/x.sock   unix:@name                                     stream
 *   seqpacket:…   dgram:…                                             records, as uds/addr.h has them
 *
 * Hosts are numbers, "localhost" (127.0.0.1) or "*" (every address, of IPv6 too where there is one): nothing is
 * looked up. Options follow, each after a comma: mode=0660 (permissions of a path, 0600 if not named), backlog=N, and
 * netns=NAME|/PATH|PID, the network namespace in which the address is meant (not of paths, which have none).
 *
 * What a payload may do with it: a socket belongs to the namespace that it was made in, whoever holds it. A datagram
 * socket can send to wherever that namespace reaches (udp: any address, dgram: abstract names). A TCP listener, and
 * what it has accepted, could be unmade (shutdown(2)), and connect or listen elsewhere; a filter that cannot be
 * taken off keeps every answer from it; that of a host that conspires with the payload (a simultaneous open) only
 * where the caller has CAP_BPF. Some kernels let only root attach one. What SO_PEERCRED tells the peers of a unix:
 * socket is the process that called listen(2): us.
 *
 * Unless a comment says otherwise: pointers are not NULL, nothing changes owner, there are no errors, blocking:
 * never, threads: a listener belongs to one at a time, with its cleaner, since: 0.1.
 */

UDS_BEGIN_DECLS

typedef struct sbx_listen sbx_listen;

/**
 * sbx_listen_check() - is @address one that can be understood?
 * @error: may be NULL
 *
 * Errors: -EINVAL; -ENAMETOOLONG.   Threads: any.
 */
UDS_EXPORT int sbx_listen_check(const char *address, struct sbx_error *error);
/**
 * sbx_listen_new() - bind, and listen unless it is for datagrams
 * @ret:     written on success only
 * @address: as above
 * @cleaner: NULL, or who removes a path if we die; borrowed until sbx_listen_free()
 * @error:   may be NULL
 *
 * A stale socket file is taken over, a live one and one that is no socket left alone.
 *
 * Ownership: the caller frees @ret. On failure nothing is left: no file, no socket.
 * Errors: as sbx_listen_check(); -EADDRINUSE; -EADDRNOTAVAIL; -EAFNOSUPPORT; -EACCES a port below 1024, a directory;
 *   -ENOENT no such directory or namespace; -EPERM the namespace is out of reach; -EMFILE; -ENOMEM; as
 *   sbx_cleaner_add_path().
 * Blocking: file system calls, and a write to the cleaner's record.
 */
UDS_EXPORT UDS_NODISCARD int sbx_listen_new(sbx_listen **ret,
                                            const char *address,
                                            sbx_cleaner *cleaner,
                                            struct sbx_error *error);
/** sbx_listen_get_fd() - the socket, blocking, for struct sbx_named_fd; it stays the listener's */
UDS_EXPORT int sbx_listen_get_fd(const sbx_listen *listener);
/**
 * sbx_listen_get_address() - where it is: as it was given, without options, but with the port that the kernel chose
 *
 * The listener's.
 */
UDS_EXPORT const char *sbx_listen_get_address(const sbx_listen *listener);
/** sbx_listen_is_sealed() - is it TCP, and that filter in place? */
UDS_EXPORT bool sbx_listen_is_sealed(const sbx_listen *listener);
/**
 * sbx_listen_free() - close; remove the file if it still is ours
 *
 * NULL is fine. Returns NULL.
 *
 * Blocking: file system calls, and a write to the cleaner's record.
 */
UDS_EXPORT sbx_listen *sbx_listen_free(sbx_listen *listener);

UDS_END_DECLS

#endif
