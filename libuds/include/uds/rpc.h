/* SPDX-License-Identifier: MIT */
#ifndef UDS_RPC_H
#define UDS_RPC_H

#include <stdbool.h>
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
 * A *stream* is a call whose request has on_part: before the reply come any number of parts. The callee sends no more of
 * them than the caller has given credit for: the window of the request, and again one for each part that was handled. So
 * a caller that does not keep up stops the callee, and neither queues without bound. Both ends must know it
 * (UDS_FEATURE_STREAMING); of a broker and the server behind it the same is true.
 *
 * Any callback may call anything here, uds_rpc_free() included; a fallback's on_rearm alone may only look, see conn.h.
 *
 * Unless a comment says otherwise: pointers are not NULL, nothing changes owner, there are no errors, blocking: never,
 * threads: the one that owns the connection, since: 0.1.
 */

UDS_BEGIN_DECLS

typedef struct uds_rpc uds_rpc;
typedef struct uds_rpc_call uds_rpc_call; /* an incoming call that waits for our answer */

/* One part of a streamed answer to call @id, borrowed (ref it to keep it; fds may be taken out). May do anything, uds_rpc_cancel() of
 * this call included. */
typedef void (*uds_rpc_part_fn)(uint64_t id, uds_msg *part, void *arg);

#define UDS_RPC_WINDOW_DEFAULT 16u
#define UDS_RPC_WINDOW_MAX     (1u << 20)

struct uds_rpc_request {
    /* sizeof(struct uds_rpc_request), as UDS_RPC_REQUEST_INIT sets it; anything else is -EINVAL */
    size_t size;
    const char *subject; /* NULL on a direct connection */
    const char *method;  /* NULL = none; "package.Service/Method" for protobuf services */
    const void *body;
    size_t body_len;
    const int *fds; /* duplicated */
    size_t nfds;
    int timeout_ms; /* -1 = none; of a stream: for all of it */
    /* NULL: one reply. Else the callee may answer in parts, before the reply that ends the call */
    uds_rpc_part_fn on_part;
    /* with on_part: how many parts may be on their way, 1 … UDS_RPC_WINDOW_MAX; 0 = 16 */
    uint32_t window;
    const char *const
        *headers; /* NULL or name, value, name, value, …, NULL: as uds_msg_add_header() */
    /* false: a part that on_part has handled is asked for again. true: uds_rpc_grant() asks */
    bool credit_by_hand;
};
#define UDS_RPC_REQUEST_INIT UDS_INIT_1(uds_rpc_request, .timeout_ms = -1)

struct uds_rpc_reply {
    uint32_t status;    /* enum uds_status */
    uint64_t value;     /* goes with some statuses: limit, signal, exit code; else 0 */
    const char *detail; /* never NULL, "" when there is none; valid during the callback */
    const char *rule;   /* what decided a denial; never NULL, "" when there is none */
    /* the REPLY with body, headers and fds, borrowed (ref it to keep it); NULL when the status is ours */
    uds_msg *msg;
};

typedef void (*uds_rpc_reply_fn)(const struct uds_rpc_reply *reply, void *arg);
/* The handler owns @call and answers it now or later, once, by uds_rpc_call_reply() or …_fail(). */
typedef void (*uds_rpc_handler_fn)(uds_rpc_call *call, void *arg);

/* What callers may make us hold; a request over a bound is answered QUOTA. A call counts until we have answered it, cancelled or not. */
struct uds_rpc_limits {
    /* sizeof(struct uds_rpc_limits), as UDS_RPC_LIMITS_INIT sets it; anything else is -EINVAL */
    size_t size;
    size_t calls; /* open at once; 0 = 1024 */
    /* of memory for open requests; 0 = 64 MiB. One always fits when no other is open, the same below */
    size_t bytes;
    size_t fds; /* descriptors that came with open requests; 0 = 256 */
};
#define UDS_RPC_LIMITS_INIT UDS_INIT_0(uds_rpc_limits)

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
 * @max_calls: how many may be open at once, more get QUOTA; 0 = as it was, 1024 at the beginning
 *
 * Calls that are open stay with whom they were given to. Since: 0.1.
 */
UDS_EXPORT void
uds_rpc_set_handler(uds_rpc *rpc, uds_rpc_handler_fn handler, void *arg, size_t max_calls);

/**
 * uds_rpc_set_limits() - what callers may make us hold
 * @limits: copied; calls that are open already stay
 *
 * Errors: -EINVAL the size. Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_rpc_set_limits(uds_rpc *rpc, const struct uds_rpc_limits *limits);

/**
 * uds_rpc_request() - start a call
 * @on_reply: called exactly once, never from inside this function; after it no on_part comes any more
 * @ret_id:   for uds_rpc_cancel(); may be NULL; written on success only
 *
 * Ownership: everything in @request is copied, its fds are duplicated.
 * Errors:    as uds_conn_send(); -EINVAL the size, a subject or method of 0 or over 255 bytes, a window over its maximum or
 *            without on_part, a header's name; -EOPNOTSUPP a stream, and the peer does not know streams (before its HELLO has come nobody knows: then
 *            the call ends with UNIMPLEMENTED); -ENOTCONN; -EBADF, -EMFILE an fd cannot be duplicated; -ENOSPC over UDS_FDS_MAX
 *            of them, or the head over UDS_HEAD_MAX; -ENOMEM. Then on_reply is not called.   Since: 0.1.
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

/**
 * uds_rpc_grant() - let the callee of a stream send more parts, when its request said credit_by_hand
 * @id: from uds_rpc_request()
 * @n:  how many more, at least 1
 *
 * Errors: -ENOENT there is no such call, or it has ended; -EINVAL it is no such stream, @n is 0, or more than UDS_RPC_WINDOW_MAX
 * would be open; as uds_conn_send(): then nothing was granted. Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_rpc_grant(uds_rpc *rpc, uint64_t id, uint32_t n);

/** uds_rpc_get_timeout() - ms until the next deadline of a call; 0 one is due, -1 there is none. Since: 0.1. */
UDS_EXPORT int uds_rpc_get_timeout(const uds_rpc *rpc);
/** uds_rpc_process_timeouts() - end the calls whose deadline is over: their on_reply runs with DEADLINE. For a loop, after uds_conn_process(). Since: 0.1. */
UDS_EXPORT void uds_rpc_process_timeouts(uds_rpc *rpc);

/* The server's side of a call, until it is answered. Strings are the call's, and "" when absent. */

/** uds_rpc_call_get_method() - "package.Service/Method" for protobuf services. Since: 0.1. */
UDS_EXPORT const char *uds_rpc_call_get_method(const uds_rpc_call *call);
/** uds_rpc_call_get_subject() - the subject that was called; "" on a direct connection. Since: 0.1. */
UDS_EXPORT const char *uds_rpc_call_get_subject(const uds_rpc_call *call);
/** uds_rpc_call_get_sender() - who asks, as the broker attests it; "" on a direct connection. Since: 0.1. */
UDS_EXPORT const char *uds_rpc_call_get_sender(const uds_rpc_call *call);
/** uds_rpc_call_get_subscription() - which uds_client_serve() it came through (its id); 0 on a direct connection. Since: 0.1. */
UDS_EXPORT uint64_t uds_rpc_call_get_subscription(const uds_rpc_call *call);
/** uds_rpc_call_peek_msg() - the REQUEST with body and fds, borrowed: take fds out of it, ref it to keep it. Since: 0.1. */
UDS_EXPORT uds_msg *uds_rpc_call_peek_msg(uds_rpc_call *call);
/** uds_rpc_call_get_timeout() - ms that are left; -1 no deadline, 0 it is over. Since: 0.1. */
UDS_EXPORT int uds_rpc_call_get_timeout(const uds_rpc_call *call);
/** uds_rpc_call_is_cancelled() - the caller went away or took it back: an answer is still due and is discarded. Since: 0.1. */
UDS_EXPORT int uds_rpc_call_is_cancelled(const uds_rpc_call *call);

struct uds_rpc_call_callbacks {
    /* Once: the caller took it back, its time is over, or it went away. An answer is still due and may be given here; it is discarded. */
    void (*on_cancel)(uds_rpc_call *call, void *arg);
    /* Parts can be sent again, after uds_rpc_call_send_part() has said -EAGAIN. */
    void (*on_credit)(uds_rpc_call *call, void *arg);
};
/**
 * uds_rpc_call_set_callbacks() - hear what happens to a call until it is answered
 * @callbacks: copied; each may be NULL; NULL removes them
 * @arg:       their last argument
 *
 * They run inside uds_conn_process(), on_cancel also inside uds_rpc_free(). A call that is cancelled already gets none. Since: 0.1.
 */
UDS_EXPORT void uds_rpc_call_set_callbacks(uds_rpc_call *call,
                                           const struct uds_rpc_call_callbacks *callbacks,
                                           void *arg);

/**
 * uds_rpc_call_add_header() - a header for what is sent next on this call: a part, or the answer, be that a failure
 * @name, @value: as uds_msg_add_header(); copied
 *
 * It goes with one message; what could not be sent keeps its headers for the next try. The request's own are read from
 * uds_rpc_call_peek_msg(), by uds_msg_find_header() and uds_msg_next_header(). Of a cancelled call they go nowhere.
 * Errors:    -EINVAL the name; -ENOSPC all of them together over 7 KiB; -ENOMEM.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int
uds_rpc_call_add_header(uds_rpc_call *call, const char *name, const char *value);

/** uds_rpc_call_is_streaming() - may it be answered in parts? Since: 0.1. */
UDS_EXPORT int uds_rpc_call_is_streaming(const uds_rpc_call *call);
/** uds_rpc_call_get_credit() - how many parts the caller waits for; 0 also of a cancelled call. Since: 0.1. */
UDS_EXPORT uint32_t uds_rpc_call_get_credit(const uds_rpc_call *call);
/**
 * uds_rpc_call_send_part() - one part of a streamed answer; uds_rpc_call_reply() or …_fail() ends the stream
 * @body: @len bytes, copied; may be NULL when @len is 0
 * @fds:  @nfds descriptors; may be NULL when @nfds is 0
 *
 * Ownership: @call stays the application's; success moves @fds, failure leaves them.
 * Errors:    -EAGAIN the caller has given no credit, or the send queue is above its high-water mark: on_credit tells when to go on;
 *            -ECANCELED nobody wants it any more; -EOPNOTSUPP the request did not ask for a stream; as uds_conn_send() but -ENOBUFS;
 *            -EINVAL a bad fd.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_rpc_call_send_part(
    uds_rpc_call *call, const void *body, size_t len, const int *fds, size_t nfds);

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
