/* SPDX-License-Identifier: MIT */

/*
 * The receive call and the blocking forms: the same core as process(), with poll(2) where it would have to wait.
 */

#include <errno.h>
#include <poll.h>
#include <stdbool.h>

#include "cleanup.h"
#include "clock.h"
#include "conn/conn.h"
#include "conn/msg.h"
#include "socket/io.h"

#define RECEIVES_MAX 64

/* Nothing is there: what is due in the meantime. 0, -ENODATA none will come, or why the connection is CLOSED. */
__attribute__((noinline)) static int while_quiet(uds_conn *conn)
{
    udsi_heartbeat_tick(conn);
    conn->finish_due = false;
    if (udsi_conn_has_work(conn) || conn->peer_done)
        (void)udsi_conn_pump_out(conn);
    udsi_conn_end_if_finished(conn);
    if (conn->state == UDSI_CONN_CLOSED)
        return udsi_conn_result(conn);
    return conn->peer_finished ? -ENODATA : 0;
}

/*
 * May the receive itself wait? Nothing is to be sent, and nothing that comes could mean anything else. That is two system
 * calls less per message than asking, polling and asking again.
 */
static inline bool may_wait_in_receive(const uds_conn *conn)
{
    return conn->state != UDSI_CONN_CLOSED && !conn->ready && udsi_conn_may_read(conn) &&
           conn->beat.interval_ms == 0 && !conn->in.records && !conn->in.ring &&
           !conn->peer_finished && !conn->refused.first && !udsi_conn_has_work(conn);
}

/* A receive that waits. */
__attribute__((always_inline)) static inline void receive_bytes(uds_conn *conn)
{
    struct udsi_ancillary ancillary;
    struct udsi_room room;
    int r = udsi_receiver_prepare(&conn->in, conn->fd, &room);

    if (r == 0) {
        ssize_t n = udsi_recv(conn->fd, room.iov, room.niov, 0, &ancillary);

        r = udsi_receiver_complete(&conn->in, &room, n, &ancillary);
    }
    udsi_conn_received(conn, r);
}

/* What the peer is to hear from whoever receives: he may find a message each time, and never come to a quiet moment. */
static inline bool owes_peer(const uds_conn *conn)
{
    return conn->beat.answers || udsi_conn_owes_releases(conn);
}

/* All that receive() may have to do besides taking the next message out of an open connection's buffer. */
static inline bool is_due(const uds_conn *conn)
{
    return conn->ready || conn->ring || conn->peer_finished || conn->refused.first ||
           owes_peer(conn);
}

/*
 * A message that is in the buffer, while nothing else is due: of many that come at once it is all but the first. NULL: there is
 * none, or receive() has more to do.
 */
static inline uds_msg *take_buffered(uds_conn *conn)
{
    uds_msg *msg;

    if (conn->in.start == conn->in.end || conn->state != UDSI_CONN_OPEN ||
        !udsi_conn_may_read(conn) || is_due(conn))
        return NULL;
    msg = udsi_receiver_take(&conn->in);
    if (msg) {
        conn->drained = false;
        conn->more = true; /* the buffer may hold another, which does not wake poll */
    }
    return msg;
}

/* Who wants a message, and does what if none is here. */
enum patience {
    RETURNS, /* comes again when his loop says so */
    POLLS,   /* waits in poll(2), here */
    WAITS,   /* in the receive: nothing that is here makes a message */
};

/*
 * The caller holds a reference.
 *
 * Inline, and so is what it calls until the system call: a return from a function costs 9 ns when a system call was made in
 * it, and 2 otherwise (6.18, AMD EPYC of family 25: the kernel leaves nothing in the predictor of returns).
 */
__attribute__((always_inline)) static inline int
receive(uds_conn *conn, uds_msg **ret, enum patience patience)
{
    unsigned budget = RECEIVES_MAX;
    bool had_ready = conn->ready != NULL;
    int r;

    if (conn->reported)
        return udsi_conn_result(conn);
    conn->more = conn->drained = false;
    if (conn->ring)
        udsi_ringlink_wake(conn, patience != RETURNS);
    if (patience == WAITS) {
        uds_msg *msg;

        receive_bytes(conn);
        msg = take_buffered(conn);
        if (msg) {
            *ret = msg;
            return 1;
        }
    }
    r = udsi_conn_next(conn, &budget, ret);
    if (conn->ring)
        udsi_ringlink_wake(conn, false);
    if (r == 1)
        conn->more = true; /* the buffer may hold another, which does not wake poll */
    if (r == 1 && owes_peer(conn))
        (void)udsi_conn_pump_out(conn);
    if (r == 0)
        r = while_quiet(conn);
    if (r == 0 && patience == RETURNS && udsi_ringlink_sleep(conn))
        conn->more = true;
    if (conn->refused.first)
        udsi_refuse_report(conn);
    if (r <= 0 && conn->refs > 1)
        udsi_conn_report(conn);
    else if (had_ready)
        udsi_conn_rearm(conn); /* POLLIN is wanted again */
    return r;
}

__attribute__((noinline)) static int receive_now(uds_conn *conn, uds_msg **ret)
{
    int r;

    udsi_conn_hold(conn);
    r = receive(conn, ret, RETURNS);
    udsi_conn_release(conn);
    return r;
}

/* Apart from the rest, which needs more of the stack, and of registers, than taking what is there. */
int uds_conn_receive(uds_conn *conn, uds_msg **ret)
{
    uds_msg *msg = take_buffered(conn);

    if (!msg)
        return receive_now(conn, ret);
    *ret = msg;
    return 1;
}

/* A deadline that was given as a relative time. */
static uint64_t deadline_after(int timeout_ms)
{
    return timeout_ms < 0 ? UINT64_MAX : udsi_now_ms() + (uint64_t)timeout_ms;
}

static int left_until(uint64_t deadline)
{
    uint64_t now;

    if (deadline == UINT64_MAX)
        return -1;
    now = udsi_now_ms();
    return deadline > now ? (int)(deadline - now) : 0;
}

/* Waits until the connection can do something, @own ms at most. 0, -ETIMEDOUT, or an -errno. @nap: doorbells may lie. */
static int wait_ready(uds_conn *conn, int own, uint64_t deadline, bool nap)
{
    struct pollfd pfd = {.events = uds_conn_get_events(conn)};
    int left = left_until(deadline);
    int timeout = own >= 0 && (left < 0 || own < left) ? own : left;
    int r;

    /* Without events the hang-up would still wake poll again and again. */
    pfd.fd = pfd.events ? uds_conn_get_fd(conn) : -1;
    if (nap && pfd.events == POLLIN) {
        r = udsi_ringlink_nap(conn, timeout);
        if (r < 0)
            return r;
    } else {
        r = poll(&pfd, 1, timeout);
        if (r < 0 && errno != EINTR)
            return -errno;
    }
    if (r <= 0 && left == 0)
        return -ETIMEDOUT;
    return 0;
}

/* Nothing is here: until that may have changed. 0, -ETIMEDOUT, or -errno. */
__attribute__((noinline)) static int wait_for_bytes(uds_conn *conn, uint64_t deadline)
{
    if (udsi_ringlink_spin(conn, UDSI_RING_DATA) || udsi_ringlink_sleep(conn))
        return 0;
    return wait_ready(conn, udsi_conn_get_due(conn), deadline, conn->in.ring != NULL);
}

__attribute__((always_inline)) static inline int
receive_until(uds_conn *conn, uds_msg **ret, int timeout_ms)
{
    uint64_t deadline = deadline_after(timeout_ms);
    bool empty = !udsi_receiver_in_frame(&conn->in), late = false;

    /* A callback that has resumed the connection left the buffer as it was. */
    for (;; empty = !conn->more) {
        bool waits = timeout_ms < 0 && empty && may_wait_in_receive(conn);
        uint64_t before = conn->in.received;
        int r = receive(conn, ret, waits ? WAITS : POLLS);

        if (r != 0)
            return r < 0 ? r : 0;
        if (conn->refs == 1) /* a callback has let go of what the caller had */
            return -ECANCELED;
        /* A receive that waits and brings nothing (O_NONBLOCK, set by whoever shares the socket) is no wait: poll(2) is. */
        if (timeout_ms < 0 && (!waits || conn->in.received != before) && may_wait_in_receive(conn))
            continue;
        /* Parts of a message, however fast they come, must not hold us for longer than the message may. */
        if (late)
            return -ETIMEDOUT;
        late = left_until(deadline) == 0;
        r = wait_for_bytes(conn, deadline);
        if (r < 0)
            return r;
    }
}

__attribute__((noinline)) static int receive_wait(uds_conn *conn, uds_msg **ret, int timeout_ms)
{
    int r;

    udsi_conn_hold(conn);
    r = receive_until(conn, ret, timeout_ms);
    udsi_conn_release(conn);
    return r;
}

/* As uds_conn_receive(). */
int uds_conn_receive_wait(uds_conn *conn, uds_msg **ret, int timeout_ms)
{
    uds_msg *msg = take_buffered(conn);

    if (!msg)
        return receive_wait(conn, ret, timeout_ms);
    *ret = msg;
    return 0;
}

/* Handshake and room in the queue need what the peer sends; one message is kept for the next receive. */
static int pump_in(uds_conn *conn)
{
    unsigned budget = RECEIVES_MAX;
    uds_msg *msg;
    int r;

    if (conn->ready)
        return 0;
    conn->more = conn->drained = false;
    r = udsi_conn_next(conn, &budget, &msg);
    if (r == 1)
        conn->ready = msg;
    return r < 0 ? r : 0;
}

/* While a message is kept, only output counts. What may already be here is looked at before anything is waited for. */
static int wait_sendable(uds_conn *conn, uint64_t deadline)
{
    if (!conn->ready)
        return conn->more ? 0 : wait_ready(conn, udsi_conn_get_timer(conn), deadline, false);

    short want = conn->retry_at == 0 ? POLLOUT : 0;
    struct pollfd pfd = {.fd = conn->fd,
                         .events = conn->out.over ? uds_conn_get_events(conn) : want};
    int own = conn->retry_at != 0 ? left_until(conn->retry_at) : -1, left = left_until(deadline);
    int r = poll(&pfd, 1, own >= 0 && (left < 0 || own < left) ? own : left);

    if (r < 0 && errno != EINTR)
        return -errno;
    return r <= 0 && left == 0 ? -ETIMEDOUT : 0;
}

/* Not all has gone at once. @queued: what is left of @msg waits in the queue. */
__attribute__((noinline)) static int
send_rest(uds_conn *conn, uds_msg *msg, bool queued, uint64_t deadline)
{
    bool late = false;

    for (;;) {
        int r;

        /* A slot that the peer has long released is worth a look. */
        if (!queued && !conn->ready && udsi_arena_is_starved(conn, msg)) {
            r = pump_in(conn);
            if (r < 0)
                return r;
        }
        if (!queued) {
            r = uds_conn_send(conn, msg);
            if (r < 0 && r != -ENOBUFS)
                return r;
            queued = r == 0;
        }
        while (udsi_conn_pump_out(conn) == 1 && udsi_ringlink_spin(conn, UDSI_RING_SPACE))
            ;
        r = uds_conn_flush(conn);
        if (queued && conn->refused.first) {
            int refused = udsi_refuse_take(conn, msg);

            if (refused < 0)
                return refused;
        }
        if (r < 0 || (r == 0 && queued))
            return r;
        if (r > 0 && !conn->out.released) {
            r = pump_in(conn);
            if (r < 0)
                return r;
            if (conn->out.released)
                continue;
        }
        if (r == 0 && !queued && !conn->slot_due)
            continue;
        if (!queued && conn->slot_due && conn->ready)
            return -ENOBUFS; /* the slot is behind a message that is still to be received */
        if (late)
            return -ETIMEDOUT;
        late = left_until(deadline) == 0;
        r = wait_sendable(conn, deadline);
        if (r < 0)
            return r;
        if (!conn->ready) {
            r = pump_in(conn);
            if (r < 0)
                return r;
        }
        udsi_heartbeat_tick(conn);
        if (conn->state == UDSI_CONN_CLOSED)
            return udsi_conn_result(conn);
    }
}

/* A small message that nothing waits before goes from here, with few functions above the system call (see receive()). */
int uds_conn_send_wait(uds_conn *conn, uds_msg *msg, int timeout_ms)
{
    uint8_t frame[UDSI_SMALL_MAX];
    struct iovec iov = {.iov_base = frame};
    ssize_t size, sent = 0;

    if (conn->reported)
        return udsi_conn_result(conn);
    size = udsi_conn_lay_out(conn, msg, frame);
    if (size < 0)
        return (int)size;
    if (size > 0) {
        iov.iov_len = (size_t)size;
        sent = udsi_send(conn->fd, &iov, 1, msg->fds, msg->nfds);
    }
    if (sent > 0 && sent == size) {
        msg->sealed = true;
        return 0;
    }
    if (sent > 0)
        udsi_conn_queue_rest(conn, msg, frame, (size_t)sent);
    return send_rest(conn, msg, sent > 0, deadline_after(timeout_ms));
}
