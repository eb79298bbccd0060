/* SPDX-License-Identifier: MIT */

/*
 * The sending half of a connection: what may be queued, how it goes out, and when sending is over while receiving is not.
 * The queue itself is sendq.c. Nothing here calls the application, but for on_rearm as the last thing.
 */

#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "conn/conn.h"
#include "conn/msg.h"

bool udsi_conn_wants_output(const uds_conn *conn)
{
    if (conn->retry_at != 0 || conn->send_error != 0)
        return false;
    /* Room in a ring is told by POLLIN; only descriptors beside it wait for the socket. */
    return conn->out.over ? conn->ring && conn->ring->socket_full : udsi_conn_has_work(conn);
}

void udsi_conn_want_writable(uds_conn *conn)
{
    if (!conn->slot_due)
        conn->above_high = true;
}

bool udsi_conn_owes_writable(const uds_conn *conn)
{
    return conn->writable && conn->callbacks.on_writable;
}

/* Sending is over. What the peer sent before it went is still worth reading, unless it said GOODBYE. */
static void end_sending(uds_conn *conn, int error)
{
    conn->send_error = error;
    udsi_sendq_clear(&conn->out);
    if (conn->peer_done)
        udsi_conn_fail(conn, 0, NULL);
}

/* After every send: the marks, and the end of an orderly shutdown. */
static void after_output(uds_conn *conn)
{
    conn->beat.answers = conn->beat.answers && conn->out.count > 0;
    conn->finish_sent |= conn->said_finish && conn->out.count == 0 && conn->send_error == 0;
    if (conn->above_high && conn->out.bytes <= conn->low_water) {
        conn->above_high = false;
        conn->writable = true;
    }
    if (conn->state == UDSI_CONN_CLOSING && conn->out.count == 0 &&
        (conn->peer_done || conn->send_error == 0))
        udsi_conn_fail(conn, 0, NULL);
    udsi_conn_end_if_finished(conn);
}

void udsi_conn_end_if_finished(uds_conn *conn)
{
    if (conn->said_finish && conn->peer_finished && conn->out.count == 0 && !conn->ready)
        udsi_conn_fail(conn, 0, NULL);
}

/* To the socket, until the last frame of the stream has gone, and to the ring after that. */
static int send_once(uds_conn *conn)
{
    if (!conn->out.over)
        return udsi_sendq_send(&conn->out, conn->fd);
    conn->ring->out_over = true;
    return udsi_ringlink_send(conn->ring, &conn->out);
}

/* One after the other until something stands against it or nothing is left. What sendmsg said, 0 for the latter. */
static int send_all(uds_conn *conn)
{
    int r = 1;

    while (r == 1 && conn->send_error == 0 && conn->state != UDSI_CONN_CLOSED) {
        r = send_once(conn);
        if (r == 1 || r == -EAGAIN || r == 0)
            conn->stalled_since = 0;
        /* An arena is no use to anybody yet, so it shall not hold up what would go without; nor is an offered ring. */
        else if ((r == -ETOOMANYREFS || r == -EPERM) &&
                 (udsi_arena_take_back(conn) || udsi_ring_take_back(conn)))
            r = 1;
        /* EPERM of a frame with fds: the peer takes none (SO_PASSRIGHTS). It says nothing about the rest. */
        else if (r == -EPERM && udsi_refuse_front(conn, r))
            r = 1;
    }
    return r;
}

/* The kernel has no room for fds in flight (of all processes of this user), or no memory: poll(2) does not tell when it has. */
static void stall(uds_conn *conn, int error)
{
    uint64_t now = udsi_now_ms(), give_up_at;

    if (conn->stalled_since == 0) {
        conn->stalled_since = now;
        conn->retry_ms = UDSI_RETRY_MS;
    } else if (conn->retry_ms < UDSI_RETRY_MAX_MS) {
        conn->retry_ms *= 2;
    }
    if (error == -ETOOMANYREFS && conn->max_stall_ms > 0 &&
        now - conn->stalled_since >= conn->max_stall_ms && udsi_refuse_front(conn, error)) {
        conn->stalled_since = 0; /* what comes next has its own time */
        conn->retry_ms = 0;
    }
    conn->retry_at = now + conn->retry_ms;
    /* The wait ends in time to give up, if that has not passed in vain: what is at the front may have no fds. */
    give_up_at = conn->stalled_since + conn->max_stall_ms;
    if (conn->max_stall_ms > 0 && conn->stalled_since > 0 && give_up_at > now &&
        give_up_at < conn->retry_at)
        conn->retry_at = give_up_at;
}

int udsi_conn_pump_out(uds_conn *conn)
{
    int r;

    if (conn->state == UDSI_CONN_CLOSED)
        return udsi_conn_result(conn);
    if (conn->retry_at != 0 && udsi_now_ms() < conn->retry_at)
        return 1;
    conn->retry_at = 0;
    (void)udsi_arena_queue_releases(conn);
    do {
        r = send_all(conn);
    } while (r == 0 && udsi_arena_queue_releases(conn));
    if (r == -ETOOMANYREFS || r == -ENOBUFS || r == -ENOMEM)
        stall(conn, r);
    else if (r == -EPIPE || r == -ECONNRESET)
        end_sending(conn, r);
    else if (r == -EPROTO && conn->out.over)
        udsi_conn_fail_rule(conn, conn->ring->rule);
    else if (r < 0 && r != -EAGAIN)
        udsi_conn_fail(conn, r, "sending failed: %s", strerror(-r));
    after_output(conn);
    if (conn->state == UDSI_CONN_CLOSED)
        return udsi_conn_result(conn);
    if (conn->send_error != 0)
        return conn->send_error;
    return conn->out.count > 0 || udsi_sendq_has_work(&conn->out) ? 1 : 0;
}

int uds_conn_flush(uds_conn *conn)
{
    int r;

    (void)uds_conn_ref(conn);
    r = udsi_conn_pump_out(conn);
    /* Before the caller waits for room in a ring: has it come meanwhile? */
    while (r == 1 && conn->out.over) {
        uint32_t met = udsi_ringlink_sleep(conn);

        conn->more |= met & UDSI_RING_DATA;
        if (!(met & UDSI_RING_SPACE))
            break;
        r = udsi_conn_pump_out(conn);
    }
    if ((conn->state == UDSI_CONN_CLOSED && !conn->reported) || conn->refused.first ||
        udsi_conn_owes_writable(conn))
        udsi_conn_rearm(conn);
    (void)uds_conn_unref(conn);
    return r;
}

/* Whatever waits in the queue: may a frame like this go out at all? @in_arena: only a reference goes out. */
static inline int
check_sendable(uds_conn *conn, size_t head_len, const uds_msg *payload, size_t nfds, bool in_arena)
{
    size_t body_len = payload ? payload->body_len : 0;
    size_t size = UDSI_HEADER_SIZE + head_len + (in_arena ? UDSI_BODYREF_SIZE : body_len);

    if (conn->state >= UDSI_CONN_CLOSING || conn->send_error != 0)
        return -ENOTCONN;
    if (conn->said_finish)
        return -EPIPE;
    if (conn->out.released && body_len > conn->peer_max_body)
        return -EMSGSIZE;
    if (nfds > 0) {
        if (conn->out.released && nfds > conn->peer_max_fds)
            return -E2BIG;
        if (!udsi_msg_has_all_fds(payload))
            return -ESTALE;
        if (conn->refused.first)
            return conn->refused.first->error;
    }
    if (conn->record_max > 0 && size > conn->record_max)
        return in_arena || body_len == 0 ? -EMSGSIZE : udsi_arena_require(conn, body_len);
    return 0;
}

/* The first always has room, so that a message of any length can go. */
static int check_room(const uds_conn *conn, size_t size, size_t nfds)
{
    if (conn->out.count == 0)
        return 0;
    if (size > conn->max_bytes || conn->out.bytes > conn->max_bytes - size)
        return -ENOBUFS;
    if (nfds > 0 && (nfds > conn->max_fds_queued || conn->out.fds > conn->max_fds_queued - nfds))
        return -ENOBUFS;
    return 0;
}

static void after_queueing(uds_conn *conn, bool was_empty)
{
    if (conn->out.bytes > conn->high_water)
        conn->above_high = true;
    if (was_empty)
        udsi_conn_rearm(conn);
}

/* @head NULL: the payload's own. */
static int queue_frame(uds_conn *conn,
                       uint8_t type,
                       uint64_t id,
                       const void *head,
                       size_t head_len,
                       uds_msg *payload,
                       bool with_fds)
{
    bool was_empty = conn->out.count == 0;
    uint8_t ref[UDSI_BODYREF_SIZE];
    struct udsi_place place;
    bool in_arena = udsi_arena_place(conn, payload, &place);
    size_t nfds = payload && with_fds ? payload->nfds : 0;
    /* In an arena, only a reference goes into the queue. */
    size_t body_size = in_arena ? UDSI_BODYREF_SIZE : payload ? payload->body_len : 0;
    int r = check_sendable(conn, head_len, payload, nfds, in_arena);

    if (r == 0)
        r = check_room(conn, UDSI_HEADER_SIZE + head_len + body_size, nfds);
    if (r < 0) {
        if (was_empty && conn->out.count > 0)
            udsi_conn_rearm(conn); /* an arena is announced */
        return r;
    }
    if (in_arena) {
        udsi_arena_reference(&place, payload->body_len, ref);
        r = udsi_sendq_push_ref(&conn->out, type, id, head, head_len, payload, with_fds, ref);
    } else {
        if (payload)
            (void)uds_msg_peek_body(payload, NULL); /* its own copy, if it lies in an arena */
        r = udsi_sendq_push(&conn->out, type, id, head, head_len, payload, with_fds);
    }
    if (r < 0)
        return r;
    udsi_arena_count(conn, payload);
    if (in_arena)
        udsi_arena_fill(&place, payload);
    if (payload)
        payload->sealed = true;
    after_queueing(conn, was_empty);
    return 0;
}

/* Without descriptors and too small for an arena: there is little that could stand against it. */
static inline bool is_plain(const uds_conn *conn, const uds_msg *msg)
{
    return conn->state == UDSI_CONN_OPEN && conn->send_error == 0 && !conn->said_finish &&
           conn->record_max == 0 && msg->nfds == 0 && !msg->lease &&
           msg->body_len < UDSI_ARENA_BODY_MIN && msg->body_len <= conn->peer_max_body;
}

/*
 * May a copy go in its stead, beside others? Not of what somebody waits to see go (a release hook), nor what may have to be
 * taken out of the queue again (refuse.c), nor where a ring takes frames one by one. One alone needs no company.
 */
static inline bool may_pack(const uds_conn *conn, const uds_msg *msg, size_t size)
{
    return conn->out.count > 0 && size <= UDSI_SMALL_MAX && !msg->release && !conn->ring &&
           msg->type != UDS_MSG_PART && msg->type != UDS_MSG_REPLY;
}

static inline int queue_plain(uds_conn *conn, uds_msg *msg)
{
    bool was_empty = conn->out.count == 0;
    size_t size = uds_msg_get_size(msg);
    int r = check_room(conn, size, 0);

    if (r == 0)
        r = may_pack(conn, msg, size) ? udsi_sendq_pack(&conn->out, msg)
                                      : udsi_sendq_push_plain(&conn->out, msg);
    if (r < 0)
        return r;
    msg->sealed = true;
    after_queueing(conn, was_empty);
    return 0;
}

int uds_conn_send(uds_conn *conn, uds_msg *msg)
{
    if (is_plain(conn, msg))
        return queue_plain(conn, msg);
    return queue_frame(conn, msg->type, msg->id, NULL, msg->head_len, msg, true);
}

ssize_t udsi_conn_lay_out(uds_conn *conn, const uds_msg *msg, uint8_t bytes[UDSI_SMALL_MAX])
{
    int r;

    if (conn->record_max > 0 && uds_msg_get_size(msg) > conn->record_max)
        return 0; /* by an arena, if at all */
    r = check_sendable(conn, msg->head_len, msg, msg->nfds, false);
    if (r < 0)
        return r;
    if (conn->retry_at != 0 || conn->out.over || msg->lease || udsi_conn_owes_releases(conn))
        return 0;
    return udsi_sendq_lay_out(&conn->out, msg, bytes);
}

void udsi_conn_queue_rest(uds_conn *conn, uds_msg *msg, const uint8_t *bytes, size_t sent)
{
    udsi_sendq_push_rest(&conn->out, msg, bytes, sent);
    msg->sealed = true;
    after_queueing(conn, true);
}

int uds_conn_forward(uds_conn *conn,
                     enum uds_msg_type type,
                     uint64_t id,
                     const void *head,
                     size_t head_len,
                     uds_msg *payload,
                     bool with_fds)
{
    if (head_len > UDS_HEAD_MAX || (!head && head_len > 0))
        return -EINVAL;
    return queue_frame(conn, (uint8_t)type, id, head ? head : "", head_len, payload, with_fds);
}

int uds_conn_shutdown(uds_conn *conn, uint32_t status, const char *reason)
{
    int r;

    if (conn->state == UDSI_CONN_CLOSED || conn->said_goodbye)
        return -ENOTCONN;
    if (conn->peer_done)
        return 0;
    r = udsi_goodbye_queue(conn, status, reason);
    if (r < 0)
        return r;
    conn->said_goodbye = true;
    conn->state = UDSI_CONN_CLOSING;
    udsi_conn_rearm(conn);
    return 0;
}

int uds_conn_get_stall_ms(const uds_conn *conn)
{
    uint64_t ms = conn->stalled_since > 0 ? udsi_now_ms() - conn->stalled_since : 0;

    if (conn->stalled_since == 0 || conn->state == UDSI_CONN_CLOSED)
        return -1;
    return ms < INT32_MAX ? (int)ms : INT32_MAX;
}

size_t uds_conn_get_max_record(const uds_conn *conn)
{
    return conn->record_max;
}

size_t uds_conn_get_queued_bytes(const uds_conn *conn)
{
    return conn->out.bytes;
}

size_t uds_conn_get_queued_fds(const uds_conn *conn)
{
    return conn->out.fds;
}

void uds_conn_each_queued(uds_conn *conn,
                          void (*visit)(uds_msg *payload, size_t bytes, void *arg),
                          void *arg)
{
    for (size_t i = 0; i < conn->out.count; i++) {
        const struct udsi_out *out = udsi_sendq_at(&conn->out, i);

        if (out->payload)
            visit(out->payload, udsi_out_size(out), arg);
    }
}
