/* SPDX-License-Identifier: MIT */
/*
 * A connection, rpc, client or datagram socket ("the source") in a libevent loop.
 *
 * Four events: read and write on the source's fd, a timer for its deadlines, and one without an fd, "flush", that is
 * activated by hand. A message that is queued outside process() makes the source call its hook; the first hook of a loop
 * turn activates flush, which libevent appends to the callbacks of that turn. So everything that the callbacks before it
 * queue goes out in one flush, and the loop does not sleep in between.
 *
 *   ATTACHED ── process() says closed ──▶ ENDED ── detach ──▶ freed
 *       └───────────────── detach ──────────────────────────▶ freed
 *
 *   1. read and write are added for @fd only while the source's fd is @fd. A source tells by its hook, before it calls
 *      the application, that it closes its fd: libevent keeps events by fd number, and the next accept may get it;
 *   2. the timer is pending only while the source has a deadline or has more to do at once: an idle source wakes nobody;
 *   3. "more to do at once" waits for the next turn (a timer of 0), never for this one: events activated in a turn run in
 *      that turn, and a peer that always has more would keep the others from being polled;
 *   4. every callback of libevent holds a reference: the application may detach anywhere.
 */
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <poll.h>
#include <stdlib.h>

#include "clock.h"
#include "event/event-internal.h"

struct driver;

struct source {
    int (*get_fd)(const struct driver *driver);
    short (*get_events)(const struct driver *driver);
    int (*get_timeout)(const struct driver *driver);
    int (*process)(struct driver *driver);
    int (*flush)(struct driver *driver);
    void (*unhook)(struct driver *driver);
};

struct driver {
    struct uds_event event;
    const struct source *source;
    uds_conn *conn; /* reference; NULL for a client */
    uds_rpc *rpc;
    uds_client *client;
    uds_dgram *dgram; /* reference */

    unsigned refs;
    bool live;    /* ATTACHED */
    bool running; /* inside process() or flush() */
    int fd;       /* of read and write; -1 none */
    short armed;  /* POLLIN, POLLOUT: which of the two are added */
    int64_t timer_at_ms;
    struct event read, write, timer, flush;
};

#define NO_TIMER INT64_MAX

/* ---- the kinds of source ---- */

static int conn_get_fd(const struct driver *d)
{
    return uds_conn_get_fd(d->conn);
}

static short conn_get_events(const struct driver *d)
{
    return uds_conn_get_events(d->conn);
}

static int conn_get_timeout(const struct driver *d)
{
    return uds_conn_get_timeout(d->conn);
}

static int conn_process(struct driver *d)
{
    return uds_conn_process(d->conn);
}

static int conn_flush(struct driver *d)
{
    return uds_conn_flush(d->conn);
}

static void conn_unhook(struct driver *d)
{
    uds_conn_set_loop_hook(d->conn, NULL, NULL);
}

static const struct source conn_source = {
    .get_fd = conn_get_fd,
    .get_events = conn_get_events,
    .get_timeout = conn_get_timeout,
    .process = conn_process,
    .flush = conn_flush,
    .unhook = conn_unhook,
};

static int rpc_get_timeout(const struct driver *d)
{
    int conn_ms = uds_conn_get_timeout(d->conn);
    int rpc_ms = uds_rpc_get_timeout(d->rpc);

    if (conn_ms < 0)
        return rpc_ms;
    return rpc_ms < 0 || conn_ms < rpc_ms ? conn_ms : rpc_ms;
}

static int rpc_process(struct driver *d)
{
    int r = uds_conn_process(d->conn);

    if (d->live && r >= 0)
        uds_rpc_process_timeouts(d->rpc);
    return r;
}

static const struct source rpc_source = {
    .get_fd = conn_get_fd,
    .get_events = conn_get_events,
    .get_timeout = rpc_get_timeout,
    .process = rpc_process,
    .flush = conn_flush,
    .unhook = conn_unhook,
};

static int client_get_fd(const struct driver *d)
{
    return uds_client_get_fd(d->client);
}

static short client_get_events(const struct driver *d)
{
    return uds_client_get_events(d->client);
}

static int client_get_timeout(const struct driver *d)
{
    return uds_client_get_timeout(d->client);
}

static int client_process(struct driver *d)
{
    return uds_client_process(d->client);
}

static int client_flush(struct driver *d)
{
    return uds_client_flush(d->client, 0);
}

static void client_unhook(struct driver *d)
{
    uds_client_set_loop_hook(d->client, NULL, NULL);
}

static const struct source client_source = {
    .get_fd = client_get_fd,
    .get_events = client_get_events,
    .get_timeout = client_get_timeout,
    .process = client_process,
    .flush = client_flush,
    .unhook = client_unhook,
};

static int dgram_get_fd(const struct driver *d)
{
    return uds_dgram_get_fd(d->dgram);
}

static short dgram_get_events(const struct driver *d)
{
    return uds_dgram_get_events(d->dgram);
}

static int dgram_get_timeout(const struct driver *d)
{
    return uds_dgram_get_timeout(d->dgram);
}

/* An error is no end: on_error has told it. */
static int dgram_process(struct driver *d)
{
    int r = uds_dgram_process(d->dgram);

    return r < 0 ? 0 : r;
}

static int dgram_flush(struct driver *d)
{
    (void)d;
    return 0; /* nothing is ever queued */
}

static void dgram_unhook(struct driver *d)
{
    uds_dgram_set_loop_hook(d->dgram, NULL, NULL);
}

static const struct source dgram_source = {
    .get_fd = dgram_get_fd,
    .get_events = dgram_get_events,
    .get_timeout = dgram_get_timeout,
    .process = dgram_process,
    .flush = dgram_flush,
    .unhook = dgram_unhook,
};

/* ---- what the loop waits for ---- */

static void disarm_fd(struct driver *d)
{
    if (d->armed & POLLIN)
        (void)event_del(&d->read);
    if (d->armed & POLLOUT)
        (void)event_del(&d->write);
    d->armed = 0;
    d->fd = -1;
}

static void on_ready(evutil_socket_t fd, short what, void *arg);

static void arm_one(struct driver *d, struct event *event, short bit, short wanted)
{
    if ((wanted & bit) == (d->armed & bit))
        return;
    if (!(wanted & bit))
        (void)event_del(event);
    else if (event_add(event, NULL) < 0)
        return; /* no memory for the fd's slot: tried again at the next change */
    d->armed = (short)(d->armed ^ bit);
}

static void arm_fd(struct driver *d)
{
    int fd = d->source->get_fd(d);
    short wanted = d->source->get_events(d);

    if (fd != d->fd) {
        disarm_fd(d);
        d->fd = fd;
        if (fd >= 0) {
            struct event_base *base = event_get_base(&d->timer);

            (void)event_assign(&d->read, base, fd, EV_READ | EV_PERSIST, on_ready, d);
            (void)event_assign(&d->write, base, fd, EV_WRITE | EV_PERSIST, on_ready, d);
        }
    }
    if (fd < 0)
        return;
    arm_one(d, &d->read, POLLIN, wanted);
    arm_one(d, &d->write, POLLOUT, wanted);
}

static void arm_timer(struct driver *d, int timeout_ms)
{
    struct timeval tv;
    int64_t at_ms;

    if (timeout_ms < 0) {
        if (d->timer_at_ms != NO_TIMER)
            (void)event_del(&d->timer);
        d->timer_at_ms = NO_TIMER;
        return;
    }
    at_ms = (int64_t)udsi_now_ms() + timeout_ms;
    /* A deadline that only moves away (a heartbeat's, with every message) keeps the timer, which asks again when it fires. */
    if (d->timer_at_ms != NO_TIMER && at_ms >= d->timer_at_ms)
        return;
    tv.tv_sec = timeout_ms / 1000;
    tv.tv_usec = (timeout_ms % 1000) * 1000;
    d->timer_at_ms = event_add(&d->timer, &tv) == 0 ? at_ms : NO_TIMER;
}

static void end(struct driver *d)
{
    d->live = false;
    disarm_fd(d);
    arm_timer(d, -1);
    (void)event_del(&d->flush);
    d->source->unhook(d);
}

static void driver_unref(struct driver *d)
{
    if (--d->refs > 0)
        return;
    uds_conn_unref(d->conn);
    uds_dgram_unref(d->dgram);
    free(d);
}

/* ---- turns ---- */

/* @process: receive too; otherwise only what is queued goes out, and a source that fails at it is asked why. */
static void turn(struct driver *d, bool process)
{
    int r = 0;

    if (!d->live)
        return;
    d->refs++;
    d->running = true;
    if (!process)
        r = d->source->flush(d);
    if (d->live && (process || r < 0))
        r = d->source->process(d);
    else
        r = 0; /* "some is left" is POLLOUT's business */
    d->running = false;

    if (d->live && r < 0)
        end(d);
    if (d->live) {
        arm_fd(d);
        arm_timer(d, r > 0 ? 0 : d->source->get_timeout(d));
    }
    driver_unref(d);
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    turn(arg, true);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct driver *d = arg;

    (void)fd;
    (void)what;
    d->timer_at_ms = NO_TIMER;
    turn(d, true);
}

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    turn(arg, false);
}

/* The source's hook: something to send, to wait for, or an fd that is gone. */
static void rearm(struct driver *d)
{
    if (!d->live)
        return;
    if (d->fd >= 0 && d->source->get_fd(d) != d->fd)
        disarm_fd(d);
    if (!d->running)
        event_active(&d->flush, EV_TIMEOUT, 0);
}

static void conn_rearm(uds_conn *conn, void *arg)
{
    (void)conn;
    rearm(arg);
}

static void dgram_rearm(uds_dgram *dgram, void *arg)
{
    (void)dgram;
    rearm(arg);
}

static void client_rearm(uds_client *client, void *arg)
{
    (void)client;
    rearm(arg);
}

/* ---- attach and detach ---- */

static void driver_detach(uds_event *event)
{
    struct driver *d = (struct driver *)event;

    if (d->live)
        end(d);
    driver_unref(d);
}

static struct driver *driver_new(const struct source *source, struct event_base *base)
{
    struct driver *d = calloc(1, sizeof(*d));

    if (!d)
        return NULL;
    d->event.detach = driver_detach;
    d->source = source;
    d->refs = 1;
    d->live = true;
    d->fd = -1;
    d->timer_at_ms = NO_TIMER;
    (void)event_assign(&d->timer, base, -1, 0, on_timer, d);
    (void)event_assign(&d->flush, base, -1, 0, on_flush, d);
    return d;
}

/* What was queued or has arrived before the attachment is dealt with in the first turn. */
static void driver_start(struct driver *d)
{
    arm_fd(d);
    arm_timer(d, 0);
}

int uds_event_attach(uds_event **ret, uds_conn *conn, struct event_base *base)
{
    struct driver *d = driver_new(&conn_source, base);

    if (!d)
        return -ENOMEM;
    d->conn = uds_conn_ref(conn);
    uds_conn_set_loop_hook(conn, conn_rearm, d);
    driver_start(d);
    *ret = &d->event;
    return 0;
}

int uds_event_attach_rpc(uds_event **ret, uds_rpc *rpc, struct event_base *base)
{
    struct driver *d = driver_new(&rpc_source, base);

    if (!d)
        return -ENOMEM;
    d->rpc = rpc;
    d->conn = uds_conn_ref(uds_rpc_get_conn(rpc));
    uds_conn_set_loop_hook(d->conn, conn_rearm, d);
    driver_start(d);
    *ret = &d->event;
    return 0;
}

int uds_event_attach_client(uds_event **ret, uds_client *client, struct event_base *base)
{
    struct driver *d = driver_new(&client_source, base);

    if (!d)
        return -ENOMEM;
    d->client = client;
    uds_client_set_loop_hook(client, client_rearm, d);
    driver_start(d);
    *ret = &d->event;
    return 0;
}

int uds_event_attach_dgram(uds_event **ret, uds_dgram *dgram, struct event_base *base)
{
    struct driver *d = driver_new(&dgram_source, base);

    if (!d)
        return -ENOMEM;
    d->dgram = uds_dgram_ref(dgram);
    uds_dgram_set_loop_hook(dgram, dgram_rearm, d);
    driver_start(d);
    *ret = &d->event;
    return 0;
}

uds_event *uds_event_detach(uds_event *event)
{
    if (event)
        event->detach(event);
    return NULL;
}
