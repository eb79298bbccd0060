/* SPDX-License-Identifier: MIT */
/*
 * A listener in a libevent loop.
 *
 * Accepts until nobody waits, at most ACCEPTS_PER_TURN at a time so that a flood of connects does not hold the loop.
 * When descriptors or memory run out the peers stay queued in the kernel and the listening socket stays readable: a loop
 * that polled on would spin. So the event is taken out for PAUSE_MS and the application told once per pause.
 *
 *   LISTENING ── no descriptor ──▶ PAUSED ── 100 ms ──▶ LISTENING;   detach from both, also inside on_accept
 */
#include <errno.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdlib.h>

#include "event/event-internal.h"

#define ACCEPTS_PER_TURN 64
#define PAUSE_MS         100

struct acceptor {
    struct uds_event event;
    unsigned refs;
    bool live;
    uds_listener *listener; /* borrowed */
    void (*on_accept)(int fd, void *arg);
    void *arg;
    struct event read, resume;
};

static void acceptor_unref(struct acceptor *a)
{
    if (--a->refs == 0)
        free(a);
}

/* Errors of one peer that gave up between connect and accept; accept4(2) says to go on. */
static bool is_peers_trouble(int error)
{
    return error == -ECONNABORTED || error == -EINTR || error == -EPROTO || error == -EPERM;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct acceptor *a = arg;

    (void)fd;
    (void)what;
    a->refs++;
    for (int i = 0; a->live && i < ACCEPTS_PER_TURN; i++) {
        int conn = uds_listener_accept(a->listener);

        if (conn == -EAGAIN)
            break;
        if (is_peers_trouble(conn))
            continue;
        if (conn < 0) {
            struct timeval pause = {.tv_usec = PAUSE_MS * 1000};

            (void)event_del(&a->read);
            (void)event_add(&a->resume, &pause);
            a->on_accept(conn, a->arg);
            break;
        }
        a->on_accept(conn, a->arg);
    }
    acceptor_unref(a);
}

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
    struct acceptor *a = arg;

    (void)fd;
    (void)what;
    (void)event_add(&a->read, NULL);
}

static void acceptor_detach(uds_event *event)
{
    struct acceptor *a = (struct acceptor *)event;

    a->live = false;
    (void)event_del(&a->read);
    (void)event_del(&a->resume);
    acceptor_unref(a);
}

int uds_event_listen(uds_event **ret,
                     uds_listener *listener,
                     struct event_base *base,
                     void (*on_accept)(int fd, void *arg),
                     void *arg)
{
    struct acceptor *a = calloc(1, sizeof(*a));

    if (!a)
        return -ENOMEM;
    a->event.detach = acceptor_detach;
    a->refs = 1;
    a->live = true;
    a->listener = listener;
    a->on_accept = on_accept;
    a->arg = arg;
    (void)event_assign(&a->read, base, uds_listener_get_fd(listener), EV_READ | EV_PERSIST,
                       on_readable, a);
    (void)event_assign(&a->resume, base, -1, 0, on_resume, a);
    if (event_add(&a->read, NULL) < 0) {
        free(a);
        return -ENOMEM;
    }
    *ret = &a->event;
    return 0;
}
