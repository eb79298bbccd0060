/* SPDX-License-Identifier: MIT */
#ifndef UDS_EVENT_H
#define UDS_EVENT_H

#include <uds/client.h>
#include <uds/conn.h>
#include <uds/dgram.h>
#include <uds/listener.h>
#include <uds/rpc.h>
#include <uds/version.h>

/*
 * libuds-event: drives connections, calls, clients, listeners and datagram sockets from a libevent 2.1 loop.
 *
 * In the child of a fork(2) the loop shares its epoll descriptor with the parent's: call event_reinit() before anything is
 * detached there.
 *
 * Unless a comment says otherwise: pointers are not NULL, nothing changes owner, there are no errors, blocking: never, threads:
 * the one that runs the loop, since: 0.1.
 */

struct event_base;

UDS_BEGIN_DECLS

typedef struct uds_event uds_event;

/**
 * uds_event_attach() - let a libevent loop drive a connection
 * @ret:  written on success only
 * @base: outlives the attachment
 *
 * Takes a reference of @conn until detached; detaches itself when the connection closes. Sends made during one loop turn go
 * out together at its end. Takes the connection's loop hook (uds_conn_set_loop_hook()): the application's callbacks stay.
 * Without an on_message the first message waits for uds_conn_receive(), and the loop does not read on (nor wake) until it is taken.
 *
 * Ownership: the caller frees @ret by uds_event_detach(), also after the connection closed.   Errors: -ENOMEM.
 * Blocking:  never.   Threads: the loop's.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int
uds_event_attach(uds_event **ret, uds_conn *conn, struct event_base *base);
/**
 * uds_event_attach_rpc() / uds_event_attach_client() - the same for an rpc (its connection and its deadlines) and for a client
 * @rpc, @client: borrowed, outlive the attachment
 *
 * Ownership, errors and threads as uds_event_attach(). Blocking: never. Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int
uds_event_attach_rpc(uds_event **ret, uds_rpc *rpc, struct event_base *base);
UDS_EXPORT UDS_NODISCARD int
uds_event_attach_client(uds_event **ret, uds_client *client, struct event_base *base);
/**
 * uds_event_attach_dgram() - the same for a datagram socket
 * @dgram: a reference is taken until detached
 *
 * Errors of receiving are told by on_error only, and end nothing.
 *
 * Ownership, errors and threads as uds_event_attach(). Blocking: never. Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int
uds_event_attach_dgram(uds_event **ret, uds_dgram *dgram, struct event_base *base);
/**
 * uds_event_listen() - accept in the loop
 * @ret:       written on success only
 * @listener:  borrowed, outlives the attachment
 * @on_accept: owns @fd, a connected socket. When accept fails (-EMFILE, -ENFILE, -ENOMEM …) it is told once by @fd = -errno, and
 *             accepting pauses for 100 ms
 * @arg:       its last argument
 *
 * Ownership: the caller frees @ret by uds_event_detach().   Errors: -ENOMEM.   Blocking: never.   Threads: the loop's.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_event_listen(uds_event **ret,
                                              uds_listener *listener,
                                              struct event_base *base,
                                              void (*on_accept)(int fd, void *arg),
                                              void *arg);
/** uds_event_detach() - take it out of the loop; what was attached lives on. NULL is fine; allowed inside any callback. Returns NULL. Threads: the loop's. Since: 0.1. */
UDS_EXPORT uds_event *uds_event_detach(uds_event *event);

UDS_END_DECLS

#endif
