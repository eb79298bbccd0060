/* SPDX-License-Identifier: MIT */
#ifndef UDSI_CONN_HEARTBEAT_H
#define UDSI_CONN_HEARTBEAT_H

#include <stdbool.h>
#include <stdint.h>

#include <uds/conn.h>

/* One side's view of whether the other lives. All times are ms of CLOCK_MONOTONIC. */
struct udsi_heartbeat {
    uint32_t interval_ms; /* 0: we ask nothing, and only answer */
    bool heard;           /* bytes have come since heard_at was last set */
    bool asked;           /* our PING waits for its PONG */
    bool answers;         /* a PONG of ours may be queued: it waits for no quiet moment */
    uint64_t heard_at;    /* when we last looked and something had come */
    uint64_t asked_at;
    uint64_t id; /* of our last PING */
    size_t left; /* while closing: what was queued when we last looked and some of it had gone */
};

/* From the moment that the connection is open. */
void udsi_heartbeat_start(uds_conn *conn);

/* PING is answered, PONG taken. May make the connection CLOSED. */
void udsi_ping_take(uds_conn *conn, const uds_msg *msg);
void udsi_pong_take(uds_conn *conn, const uds_msg *msg);

/* When tick() is due, UINT64_MAX never. */
uint64_t udsi_heartbeat_due(const uds_conn *conn);

/* Asks, or gives the peer up, if it is time. */
void udsi_heartbeat_tick(uds_conn *conn);

#endif
