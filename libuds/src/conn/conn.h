/* SPDX-License-Identifier: MIT */
#ifndef UDSI_CONN_CONN_H
#define UDSI_CONN_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uds/conn.h>

#include "conn/arena.h"
#include "conn/heartbeat.h"
#include "conn/recv.h"
#include "conn/refuse.h"
#include "conn/ringlink.h"
#include "conn/sendq.h"

enum udsi_conn_state {
    UDSI_CONN_OPENING = 0, /* the peer's HELLO has not come */
    UDSI_CONN_OPEN,
    UDSI_CONN_CLOSING, /* one side has said, or will say, GOODBYE; what is queued still goes out */
    UDSI_CONN_CLOSED,  /* error and text are final; the socket is closed once on_close has run */
};

#define UDSI_CONN_TEXT_MAX 200

/* After ETOOMANYREFS or ENOBUFS, which poll(2) cannot wait for: the first wait, doubled up to the last. */
#define UDSI_RETRY_MS     10
#define UDSI_RETRY_MAX_MS 160

/*
 * I1  state only grows
 * I2  fd >= 0 until the close was reported, -1 afterwards; both queues are empty from CLOSED on
 * I3  peer_done: the peer said GOODBYE; nothing is read any more
 * I4  on_close runs once, from process() or one of the receive calls, never from send() or flush()
 * I5  until CLOSED: the stream ends (sendq.h I5) only for a ring that both sides have agreed on
 */
struct uds_conn {
    unsigned refs;
    enum udsi_conn_state state;
    int fd;
    bool said_goodbye; /* ours is in the queue */
    bool said_finish;  /* so is our FINISH; no message may follow */
    bool finish_sent;  /* and has left it */
    bool peer_done;
    /* its FINISH has come: only GOODBYE and the library's own frames may follow */
    bool peer_finished;
    bool finish_due; /* on_finish is due */
    bool reported;
    bool above_high; /* the queue was above the high-water mark since on_writable */
    bool writable;   /* on_writable is due */
    size_t unfinished_bytes, unfinished_fds; /* as on_unfinished was told */
    bool more;              /* process() stopped at its bound: call again at once */
    bool drained;           /* the last receive emptied the socket: no second one in this turn */
    int send_error;         /* sending is over (-EPIPE, -ECONNRESET), receiving is not */
    int error;              /* why CLOSED, 0 orderly */
    uint64_t retry_at;      /* ms of CLOCK_MONOTONIC, 0 none */
    uint64_t stalled_since; /* the first of the retries in a row, 0 none */
    unsigned retry_ms;      /* the last wait of them */
    uint32_t max_stall_ms;  /* 0: for ever */
    struct udsi_refusals refused;
    uint32_t paused;
    uint32_t peer_max_body, peer_max_fds;
    uint64_t features; /* that our HELLO offers; those in use are in.limits.features */
    uint64_t arena_bytes, peer_arena_bytes; /* what each side puts in arenas and maps of them */
    enum uds_body_path body_path;
    struct udsi_arenas *arenas; /* NULL: none yet */
    size_t record_max;          /* SEQPACKET: the largest record, 0 otherwise */
    bool
        slot_due; /* on_writable is due when a slot comes back: one was wanting for what fits no record */
    size_t max_bytes, max_fds_queued, high_water, low_water;

    uint32_t ring_bytes; /* of each direction: what we offer, or map of the peer's; 0 no ring */
    bool ring_propose;   /* we offer one */
    bool ring_asked;     /* the peer has */
    /* NULL: none; in.ring is the same once the peer's bytes come from there, and out.over says it of ours */
    struct udsi_ringlink *ring;

    struct udsi_heartbeat beat;
    struct udsi_sendq out;
    struct udsi_receiver in;
    uds_msg *ready; /* received while nobody wanted it */

    struct uds_conn_callbacks callbacks;
    void *arg;
    void (*loop_hook)(uds_conn *conn, void *arg);
    void *loop_arg;
    char text[UDSI_CONN_TEXT_MAX];
};

/* Do the invariants above hold? For tests and fuzzers. */
bool udsi_conn_check(const uds_conn *conn);

/* ---- between the files of this directory ---- */

/* A reference for as long as a call lasts, in which somebody else's may go. */
static inline void udsi_conn_hold(uds_conn *conn)
{
    conn->refs++;
}

static inline void udsi_conn_release(uds_conn *conn)
{
    if (conn->refs > 1)
        conn->refs--;
    else
        (void)uds_conn_unref(conn);
}

/* The one setter of CLOSED: keeps the first reason. @format may be NULL. */
void udsi_conn_fail(uds_conn *conn, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void udsi_conn_fail_rule(uds_conn *conn, enum udsi_rule rule);

/* Does anything that comes still matter? */
static inline bool udsi_conn_may_read(const uds_conn *conn)
{
    return conn->paused == 0 && !conn->peer_done;
}

/* Is there reason to read? */
bool udsi_conn_wants_input(const uds_conn *conn);

/* on_writable is due when the queue has fallen to the low-water mark, also if it never was above the high one. What waits
 * for a slot hears of that. */
void udsi_conn_want_writable(uds_conn *conn);

/* Is on_writable due, and somebody there who wants it? process() tells. */
bool udsi_conn_owes_writable(const uds_conn *conn);

/* uds_conn_get_timeout(), refusals that process() has to report apart. */
int udsi_conn_get_due(const uds_conn *conn);

/* What of it is a time: of the heartbeat, or of another try to send. */
int udsi_conn_get_timer(const uds_conn *conn);

/* Would POLLOUT help? */
bool udsi_conn_wants_output(const uds_conn *conn);

/* Is so much of the peer's arenas free again that it is worth a send? */
static inline bool udsi_conn_owes_releases(const uds_conn *conn)
{
    return conn->arenas && udsi_arena_is_urgent(conn);
}

/* Is there anything to send, such releases included? */
static inline bool udsi_conn_has_work(const uds_conn *conn)
{
    return udsi_sendq_has_work(&conn->out) || udsi_conn_owes_releases(conn);
}

/* Sends until nothing is left or the socket is full. 0 all gone, 1 some is left, -errno once CLOSED. */
int udsi_conn_pump_out(uds_conn *conn);

/* May @msg go at once, before anything is queued? Then as udsi_sendq_lay_out(). 0 go the usual way, or as uds_conn_send(). */
ssize_t udsi_conn_lay_out(uds_conn *conn, const uds_msg *msg, uint8_t bytes[UDSI_SMALL_MAX]);

/* Of a frame laid out so only @sent bytes, at least 1, have gone: the rest waits in the queue. */
void udsi_conn_queue_rest(uds_conn *conn, uds_msg *msg, const uint8_t *bytes, size_t sent);

/* The next message for the application: 1, 0 none now, -errno once CLOSED. *@budget bounds the receives. */
int udsi_conn_next(uds_conn *conn, unsigned *budget, uds_msg **ret);

/* What udsi_receiver_fill() or …_complete() returned. May make the connection CLOSED. */
void udsi_conn_received(uds_conn *conn, int r);

/* Closes the socket and runs on_close, if CLOSED and not yet done. */
void udsi_conn_report(uds_conn *conn);

/* process()'s result for a CLOSED connection. */
int udsi_conn_result(const uds_conn *conn);

/* Tells the loop that poll must wait for something else. A callback: last. */
void udsi_conn_rearm(uds_conn *conn);

/* Both sides have finished and nothing is left to send: the orderly end. */
void udsi_conn_end_if_finished(uds_conn *conn);

/* HELLO, FINISH and GOODBYE: ours are made, the peer's are taken. The …_take functions may make the connection CLOSED. */
void udsi_hello_make(uds_conn *conn);
void udsi_hello_take(uds_conn *conn, const uds_msg *msg);
int udsi_goodbye_queue(uds_conn *conn, uint32_t status, const char *reason);
void udsi_goodbye_take(uds_conn *conn, const uds_msg *msg);
void udsi_finish_take(uds_conn *conn, const uds_msg *msg);

#endif
