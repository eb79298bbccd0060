/* SPDX-License-Identifier: MIT */

/*
 * A connection: the state machine between a socket, a receiver (recv.c) and a send queue (sendq.c).
 *
 *   OPENING ── HELLO ──▶ OPEN ── uds_conn_shutdown() or the peer's GOODBYE ──▶ CLOSING ── queue empty ──▶ CLOSED
 *      └────────────────────────── error or end of the stream ──────────────────────────────────────────▶ CLOSED
 *
 * Reading and writing end separately: when the peer has gone (EPIPE), what it sent before it went is still read and
 * delivered; the end of the stream is what closes then.
 *
 * CLOSED is reported (socket closed, on_close) by process() and the receive calls only, so that neither send() nor
 * flush() ever calls the application. Until then get_timeout() is 0: the loop comes at once.
 *
 * The socket is left in blocking mode and every call says MSG_DONTWAIT; this makes the …_wait calls two system calls
 * cheaper per message (wait.c), and no flag of a description that a peer may share is relied on.
 */

#include "conn/conn.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <sys/ioctl.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "clock.h"
#include "conn/msg.h"
#include "socket/io.h"

#define DISPATCH_MAX 256 /* messages in one process() */
#define RECEIVES_MAX \
    64 /* receives in one process(): a body of 4 GiB does not hold the loop either */

uds_conn *uds_conn_ref(uds_conn *conn)
{
    if (conn)
        conn->refs++;
    return conn;
}

/* Lets go of everything that is queued either way. Release hooks run. */
static void drop_queues(uds_conn *conn)
{
    udsi_sendq_clear(&conn->out);
    udsi_receiver_clear(&conn->in);
    conn->in.ring = NULL;
    conn->ring = udsi_ringlink_free(conn->ring);
    udsi_refuse_clear(&conn->refused);
    conn->ready = uds_msg_unref(conn->ready);
    udsi_arenas_free(conn);
}

uds_conn *uds_conn_unref(uds_conn *conn)
{
    if (!conn || --conn->refs > 0)
        return NULL;
    conn->refs = 1; /* a release hook that looks at us must not free us again */
    conn->state = UDSI_CONN_CLOSED;
    uds_fd_close(udsi_take_fd(&conn->fd));
    drop_queues(conn);
    free(conn);
    return NULL;
}

void uds_conn_set_callbacks(uds_conn *conn, const struct uds_conn_callbacks *callbacks, void *arg)
{
    conn->callbacks = callbacks ? *callbacks : (struct uds_conn_callbacks){0};
    conn->arg = arg;
    if (conn->ready)
        udsi_conn_rearm(conn);
}

void uds_conn_set_loop_hook(uds_conn *conn, void (*hook)(uds_conn *conn, void *arg), void *arg)
{
    conn->loop_hook = hook;
    conn->loop_arg = arg;
}

void udsi_conn_rearm(uds_conn *conn)
{
    if (!conn->loop_hook && !conn->callbacks.on_rearm)
        return;
    (void)uds_conn_ref(conn);
    if (conn->loop_hook)
        conn->loop_hook(conn, conn->loop_arg);
    if (conn->callbacks.on_rearm)
        conn->callbacks.on_rearm(conn, conn->arg);
    (void)uds_conn_unref(conn);
}

void udsi_conn_fail(uds_conn *conn, int error, const char *format, ...)
{
    va_list args;

    if (conn->state == UDSI_CONN_CLOSED)
        return;
    conn->state = UDSI_CONN_CLOSED;
    conn->error = error;
    if (format) {
        va_start(args, format);
        (void)vsnprintf(conn->text, sizeof(conn->text), format, args);
        va_end(args);
    }
    /* The peer learns it now, whenever the owner comes round to process(). */
    (void)shutdown(conn->fd, SHUT_RDWR);
    drop_queues(conn);
}

void udsi_conn_fail_rule(uds_conn *conn, enum udsi_rule rule)
{
    udsi_conn_fail(conn, -EPROTO, "the peer broke the protocol: %s", udsi_rule_text(rule));
}

int udsi_conn_result(const uds_conn *conn)
{
    return conn->error ? conn->error : -ESHUTDOWN;
}

int uds_conn_get_fd(const uds_conn *conn)
{
    return conn->reported ? -1 : conn->fd;
}

/* A message that waits for uds_conn_receive() stops the reading: without a callback there is nobody to give more to. */
bool udsi_conn_wants_input(const uds_conn *conn)
{
    return udsi_conn_may_read(conn) && (!conn->ready || conn->callbacks.on_message);
}

short uds_conn_get_events(const uds_conn *conn)
{
    if (conn->state == UDSI_CONN_CLOSED)
        return 0;
    return (short)((udsi_conn_wants_input(conn) || udsi_ringlink_wants_bell(conn) ? POLLIN : 0) |
                   (udsi_conn_wants_output(conn) ? POLLOUT : 0));
}

int uds_conn_get_timeout(const uds_conn *conn)
{
    return conn->refused.first || udsi_conn_owes_writable(conn) ? 0 : udsi_conn_get_due(conn);
}

int udsi_conn_get_due(const uds_conn *conn)
{
    if (conn->state == UDSI_CONN_CLOSED)
        return conn->reported ? -1 : 0;
    if ((conn->more || conn->ready || conn->finish_due) && udsi_conn_wants_input(conn))
        return 0;
    return udsi_conn_get_timer(conn);
}

int udsi_conn_get_timer(const uds_conn *conn)
{
    uint64_t due = udsi_heartbeat_due(conn), now;

    if (conn->retry_at != 0 && conn->retry_at < due)
        due = conn->retry_at;
    if (udsi_arena_is_exhausted(conn) && udsi_now_ms() + UDSI_ARENA_LOOK_MS < due)
        due = udsi_now_ms() + UDSI_ARENA_LOOK_MS;
    if (due == UINT64_MAX)
        return -1;
    now = udsi_now_ms();
    return due > now ? (int)(due - now) : 0;
}

/* The library's own frames; true if @msg was one. */
static bool take_control_frame(uds_conn *conn, uds_msg *msg)
{
    if (msg->type == UDS_MSG_HELLO)
        udsi_hello_take(conn, msg);
    else if (!conn->out.released)
        udsi_conn_fail_rule(conn, UDSI_RULE_HELLO_FIRST);
    else if (msg->type == UDS_MSG_GOODBYE)
        udsi_goodbye_take(conn, msg);
    else if (msg->type == UDS_MSG_PING)
        udsi_ping_take(conn, msg);
    else if (msg->type == UDS_MSG_PONG)
        udsi_pong_take(conn, msg);
    else if (msg->type == UDS_MSG_FINISH)
        udsi_finish_take(conn, msg);
    else if (msg->type == UDS_MSG_ARENA)
        udsi_arena_take(conn, msg);
    else if (msg->type == UDS_MSG_RELEASE)
        udsi_release_take(conn, msg);
    else if (msg->type == UDS_MSG_RING)
        udsi_ring_take(conn, msg);
    else if (conn->peer_finished)
        udsi_conn_fail_rule(conn, UDSI_RULE_FINISH_LAST);
    else
        return false;
    return true;
}

/* The stream ended, or receiving failed: the connection is over. */
static void end_receiving(uds_conn *conn, int error)
{
    bool half = udsi_receiver_in_frame(&conn->in);

    if (conn->finish_sent && conn->peer_finished && !half &&
        (error == -ENODATA || error == -ECONNRESET)) {
        /* Who has all closes at once. What the protocol had to say after our FINISH (RELEASE, PONG) is too late, and unread by
         * him it makes a reset of the end. */
        udsi_sendq_clear(&conn->out);
        udsi_conn_end_if_finished(conn);
    } else if (error == -EPROTO) {
        udsi_conn_fail_rule(conn, conn->in.rule);
    } else if (error == -ENODATA) {
        udsi_conn_fail(conn, -ECONNRESET,
                       half ? "the peer closed the connection in the middle of a frame"
                            : "the peer closed the connection without a goodbye");
    } else {
        udsi_conn_fail(conn, error, "receiving failed: %s", strerror(-error));
    }
}

void udsi_conn_received(uds_conn *conn, int r)
{
    conn->drained = r == 0;
    conn->beat.heard |= r >= 0;
    if (r < 0 && r != -EAGAIN && r != -EINTR)
        end_receiving(conn, r);
}

/* Is there anything to do with @msg before the application may have it? */
static inline bool is_for_us(const uds_conn *conn, const uds_msg *msg)
{
    return !udsi_msg_is_free_type(msg->type) || !conn->out.released || conn->peer_finished ||
           msg->in_arena;
}

/* Does it. False: there is nothing left of @msg for the application. */
__attribute__((noinline)) static bool take_frame(uds_conn *conn, uds_msg *msg)
{
    if (!take_control_frame(conn, msg) && (!msg->in_arena || udsi_arena_open_body(conn, msg)))
        return true;
    (void)uds_msg_unref(msg);
    return false;
}

int udsi_conn_next(uds_conn *conn, unsigned *budget, uds_msg **ret)
{
    for (;;) {
        uds_msg *msg = NULL;
        int r = 0;

        if (conn->ready && conn->paused == 0) {
            *ret = UDSI_TAKE(conn->ready);
            return 1;
        }
        if (conn->state == UDSI_CONN_CLOSED)
            return udsi_conn_result(conn);
        if (!udsi_conn_may_read(conn))
            return 0;
        if (udsi_receiver_in_frame(&conn->in))
            r = udsi_receiver_next(&conn->in, &msg);
        if (r == 1) {
            if (is_for_us(conn, msg) && !take_frame(conn, msg))
                continue;
            *ret = msg;
            return 1;
        }
        if (r < 0) {
            end_receiving(conn, r);
            continue;
        }
        if (conn->drained)
            return 0;
        if (*budget == 0) {
            conn->more = true;
            return 0;
        }
        (*budget)--;
        r = udsi_receiver_fill(&conn->in, conn->fd);
        udsi_conn_received(conn, r);
        if (r == -EAGAIN || r == -EINTR)
            return 0;
    }
}

/*
 * What lies unread in the queue of a socket goes with it, descriptors too. After udsi_conn_fail() has shut it down nobody
 * can add to that, so an empty queue stays empty. An empty record is told from none by nobody, hence streams only.
 */
static void close_socket(uds_conn *conn)
{
    int unread = 0;

    if (!conn->in.records && ioctl(conn->fd, FIONREAD, &unread) == 0 && unread == 0)
        udsi_close(udsi_take_fd(&conn->fd));
    else
        uds_fd_close(udsi_take_fd(&conn->fd));
}

void udsi_conn_report(uds_conn *conn)
{
    if (conn->state != UDSI_CONN_CLOSED || conn->reported)
        return;
    conn->reported = true;
    if (conn->loop_hook || conn->callbacks.on_rearm)
        udsi_conn_rearm(conn);
    close_socket(conn);
    if (conn->callbacks.on_close)
        conn->callbacks.on_close(conn, conn->error, conn->arg);
}

/* Gives messages to the application until there are none, it has had enough, or it has let us go. */
static void dispatch(uds_conn *conn, unsigned *budget)
{
    for (unsigned i = 0; conn->refs > 1; i++) {
        uds_msg *msg;

        if (!conn->callbacks.on_message) {
            if (!conn->ready && udsi_conn_next(conn, budget, &msg) == 1)
                conn->ready = msg;
            return;
        }
        if (i == DISPATCH_MAX) {
            conn->more = true;
            return;
        }
        if (udsi_conn_next(conn, budget, &msg) != 1)
            return;
        conn->callbacks.on_message(conn, msg, conn->arg);
    }
}

static void tell_unfinished(uds_conn *conn)
{
    size_t bytes, fds;

    udsi_receiver_get_unfinished(&conn->in, &bytes, &fds);
    if (bytes == conn->unfinished_bytes && fds == conn->unfinished_fds)
        return;
    conn->unfinished_bytes = bytes;
    conn->unfinished_fds = fds;
    conn->callbacks.on_unfinished(conn, bytes, fds, conn->arg);
}

/* Only without a message that still waits for somebody to take it. */
static void tell_finish(uds_conn *conn)
{
    if (conn->ready)
        return;
    conn->finish_due = false;
    if (conn->callbacks.on_finish)
        conn->callbacks.on_finish(conn, conn->arg);
}

int uds_conn_process(uds_conn *conn)
{
    unsigned budget = RECEIVES_MAX;
    int r;

    if (conn->reported)
        return udsi_conn_result(conn);
    (void)uds_conn_ref(conn);
    conn->more = conn->drained = false;
    if (conn->ring)
        udsi_ringlink_wake(conn, false);
    dispatch(conn, &budget);
    if (conn->callbacks.on_unfinished && conn->state != UDSI_CONN_CLOSED && conn->refs > 1)
        tell_unfinished(conn);
    if (conn->finish_due && conn->state != UDSI_CONN_CLOSED && conn->refs > 1)
        tell_finish(conn);
    if (conn->refs > 1)
        udsi_heartbeat_tick(conn);
    if (conn->state != UDSI_CONN_CLOSED && conn->refs > 1)
        (void)udsi_conn_pump_out(conn);
    udsi_refuse_report(conn);
    if (conn->writable && conn->state != UDSI_CONN_CLOSED && conn->refs > 1) {
        conn->writable = false;
        if (conn->callbacks.on_writable)
            conn->callbacks.on_writable(conn, conn->arg);
    }
    if (!conn->more && conn->refs > 1)
        conn->more = udsi_ringlink_sleep(conn) != 0;
    if (conn->refs > 1)
        udsi_conn_report(conn);
    r = conn->state == UDSI_CONN_CLOSED ? udsi_conn_result(conn) : conn->more;
    (void)uds_conn_unref(conn);
    return r;
}

void uds_conn_pause(uds_conn *conn, uint32_t reason)
{
    conn->paused |= reason;
    udsi_conn_rearm(conn);
}

void uds_conn_resume(uds_conn *conn, uint32_t reason)
{
    conn->paused &= ~reason;
    /* What the buffer holds does not wake poll. */
    if (conn->paused == 0)
        conn->more = conn->beat.heard = true; /* that it was quiet meanwhile was us */
    udsi_conn_rearm(conn);
}

uint32_t uds_conn_get_peer_max_body(const uds_conn *conn)
{
    return conn->peer_max_body;
}

uint32_t uds_conn_get_peer_max_fds(const uds_conn *conn)
{
    return conn->peer_max_fds;
}

uint64_t uds_conn_get_features(const uds_conn *conn)
{
    return conn->in.limits.features;
}

bool uds_conn_is_open(const uds_conn *conn)
{
    return conn->state == UDSI_CONN_OPEN;
}

const char *uds_conn_get_error_text(const uds_conn *conn)
{
    return conn->state == UDSI_CONN_CLOSED ? conn->text : "";
}

bool udsi_conn_check(const uds_conn *conn)
{
    if (!udsi_sendq_check(&conn->out) || !udsi_receiver_check(&conn->in) ||
        !udsi_arenas_check(conn))
        return false;
    if (conn->reported && (conn->fd >= 0 || conn->state != UDSI_CONN_CLOSED))
        return false;
    if (conn->state == UDSI_CONN_CLOSED && (conn->out.count > 0 || conn->in.partial))
        return false;
    if (conn->state == UDSI_CONN_OPEN && !conn->out.released)
        return false;
    if (conn->ring ? !udsi_ringlink_check(conn->ring) || (conn->in.ring && !conn->ring->in_over)
                   : conn->in.ring != NULL)
        return false;
    if (conn->state != UDSI_CONN_CLOSED && udsi_sendq_ends_stream(&conn->out) &&
        (!conn->ring || conn->ring->offered))
        return false;
    if (conn->finish_due && !conn->peer_finished)
        return false;
    return conn->refs > 0;
}
