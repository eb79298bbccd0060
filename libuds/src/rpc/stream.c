/* SPDX-License-Identifier: MIT */
/*
 * Calls with more than one answer: PARTs, until the REPLY ends the call as it ends every other.
 *
 *   caller                                                        callee
 *   REQUEST, WINDOW n: credit = n ───────────────────────────────▶ credit = n
 *   on_part, credit − 1 ◀──────────────────────────────── PART ─── credit − 1; at 0: −EAGAIN
 *   handled: owed + 1; at half a window: credit + owed ── CREDIT ─▶ credit + owed; on_credit
 *
 * Invariants: both sides count the same, but for what is on its way; the callee's number is never the larger one, so
 * that a PART which finds the caller's at 0 was sent without leave. Credit never exceeds UDS_RPC_WINDOW_MAX.
 *
 * Whoever breaks this harms the one call: it ends, the connection and its other calls go on.
 *
 * The callee is held back by our send queue, too. Parts may fill it up to the high-water mark and no further: what is
 * above is for the replies of all the other calls on the connection.
 */

#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "conn/conn.h"
#include "rpc/rpc.h"

bool udsi_stream_is_known(const uds_rpc *rpc)
{
    return (uds_conn_get_features(rpc->conn) & UDS_FEATURE_STREAMING) != 0;
}

/* ---- the caller ---- */

static int send_credit(uds_rpc *rpc, uint64_t id, uint32_t n)
{
    _cleanup_msg_ uds_msg *msg = NULL;
    int r = uds_msg_new(&msg, UDS_MSG_CREDIT, id, NULL, 0);

    if (r == 0)
        r = uds_msg_add_u32(msg, UDS_FIELD_WINDOW, n);
    return r < 0 ? r : uds_conn_send(rpc->conn, msg);
}

/* What @pending owes, once it is worth a frame. -ENOBUFS: when our queue has drained. */
static int give_back(uds_rpc *rpc, struct udsi_pending *pending)
{
    int r;

    if (pending->owed == 0 || pending->owed < pending->window / 2)
        return 0;
    r = send_credit(rpc, pending->id.id, pending->owed);
    if (r == 0) {
        pending->credit += pending->owed;
        pending->owed = 0;
    } else if (r == -ENOBUFS) {
        rpc->credit_late = true;
        udsi_conn_want_writable(rpc->conn);
    }
    return r;
}

/* What is wrong with a PART, or NULL. */
static const char *check_part(const struct udsi_pending *pending, const uds_msg *msg)
{
    static const uint16_t known[] = {UDS_FIELD_SENDER, UDS_FIELD_HEADER, 0};

    if (!pending->on_part)
        return "the callee answered in parts, which nobody asked for";
    if (pending->credit == 0)
        return "the callee sent more parts than it may";
    if (!udsi_text_fields_known(msg, known))
        return "a part has a field that this version does not know";
    if (uds_msg_get_error(msg) < 0)
        return "descriptors of a part were lost: too many open files (RLIMIT_NOFILE)";
    return NULL;
}

static void give_up(uds_rpc *rpc, struct udsi_pending *pending, const char *why)
{
    udsi_rpc_send_cancel(rpc, pending->id.id);
    udsi_rpc_end(rpc, pending, UDS_STATUS_INTERNAL, why);
}

void udsi_stream_receive_part(uds_rpc *rpc, uds_msg *msg)
{
    uint64_t id = uds_msg_get_id(msg);
    struct udsi_pending *pending = udsi_ids_find(&rpc->pending, id);
    const char *wrong = pending ? check_part(pending, msg) : NULL;

    if (!pending)
        return; /* it crossed our CANCEL */
    if (wrong) {
        give_up(rpc, pending, wrong);
        return;
    }
    pending->credit--;
    pending->on_part(id, msg, pending->arg);

    /* The callback may have ended the call, or everything. */
    pending = rpc->conn && !rpc->closed ? udsi_ids_find(&rpc->pending, id) : NULL;
    if (!pending || pending->by_hand)
        return;
    pending->owed++;
    int r = give_back(rpc, pending);
    if (r == -ENOMEM)
        give_up(rpc, pending, "no memory to ask for more parts");
}

int uds_rpc_grant(uds_rpc *rpc, uint64_t id, uint32_t n)
{
    struct udsi_pending *pending = rpc->conn ? udsi_ids_find(&rpc->pending, id) : NULL;
    int r;

    if (!pending)
        return -ENOENT;
    if (!pending->on_part || !pending->by_hand || n == 0 ||
        n > UDS_RPC_WINDOW_MAX - pending->credit)
        return -EINVAL;
    r = send_credit(rpc, id, n);
    if (r == 0)
        pending->credit += n;
    return r;
}

/* ---- the callee ---- */

void udsi_stream_receive_credit(uds_rpc *rpc, uds_msg *msg)
{
    static const uint16_t known[] = {UDS_FIELD_WINDOW, 0};
    uds_rpc_call *call = udsi_ids_find(&rpc->calls, uds_msg_get_id(msg));
    uint32_t n = 0;

    if (!call || call->cancelled)
        return; /* it crossed our REPLY */
    if (!call->streaming || uds_msg_get_u32(msg, UDS_FIELD_WINDOW, &n) < 0 || n == 0 ||
        n > UDS_RPC_WINDOW_MAX - call->credit || !udsi_text_fields_known(msg, known)) {
        (void)udsi_call_refuse(rpc->conn, call->id.id, UDS_STATUS_BAD_REQUEST, 0,
                               "a CREDIT gives nothing, too much, or credit to a call without "
                               "WINDOW");
        udsi_call_drop(call);
        return;
    }
    call->credit += n;
    if (!call->wants_credit)
        return;
    call->wants_credit = false;
    if (call->callbacks.on_credit)
        call->callbacks.on_credit(call, call->arg);
}

int uds_rpc_call_is_streaming(const uds_rpc_call *call)
{
    return call->streaming;
}

uint32_t uds_rpc_call_get_credit(const uds_rpc_call *call)
{
    return call->cancelled ? 0 : call->credit;
}

/* As everywhere, one that is alone always fits. */
static bool has_room(const uds_conn *conn, size_t len)
{
    size_t queued = udsi_rpc_queued_memory(conn);

    return queued == 0 || (queued <= conn->high_water && len <= conn->high_water - queued);
}

/* Until the send queue has drained. Whoever has waited longest goes on first. */
static void stand_in_line(uds_rpc_call *call)
{
    if (!call->in_line)
        TAILQ_INSERT_TAIL(&call->rpc->line, call, by_line);
    call->in_line = true;
    udsi_conn_want_writable(call->rpc->conn);
}

void udsi_stream_leave_line(uds_rpc_call *call)
{
    if (call->in_line)
        TAILQ_REMOVE(&call->rpc->line, call, by_line);
    call->in_line = false;
}

int uds_rpc_call_send_part(
    uds_rpc_call *call, const void *body, size_t len, const int *fds, size_t nfds)
{
    int r = -ENOBUFS;

    if (!call->streaming)
        return -EOPNOTSUPP;
    if (call->cancelled)
        return -ECANCELED;
    if (call->credit == 0) {
        call->wants_credit = true;
        return -EAGAIN;
    }
    if (!call->in_line && has_room(call->rpc->conn, len))
        r = udsi_call_send(call, UDS_MSG_PART, body, len, fds, nfds);
    if (r == -ENOBUFS) {
        stand_in_line(call);
        return -EAGAIN;
    }
    if (r == 0)
        call->credit--;
    return r;
}

/* ---- both ---- */

static void send_late_credit(uds_rpc *rpc)
{
    struct udsi_id *item;

    if (!rpc->credit_late)
        return;
    rpc->credit_late = false;
    for (item = rpc->pending.first; item && !rpc->credit_late; item = item->next) {
        /* Without memory now: when the queue drains again, or with the next part. */
        if (give_back(rpc, (struct udsi_pending *)item) == -ENOMEM)
            rpc->credit_late = true;
    }
}

void udsi_stream_writable(uds_rpc *rpc)
{
    uds_rpc_call *call;

    if (!rpc->conn || rpc->closed)
        return;
    send_late_credit(rpc);
    /* One that fills the queue again ends the turn and stands behind the others. */
    while (rpc->conn && !rpc->closed && !rpc->conn->above_high && !rpc->conn->slot_due &&
           (call = TAILQ_FIRST(&rpc->line)) != NULL) {
        udsi_stream_leave_line(call);
        if (call->callbacks.on_credit)
            call->callbacks.on_credit(call, call->arg);
    }
}
