/* SPDX-License-Identifier: MIT */
/*
 * What a program writes that has libevent and no libuds: a bufferevent on a Unix stream socketpair, each message its length
 * and its bytes. The peer that libuds-event is held against.
 *
 * One way, the sender fills its buffer when little is left in it, and the loop writes it out.
 */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include "media.h"

#define FULL_BYTES (256u << 10)
#define LOW_BYTES  (64u << 10)

struct plain_loop {
    int sockets[2]; /* -1 closed, or the bufferevent's */
    struct event_base *base;
    struct bufferevent *bev;
    struct link *link;
    struct meter *meter; /* the driver's; NULL: the peer */
    bool started;        /* the meter */
    bool ending;         /* whoever sends has said all, or the driver has seen enough */
    int result;
};

static int open_pair(struct link *link)
{
    struct plain_loop *state = calloc(1, sizeof(*state));

    if (!state)
        return link_fail(link, -ENOMEM, "open");
    state->sockets[0] = state->sockets[1] = -1;
    state->link = link;
    link->state = state;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, state->sockets) < 0)
        return link_fail(link, -errno, "socketpair");
    return 0;
}

static void leave(struct plain_loop *state, int result, const char *what)
{
    state->result = result < 0 ? link_fail(state->link, result, what) : 0;
    (void)event_base_loopbreak(state->base);
}

static void send_one(struct plain_loop *state)
{
    struct body_source *out = &state->link->out;
    uint32_t len = (uint32_t)out->size;

    if (bufferevent_write(state->bev, &len, sizeof(len)) < 0 ||
        bufferevent_write(state->bev, body_source_next(out), out->size) < 0)
        leave(state, -ENOMEM, "bufferevent_write");
}

static bool is_sender(const struct plain_loop *state)
{
    return state->link->one_way && !state->meter;
}

/* One way: the sender's turn. */
static void on_write(struct bufferevent *bev, void *arg)
{
    struct plain_loop *state = arg;
    struct evbuffer *output = bufferevent_get_output(bev);

    if (!is_sender(state))
        return;
    while (!atomic_load_explicit(state->link->stop, memory_order_relaxed) &&
           evbuffer_get_length(output) < FULL_BYTES)
        send_one(state);
    if (!atomic_load_explicit(state->link->stop, memory_order_relaxed))
        return;
    bufferevent_setwatermark(bev, EV_WRITE, 0, 0);
    if (evbuffer_get_length(output) == 0 && !state->ending) {
        state->ending = true;
        (void)shutdown(bufferevent_getfd(bev), SHUT_WR);
    }
}

/* A message is here: does the driver want another? */
static bool goes_on(struct plain_loop *state)
{
    if (!state->meter)
        return true;
    if (state->started)
        return meter_tick(state->meter, 1);
    state->started = true;
    meter_start(state->meter);
    return true;
}

static void take_one(struct plain_loop *state)
{
    if (!goes_on(state)) {
        if (!state->ending && !state->link->one_way)
            (void)shutdown(bufferevent_getfd(state->bev), SHUT_WR);
        state->ending = true;
        atomic_store(state->link->stop, true);
    } else if (!state->link->one_way) {
        send_one(state);
    }
}

static void on_read(struct bufferevent *bev, void *arg)
{
    struct plain_loop *state = arg;
    struct evbuffer *input = bufferevent_get_input(bev);
    uint32_t len = (uint32_t)state->link->in.size, said;

    while (evbuffer_get_length(input) >= sizeof(said) + len) {
        (void)evbuffer_copyout(input, &said, sizeof(said));
        if (said != len) {
            leave(state, -EBADMSG, "a message of another length");
            return;
        }
        (void)evbuffer_drain(input, sizeof(said));
        body_sink_take(&state->link->in, evbuffer_pullup(input, (ev_ssize_t)len), len);
        (void)evbuffer_drain(input, len);
        take_one(state);
    }
}

/* The end of the stream, which is an orderly one when the driver has seen enough; its peer learns it so. */
static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct plain_loop *state = arg;

    (void)bev;
    if (what & BEV_EVENT_ERROR)
        leave(state, -ECONNRESET, "the connection");
    else if (what & BEV_EVENT_EOF)
        leave(state, state->meter && !state->ending ? -ECONNRESET : 0, "the connection");
}

static int attach(struct link *link)
{
    struct plain_loop *state = link->state;

    (void)close(state->sockets[1 - link->side]);
    state->sockets[1 - link->side] = -1;
    state->base = event_base_new();
    if (state->base)
        state->bev =
            bufferevent_socket_new(state->base, state->sockets[link->side], BEV_OPT_CLOSE_ON_FREE);
    if (!state->bev)
        return link_fail(link, -ENOMEM, "bufferevent_socket_new");
    state->sockets[link->side] = -1;
    bufferevent_setcb(state->bev, on_read, on_write, on_event, state);
    bufferevent_setwatermark(state->bev, EV_WRITE, link->one_way ? LOW_BYTES : 0, 0);
    return bufferevent_enable(state->bev, EV_READ | EV_WRITE) < 0
               ? link_fail(link, -EIO, "bufferevent_enable")
               : 0;
}

static void close_loop(struct link *link)
{
    struct plain_loop *state = link->state;

    if (!state)
        return;
    for (int side = 0; side < 2; side++)
        if (state->sockets[side] >= 0)
            (void)close(state->sockets[side]);
    if (state->bev)
        bufferevent_free(state->bev);
    if (state->base)
        event_base_free(state->base);
    free(state);
    link->state = NULL;
}

static int run_loop(struct link *link)
{
    struct plain_loop *state = link->state;

    if (event_base_dispatch(state->base) < 0)
        return link_fail(link, -EIO, "event_base_dispatch");
    return state->result;
}

static int serve(struct link *link)
{
    struct plain_loop *state = link->state;

    on_write(state->bev, state);
    return run_loop(link);
}

static int drive(struct link *link, struct meter *meter)
{
    struct plain_loop *state = link->state;

    state->meter = meter;
    if (!link->one_way)
        send_one(state);
    return run_loop(link);
}

const struct medium medium_libevent = {
    .name = "libevent",
    .summary = "bufferevents of libevent over a Unix stream socketpair",
    .traits = MEDIUM_OWNS_ITS_LOOP | MEDIUM_ONLY_BATCHES,
    .open = open_pair,
    .attach = attach,
    .close = close_loop,
    .drive = drive,
    .serve = serve,
};
