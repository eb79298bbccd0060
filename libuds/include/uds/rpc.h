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
 */

UDS_BEGIN_DECLS

typedef struct uds_rpc uds_rpc;
typedef struct uds_rpc_call uds_rpc_call; /* an incoming call that waits for our answer */

struct uds_rpc_request {
    size_t size;         /* sizeof(struct uds_rpc_request) */
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
 * @fallback: callbacks for what is not REQUEST, REPLY or CANCEL, and for on_close (called after all pending calls ended); NULL for none
 * Errors: -ENOMEM. Threads: owner of @conn. Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int
uds_rpc_new(uds_rpc **ret, uds_conn *conn, const struct uds_conn_callbacks *fallback, void *arg);

/** uds_rpc_free() - ends pending calls with CANCELLED (callbacks run), detaches from the connection. NULL is fine. Returns NULL. Since: 0.1. */
UDS_EXPORT uds_rpc *uds_rpc_free(uds_rpc *rpc);
UDS_EXPORT uds_conn *uds_rpc_get_conn(uds_rpc *rpc);

/** uds_rpc_set_handler() - who answers incoming calls; without one they get UNIMPLEMENTED. @max_calls: open at once, more get QUOTA; 0 = 1024. Since: 0.1. */
UDS_EXPORT void
uds_rpc_set_handler(uds_rpc *rpc, uds_rpc_handler_fn handler, void *arg, size_t max_calls);

/**
 * uds_rpc_request() - start a call
 * @on_reply: called exactly once, never from inside this function
 * @ret_id:   for uds_rpc_cancel(); may be NULL
 * Errors: as uds_conn_send(); then on_reply is not called. Blocking: never. Threads: owner. Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_rpc_request(uds_rpc *rpc,
                                             const struct uds_rpc_request *request,
                                             uds_rpc_reply_fn on_reply,
                                             void *arg,
                                             uint64_t *ret_id);

/**
 * uds_rpc_request_wait() - the blocking form
 * @ret_reply: written on success only; its strings live in @ret_msg's or static memory; unref @ret_reply->msg (may be NULL)
 * Returns 0 whatever the remote status is; -errno when the call could not be made or the connection died unanswered. Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_rpc_request_wait(uds_rpc *rpc,
                                                  const struct uds_rpc_request *request,
                                                  struct uds_rpc_reply *ret_reply);

/** uds_rpc_cancel() - take a call back: its on_reply runs with CANCELLED before this returns; -ENOENT unknown id. Since: 0.1. */
UDS_EXPORT int uds_rpc_cancel(uds_rpc *rpc, uint64_t id);

/** uds_rpc_get_timeout() / uds_rpc_process_timeouts() - deadlines, for a loop: ms until the next (-1 none); end those that are due. Since: 0.1. */
UDS_EXPORT int uds_rpc_get_timeout(const uds_rpc *rpc);
UDS_EXPORT void uds_rpc_process_timeouts(uds_rpc *rpc);

/* The server's side of a call. Strings are "" when absent; the message is borrowed. */
UDS_EXPORT const char *uds_rpc_call_get_method(const uds_rpc_call *call);
UDS_EXPORT const char *uds_rpc_call_get_subject(const uds_rpc_call *call);
UDS_EXPORT const char *
uds_rpc_call_get_sender(const uds_rpc_call *call); /* broker-attested; "" on a direct connection */
UDS_EXPORT uint64_t uds_rpc_call_get_subscription(const uds_rpc_call *call);
UDS_EXPORT uds_msg *uds_rpc_call_peek_msg(uds_rpc_call *call);
UDS_EXPORT int
uds_rpc_call_get_timeout(const uds_rpc_call *call); /* ms that are left; -1 none; 0 over */
UDS_EXPORT int uds_rpc_call_is_cancelled(
    const uds_rpc_call
        *call); /* the caller went away or took it back; an answer is still due and is discarded */

/**
 * uds_rpc_call_reply() - answer with a body and fds
 * Ownership: consumes @call in every case; success moves @fds, failure leaves them. Errors: as uds_conn_send() (then the caller gets INTERNAL). Since: 0.1.
 */
UDS_EXPORT int
uds_rpc_call_reply(uds_rpc_call *call, const void *body, size_t len, const int *fds, size_t nfds);

/** uds_rpc_call_fail() - answer with a status (not OK), a value and one line of detail (may be NULL). Consumes @call. Since: 0.1. */
UDS_EXPORT int
uds_rpc_call_fail(uds_rpc_call *call, uint32_t status, uint64_t value, const char *detail);

UDS_END_DECLS

#endif
