/* SPDX-License-Identifier: MIT */
/*
 * Calls on a connection, the caller's side: a table of what we asked and have no answer to yet. Answers in parts are in
 * stream.c.
 *
 * A call is in the table from uds_rpc_request() until exactly one of: its REPLY, its deadline, uds_rpc_cancel(), the end
 * of the connection, uds_rpc_free(). Whoever ends it first takes it out of the table and then runs its on_reply, so
 * that whatever the callback does cannot end it again. A REPLY to an id that is not in the table is late and ignored.
 *
 * Callbacks may free the rpc: every function here that runs one holds a reference and looks at conn (NULL = freed)
 * before it goes on.
 */

#include "rpc/rpc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "conn/header.h"

#define DETAIL_CANCELLED  "the call was taken back"
#define DETAIL_DEADLINE   "no answer came in time"
#define DETAIL_FINISHED   "the other side has finished: no answer will come"
#define DETAIL_LOST       "the connection ended before the answer came"

#define DETAIL_NO_STREAMS "the other side does not know streaming replies"
#define DETAIL_REFUSED    "the other side refuses descriptors"
#define DETAIL_IN_FLIGHT  "too many descriptors in flight (RLIMIT_NOFILE)"
#define DEFAULT_CALLS     1024u
#define DEFAULT_BYTES     (64u << 20)
#define DEFAULT_FDS       256u

void udsi_rpc_ref(uds_rpc *rpc)
{
    rpc->refs++;
}

static void spare_deinit(struct udsi_spare *spare)
{
    while (spare->count > 0)
        free(spare->items[--spare->count]);
}

void udsi_rpc_unref(uds_rpc *rpc)
{
    if (--rpc->refs > 0)
        return;
    udsi_deadlines_deinit(&rpc->deadlines);
    udsi_ids_deinit(&rpc->pending);
    udsi_ids_deinit(&rpc->calls);
    spare_deinit(&rpc->spare_pending);
    spare_deinit(&rpc->spare_calls);
    free(rpc);
}

void *udsi_spare_take(struct udsi_spare *spare, size_t size)
{
    return spare->count > 0 ? memset(spare->items[--spare->count], 0, size) : calloc(1, size);
}

void udsi_spare_give(struct udsi_spare *spare, void *item)
{
    if (spare->count < UDSI_SPARE_MAX)
        spare->items[spare->count++] = item;
    else
        free(item);
}

static void remove_pending(uds_rpc *rpc, struct udsi_pending *pending)
{
    udsi_ids_remove(&rpc->pending, &pending->id);
    udsi_deadlines_remove(&rpc->deadlines, &pending->deadline);
}

/* The one place where calls end. */
static void finish(uds_rpc *rpc, struct udsi_pending *pending, const struct uds_rpc_reply *reply)
{
    uds_rpc_reply_fn on_reply = pending->on_reply;
    void *arg = pending->arg;

    remove_pending(rpc, pending);
    udsi_spare_give(&rpc->spare_pending, pending);
    on_reply(reply, arg);
}

void udsi_rpc_end(uds_rpc *rpc,
                  struct udsi_pending *pending,
                  enum uds_status status,
                  const char *detail)
{
    const struct uds_rpc_reply reply = {.status = status, .detail = detail, .rule = ""};

    finish(rpc, pending, &reply);
}

/* Nothing can be added meanwhile: the connection is closed or gone. */
static void end_all_pending(uds_rpc *rpc, enum uds_status status, const char *detail)
{
    while (rpc->pending.first)
        udsi_rpc_end(rpc, (struct udsi_pending *)rpc->pending.first, status, detail);
}

static void receive_reply(uds_rpc *rpc, uds_msg *msg)
{
    struct udsi_pending *pending = udsi_ids_find(&rpc->pending, uds_msg_get_id(msg));
    struct udsi_answer answer;

    if (!pending)
        return;
    udsi_answer_read(msg, &answer);
    struct uds_rpc_reply reply = {.status = answer.status,
                                  .value = answer.value,
                                  .detail = answer.detail,
                                  .rule = answer.rule,
                                  .msg = msg};

    if (pending->on_part && answer.status == UDS_STATUS_BAD_REQUEST && !udsi_stream_is_known(rpc)) {
        /* Asked before its HELLO had come. The peer could not know what it was asked. */
        udsi_rpc_end(rpc, pending, UDS_STATUS_UNIMPLEMENTED, DETAIL_NO_STREAMS);
        return;
    }
    finish(rpc, pending, &reply);
}

static void on_message(uds_conn *conn, uds_msg *received, void *arg)
{
    uds_rpc *rpc = arg;
    _cleanup_msg_ uds_msg *msg = received;

    udsi_rpc_ref(rpc);
    switch ((int)uds_msg_get_type(msg)) {
    case UDS_MSG_REQUEST:
        udsi_call_receive(rpc, msg);
        break;
    case UDS_MSG_REPLY:
        receive_reply(rpc, msg);
        break;
    case UDS_MSG_CANCEL:
        udsi_call_cancel(rpc, uds_msg_get_id(msg));
        break;
    case UDS_MSG_PART:
        udsi_stream_receive_part(rpc, msg);
        break;
    case UDS_MSG_CREDIT:
        udsi_stream_receive_credit(rpc, msg);
        break;
    default:
        if (rpc->fallback.on_message)
            rpc->fallback.on_message(conn, UDSI_TAKE(msg), rpc->fallback_arg);
        break;
    }
    udsi_rpc_unref(rpc);
}

static void on_close(uds_conn *conn, int error, void *arg)
{
    uds_rpc *rpc = arg;

    udsi_rpc_ref(rpc);
    rpc->closed = true;
    rpc->close_error = error;
    udsi_call_drop_all(rpc);
    end_all_pending(rpc, UDS_STATUS_CALLEE_LOST, DETAIL_LOST);
    if (rpc->conn && rpc->fallback.on_close)
        rpc->fallback.on_close(conn, error, rpc->fallback_arg);
    udsi_rpc_unref(rpc);
}

static void on_writable(uds_conn *conn, void *arg)
{
    uds_rpc *rpc = arg;

    udsi_rpc_ref(rpc);
    udsi_stream_writable(rpc);
    if (rpc->conn && rpc->fallback.on_writable)
        rpc->fallback.on_writable(conn, rpc->fallback_arg);
    udsi_rpc_unref(rpc);
}

/*
 * Whoever waits for what could not go out hears why instead: of a REQUEST our own caller, of a REPLY or a PART the other
 * side's. What was queued of a call behind a PART comes here, too, so a PART of a call that has ended needs nothing.
 */
static void on_refused(
    uds_conn *conn, enum uds_msg_type type, uint64_t id, uds_msg *payload, int error, void *arg)
{
    uds_rpc *rpc = arg;
    bool in_flight = error == -ETOOMANYREFS;
    enum uds_status status = in_flight ? UDS_STATUS_UNAVAILABLE : UDS_STATUS_FD_REFUSED;
    const char *detail = in_flight ? DETAIL_IN_FLIGHT : DETAIL_REFUSED;
    struct udsi_pending *pending =
        type == UDS_MSG_REQUEST ? udsi_ids_find(&rpc->pending, id) : NULL;
    uds_rpc_call *call = type == UDS_MSG_PART ? udsi_ids_find(&rpc->calls, id) : NULL;

    udsi_rpc_ref(rpc);
    if (pending)
        udsi_rpc_end(rpc, pending, status, detail);
    else if (type == UDS_MSG_REPLY || (call && !call->cancelled))
        (void)udsi_call_refuse(conn, id, status, 0, detail);
    if (call)
        udsi_call_drop(call);
    else if (type < UDS_MSG_REQUEST || type > UDS_MSG_CREDIT) {
        if (rpc->conn && rpc->fallback.on_refused)
            rpc->fallback.on_refused(conn, type, id, payload, error, rpc->fallback_arg);
    }
    udsi_rpc_unref(rpc);
}

static void on_rearm(uds_conn *conn, void *arg)
{
    uds_rpc *rpc = arg;

    if (rpc->fallback.on_rearm)
        rpc->fallback.on_rearm(conn, rpc->fallback_arg);
}

static void on_unfinished(uds_conn *conn, size_t bytes, size_t fds, void *arg)
{
    uds_rpc *rpc = arg;

    if (rpc->fallback.on_unfinished)
        rpc->fallback.on_unfinished(conn, bytes, fds, rpc->fallback_arg);
}

/* The peer sends nothing any more: no answer to what we asked. What it asked can still be answered. */
static void on_finish(uds_conn *conn, void *arg)
{
    uds_rpc *rpc = arg;

    udsi_rpc_ref(rpc);
    rpc->peer_finished = true;
    end_all_pending(rpc, UDS_STATUS_CALLEE_LOST, DETAIL_FINISHED);
    if (rpc->conn && rpc->fallback.on_finish)
        rpc->fallback.on_finish(conn, rpc->fallback_arg);
    udsi_rpc_unref(rpc);
}

int uds_rpc_new(uds_rpc **ret, uds_conn *conn, const struct uds_conn_callbacks *fallback, void *arg)
{
    static const struct uds_conn_callbacks callbacks = {
        .on_message = on_message,
        .on_close = on_close,
        .on_writable = on_writable,
        .on_rearm = on_rearm,
        .on_unfinished = on_unfinished,
        .on_finish = on_finish,
        .on_refused = on_refused,
    };
    uds_rpc *rpc = calloc(1, sizeof(*rpc));

    if (!rpc)
        return -ENOMEM;
    rpc->refs = 1;
    rpc->next_id = 1;
    TAILQ_INIT(&rpc->line);
    rpc->limits =
        (struct uds_rpc_limits){.calls = DEFAULT_CALLS, .bytes = DEFAULT_BYTES, .fds = DEFAULT_FDS};
    rpc->conn = uds_conn_ref(conn);
    if (fallback)
        rpc->fallback = *fallback;
    rpc->fallback_arg = arg;
    uds_conn_set_callbacks(conn, &callbacks, rpc);
    *ret = rpc;
    return 0;
}

uds_rpc *uds_rpc_free(uds_rpc *rpc)
{
    if (!rpc || !rpc->conn)
        return NULL;

    uds_conn *conn = rpc->conn;
    rpc->conn = NULL;
    uds_conn_set_callbacks(conn, NULL, NULL);
    udsi_call_drop_all(rpc);
    end_all_pending(rpc, UDS_STATUS_CANCELLED, DETAIL_CANCELLED);
    (void)uds_conn_unref(conn);
    udsi_rpc_unref(rpc);
    return NULL;
}

uds_conn *uds_rpc_get_conn(uds_rpc *rpc)
{
    return rpc->conn;
}

void uds_rpc_set_handler(uds_rpc *rpc, uds_rpc_handler_fn handler, void *arg, size_t max_calls)
{
    rpc->handler = handler;
    rpc->handler_arg = arg;
    if (max_calls > 0)
        rpc->limits.calls = max_calls;
}

int uds_rpc_set_limits(uds_rpc *rpc, const struct uds_rpc_limits *limits)
{
    if (limits->size != sizeof(*limits))
        return -EINVAL;
    rpc->limits.calls = limits->calls > 0 ? limits->calls : DEFAULT_CALLS;
    rpc->limits.bytes = limits->bytes > 0 ? limits->bytes : DEFAULT_BYTES;
    rpc->limits.fds = limits->fds > 0 ? limits->fds : DEFAULT_FDS;
    return 0;
}

uint64_t udsi_rpc_get_next_id(const uds_rpc *rpc)
{
    return rpc->next_id;
}

void udsi_rpc_set_next_id(uds_rpc *rpc, uint64_t id)
{
    rpc->next_id = id;
}

static int add_name(uds_msg *msg, uint16_t tag, const char *name)
{
    if (!name)
        return 0;
    size_t len = strlen(name);
    if (len == 0 || len > UDSI_NAME_MAX)
        return -EINVAL;
    return uds_msg_add_bytes(msg, tag, name, len);
}

static uint32_t window_of(const struct uds_rpc_request *request)
{
    return request->window > 0 ? request->window : UDS_RPC_WINDOW_DEFAULT;
}

/* May this be asked at all? Before the peer's HELLO nobody knows: then its answer tells. */
static int check_stream(const uds_rpc *rpc, const struct uds_rpc_request *request)
{
    if (!request->on_part)
        return request->window > 0 || request->credit_by_hand ? -EINVAL : 0;
    if (request->window > UDS_RPC_WINDOW_MAX)
        return -EINVAL;
    return uds_conn_is_open(rpc->conn) && !udsi_stream_is_known(rpc) ? -EOPNOTSUPP : 0;
}

static int build_request(uds_msg **ret, uint64_t id, const struct uds_rpc_request *request)
{
    _cleanup_msg_ uds_msg *msg = NULL;
    int r = uds_msg_new(&msg, UDS_MSG_REQUEST, id, request->body, request->body_len);

    if (r == 0)
        r = add_name(msg, UDS_FIELD_SUBJECT, request->subject);
    if (r == 0)
        r = add_name(msg, UDS_FIELD_METHOD, request->method);
    if (r == 0 && request->timeout_ms >= 0)
        r = uds_msg_add_u32(msg, UDS_FIELD_TIMEOUT_MS, (uint32_t)request->timeout_ms);
    if (r == 0 && request->on_part)
        r = uds_msg_add_u32(msg, UDS_FIELD_WINDOW, window_of(request));
    if (r == 0)
        r = udsi_headers_add(msg, request->headers);
    for (size_t i = 0; r == 0 && i < request->nfds; i++)
        r = uds_msg_push_dup_fd(msg, request->fds[i]);
    if (r < 0)
        return r;
    *ret = UDSI_TAKE(msg);
    return 0;
}

static int add_pending(uds_rpc *rpc, struct udsi_pending *pending)
{
    int r = udsi_deadlines_add(&rpc->deadlines, &pending->deadline);

    if (r < 0)
        return r;
    r = udsi_ids_add(&rpc->pending, &pending->id);
    if (r < 0)
        udsi_deadlines_remove(&rpc->deadlines, &pending->deadline);
    return r;
}

int uds_rpc_request(uds_rpc *rpc,
                    const struct uds_rpc_request *request,
                    uds_rpc_reply_fn on_reply,
                    void *arg,
                    uint64_t *ret_id)
{
    _cleanup_msg_ uds_msg *msg = NULL;

    if (request->size != sizeof(*request))
        return -EINVAL;
    if (!rpc->conn || rpc->closed || rpc->peer_finished)
        return -ENOTCONN;
    int r = check_stream(rpc, request);
    if (r == 0)
        r = build_request(&msg, rpc->next_id, request);
    if (r < 0)
        return r;

    struct udsi_pending *pending = udsi_spare_take(&rpc->spare_pending, sizeof(*pending));
    if (!pending)
        return -ENOMEM;
    pending->id.id = rpc->next_id;
    pending->on_reply = on_reply;
    pending->arg = arg;
    pending->on_part = request->on_part;
    pending->by_hand = request->credit_by_hand;
    pending->window = pending->credit = request->on_part ? window_of(request) : 0;
    pending->deadline.at = udsi_deadline_after(request->timeout_ms);
    r = add_pending(rpc, pending);
    if (r == 0) {
        /* Already in the table: sending makes a loop ask for our timeout. */
        r = uds_conn_send(rpc->conn, msg);
        if (r < 0)
            remove_pending(rpc, pending);
    }
    if (r < 0) {
        udsi_spare_give(&rpc->spare_pending, pending);
        return r;
    }
    if (ret_id)
        *ret_id = rpc->next_id;
    rpc->next_id++;
    return 0;
}

void udsi_rpc_send_cancel(uds_rpc *rpc, uint64_t id)
{
    _cleanup_msg_ uds_msg *msg = NULL;

    if (uds_msg_new(&msg, UDS_MSG_CANCEL, id, NULL, 0) < 0)
        return;
    int r = uds_conn_send(rpc->conn, msg);
    (void)r;
}

int uds_rpc_cancel(uds_rpc *rpc, uint64_t id)
{
    struct udsi_pending *pending = udsi_ids_find(&rpc->pending, id);

    if (!pending || !rpc->conn)
        return -ENOENT;
    udsi_rpc_ref(rpc);
    udsi_rpc_send_cancel(rpc, id);
    udsi_rpc_end(rpc, pending, UDS_STATUS_CANCELLED, DETAIL_CANCELLED);
    udsi_rpc_unref(rpc);
    return 0;
}

int uds_rpc_get_timeout(const uds_rpc *rpc)
{
    const struct udsi_deadline *first = udsi_deadlines_peek(&rpc->deadlines);

    return first ? udsi_deadline_left(first->at) : -1;
}

static struct udsi_pending *first_due(uds_rpc *rpc, uint64_t now)
{
    struct udsi_deadline *first = udsi_deadlines_peek(&rpc->deadlines);

    if (!first || first->at > now)
        return NULL;
    return (struct udsi_pending *)(void *)((char *)first - offsetof(struct udsi_pending, deadline));
}

void uds_rpc_process_timeouts(uds_rpc *rpc)
{
    struct udsi_pending *pending;
    uint64_t now = rpc->deadlines.count > 0 ? udsi_now_ms() : 0;

    udsi_rpc_ref(rpc);
    /* @now is not read again: calls that a callback makes with timeout 0 wait for the next turn's clock or the next call. */
    while (rpc->conn && (pending = first_due(rpc, now)) != NULL) {
        udsi_rpc_send_cancel(rpc, pending->id.id);
        udsi_rpc_end(rpc, pending, UDS_STATUS_DEADLINE, DETAIL_DEADLINE);
    }
    udsi_rpc_unref(rpc);
}
