/* SPDX-License-Identifier: MIT */
/* A listener in the loop of libevent. */
#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <uds/event.h>

#include "event_loop.h"
#include "guard.h"
#include "nofile.h"

struct accepting {
    struct event_base *base;
    uds_event *event;
    unsigned accepted, refused;
    int last_error;
    bool detach;
};

static void on_accept(int fd, void *arg)
{
    struct accepting *t = arg;

    if (fd >= 0) {
        t->accepted++;
        close(fd);
    } else {
        t->refused++;
        t->last_error = fd;
    }
    if (t->detach)
        t->event = uds_event_detach(t->event);
}

static void
accepting_open(struct accepting *t, uds_listener **ret_listener, struct uds_addr *ret_addr)
{
    char text[64];

    memset(t, 0, sizeof(*t));
    t->base = event_base_new();
    snprintf(text, sizeof(text), "unix:@uds-event-test-%d", (int)getpid());
    cr_assert_eq(uds_addr_parse(text, ret_addr), 0);
    cr_assert_eq(uds_listener_new(ret_listener, ret_addr, NULL), 0);
    cr_assert_eq(uds_event_listen(&t->event, *ret_listener, t->base, on_accept, t), 0);
}

static void connect_some(const struct uds_addr *addr, uds_conn **conns, size_t n)
{
    for (size_t i = 0; i < n; i++)
        cr_assert_eq(uds_conn_connect(&conns[i], addr, NULL, 0), 0);
}

static void drop_some(uds_conn **conns, size_t n)
{
    for (size_t i = 0; i < n; i++)
        uds_conn_unref(conns[i]);
}

Test(event_listener, accepts_all_that_wait)
{
    UDS_TEST_GUARD;
    struct accepting t;
    uds_listener *listener;
    struct uds_addr addr;
    uds_conn *conns[100];

    accepting_open(&t, &listener, &addr);
    connect_some(&addr, conns, 100);
    settle(t.base);
    cr_assert_eq(t.accepted, 100);
    drop_some(conns, 100);
    uds_event_detach(t.event);
    uds_listener_free(listener);
    event_base_free(t.base);
}

Test(event_listener, stops_accepting_when_detached_in_the_callback)
{
    UDS_TEST_GUARD;
    struct accepting t;
    uds_listener *listener;
    struct uds_addr addr;
    uds_conn *conns[3];

    accepting_open(&t, &listener, &addr);
    t.detach = true;
    connect_some(&addr, conns, 3);
    settle(t.base);
    cr_assert_eq(t.accepted, 1);
    drop_some(conns, 3);
    uds_listener_free(listener);
    event_base_free(t.base);
}

Test(event_listener, pauses_without_descriptors_and_goes_on_when_there_are_some)
{
    UDS_TEST_GUARD;
    struct accepting t;
    uds_listener *listener;
    struct uds_addr addr;
    uds_conn *conns[2];
    rlim_t before;

    accepting_open(&t, &listener, &addr);
    connect_some(&addr, conns, 2);
    before = nofile_set(nofile_next());

    settle(t.base);
    cr_assert_eq(t.accepted, 0);
    cr_assert_eq(t.last_error, -EMFILE);
    cr_assert_eq(t.refused, 1, "told %u times in one pause", t.refused);
    /* Paused: the loop has nothing but the timer to wait for. */
    cr_assert_eq(event_base_get_num_events(t.base, EVENT_BASE_COUNT_ADDED), 1);

    nofile_set(before);
    while (t.accepted < 2)
        event_base_loop(t.base, EVLOOP_ONCE);
    drop_some(conns, 2);
    uds_event_detach(t.event);
    uds_listener_free(listener);
    event_base_free(t.base);
}
