/* SPDX-License-Identifier: MIT */
/*
 * libuds in a libevent loop, as a server uses it: messages come by on_message, answers are sent from there, and go out
 * with the loop's turn. The loop is the program: it is entered once and left at the end. One way, the sender queues
 * messages up to the high-water mark, and goes on when on_writable says that few are left.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/socket.h>

#include <uds/conn.h>
#include <uds/event.h>
#include <uds/msg.h>

#include "media.h"

#define HIGH_BYTES (256u << 10)
#define LOW_BYTES  (64u << 10)

struct in_loop {
    int sockets[2]; /* -1 closed, or the connection's */
    struct event_base *base;
    uds_event *attachment;
    uds_conn *conn;
    struct link *link;
    struct meter *meter; /* the driver's; NULL: the peer */
    bool started;        /* the meter */
    bool ending;         /* our goodbye is on its way */
    int result;
};

static int open_pair(struct link *link)
{
    struct in_loop *state = calloc(1, sizeof(*state));

    if (!state)
        return link_fail(link, -ENOMEM, "open");
    state->sockets[0] = state->sockets[1] = -1;
    state->link = link;
    link->state = state;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, state->sockets) < 0)
        return link_fail(link, -errno, "socketpair");
    return 0;
}

static void leave(struct in_loop *state, int result, const char *what)
{
    state->result = result < 0 ? link_fail(state->link, result, what) : 0;
    (void)event_base_loopbreak(state->base);
}

static void send_one(struct in_loop *state)
{
    struct body_source *out = &state->link->out;
    uds_msg *msg;
    int r = uds_msg_new(&msg, UDS_MSG_MESSAGE, 0, body_source_next(out), out->size);

    if (r < 0) {
        leave(state, r, "uds_msg_new");
        return;
    }
    r = uds_conn_send(state->conn, msg);
    (void)uds_msg_unref(msg);
    if (r < 0)
        leave(state, r, "uds_conn_send");
}

/* A round trip is over: does the driver want another? */
static bool goes_on(struct in_loop *state)
{
    if (!state->meter)
        return true;
    if (state->started)
        return meter_tick(state->meter, 1);
    state->started = true;
    meter_start(state->meter);
    return true;
}

/* One way: the sender's turn. */
static void fill(struct in_loop *state)
{
    while (state->result == 0 && !atomic_load_explicit(state->link->stop, memory_order_relaxed) &&
           uds_conn_get_queued_bytes(state->conn) <= HIGH_BYTES)
        send_one(state);
    if (!state->ending && atomic_load_explicit(state->link->stop, memory_order_relaxed)) {
        state->ending = true;
        (void)uds_conn_shutdown(state->conn, 0, NULL);
    }
}

static void on_writable(uds_conn *conn, void *arg)
{
    (void)conn;
    fill(arg);
}

static void on_message(uds_conn *conn, uds_msg *msg, void *arg)
{
    struct in_loop *state = arg;
    size_t len;
    const void *body = uds_msg_peek_body(msg, &len);
    bool right = len == state->link->in.size;

    if (right)
        body_sink_take(&state->link->in, body, len);
    (void)uds_msg_unref(msg);
    if (!right) {
        leave(state, -EBADMSG, "a message of another length");
    } else if (!goes_on(state)) {
        state->ending = true;
        atomic_store(state->link->stop, true); /* one way, what is still on its way comes, too */
        if (!state->link->one_way)
            (void)uds_conn_shutdown(conn, 0, NULL);
    } else if (!state->link->one_way) {
        send_one(state);
    }
}

static void on_close(uds_conn *conn, int error, void *arg)
{
    struct in_loop *state = arg;

    (void)conn;
    /* The peer never ends first. */
    if (error == 0 && state->meter && !state->ending)
        error = -ECONNRESET;
    leave(state, error, "the connection");
}

static int attach(struct link *link)
{
    static const struct uds_conn_callbacks callbacks = {
        .on_message = on_message, .on_close = on_close, .on_writable = on_writable};
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    struct in_loop *state = link->state;
    int r;

    (void)close(state->sockets[1 - link->side]);
    state->sockets[1 - link->side] = -1;
    state->base = event_base_new();
    if (!state->base)
        return link_fail(link, -ENOMEM, "event_base_new");
    options.high_water = HIGH_BYTES;
    options.low_water = LOW_BYTES;
    r = uds_conn_new(&state->conn, state->sockets[link->side], &options);
    if (r < 0)
        return link_fail(link, r, "uds_conn_new");
    state->sockets[link->side] = -1;
    uds_conn_set_callbacks(state->conn, &callbacks, state);
    r = uds_event_attach(&state->attachment, state->conn, state->base);
    return r < 0 ? link_fail(link, r, "uds_event_attach") : 0;
}

static void close_loop(struct link *link)
{
    struct in_loop *state = link->state;

    if (!state)
        return;
    for (int side = 0; side < 2; side++)
        if (state->sockets[side] >= 0)
            (void)close(state->sockets[side]);
    (void)uds_event_detach(state->attachment);
    (void)uds_conn_unref(state->conn);
    if (state->base)
        event_base_free(state->base);
    free(state);
    link->state = NULL;
}

static int run_loop(struct link *link)
{
    struct in_loop *state = link->state;

    if (event_base_dispatch(state->base) < 0)
        return link_fail(link, -EIO, "event_base_dispatch");
    return state->result;
}

static int serve(struct link *link)
{
    if (link->one_way)
        fill(link->state);
    return run_loop(link);
}

static int drive(struct link *link, struct meter *meter)
{
    struct in_loop *state = link->state;

    state->meter = meter;
    if (!link->one_way)
        send_one(state);
    return run_loop(link);
}

const struct medium medium_libuds_event = {
    .name = "libuds-event",
    .summary = "libuds in a libevent loop, over a Unix stream socketpair",
    .traits = MEDIUM_OWNS_ITS_LOOP | MEDIUM_ONLY_BATCHES,
    .open = open_pair,
    .attach = attach,
    .close = close_loop,
    .drive = drive,
    .serve = serve,
};
