/* SPDX-License-Identifier: MIT */
#ifndef UDS_CLIENT_H
#define UDS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uds/addr.h>
#include <uds/rpc.h>
#include <uds/version.h>

/*
 * A client of the broker: publish, subscribe, request, serve. It reconnects by itself (back-off 10 ms … 2 s, or through
 * the redial socket of a sandbox), subscribes again, and tells the application about every interruption.
 *
 * Loop contract as for uds_conn. get_fd may change after a reconnect: re-read it after every process(), or set on_rearm.
 *
 * Unless a comment says otherwise: pointers are not NULL, nothing changes owner, there are no errors, blocking: never,
 * threads: a client belongs to one at a time and is not usable after fork(2) in the child, except to be freed, since: 0.1. Any callback may call
 * anything here, uds_client_free() included; on_rearm and the loop hook alone may only look at fd, events and timeout.
 */

UDS_BEGIN_DECLS

typedef struct uds_client uds_client;

enum uds_client_event {
    UDS_CLIENT_CONNECTED = 1, /* also after each reconnect; subscriptions have been sent again */
    /* exactly once after each CONNECTED, before the next; @error says why; calls in flight have ended with
     * CALLEE_LOST; messages in between are lost */
    UDS_CLIENT_DISCONNECTED = 2,
    /* the broker's NOTICE: drops, denied (re)subscriptions. Without a @notice our own, with an @error: a publish that
     * nobody confirms was not sent, because of its fds; or a link ended before it was CONNECTED */
    UDS_CLIENT_NOTICE = 3,
};

struct uds_client_callbacks {
    /* @error: -errno of a disconnect or of a NOTICE of our own, else 0. @detail never NULL. @notice: the NOTICE message, else NULL; borrowed. May be NULL. */
    void (*on_event)(uds_client *client,
                     enum uds_client_event event,
                     int error,
                     const char *detail,
                     uds_msg *notice,
                     void *arg);
    void (*on_rearm)(uds_client *client, void *arg); /* loop glue; may be NULL */
};

struct uds_delivery {
    const char *subject;
    const char *sender; /* broker-attested: "sandbox:NAME", "uid:N" */
    uint64_t sequence;  /* per subscription; a gap = deliveries that were dropped */
    uint64_t dropped;   /* so far on this subscription */
    uds_msg *msg;       /* body, fds and headers; borrowed */
};

typedef void (*uds_delivery_fn)(uds_client *client, const struct uds_delivery *delivery, void *arg);
/* Result of a confirmed publish or of a subscribe: status OK when the broker has accepted it. */
typedef void (*uds_ack_fn)(
    uds_client *client, uint32_t status, const char *detail, const char *rule, void *arg);

/**
 * uds_client_new() - connect to a broker
 * @addr:       NULL = uds_addr_default(); in a sandbox also $UDS_BROKER_REDIAL ("fd:N") is honoured,
 *               but not by a program with more rights than who runs it
 * @options:    of every connection that it makes; copied; NULL for the defaults
 * @timeout_ms: for the first connection: 0 = fail at once if nobody listens; > 0 retry that long; -1 forever
 * @ret:        written on success only
 *
 * Ownership: the caller frees @ret; an fd that @addr or the environment names is duplicated, and becomes FD_CLOEXEC when it is
 *            the environment's.
 * Errors:    as uds_conn_connect(); as uds_addr_default(); -ENOMEM.   Blocking: up to @timeout_ms.   Threads: any.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_client_new(uds_client **ret,
                                            const struct uds_addr *addr,
                                            const struct uds_conn_options *options,
                                            int timeout_ms);
/**
 * uds_client_free() - sends what the socket takes at once, ends calls and confirmed publishes with CANCELLED, closes
 * @client: NULL is fine; allowed inside any callback
 *
 * No event is told for this. Use uds_client_flush() before it if everything must go out. Returns NULL. Since: 0.1.
 */
UDS_EXPORT uds_client *uds_client_free(uds_client *client);
/** uds_client_set_callbacks() - who is told; @callbacks is copied, NULL removes them. Set them before the first process() to miss nothing. Since: 0.1. */
UDS_EXPORT void uds_client_set_callbacks(uds_client *client,
                                         const struct uds_client_callbacks *callbacks,
                                         void *arg);

/**
 * uds_client_set_loop_hook() - a loop glue's own on_rearm, so that the application's callbacks stay the application's
 * @hook: told with @arg, before on_rearm, whenever fd, events or timeout may have changed outside uds_client_process(); and in
 *        every case right before the client closes a socket, when uds_client_get_fd() already says -1. NULL removes it
 *
 * One hook a client; libuds-event uses it. Since: 0.1.
 */
UDS_EXPORT void uds_client_set_loop_hook(uds_client *client,
                                         void (*hook)(uds_client *client, void *arg),
                                         void *arg);

/** uds_client_get_fd() - what to poll, the client's. While there is no connection: the redial end if there is one, else -1: wait for the timeout. Since: 0.1. */
UDS_EXPORT int uds_client_get_fd(const uds_client *client);
/** uds_client_get_events() - as uds_conn_get_events(). Since: 0.1. */
UDS_EXPORT short uds_client_get_events(const uds_client *client);
/** uds_client_get_timeout() - ms after which process() is due (a deadline, the next dial); 0 at once, -1 never. Since: 0.1. */
UDS_EXPORT int uds_client_get_timeout(const uds_client *client);
/**
 * uds_client_process() - do what can be done without blocking: receive, dispatch, send, redial
 *
 * A lost connection is no error here: it is an event, and is redialled.
 * Returns 1 more to do, 0 wait in poll. Errors: -ECONNRESET once the link is lost for good (an fd: address without a redial end;
 * told by an event before): then get_fd and get_timeout are -1. Since: 0.1.
 */
UDS_EXPORT int uds_client_process(uds_client *client);
/**
 * uds_client_wait() - flush, poll and process once, for programs without a loop
 * @timeout_ms: -1 forever
 *
 * Returns 1 something was done, 0 @timeout_ms passed. Errors: as uds_client_process(), poll(2). Blocking: up to @timeout_ms. Since: 0.1.
 */
UDS_EXPORT int uds_client_wait(uds_client *client, int timeout_ms);
/**
 * uds_client_flush() - push queued messages out (callbacks may run)
 * @timeout_ms: 0 only what the socket takes now, -1 forever
 *
 * Returns 0 when the kernel has all of them. Errors: -ETIMEDOUT some are left and stay queued; -ENOTCONN there is no link, or it
 * was lost meanwhile. Blocking: up to @timeout_ms. Since: 0.1.
 */
UDS_EXPORT int uds_client_flush(uds_client *client, int timeout_ms);

/**
 * uds_client_subscribe() - receive what is published on a subject
 * @subject: dot-separated tokens; '*' one token, '>' the rest (last token only)
 * @queue:   queue group: each message goes to one member; NULL = none
 * @on_delivery: runs for each message; the delivery and all in it are borrowed until it returns
 * @on_ack:  told once that the broker has accepted it, and each time it refuses, also after a reconnect; NULL: a refusal is a
 *           NOTICE event
 * @arg:     the last argument of both
 * @ret_id:  for uds_client_unsubscribe(); may be NULL; written on success only
 *
 * Without a link it is kept and sent with the next one. A refused one stays, and is asked for again after a reconnect.
 * Ownership: strings are copied.
 * Errors:    -EINVAL malformed subject or queue; -ENOTCONN the link is lost for good; -ENOBUFS the send queue is full; -ENOMEM.
 * Since:     0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_client_subscribe(uds_client *client,
                                                  const char *subject,
                                                  const char *queue,
                                                  uds_delivery_fn on_delivery,
                                                  uds_ack_fn on_ack,
                                                  void *arg,
                                                  uint64_t *ret_id);
/**
 * uds_client_serve() - answer requests on a subject; several servers share the load
 * @handler: owns each call that it gets, as in rpc.h
 *
 * The rest is as for uds_client_subscribe(). Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_client_serve(uds_client *client,
                                              const char *subject,
                                              uds_rpc_handler_fn handler,
                                              uds_ack_fn on_ack,
                                              void *arg,
                                              uint64_t *ret_id);
/**
 * uds_client_unsubscribe() - end a subscription or a service; none of its callbacks runs afterwards
 * @id: from uds_client_subscribe() or uds_client_serve()
 *
 * Calls that its handler still holds are still to be answered. Errors: -ENOENT unknown id; -ENOBUFS, -ENOMEM the broker could not
 * be told: what still comes is ignored. Since: 0.1.
 */
UDS_EXPORT int uds_client_unsubscribe(uds_client *client, uint64_t id);

struct uds_publish {
    /* sizeof(struct uds_publish), as UDS_PUBLISH_INIT sets it; anything else is -EINVAL */
    size_t size;
    const char *subject; /* no wildcards */
    const void *body;
    size_t body_len;
    const int *fds; /* duplicated */
    size_t nfds;
    const char *const *headers; /* NULL or name, value, name, value, …, NULL */
};
#define UDS_PUBLISH_INIT UDS_INIT_0(uds_publish)
/**
 * uds_client_publish() - send a message to whoever subscribes
 * @on_ack: NULL = fire and forget; else it is called exactly once, never from inside this function: OK means that every matching
 *          subscriber's queue has it; CALLEE_LOST that the link ended before the broker answered
 * @arg:    its last argument
 *
 * Ownership: everything in @publish is copied, its fds are duplicated.
 * Errors:    -EINVAL the size, the subject or a header's name; -ENOTCONN no link now (nothing is kept for the next one); -ENOSPC
 *            head or fds over their limit; -EBADF, -EMFILE an fd cannot be duplicated; as uds_conn_send(). Then on_ack does not run.
 * Since:     0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_client_publish(uds_client *client,
                                                const struct uds_publish *publish,
                                                uds_ack_fn on_ack,
                                                void *arg);
/**
 * uds_client_publish_wait() - confirmed and blocking (other callbacks may run)
 * @timeout_ms: -1 forever
 * @ret_status: the broker's answer, enum uds_status; written on success only
 * @ret_detail: caller's buffer of @size bytes for its words, cut if need be; may be NULL
 *
 * Returns 0 whatever the answer is. Errors: as uds_client_publish(); -ETIMEDOUT no answer came (the message may have arrived);
 * -ECONNRESET the link was lost first. Blocking: up to @timeout_ms. Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_client_publish_wait(uds_client *client,
                                                     const struct uds_publish *publish,
                                                     int timeout_ms,
                                                     uint32_t *ret_status,
                                                     char *ret_detail,
                                                     size_t size);

/**
 * uds_client_request() / uds_client_request_wait() - call a subject
 *
 * As uds_rpc_request() and uds_rpc_request_wait(); request->subject is required. Errors: -EINVAL it is missing or malformed;
 * -ENOTCONN there is no link now. Blocking: _wait until the call has ended. Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_client_request(uds_client *client,
                                                const struct uds_rpc_request *request,
                                                uds_rpc_reply_fn on_reply,
                                                void *arg,
                                                uint64_t *ret_id);
UDS_EXPORT UDS_NODISCARD int uds_client_request_wait(uds_client *client,
                                                     const struct uds_rpc_request *request,
                                                     struct uds_rpc_reply *ret_reply);
/** uds_client_cancel() - as uds_rpc_cancel(). Errors: -ENOENT. Since: 0.1. */
UDS_EXPORT int uds_client_cancel(uds_client *client, uint64_t id);
/** uds_client_grant() - as uds_rpc_grant(). Since: 0.1. */
UDS_EXPORT UDS_NODISCARD int uds_client_grant(uds_client *client, uint64_t id, uint32_t n);
/** uds_client_set_limits() - what callers of everything that it serves may make us hold, as uds_rpc_set_limits(); for later links, too. Errors: -EINVAL. Since: 0.1. */
UDS_EXPORT UDS_NODISCARD int uds_client_set_limits(uds_client *client,
                                                   const struct uds_rpc_limits *limits);

/**
 * uds_subject_is_valid() - may this be a subject? NATS rules: tokens non-empty, printable ASCII without space, 255 bytes at most
 * @subject: @len bytes, no NUL needed
 * @allow_wildcards: '*' and '>' as whole tokens, '>' last
 * Threads: any. Since: 0.1.
 */
UDS_EXPORT bool uds_subject_is_valid(const char *subject, size_t len, bool allow_wildcards);
/** uds_subject_matches() - does @pattern match @subject? Both valid and NUL-terminated. '>' and '*' as first token never match "$…" subjects. Threads: any. Since: 0.1. */
UDS_EXPORT bool uds_subject_matches(const char *pattern, const char *subject);

UDS_END_DECLS

#endif
