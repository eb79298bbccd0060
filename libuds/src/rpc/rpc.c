/* SPDX-License-Identifier: MIT */
/*
 * Calls on a connection, the caller's side: a table of what we asked and have no answer to yet.
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

#define DETAIL_CANCELLED "the call was taken back"
#define DETAIL_DEADLINE  "no answer came in time"
#define DETAIL_LOST      "the connection ended before the answer came"

void udsi_rpc_ref(uds_rpc *rpc)
{
    rpc->refs++;
}

void udsi_rpc_unref(uds_rpc *rpc)
{
    if (--rpc->refs > 0)
        return;
    udsi_deadlines_deinit(&rpc->deadlines);
    free(rpc);
}

static void remove_pending(uds_rpc *rpc, struct udsi_pending *pending)
{
    HASH_DEL(rpc->pending, pending);
    udsi_deadlines_remove(&rpc->deadlines, &pending->deadline);
}

/* Ends a call with a status of our own; @detail is static. */
static void
end_pending(uds_rpc *rpc, struct udsi_pending *pending, enum uds_status status, const char *detail)
{
    struct uds_rpc_reply reply = {.status = status, .detail = detail, .rule = ""};

    remove_pending(rpc, pending);
    uds_rpc_reply_fn on_reply = pending->on_reply;
    void *arg = pending->arg;
    free(pending);
    on_reply(&reply, arg);
}

/* Nothing can be added meanwhile: the connection is closed or gone. */
static void end_all_pending(uds_rpc *rpc, enum uds_status status, const char *detail)
{
    while (rpc->pending)
        end_pending(rpc, rpc->pending, status, detail);
}

static struct udsi_pending *find_pending(uds_rpc *rpc, uint64_t id)
{
    struct udsi_pending *pending;

    HASH_FIND(hh, rpc->pending, &id, sizeof(id), pending);
    return pending;
}

static void receive_reply(uds_rpc *rpc, uds_msg *msg)
{
    struct udsi_pending *pending = find_pending(rpc, uds_msg_get_id(msg));
    struct udsi_answer answer;

    if (!pending)
        return;
    udsi_answer_read(msg, &answer);
    struct uds_rpc_reply reply = {.status = answer.status,
                                  .value = answer.value,
                                  .detail = answer.detail,
                                  .rule = answer.rule,
                                  .msg = msg};

    remove_pending(rpc, pending);
    uds_rpc_reply_fn on_reply = pending->on_reply;
    void *arg = pending->arg;
    free(pending);
    on_reply(&reply, arg);
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
    udsi_call_detach_all(rpc);
    end_all_pending(rpc, UDS_STATUS_CALLEE_LOST, DETAIL_LOST);
    if (rpc->conn && rpc->fallback.on_close)
        rpc->fallback.on_close(conn, error, rpc->fallback_arg);
    udsi_rpc_unref(rpc);
}

static void on_writable(uds_conn *conn, void *arg)
{
    uds_rpc *rpc = arg;

    if (rpc->fallback.on_writable)
        rpc->fallback.on_writable(conn, rpc->fallback_arg);
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

int uds_rpc_new(uds_rpc **ret, uds_conn *conn, const struct uds_conn_callbacks *fallback, void *arg)
{
    static const struct uds_conn_callbacks callbacks = {
        .on_message = on_message,
        .on_close = on_close,
        .on_writable = on_writable,
        .on_rearm = on_rearm,
        .on_unfinished = on_unfinished,
    };
    uds_rpc *rpc = calloc(1, sizeof(*rpc));

    if (!rpc)
        return -ENOMEM;
    rpc->refs = 1;
    rpc->next_id = 1;
    rpc->max_calls = 1024;
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
    udsi_call_detach_all(rpc);
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
    rpc->max_calls = max_calls > 0 ? max_calls : 1024;
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
    HASH_ADD(hh, rpc->pending, id, sizeof(pending->id), pending);
    if (pending->hh.tbl)
        return 0;
    udsi_deadlines_remove(&rpc->deadlines, &pending->deadline);
    return -ENOMEM;
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
    if (!rpc->conn || rpc->closed)
        return -ENOTCONN;
    int r = build_request(&msg, rpc->next_id, request);
    if (r < 0)
        return r;

    _cleanup_free_ struct udsi_pending *pending = calloc(1, sizeof(*pending));
    if (!pending)
        return -ENOMEM;
    pending->id = rpc->next_id;
    pending->on_reply = on_reply;
    pending->arg = arg;
    pending->deadline.at = udsi_deadline_after(request->timeout_ms);
    r = add_pending(rpc, pending);
    if (r < 0)
        return r;
    /* Already in the table: sending makes a loop ask for our timeout. */
    r = uds_conn_send(rpc->conn, msg);
    if (r < 0) {
        remove_pending(rpc, pending);
        return r;
    }
    rpc->next_id++;
    if (ret_id)
        *ret_id = pending->id;
    (void)UDSI_TAKE(pending);
    return 0;
}

/* Tells the callee that nobody waits any more. If that cannot be queued, its answer is ignored all the same. */
static void send_cancel(uds_rpc *rpc, uint64_t id)
{
    _cleanup_msg_ uds_msg *msg = NULL;

    if (uds_msg_new(&msg, UDS_MSG_CANCEL, id, NULL, 0) < 0)
        return;
    int r = uds_conn_send(rpc->conn, msg);
    (void)r;
}

int uds_rpc_cancel(uds_rpc *rpc, uint64_t id)
{
    struct udsi_pending *pending = find_pending(rpc, id);

    if (!pending || !rpc->conn)
        return -ENOENT;
    udsi_rpc_ref(rpc);
    send_cancel(rpc, id);
    end_pending(rpc, pending, UDS_STATUS_CANCELLED, DETAIL_CANCELLED);
    udsi_rpc_unref(rpc);
    return 0;
}

int uds_rpc_get_timeout(const uds_rpc *rpc)
{
    const struct udsi_deadline *first = udsi_deadlines_peek(&rpc->deadlines);

    return first ? udsi_deadline_left(first->at) : -1;
}

/* deadline is the first member of udsi_pending. */
static struct udsi_pending *first_due(uds_rpc *rpc, uint64_t now)
{
    struct udsi_deadline *first = udsi_deadlines_peek(&rpc->deadlines);

    return first && first->at <= now ? (struct udsi_pending *)(void *)first : NULL;
}

void uds_rpc_process_timeouts(uds_rpc *rpc)
{
    struct udsi_pending *pending;
    uint64_t now = rpc->deadlines.count > 0 ? udsi_now_ms() : 0;

    udsi_rpc_ref(rpc);
    /* @now is not read again: calls that a callback makes with timeout 0 wait for the next turn's clock or the next call. */
    while (rpc->conn && (pending = first_due(rpc, now)) != NULL) {
        send_cancel(rpc, pending->id);
        end_pending(rpc, pending, UDS_STATUS_DEADLINE, DETAIL_DEADLINE);
    }
    udsi_rpc_unref(rpc);
}
