/* SPDX-License-Identifier: MIT */
/*
 * A call that came in, from its REQUEST to our one answer.
 *
 *   received ──▶ handler ──▶ answered (REPLY queued, forgotten)
 *                   └──▶ cancelled by CANCEL, lost connection or freed rpc (on_cancel) ──▶ answered (discarded)
 *
 * The application owns it until it answers; only then is the id free again. The open calls are bounded in number, bytes
 * and fds, the cancelled ones among them: they are still worked on. What is over a bound is refused at once with QUOTA. An answer that cannot even be refused, because our send queue is full
 * of answers that the peer does not read, ends the connection: that way the peer's calls end, too. So does a request
 * while what waits there takes more memory than the queue may hold bytes: small answers are little else than what it costs
 * to keep them.
 */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "conn/header.h"
#include "rpc/rpc.h"
#include "wire/head.h"

#define DETAIL_UNREAD "answers are not read"

/* Out of the table: from here on nobody waits for the answer. */
static void leave(uds_rpc_call *call)
{
    uds_rpc *rpc = call->rpc;

    udsi_stream_leave_line(call);
    udsi_ids_remove(&rpc->calls, &call->id);
    rpc->call_bytes -= call->bytes;
    rpc->call_fds -= call->fds;
    call->rpc = NULL;
}

static void call_free(uds_rpc_call *call)
{
    uds_rpc *rpc = call->rpc;

    if (rpc)
        leave(call);
    (void)uds_msg_unref(call->msg);
    (void)uds_msg_unref(call->headers);
    if (rpc)
        udsi_spare_give(&rpc->spare_calls, call);
    else
        free(call);
}

static int build_failure(uds_msg **ret,
                         uint64_t id,
                         uint32_t status,
                         uint64_t value,
                         const char *detail,
                         const uds_msg *headers)
{
    _cleanup_msg_ uds_msg *msg = NULL;
    int r = uds_msg_new(&msg, UDS_MSG_REPLY, id, NULL, 0);

    if (r == 0)
        r = udsi_headers_copy(msg, headers);
    if (r == 0)
        r = uds_msg_add_u32(msg, UDS_FIELD_STATUS, status);
    if (r == 0 && value != 0)
        r = uds_msg_add_u64(msg, UDS_FIELD_VALUE, value);
    if (r == 0 && detail && detail[0] != '\0')
        r = udsi_text_add(msg, UDS_FIELD_DETAIL, detail);
    if (r < 0)
        return r;
    *ret = UDSI_TAKE(msg);
    return 0;
}

static int send_failure(uds_conn *conn,
                        uint64_t id,
                        uint32_t status,
                        uint64_t value,
                        const char *detail,
                        const uds_msg *headers)
{
    _cleanup_msg_ uds_msg *msg = NULL;
    int r = build_failure(&msg, id, status, value, detail, headers);

    if (r == 0)
        r = uds_conn_send(conn, msg);
    if (r < 0 && r != -ENOTCONN && r != -EPIPE)
        (void)uds_conn_shutdown(conn, UDS_STATUS_SLOW_CONSUMER, DETAIL_UNREAD);
    return r;
}

int udsi_call_refuse(
    uds_conn *conn, uint64_t id, uint32_t status, uint64_t value, const char *detail)
{
    return send_failure(conn, id, status, value, detail, NULL);
}

static bool get_name(const uds_msg *msg, uint16_t tag, char name[UDSI_NAME_MAX + 1])
{
    int r = uds_msg_get_string(msg, tag, name, UDSI_NAME_MAX + 1);

    if (r == -ENOENT)
        name[0] = '\0';
    return r == 0 || r == -ENOENT;
}

/* Reads the head. Returns NULL, or what is wrong with it. */
static const char *parse(uds_rpc_call *call, const uds_msg *msg, bool streams)
{
    static const uint16_t known[] = {UDS_FIELD_SUBJECT,
                                     UDS_FIELD_METHOD,
                                     UDS_FIELD_TIMEOUT_MS,
                                     UDS_FIELD_SENDER,
                                     UDS_FIELD_HEADER,
                                     UDS_FIELD_WINDOW,
                                     0};
    uint32_t timeout_ms;

    if (!udsi_text_fields_known(msg, known))
        return "the request has a field that this version does not know";
    if (!get_name(msg, UDS_FIELD_SUBJECT, call->subject))
        return "the subject is over 255 bytes or not printable";
    if (!get_name(msg, UDS_FIELD_METHOD, call->method))
        return "the method is over 255 bytes or not printable";
    if (!get_name(msg, UDS_FIELD_SENDER, call->sender))
        return "the sender is over 255 bytes or not printable";
    if (uds_msg_get_u64(msg, UDSI_FIELD_SUBSCRIPTION, &call->subscription) == -EBADMSG)
        return "the subscription is not 8 bytes";

    int r = uds_msg_get_u32(msg, UDS_FIELD_TIMEOUT_MS, &timeout_ms);
    if (r == -EBADMSG)
        return "the timeout is not 4 bytes";
    call->deadline = r == 0 ? udsi_now_ms() + timeout_ms : UDSI_DEADLINE_NONE;

    r = uds_msg_get_u32(msg, UDS_FIELD_WINDOW, &call->credit);
    if (r == -EBADMSG || call->credit > UDS_RPC_WINDOW_MAX)
        return "the window is not 4 bytes or over 1048576";
    if (r == 0 && !streams)
        return "a window on a connection whose HELLOs do not both offer streaming";
    call->streaming = r == 0;
    return NULL;
}

/* The first bound that one more request of this size would be over; 0 none. */
static size_t over_limit(const uds_rpc *rpc, size_t bytes, size_t fds, const char **ret_what)
{
    const struct uds_rpc_limits *limits = &rpc->limits;

    *ret_what = "calls are open";
    if (rpc->calls.count >= limits->calls)
        return limits->calls;
    if (rpc->calls.count == 0)
        return 0; /* one is always taken */
    *ret_what = "bytes of requests are open";
    if (rpc->call_bytes >= limits->bytes || bytes > limits->bytes - rpc->call_bytes)
        return limits->bytes;
    *ret_what = "descriptors of requests are open";
    if (fds > 0 && (rpc->call_fds >= limits->fds || fds > limits->fds - rpc->call_fds))
        return limits->fds;
    return 0;
}

/* Without a look at the body, which would copy it out of its arena. */
static size_t bytes_of(const uds_msg *msg)
{
    return sizeof(uds_rpc_call) + uds_msg_get_size(msg);
}

/* May a call with this id be opened now? Answers the peer if not. */
static bool admit(uds_rpc *rpc, uds_msg *msg)
{
    uint64_t id = uds_msg_get_id(msg);
    const char *what;
    size_t limit;
    char text[80];

    if (id == 0 || udsi_ids_find(&rpc->calls, id)) {
        /* Any answer would be taken for that of another call. */
        (void)snprintf(text, sizeof(text), "request id %llu is 0 or in use",
                       (unsigned long long)id);
        (void)uds_conn_shutdown(rpc->conn, UDS_STATUS_BAD_REQUEST, text);
        return false;
    }
    if (rpc->conn->out.count > 1 && udsi_rpc_queued_memory(rpc->conn) > rpc->conn->max_bytes) {
        (void)uds_conn_shutdown(rpc->conn, UDS_STATUS_SLOW_CONSUMER, DETAIL_UNREAD);
        return false;
    }
    limit = over_limit(rpc, bytes_of(msg), uds_msg_get_fd_count(msg), &what);
    if (limit > 0) {
        (void)snprintf(text, sizeof(text), "more than %zu %s", limit, what);
        (void)udsi_call_refuse(rpc->conn, id, UDS_STATUS_QUOTA, limit, text);
        return false;
    }
    if (!rpc->handler) {
        (void)udsi_call_refuse(rpc->conn, id, UDS_STATUS_UNIMPLEMENTED, 0,
                               "nothing is served here");
        return false;
    }
    if (uds_msg_get_error(msg) < 0) {
        (void)udsi_call_refuse(
            rpc->conn, id, UDS_STATUS_UNAVAILABLE, 0,
            "descriptors of the request were lost: the callee has too many open files");
        return false;
    }
    return true;
}

void udsi_call_receive(uds_rpc *rpc, uds_msg *msg)
{
    uint64_t id = uds_msg_get_id(msg);

    /* Behind our own goodbye nobody could be answered: a peer that does not read it shall not keep us at work. */
    if (rpc->closed || !rpc->conn || !uds_conn_is_open(rpc->conn) || !admit(rpc, msg))
        return;

    uds_rpc_call *call = udsi_spare_take(&rpc->spare_calls, sizeof(*call));
    const char *wrong = call ? parse(call, msg, udsi_stream_is_known(rpc)) : NULL;
    if (call)
        call->id.id = id;
    if (!call || wrong || udsi_ids_add(&rpc->calls, &call->id) < 0) {
        (void)udsi_call_refuse(rpc->conn, id,
                               wrong ? UDS_STATUS_BAD_REQUEST : UDS_STATUS_UNAVAILABLE, 0,
                               wrong ? wrong : "out of memory");
        if (call)
            udsi_spare_give(&rpc->spare_calls, call);
        return;
    }
    call->rpc = rpc;
    call->bytes = bytes_of(msg);
    call->fds = uds_msg_get_fd_count(msg);
    rpc->call_bytes += call->bytes;
    rpc->call_fds += call->fds;
    call->msg = uds_msg_ref(msg);
    rpc->handler(call, rpc->handler_arg);
}

void udsi_call_drop(uds_rpc_call *call)
{
    bool known = call->cancelled;

    call->cancelled = true;
    call->wants_credit = false;
    if (call->rpc)
        udsi_stream_leave_line(call);
    if (!known && call->callbacks.on_cancel)
        call->callbacks.on_cancel(call, call->arg);
}

void udsi_call_cancel(uds_rpc *rpc, uint64_t id)
{
    uds_rpc_call *call = udsi_ids_find(&rpc->calls, id);

    if (call)
        udsi_call_drop(call);
}

void udsi_call_drop_all(uds_rpc *rpc)
{
    /* No call comes in any more: each turn takes one out. */
    while (rpc->calls.first) {
        uds_rpc_call *call = (uds_rpc_call *)rpc->calls.first;

        leave(call);
        udsi_call_drop(call);
    }
}

void uds_rpc_call_set_callbacks(uds_rpc_call *call,
                                const struct uds_rpc_call_callbacks *callbacks,
                                void *arg)
{
    call->callbacks = callbacks ? *callbacks : (struct uds_rpc_call_callbacks){0};
    call->arg = arg;
}

const char *uds_rpc_call_get_method(const uds_rpc_call *call)
{
    return call->method;
}

const char *uds_rpc_call_get_subject(const uds_rpc_call *call)
{
    return call->subject;
}

const char *uds_rpc_call_get_sender(const uds_rpc_call *call)
{
    return call->sender;
}

uint64_t uds_rpc_call_get_subscription(const uds_rpc_call *call)
{
    return call->subscription;
}

uds_msg *uds_rpc_call_peek_msg(uds_rpc_call *call)
{
    return call->msg;
}

int uds_rpc_call_get_timeout(const uds_rpc_call *call)
{
    return udsi_deadline_left(call->deadline);
}

int uds_rpc_call_is_cancelled(const uds_rpc_call *call)
{
    return call->cancelled;
}

int uds_rpc_call_add_header(uds_rpc_call *call, const char *name, const char *value)
{
    size_t used = 0, more = UDSI_FIELD_OVERHEAD + strlen(name) + 1 + strlen(value);
    int r = 0;

    if (call->headers)
        (void)uds_msg_peek_head(call->headers, &used);
    else
        r = uds_msg_new(&call->headers, UDS_MSG_REPLY, 0, NULL, 0);
    if (r < 0)
        return r;
    if (more > UDSI_HEADERS_MAX - used)
        return -ENOSPC;
    return uds_msg_add_header(call->headers, name, value);
}

int udsi_call_send(uds_rpc_call *call,
                   enum uds_msg_type type,
                   const void *body,
                   size_t len,
                   const int *fds,
                   size_t nfds)
{
    _cleanup_msg_ uds_msg *msg = NULL;
    size_t pushed = 0;
    int r = uds_msg_new(&msg, type, call->id.id, body, len);

    if (r == 0)
        r = udsi_headers_copy(msg, call->headers);
    while (r == 0 && pushed < nfds) {
        r = uds_msg_push_fd(msg, fds[pushed]);
        if (r == 0)
            pushed++;
    }
    if (r == 0)
        r = uds_conn_send(call->rpc->conn, msg);
    /* They were pushed, not duplicated: on failure the numbers stay the caller's. */
    for (size_t i = 0; r < 0 && i < pushed; i++) {
        int fd = uds_msg_take_fd(msg, i);
        (void)fd;
    }
    if (r == 0)
        call->headers = uds_msg_unref(call->headers);
    return r;
}

int uds_rpc_call_reply(
    uds_rpc_call *call, const void *body, size_t len, const int *fds, size_t nfds)
{
    int r = 0;

    if (call->cancelled) {
        for (size_t i = 0; i < nfds; i++)
            udsi_close(fds[i]);
    } else {
        r = udsi_call_send(call, UDS_MSG_REPLY, body, len, fds, nfds);
        if (r < 0) {
            char text[80];
            (void)snprintf(text, sizeof(text), "the answer could not be sent: %s",
                           strerrordesc_np(-r));
            (void)udsi_call_refuse(call->rpc->conn, call->id.id, UDS_STATUS_INTERNAL, 0, text);
        }
    }
    call_free(call);
    return r;
}

int uds_rpc_call_fail(uds_rpc_call *call, uint32_t status, uint64_t value, const char *detail)
{
    int r = 0;

    if (status == UDS_STATUS_OK)
        status = UDS_STATUS_INTERNAL;
    if (!call->cancelled)
        r = send_failure(call->rpc->conn, call->id.id, status, value, detail, call->headers);
    call_free(call);
    return r;
}
