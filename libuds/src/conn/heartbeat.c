/* SPDX-License-Identifier: MIT */

/*
 * Heartbeats: does the peer still live? A side that wants to know sends PING when nothing has come for an interval, and
 * gives the peer up when nothing has come for another one. Whatever comes is a sign of life, not only the PONG.
 *
 *   quiet ── interval without a byte ──▶ asked ── interval without a byte ──▶ CLOSED (-ETIMEDOUT)
 *     ▲                                    │
 *     └──────────────── PONG ──────────────┘
 *
 * A socket tells that a peer has died by itself. This is for one that lives and does nothing: stopped, frozen, stuck.
 *
 * Nothing is asked and nobody given up while we do not read (paused, or a message waits that nobody takes): then it is us.
 *
 * While the connection closes nothing is asked: the peer has to take what is queued, and who takes nothing for two intervals
 * is given up. Otherwise a peer that does not read would hold what has been shut down for as long as it likes.
 *
 * Answering costs the one who answers a frame in its queue, so nobody may ask again before that frame is gone (P-34):
 * a peer that asks and does not read fills nothing.
 */

#include "conn/heartbeat.h"

#include <errno.h>

#include "clock.h"
#include "conn/conn.h"
#include "conn/msg.h"

static bool is_running(const uds_conn *conn)
{
    return conn->beat.interval_ms > 0 && conn->out.released &&
           (conn->in.limits.features & UDS_FEATURE_HEARTBEAT) && udsi_conn_wants_input(conn);
}

void udsi_heartbeat_start(uds_conn *conn)
{
    conn->beat.asked = false;
    conn->beat.heard_at = udsi_now_ms();
}

/* PING and PONG are nothing but a header. */
static bool is_bare(const uds_msg *msg)
{
    return msg->head_len == 0 && msg->body_len == 0 && msg->nfds == 0 && msg->error == 0;
}

static void queue_bare(uds_conn *conn, uint8_t type, uint64_t id)
{
    int r = udsi_sendq_push(&conn->out, type, id, NULL, 0, NULL, false);

    if (r < 0)
        udsi_conn_fail(conn, r, "no memory for a heartbeat");
}

/* Is the answer to the peer's last PING still in our queue? It stands among few frames, or behind a peer that is slow. */
static bool owes_pong(const uds_conn *conn)
{
    for (size_t i = conn->out.count; i > 0; i--) {
        if (udsi_sendq_at(&conn->out, i - 1)->header[2] == UDS_MSG_PONG)
            return true;
    }
    return false;
}

void udsi_ping_take(uds_conn *conn, const uds_msg *msg)
{
    if (!is_bare(msg))
        udsi_conn_fail_rule(conn, UDSI_RULE_HEARTBEAT_PLAIN);
    else if (conn->send_error != 0 || conn->said_goodbye)
        return; /* nothing is answered any more, so nothing is searched for what is owed, each time */
    else if (owes_pong(conn))
        udsi_conn_fail_rule(conn, UDSI_RULE_HEARTBEAT_TURN);
    else
        queue_bare(conn, UDS_MSG_PONG, msg->id);
    conn->beat.answers = conn->out.count > 0;
}

void udsi_pong_take(uds_conn *conn, const uds_msg *msg)
{
    if (!is_bare(msg))
        udsi_conn_fail_rule(conn, UDSI_RULE_HEARTBEAT_PLAIN);
    else if (!conn->beat.asked || msg->id != conn->beat.id)
        udsi_conn_fail_rule(conn, UDSI_RULE_HEARTBEAT_TURN);
    else
        conn->beat.asked = false;
}

uint64_t udsi_heartbeat_due(const uds_conn *conn)
{
    const struct udsi_heartbeat *beat = &conn->beat;

    if (conn->state == UDSI_CONN_CLOSING && beat->interval_ms > 0)
        return beat->heard_at + 2 * (uint64_t)beat->interval_ms;
    if (!is_running(conn))
        return UINT64_MAX;
    return (beat->asked && beat->asked_at > beat->heard_at ? beat->asked_at : beat->heard_at) +
           beat->interval_ms;
}

static void tick_closing(uds_conn *conn, uint64_t now)
{
    struct udsi_heartbeat *beat = &conn->beat;

    if (conn->out.bytes == beat->left && now < udsi_heartbeat_due(conn))
        return;
    (void)udsi_conn_pump_out(conn); /* it may be us who came late */
    if (conn->out.bytes != beat->left) {
        beat->left = conn->out.bytes;
        beat->heard_at = now;
    } else {
        udsi_conn_fail(conn, -ETIMEDOUT,
                       "the peer took nothing of what was left for it for %llu ms",
                       (unsigned long long)(now - beat->heard_at));
    }
}

void udsi_heartbeat_tick(uds_conn *conn)
{
    struct udsi_heartbeat *beat = &conn->beat;
    uint64_t now;

    if (beat->interval_ms == 0 || conn->state == UDSI_CONN_CLOSED)
        return;
    now = udsi_now_ms();
    if (conn->state == UDSI_CONN_CLOSING) {
        tick_closing(conn, now);
        return;
    }
    if (beat->heard || !is_running(conn)) {
        beat->heard = false;
        beat->heard_at = now;
    }
    if (now < udsi_heartbeat_due(conn))
        return;
    if (beat->asked && beat->asked_at >= beat->heard_at) {
        udsi_conn_fail(conn, -ETIMEDOUT, "nothing came from the peer for %llu ms, nor an answer",
                       (unsigned long long)(now - beat->heard_at));
        return;
    }
    if (!beat->asked) {
        beat->asked = true;
        queue_bare(conn, UDS_MSG_PING, ++beat->id);
    }
    beat->asked_at = now;
}
