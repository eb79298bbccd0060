/* SPDX-License-Identifier: MIT */
/* Connections in the loop of libevent. event_rpc_test.c and event_listener_test.c have what stands on them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <sys/eventfd.h>
#include <sys/socket.h>

#include <uds/error.h>
#include <uds/event.h>

#include "event_loop.h"
#include "guard.h"

/* Two connections that are each other's peer, both in one loop. */
struct bench {
    struct event_base *base;
    uds_conn *a, *b;
    uds_event *ea, *eb;
    unsigned got, closed;
    int error;
    unsigned stop_at; /* messages at b after which the loop stops */
    uds_event **detach_in_message;
};

static void on_message(uds_conn *conn, uds_msg *msg, void *arg)
{
    struct bench *t = arg;

    (void)conn;
    uds_msg_unref(msg);
    if (t->detach_in_message)
        *t->detach_in_message = uds_event_detach(*t->detach_in_message);
    if (++t->got == t->stop_at)
        event_base_loopbreak(t->base);
}

static void on_close(uds_conn *conn, int error, void *arg)
{
    struct bench *t = arg;

    (void)conn;
    t->closed++;
    t->error = error;
    event_base_loopbreak(t->base);
}

static const struct uds_conn_callbacks callbacks = {.on_message = on_message, .on_close = on_close};

static void bench_open(struct bench *t)
{
    memset(t, 0, sizeof(*t));
    t->base = event_base_new();
    cr_assert_eq(uds_conn_pair(&t->a, &t->b, NULL), 0);
    uds_conn_set_callbacks(t->a, &callbacks, t);
    uds_conn_set_callbacks(t->b, &callbacks, t);
    cr_assert_eq(uds_event_attach(&t->ea, t->a, t->base), 0);
    cr_assert_eq(uds_event_attach(&t->eb, t->b, t->base), 0);
}

static void bench_close(struct bench *t)
{
    uds_event_detach(t->ea);
    uds_event_detach(t->eb);
    uds_conn_unref(t->a);
    uds_conn_unref(t->b);
    event_base_free(t->base);
}

static void send_one(uds_conn *conn, size_t len)
{
    uds_msg *msg;
    void *body;

    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 0, NULL, 0), 0);
    cr_assert_eq(uds_msg_reserve_body(msg, len, &body), 0);
    memset(body, 'x', len);
    cr_assert_eq(uds_conn_send(conn, msg), 0);
    uds_msg_unref(msg);
}

Test(event, carries_a_message)
{
    UDS_TEST_GUARD;
    struct bench t;

    bench_open(&t);
    t.stop_at = 1;
    send_one(t.a, 5);
    event_base_dispatch(t.base);
    cr_assert_eq(t.got, 1);
    bench_close(&t);
}

Test(event, carries_a_body_larger_than_the_socket_buffer)
{
    UDS_TEST_GUARD;
    struct bench t;

    bench_open(&t);
    t.stop_at = 3;
    for (int i = 0; i < 3; i++)
        send_one(t.a, 3 << 20);
    event_base_dispatch(t.base);
    cr_assert_eq(t.got, 3);
    bench_close(&t);
}

Test(event, sleeps_while_a_message_waits_that_no_callback_takes)
{
    UDS_TEST_GUARD;
    struct bench t;
    uds_msg *msg;

    bench_open(&t);
    uds_conn_set_callbacks(t.b, NULL, NULL);
    settle(t.base);
    cr_assert_eq(event_base_get_num_events(t.base, EVENT_BASE_COUNT_ADDED), 2,
                 "two ends that read");
    send_one(t.a, 5);
    send_one(t.a, 5);
    settle(t.base);
    cr_assert_eq(event_base_get_num_events(t.base, EVENT_BASE_COUNT_ADDED), 1, "b waits for us");
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(uds_conn_receive(t.b, &msg), 1);
        uds_msg_unref(msg);
        settle(t.base);
    }
    cr_assert_eq(uds_conn_receive(t.b, &msg), 0);
    settle(t.base);
    cr_assert_eq(event_base_get_num_events(t.base, EVENT_BASE_COUNT_ADDED), 2, "b reads again");
    bench_close(&t);
}

struct turn {
    uds_conn *conn;
    int raw;
    size_t in_same_turn;
};

static void send_twice(evutil_socket_t fd, short what, void *arg)
{
    struct turn *turn = arg;
    char buf[256];
    ssize_t n;

    (void)fd;
    (void)what;
    send_one(turn->conn, 1);
    send_one(turn->conn, 1);
    n = recv(turn->raw, buf, sizeof(buf), MSG_PEEK | MSG_DONTWAIT);
    turn->in_same_turn += n > 0 ? (size_t)n : 0;
}

/* Two events of one turn send on one connection: nothing is written before both have run, then all of it in one go. */
Test(event, sends_of_one_turn_go_out_together)
{
    UDS_TEST_GUARD;
    static const uint8_t hello[] = {
        0xd5, 1, 1, 0, 0,  0, 0, 0, 16, 0, 0, 0, 0,  0, 0, 0, 0,  0, 0, 0,
        0,    0, 0, 0, 32, 0, 4, 0, 0,  0, 0, 1, 33, 0, 4, 0, 16, 0, 0, 0,
    };
    struct event_base *base = event_base_new();
    struct turn turn = {0};
    struct event *one, *two;
    uds_event *event;
    char buf[256];
    int sv[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
    turn.raw = sv[1];
    cr_assert_eq(uds_conn_new(&turn.conn, sv[0], NULL), 0);
    cr_assert_eq(uds_event_attach(&event, turn.conn, base), 0);
    cr_assert_eq(write(turn.raw, hello, sizeof(hello)), (ssize_t)sizeof(hello));
    settle(base);
    cr_assert_eq(recv(turn.raw, buf, sizeof(buf), 0), 64); /* its HELLO */

    one = event_new(base, -1, 0, send_twice, &turn);
    two = event_new(base, -1, 0, send_twice, &turn);
    event_active(one, EV_TIMEOUT, 0);
    event_active(two, EV_TIMEOUT, 0);
    (void)event_base_loop(base, EVLOOP_NONBLOCK);
    cr_assert_eq(turn.in_same_turn, 0, "%zu bytes were sent before the turn ended",
                 turn.in_same_turn);
    cr_assert_eq(recv(turn.raw, buf, sizeof(buf), MSG_DONTWAIT), 4 * 25);

    event_free(one);
    event_free(two);
    uds_event_detach(event);
    uds_conn_unref(turn.conn);
    close(turn.raw);
    event_base_free(base);
}

Test(event, an_idle_connection_has_no_timer)
{
    UDS_TEST_GUARD;
    struct bench t;

    bench_open(&t);
    send_one(t.a, 1);
    settle(t.base);
    cr_assert_eq(t.got, 1);
    /* Two read events are added, and nothing else. */
    cr_assert_eq(event_base_get_num_events(t.base, EVENT_BASE_COUNT_ADDED), 2);
    bench_close(&t);
}

Test(event, detaches_inside_a_callback)
{
    UDS_TEST_GUARD;
    struct bench t;

    bench_open(&t);
    t.detach_in_message = &t.eb;
    send_one(t.a, 1);
    send_one(t.a, 1);
    settle(t.base);
    cr_assert_geq(t.got, 1);
    cr_assert_null(t.eb);
    send_one(t.a, 1);
    settle(t.base);
    cr_assert_leq(t.got, 2, "a detached connection still received");
    bench_close(&t);
}

static void free_all(uds_conn *conn, int error, void *arg)
{
    struct bench *t = arg;

    (void)error;
    t->closed++;
    t->eb = uds_event_detach(t->eb);
    t->b = uds_conn_unref(conn);
}

Test(event, detaches_and_frees_inside_on_close)
{
    UDS_TEST_GUARD;
    static const struct uds_conn_callbacks freeing = {.on_message = on_message,
                                                      .on_close = free_all};
    struct bench t;

    bench_open(&t);
    settle(t.base);
    uds_conn_set_callbacks(t.b, &freeing, &t);
    cr_assert_eq(uds_conn_shutdown(t.a, 0, NULL), 0);
    settle(t.base);
    cr_assert_null(t.b);
    cr_assert_eq(t.closed, 2); /* both sides */
    bench_close(&t);
}

Test(event, lets_the_loop_end_when_the_connection_closed)
{
    UDS_TEST_GUARD;
    struct bench t;

    bench_open(&t);
    settle(t.base);
    t.ea = uds_event_detach(t.ea);
    t.a = uds_conn_unref(t.a);
    event_base_dispatch(t.base);
    cr_assert_eq(t.closed, 1);
    cr_assert_eq(t.error, -ECONNRESET);
    cr_assert_eq(event_base_get_num_events(t.base, EVENT_BASE_COUNT_ADDED), 0);
    bench_close(&t);
}

struct reuse {
    struct event_base *base;
    int fd; /* of the connection, then of an eventfd */
    struct event *event;
    unsigned woken;
};

static void on_eventfd(evutil_socket_t fd, short what, void *arg)
{
    struct reuse *reuse = arg;
    eventfd_t value;

    (void)what;
    cr_assert_eq(eventfd_read(fd, &value), 0);
    reuse->woken++;
}

static void reuse_fd(uds_conn *conn, int error, void *arg)
{
    struct reuse *reuse = arg;
    int fd = eventfd(0, EFD_CLOEXEC);

    (void)conn;
    (void)error;
    cr_assert_geq(fd, 0);
    if (fd != reuse->fd) {
        cr_assert_eq(dup3(fd, reuse->fd, O_CLOEXEC), reuse->fd);
        close(fd);
    }
    reuse->event = event_new(reuse->base, reuse->fd, EV_READ | EV_PERSIST, on_eventfd, reuse);
    cr_assert_eq(event_add(reuse->event, NULL), 0);
}

/* libevent keeps events by fd number: one that stays behind would make the next owner of the number deaf. */
Test(event, frees_the_fd_number_before_on_close_runs)
{
    UDS_TEST_GUARD;
    static const struct uds_conn_callbacks reusing = {.on_message = on_message,
                                                      .on_close = reuse_fd};
    struct reuse reuse = {0};
    struct bench t;

    bench_open(&t);
    settle(t.base);
    reuse.base = t.base;
    reuse.fd = uds_conn_get_fd(t.b);
    uds_conn_set_callbacks(t.b, &reusing, &reuse);
    t.ea = uds_event_detach(t.ea);
    t.a = uds_conn_unref(t.a);
    settle(t.base);
    cr_assert_not_null(reuse.event);
    cr_assert_eq(eventfd_write(reuse.fd, 1), 0);
    settle(t.base);
    cr_assert_eq(reuse.woken, 1);
    event_free(reuse.event);
    close(reuse.fd);
    bench_close(&t);
}

static void answer(uds_conn *conn, uds_msg *msg, void *arg)
{
    struct bench *t = arg;

    cr_assert_eq(uds_conn_send(conn, msg), 0);
    uds_msg_unref(msg);
    if (++t->got == 1000)
        event_base_loopbreak(t->base);
}

Test(event, plays_ping_pong)
{
    UDS_TEST_GUARD;
    static const struct uds_conn_callbacks answering = {.on_message = answer, .on_close = on_close};
    struct bench t;

    bench_open(&t);
    uds_conn_set_callbacks(t.a, &answering, &t);
    uds_conn_set_callbacks(t.b, &answering, &t);
    send_one(t.a, 64);
    event_base_dispatch(t.base);
    cr_assert_eq(t.got, 1000);
    bench_close(&t);
}

static void count_turn(evutil_socket_t fd, short what, void *arg)
{
    unsigned *turns = arg;

    (void)fd;
    (void)what;
    (*turns)++;
}

/* 2000 messages wait at once; the other event of the loop has its turns in between. */
Test(event, one_busy_peer_does_not_hold_the_loop)
{
    UDS_TEST_GUARD;
    struct bench t;
    struct event *other;
    unsigned turns = 0;
    int p[2];

    bench_open(&t);
    settle(t.base);
    for (int i = 0; i < 2000; i++)
        send_one(t.a, 1);
    cr_assert_eq(uds_conn_flush(t.a), 0);
    cr_assert_eq(pipe2(p, O_CLOEXEC | O_NONBLOCK), 0);
    cr_assert_eq(write(p[1], "x", 1), 1);
    other = event_new(t.base, p[0], EV_READ | EV_PERSIST, count_turn, &turns);
    event_add(other, NULL);
    t.stop_at = 2000;
    event_base_dispatch(t.base);
    cr_assert_eq(t.got, 2000);
    cr_assert_geq(turns, 4, "%u turns", turns);
    event_free(other);
    close(p[0]);
    close(p[1]);
    bench_close(&t);
}

Test(event, wakes_up_when_reading_is_resumed)
{
    UDS_TEST_GUARD;
    struct bench t;

    bench_open(&t);
    settle(t.base);
    uds_conn_pause(t.b, 1);
    send_one(t.a, 1);
    settle(t.base);
    cr_assert_eq(t.got, 0);
    uds_conn_resume(t.b, 1);
    settle(t.base);
    cr_assert_eq(t.got, 1);
    bench_close(&t);
}
