/* SPDX-License-Identifier: MIT */
#ifndef UDS_RPC_H
#define UDS_RPC_H

#include <stddef.h>
#include <stdint.h>

#include <uds/conn.h>
#include <uds/msg.h>
#include <uds/version.h>

/*
 * Requests and replies on a connection, both directions at once: a table of calls that we wait for, and a handler for
 * calls that come in. Bodies are bytes here; libuds-pb puts protobuf-c services on top. Over a broker the same frames
 * carry a SUBJECT in addition (client.h).
 *
 * Every call ends exactly once: with a reply, or with a status of our own (DEADLINE, CALLEE_LOST …).
 *
 * Unless a comment says otherwise: pointers are not NULL, nothing changes owner, there are no errors, blocking: never,
 * threads: the one that owns the connection, since: 0.1.
 */

UDS_BEGIN_DECLS

typedef struct uds_rpc uds_rpc;
typedef struct uds_rpc_call uds_rpc_call; /* an incoming call that waits for our answer */

struct uds_rpc_request {
    size_t
        size; /* sizeof(struct uds_rpc_request), as UDS_RPC_REQUEST_INIT sets it; anything else is -EINVAL */
    const char *subject; /* NULL on a direct connection */
    const char *method;  /* NULL = none; "package.Service/Method" for protobuf services */
    const void *body;
    size_t body_len;
    const int *fds; /* duplicated */
    size_t nfds;
    int timeout_ms; /* -1 = none */
};
#define UDS_RPC_REQUEST_INIT                                     \
    {                                                            \
        .size = sizeof(struct uds_rpc_request), .timeout_ms = -1 \
    }

struct uds_rpc_reply {
    uint32_t status;    /* enum uds_status */
    uint64_t value;     /* goes with some statuses: limit, signal, exit code; else 0 */
    const char *detail; /* never NULL, "" when there is none; valid during the callback */
    const char *rule;   /* what decided a denial; never NULL, "" when there is none */
    uds_msg *
        msg; /* the REPLY with body and fds, borrowed (ref it to keep it); NULL when the status is ours */
};

typedef void (*uds_rpc_reply_fn)(const struct uds_rpc_reply *reply, void *arg);
/* The handler owns @call and answers it now or later, once, by uds_rpc_call_reply() or …_fail(). */
typedef void (*uds_rpc_handler_fn)(uds_rpc_call *call, void *arg);

/**
 * uds_rpc_new() - put calls on a connection
 * @conn:     a reference is taken; its callbacks become the rpc's
 * @fallback: callbacks for what is not REQUEST, REPLY or CANCEL, and for on_close (called after all pending calls ended);
 *            copied; NULL for none
 * @arg:      their last argument
 * @ret:      written on success only
 *
 * Ownership: the caller frees @ret and keeps its own reference of @conn.   Errors: -ENOMEM.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int
uds_rpc_new(uds_rpc **ret, uds_conn *conn, const struct uds_conn_callbacks *fallback, void *arg);

/**
 * uds_rpc_free() - ends pending calls with CANCELLED (their on_reply runs) and leaves the connection without callbacks
 * @rpc: NULL is fine; allowed inside any callback
 *
 * Incoming calls that wait for our answer stay the application's: they count as cancelled, and are still to be answered.
 * Returns NULL. Since: 0.1.
 */
UDS_EXPORT uds_rpc *uds_rpc_free(uds_rpc *rpc);
/** uds_rpc_get_conn() - the connection beneath, borrowed. Since: 0.1. */
UDS_EXPORT uds_conn *uds_rpc_get_conn(uds_rpc *rpc);

/**
 * uds_rpc_set_handler() - who answers incoming calls
 * @handler:   owns each call that it gets; NULL: they get UNIMPLEMENTED
 * @arg:       its last argument
 * @max_calls: how many may be open at once, more get QUOTA; 0 = 1024
 *
 * Calls that are open stay with whom they were given to. Since: 0.1.
 */
UDS_EXPORT void
uds_rpc_set_handler(uds_rpc *rpc, uds_rpc_handler_fn handler, void *arg, size_t max_calls);

/**
 * uds_rpc_request() - start a call
 * @on_reply: called exactly once, never from inside this function
 * @ret_id:   for uds_rpc_cancel(); may be NULL; written on success only
 *
 * Ownership: everything in @request is copied, its fds are duplicated.
 * Errors:    as uds_conn_send(); -EINVAL the size, or a subject or method of 0 or over 255 bytes; -ENOTCONN; -EBADF, -EMFILE an
 *            fd cannot be duplicated; -ENOSPC over UDS_FDS_MAX of them; -ENOMEM. Then on_reply is not called.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_rpc_request(uds_rpc *rpc,
                                             const struct uds_rpc_request *request,
                                             uds_rpc_reply_fn on_reply,
                                             void *arg,
                                             uint64_t *ret_id);

/**
 * uds_rpc_request_wait() - the blocking form
 * @request:   its timeout_ms bounds the wait, too: then the reply's status is DEADLINE
 * @ret_reply: written on success only
 *
 * Runs the connection meanwhile: every callback may come, on_reply of other calls among them.
 * Returns 0 whatever the remote status is.
 *
 * Ownership: the caller unrefs @ret_reply->msg (may be NULL); detail and rule live as long as it, or for ever without one.
 * Errors:    as uds_rpc_request(); the connection died unanswered: its reason (-ECONNRESET, -EPROTO …), -ECONNRESET after an
 *            orderly end.   Blocking: until the call has ended.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_rpc_request_wait(uds_rpc *rpc,
                                                  const struct uds_rpc_request *request,
                                                  struct uds_rpc_reply *ret_reply);

/**
 * uds_rpc_cancel() - take a call back: its on_reply runs with CANCELLED before this returns
 * @id: from uds_rpc_request()
 *
 * The callee is told; what it may already have done is not undone. Errors: -ENOENT there is no such call, or it has ended. Since: 0.1.
 */
UDS_EXPORT int uds_rpc_cancel(uds_rpc *rpc, uint64_t id);

/** uds_rpc_get_timeout() - ms until the next deadline of a call; 0 one is due, -1 there is none. Since: 0.1. */
UDS_EXPORT int uds_rpc_get_timeout(const uds_rpc *rpc);
/** uds_rpc_process_timeouts() - end the calls whose deadline is over: their on_reply runs with DEADLINE. For a loop, after uds_conn_process(). Since: 0.1. */
UDS_EXPORT void uds_rpc_process_timeouts(uds_rpc *rpc);

/* The server's side of a call, until it is answered. Strings are the call's, and "" when absent. */

/** uds_rpc_call_get_method() - "package.Service/Method" for protobuf services. Since: 0.1. */
UDS_EXPORT const char *uds_rpc_call_get_method(const uds_rpc_call *call);
/** uds_rpc_call_get_subject() - the subject that was called; "" on a direct connection. Since: 0.1. */
UDS_EXPORT const char *uds_rpc_call_get_subject(const uds_rpc_call *call);
UDS_EXPORT const char *
uds_rpc_call_get_sender(const uds_rpc_call *call); /* broker-attested; "" on a direct connection */
/** uds_rpc_call_get_subscription() - which uds_client_serve() it came through (its id); 0 on a direct connection. Since: 0.1. */
UDS_EXPORT uint64_t uds_rpc_call_get_subscription(const uds_rpc_call *call);
/** uds_rpc_call_peek_msg() - the REQUEST with body and fds, borrowed: take fds out of it, ref it to keep it. Since: 0.1. */
UDS_EXPORT uds_msg *uds_rpc_call_peek_msg(uds_rpc_call *call);
UDS_EXPORT int
uds_rpc_call_get_timeout(const uds_rpc_call *call); /* ms that are left; -1 none; 0 over */
UDS_EXPORT int uds_rpc_call_is_cancelled(
    const uds_rpc_call
        *call); /* the caller went away or took it back; an answer is still due and is discarded */

/**
 * uds_rpc_call_reply() - answer with a body and fds
 * @body: @len bytes, copied; may be NULL when @len is 0
 * @fds:  @nfds descriptors; may be NULL when @nfds is 0
 *
 * Ownership: consumes @call in every case; success moves @fds (of a cancelled call: closes them), failure leaves them.
 * Errors:    as uds_conn_send() (then the caller of the call gets INTERNAL); -EINVAL a bad fd.   Since: 0.1.
 */
UDS_EXPORT int
uds_rpc_call_reply(uds_rpc_call *call, const void *body, size_t len, const int *fds, size_t nfds);

/**
 * uds_rpc_call_fail() - answer with a failure
 * @status: enum uds_status; OK becomes INTERNAL
 * @value:  what goes with it, 0 nothing
 * @detail: one line for people, copied; may be NULL
 *
 * Ownership: consumes @call in every case.
 * Errors:    as uds_conn_send(); a peer that does not even read its failures is disconnected with SLOW_CONSUMER.   Since: 0.1.
 */
UDS_EXPORT int
uds_rpc_call_fail(uds_rpc_call *call, uint32_t status, uint64_t value, const char *detail);

UDS_END_DECLS

#endif
