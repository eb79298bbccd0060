/* SPDX-License-Identifier: MIT */
/*
 * The way out to a peer. Two classes share its queue:
 *
 *  - what others send it: admitted by the backlog (quota.c), up to queue_limit; over that it is refused, and who sent it
 *    hears why. The receiver stays connected whatever the sender tries;
 *  - our own answers and notices: they may use the rest. A peer that lets even that fill up asks and never listens, and
 *    is kicked. What others make us say (a CANCEL, the word that something was dropped) never uses the rest: it is left
 *    unsaid, or said later.
 *
 * One message always fits into an empty queue.
 */
#include "send.h"

#include <errno.h>

#include <uds/conn.h>
#include <uds/error.h>

#include "peer.h"
#include "router.h"
#include "waiting.h"

#define FRAME_HEADER      24u
#define FRAME_COST        320u /* of memory to keep a frame and its message; small ones are little else */
#define SETTLE_EVERY_USEC 1000u

void peer_settle(struct peer *peer)
{
    backlog_settle(&peer->backlog, uds_conn_get_queued_bytes(peer->conn));
}

bool peer_is_full(struct peer *peer)
{
    return uds_conn_get_queued_bytes(peer->conn) > peer->queue_limit;
}

/* Charges may lag behind the queues of idle siblings: look again before refusing, but not for every message of a flood. */
static void settle_account(struct account *account)
{
    uint64_t now = router_now_usec();
    if (now - account->settled_usec < SETTLE_EVERY_USEC)
        return;
    account->settled_usec = now;
    struct peer *peer;
    LIST_FOREACH(peer, &account->peers, by_account)
    {
        if (peer->conn != NULL)
            peer_settle(peer);
    }
}

static void count_out(struct peer *peer, size_t bytes, size_t fds)
{
    struct counters *all[] = {&peer->counters, peer_total(peer)};
    for (size_t i = 0; i < 2 && all[i] != NULL; i++) {
        all[i]->messages_out++;
        all[i]->bytes_out += bytes;
        all[i]->fds_out += fds;
    }
}

int send_now(struct peer *peer, const struct frame *frame)
{
    size_t body = 0, fds = 0;
    if (frame->payload != NULL)
        uds_msg_peek_body(frame->payload, &body);
    if (frame->payload != NULL && frame->with_fds)
        fds = uds_msg_get_fd_count(frame->payload);
    size_t before = uds_conn_get_queued_bytes(peer->conn);
    size_t bytes = FRAME_COST + frame->head_len + body;
    int r = backlog_admit(&peer->backlog, frame->sender, bytes, fds);
    if (r == -EDQUOT) {
        settle_account(peer->account);
        r = backlog_admit(&peer->backlog, frame->sender, bytes, fds);
    }
    if (r < 0)
        return r;
    r = uds_conn_forward(peer->conn, frame->type, frame->id, frame->head, frame->head_len,
                         frame->payload, frame->with_fds);
    if (r < 0) {
        backlog_refused(&peer->backlog);
        return r;
    }
    backlog_queued(&peer->backlog, uds_conn_get_queued_bytes(peer->conn) - before);
    peer->fds_out_unread += fds;
    count_out(peer, body, fds);
    return 0;
}

int peer_forward(struct peer *peer,
                 struct account *sender,
                 enum uds_msg_type type,
                 uint64_t id,
                 const struct head_out *head,
                 uds_msg *payload,
                 bool with_fds)
{
    if (peer->dead || peer->doomed)
        return -ENOTCONN;
    size_t body = 0;
    if (payload != NULL)
        uds_msg_peek_body(payload, &body);
    size_t fds = with_fds && payload != NULL ? uds_msg_get_fd_count(payload) : 0;
    size_t bytes = FRAME_HEADER + head->len + body;
    size_t queued = uds_conn_get_queued_bytes(peer->conn);
    if (queued > 0 && (bytes > peer->queue_limit || queued > peer->queue_limit - bytes))
        return -ENOBUFS;
    const struct frame frame = {.sender = sender != NULL ? sender : peer->account,
                                .type = type,
                                .id = id,
                                .head = head->data,
                                .head_len = head->len,
                                .payload = payload,
                                .with_fds = with_fds};
    backlog_settle(&peer->backlog, queued);
    if (waiting_must_wait(peer, fds))
        return waiting_add(peer, &frame, bytes + FRAME_COST, fds);
    return send_now(peer, &frame);
}

uint32_t send_status(int error, const char **ret_detail)
{
    switch (error) {
    case -EMSGSIZE:
        *ret_detail = "the body is larger than the receiver takes";
        return UDS_STATUS_TOO_LARGE;
    case -E2BIG:
        *ret_detail = "more descriptors than the receiver takes";
        return UDS_STATUS_TOO_LARGE;
    case -EDQUOT:
        *ret_detail = "quota queued_bytes or queued_fds: too much of yours waits for the receiver";
        return UDS_STATUS_QUOTA;
    case -ENOBUFS:
        *ret_detail = "the receiver does not keep up";
        return UDS_STATUS_SLOW_CONSUMER;
    case -ENOTCONN:
        *ret_detail = "the receiver's connection ended";
        return UDS_STATUS_CALLEE_LOST;
    default:
        *ret_detail = "the broker is out of memory";
        return UDS_STATUS_UNAVAILABLE;
    }
}

static void own_frame(struct peer *peer,
                      enum uds_msg_type type,
                      uint64_t id,
                      const struct head_out *head,
                      uds_msg *payload)
{
    if (peer->dead || peer->doomed)
        return;
    size_t before = uds_conn_get_queued_bytes(peer->conn);
    int r = uds_conn_forward(peer->conn, type, id, head->data, head->len, payload, false);
    if (r == 0)
        backlog_own(&peer->backlog, uds_conn_get_queued_bytes(peer->conn) - before);
    else if (r == -ENOBUFS)
        peer_doom(peer);
    /* Anything else: the connection is over and says so by on_close. */
}

static void answer(struct peer *peer,
                   enum uds_msg_type type,
                   uint64_t id,
                   uint32_t status,
                   uint64_t value,
                   const char *detail,
                   const char *rule)
{
    struct head_out head;
    head_begin(&head);
    if (status != UDS_STATUS_OK || type == UDS_MSG_NOTICE)
        head_u32(&head, UDS_FIELD_STATUS, status);
    if (value != 0)
        head_u64(&head, type == UDS_MSG_NOTICE ? UDS_FIELD_DROPPED : UDS_FIELD_VALUE, value);
    head_string(&head, UDS_FIELD_DETAIL, detail);
    head_string(&head, UDS_FIELD_RULE, rule);
    own_frame(peer, type, id, &head, NULL);
}

void peer_ack(struct peer *peer,
              uint64_t id,
              uint32_t status,
              uint64_t value,
              const char *detail,
              const char *rule)
{
    if (id != 0)
        answer(peer, UDS_MSG_ACK, id, status, value, detail, rule);
    else if (status != UDS_STATUS_OK) /* nobody asked for an ACK, but nothing is lost silently */
        answer(peer, UDS_MSG_NOTICE, 0, status, 0, detail, rule);
}

void peer_reply(struct peer *peer,
                uint64_t id,
                uint32_t status,
                uint64_t value,
                const char *detail,
                const char *rule)
{
    answer(peer, UDS_MSG_REPLY, id, status, value, detail, rule);
}

void peer_notice(struct peer *peer,
                 uint64_t id,
                 uint32_t status,
                 uint64_t dropped,
                 const char *detail,
                 const char *rule)
{
    answer(peer, UDS_MSG_NOTICE, id, status, dropped, detail, rule);
}

bool peer_tell_drops(struct peer *peer, uint64_t id, uint64_t dropped)
{
    if (peer_is_full(peer))
        return false;
    peer_notice(peer, id, UDS_STATUS_SLOW_CONSUMER, dropped,
                "deliveries were dropped: this connection is not read fast enough", NULL);
    return true;
}

void peer_cancel(struct peer *peer, uint64_t id)
{
    struct head_out head;
    if (peer_is_full(peer))
        return;
    head_begin(&head);
    own_frame(peer, UDS_MSG_CANCEL, id, &head, NULL);
}

/* Unlike a CANCEL it must not be lost, nor overtake the REQUEST that it is for. */
bool peer_credit(struct peer *peer, uint64_t id, uint32_t n)
{
    struct head_out head;
    if (peer_is_full(peer) || waiting_must_wait(peer, 0))
        return false;
    head_begin(&head);
    head_u32(&head, UDS_FIELD_WINDOW, n);
    own_frame(peer, UDS_MSG_CREDIT, id, &head, NULL);
    return true;
}

void peer_answer(struct peer *peer, uint64_t id, const void *body, size_t len)
{
    struct head_out head;
    uds_msg *msg;
    if (uds_msg_new(&msg, UDS_MSG_REPLY, id, body, len) < 0) {
        peer_reply(peer, id, UDS_STATUS_UNAVAILABLE, 0, "the broker is out of memory", NULL);
        return;
    }
    head_begin(&head);
    own_frame(peer, UDS_MSG_REPLY, id, &head, msg);
    uds_msg_unref(msg);
}
