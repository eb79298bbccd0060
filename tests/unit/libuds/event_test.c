/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/eventfd.h>
#include <sys/socket.h>

#include <uds/error.h>
#include <uds/event.h>

#include "guard.h"
#include "nofile.h"

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

/* More turns than any exchange of these tests needs; none of them waits. (EVLOOP_NONBLOCK alone goes on while fds are ready.) */
static void settle(struct event_base *base)
{
    for (int i = 0; i < 40; i++)
        (void)event_base_loop(base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
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

/* ---- rpc and client ---- */

struct call_end {
    struct event_base *base;
    unsigned ended;
    uint32_t status;
};

static void ignore_message(uds_conn *conn, uds_msg *msg, void *arg)
{
    (void)conn;
    (void)arg;
    uds_msg_unref(msg);
}

static void on_reply(const struct uds_rpc_reply *reply, void *arg)
{
    struct call_end *end = arg;

    end->ended++;
    end->status = reply->status;
    event_base_loopbreak(end->base);
}

Test(event, ends_a_call_at_its_deadline_and_has_no_timer_afterwards)
{
    UDS_TEST_GUARD;
    static const struct uds_conn_callbacks ignoring = {.on_message = ignore_message};
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
    struct call_end end = {0};
    uds_event *ea, *eb;
    uint64_t patient;
    uds_conn *a, *b;
    uds_rpc *rpc;

    end.base = event_base_new();
    cr_assert_eq(uds_conn_pair(&a, &b, NULL), 0);
    uds_conn_set_callbacks(b, &ignoring, NULL);
    cr_assert_eq(uds_rpc_new(&rpc, a, NULL, NULL), 0);
    cr_assert_eq(uds_event_attach_rpc(&ea, rpc, end.base), 0);
    cr_assert_eq(uds_event_attach(&eb, b, end.base), 0);
    settle(end.base);

    request.timeout_ms = 600000;
    cr_assert_eq(uds_rpc_request(rpc, &request, on_reply, &end, &patient), 0);
    request.timeout_ms = 10; /* the later call has the earlier deadline */
    cr_assert_eq(uds_rpc_request(rpc, &request, on_reply, &end, NULL), 0);
    event_base_dispatch(end.base);
    cr_assert_eq(end.ended, 1);
    cr_assert_eq(end.status, UDS_STATUS_DEADLINE);
    cr_assert_eq(uds_rpc_cancel(rpc, patient), 0);
    cr_assert_eq(end.ended, 2);
    settle(end.base);
    cr_assert_eq(event_base_get_num_events(end.base, EVENT_BASE_COUNT_ADDED), 2);

    uds_event_detach(ea);
    uds_event_detach(eb);
    uds_rpc_free(rpc);
    uds_conn_unref(a);
    uds_conn_unref(b);
    event_base_free(end.base);
}

/* A broker that hangs up on its first guest. */
struct rude {
    struct event_base *base;
    uds_conn *conns[2];
    uds_event *events[2];
    unsigned accepted, connected, disconnected, subscribes;
};

static void rude_message(uds_conn *conn, uds_msg *msg, void *arg)
{
    struct rude *rude = arg;

    if (uds_msg_get_type(msg) == UDS_MSG_SUBSCRIBE && ++rude->subscribes == 1)
        cr_assert_eq(uds_conn_shutdown(conn, UDS_STATUS_UNAVAILABLE, "go away"), 0);
    else
        event_base_loopbreak(rude->base);
    uds_msg_unref(msg);
}

static void rude_accept(int fd, void *arg)
{
    static const struct uds_conn_callbacks rude_callbacks = {.on_message = rude_message};
    struct rude *rude = arg;
    unsigned i = rude->accepted++;

    cr_assert_geq(fd, 0);
    cr_assert_lt(i, 2);
    cr_assert_eq(uds_conn_new(&rude->conns[i], fd, NULL), 0);
    uds_conn_set_callbacks(rude->conns[i], &rude_callbacks, rude);
    cr_assert_eq(uds_event_attach(&rude->events[i], rude->conns[i], rude->base), 0);
}

static void on_client_event(uds_client *client,
                            enum uds_client_event event,
                            int error,
                            const char *detail,
                            uds_msg *notice,
                            void *arg)
{
    struct rude *rude = arg;

    (void)client;
    (void)error;
    (void)detail;
    (void)notice;
    rude->connected += event == UDS_CLIENT_CONNECTED;
    rude->disconnected += event == UDS_CLIENT_DISCONNECTED;
}

static void ignore_delivery(uds_client *client, const struct uds_delivery *delivery, void *arg)
{
    (void)client;
    (void)delivery;
    (void)arg;
}

Test(event, follows_a_client_through_a_reconnect)
{
    UDS_TEST_GUARD;
    static const struct uds_client_callbacks client_callbacks = {.on_event = on_client_event};
    struct rude rude = {0};
    uds_event *listening, *event;
    uds_listener *listener;
    uds_client *client;
    struct uds_addr addr;
    char text[64];

    rude.base = event_base_new();
    snprintf(text, sizeof(text), "unix:@uds-event-rude-%d", (int)getpid());
    cr_assert_eq(uds_addr_parse(text, &addr), 0);
    cr_assert_eq(uds_listener_new(&listener, &addr, NULL), 0);
    cr_assert_eq(uds_event_listen(&listening, listener, rude.base, rude_accept, &rude), 0);
    cr_assert_eq(uds_client_new(&client, &addr, NULL, 0), 0);
    uds_client_set_callbacks(client, &client_callbacks, &rude);
    cr_assert_eq(uds_event_attach_client(&event, client, rude.base), 0);
    cr_assert_eq(uds_client_subscribe(client, "a", NULL, ignore_delivery, NULL, NULL, NULL), 0);

    event_base_dispatch(rude.base); /* until the second SUBSCRIBE */
    cr_assert_eq(rude.subscribes, 2);
    cr_assert_eq(rude.accepted, 2);
    settle(rude.base);
    cr_assert_eq(rude.disconnected, 1);
    cr_assert_geq(rude.connected, 1);

    uds_event_detach(event);
    uds_client_free(client);
    uds_event_detach(listening);
    uds_listener_free(listener);
    for (unsigned i = 0; i < 2; i++) {
        uds_event_detach(rude.events[i]);
        uds_conn_unref(rude.conns[i]);
    }
    event_base_free(rude.base);
}

/* ---- listening ---- */

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

Test(event, accepts_all_that_wait)
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

Test(event, stops_accepting_when_detached_in_the_callback)
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

Test(event, pauses_without_descriptors_and_goes_on_when_there_are_some)
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
