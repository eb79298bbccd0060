/* SPDX-License-Identifier: MIT */

/* Heartbeats, and the half-close. */

#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/resource.h>
#include <sys/socket.h>

#include <uds/error.h>
#include <uds/event.h>

#include "cleanup.h"
#include "clock.h"
#include "conn/conn.h"
#include "guard.h"
#include "pair.h"
#include "rawpeer.h"

#define INTERVAL 15 /* ms: long enough for a loaded machine to answer within two */

static const struct uds_conn_options with_heartbeat = {
    .size = sizeof(struct uds_conn_options), .max_fds = 16, .heartbeat_ms = INTERVAL};

/* One turn of a loop that waits as the connection says. What process() says. */
static int turn(uds_conn *conn)
{
    struct pollfd pfd = {.fd = uds_conn_get_fd(conn), .events = uds_conn_get_events(conn)};
    int r;

    (void)poll(&pfd, 1, uds_conn_get_timeout(conn));
    r = uds_conn_process(conn);
    cr_assert(udsi_conn_check(conn));
    return r;
}

static uint64_t cpu_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* How often this thread slept. Time would not tell: an emulated CPU counts as used what its host takes. */
static long sleeps(void)
{
    struct rusage usage;

    (void)getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
}

/* A raw peer whose HELLO offers @features. */
static int open_raw(uds_conn **ret, const struct uds_conn_options *options, uint8_t features)
{
    uint8_t hello[] = {0xd5, 1, 1, 0, 0,  0, 0,  0, 28,       0, 0, 0, 0, 0, 0,  0, 0, 0,
                       0,    0, 0, 0, 0,  0, 32, 0, 4,        0, 0, 0, 0, 1, 33, 0, 4, 0,
                       16,   0, 0, 0, 34, 0, 8,  0, features, 0, 0, 0, 0, 0, 0,  0};
    int peer = raw_conn(ret, SOCK_STREAM, options, 0);

    cr_assert_eq(raw_send(peer, hello, sizeof(hello), -1, 0), (ssize_t)sizeof(hello));
    cr_assert_geq(uds_conn_process(*ret), 0);
    cr_assert(uds_conn_is_open(*ret));
    return peer;
}

static void raw_bare(int peer, uint8_t type, uint64_t id)
{
    cr_assert_gt(raw_send_frame(peer, &(struct raw_frame){.type = type, .id = id}, -1, 0), 0);
}

/* ---- heartbeats ---- */

Test(conn_heartbeat, asks_a_quiet_peer_again_and_again_and_stays_open)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;

    pair_open(&a, &b, &with_heartbeat);
    while (a->beat.id < 3 || b->beat.id < 1) {
        cr_assert_geq(turn(a), 0, "%s", uds_conn_get_error_text(a));
        cr_assert_geq(turn(b), 0, "%s", uds_conn_get_error_text(b));
    }
}

Test(conn_heartbeat, gives_up_a_peer_from_which_nothing_comes) /* P-33, P-34 from the other side */
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    struct raw_seen seen = {0};
    _cleanup_close_ int peer = open_raw(&conn, &with_heartbeat, UDS_FEATURE_HEARTBEAT);

    uds_conn_set_callbacks(conn, &raw_callbacks, &seen);
    while (turn(conn) >= 0)
        cr_assert_leq(conn->beat.id, 1, "one question is enough");
    cr_assert_eq(seen.close_error, -ETIMEDOUT);
    cr_assert_neq(strstr(uds_conn_get_error_text(conn), "nothing came from the peer"), NULL);
}

Test(conn_heartbeat, takes_any_byte_as_a_sign_of_life)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = open_raw(&conn, &with_heartbeat, UDS_FEATURE_HEARTBEAT);
    uint64_t until = udsi_heartbeat_due(conn) + (uint64_t)5 * INTERVAL;

    while (!conn->beat.asked)
        cr_assert_geq(turn(conn), 0);
    /* It is asked, does not answer, and talks about something else, half a frame a time: first header, then nothing whole. */
    static const uint8_t header[] = {0xd5, 1, 8, 0, 255, 255, 0, 0, 0, 0, 0, 0,
                                     0,    0, 0, 0, 0,   0,   0, 0, 0, 0, 0, 0};
    cr_assert_gt(raw_send(peer, header, sizeof(header), -1, 0), 0);
    while (udsi_heartbeat_due(conn) < until) {
        cr_assert_geq(turn(conn), 0, "%s", uds_conn_get_error_text(conn));
        cr_assert_eq(raw_send(peer, "x", 1, -1, 0), 1);
    }
    cr_assert_eq(conn->beat.id, 1, "no second question before the answer");
}

Test(conn_heartbeat, is_answered_by_who_finds_a_message_each_time)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = open_raw(&conn, NULL, UDS_FEATURE_HEARTBEAT);
    _cleanup_msg_ uds_msg *msg = NULL;
    uint8_t pong[25];

    raw_drain(peer);
    raw_bare(peer, UDS_MSG_PING, 7);
    raw_bare(peer, UDS_MSG_MESSAGE, 1);
    raw_bare(peer, UDS_MSG_MESSAGE, 2);
    cr_assert_eq(uds_conn_receive_wait(conn, &msg, 1000), 0);
    cr_assert_eq(recv(peer, pong, sizeof(pong), MSG_DONTWAIT), 24);
    cr_assert_eq(pong[2], UDS_MSG_PONG);
    cr_assert_eq(pong[16], 7);
}

Test(conn_heartbeat, is_not_spoken_with_a_peer_that_lacks_it)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = open_raw(&conn, &with_heartbeat, 0);

    cr_assert_eq(uds_conn_get_timeout(conn), -1);
    cr_assert_eq(uds_conn_get_features(conn), 0);
}

Test(conn_heartbeat, does_not_blame_the_peer_for_a_pause_of_ours)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = open_raw(&conn, &with_heartbeat, UDS_FEATURE_HEARTBEAT);
    uint64_t asked;

    while (!conn->beat.asked)
        cr_assert_geq(turn(conn), 0);
    uds_conn_pause(conn, 1);
    cr_assert_eq(uds_conn_get_timeout(conn), -1);
    conn->beat.heard_at -= 10000; /* long ago */
    conn->beat.asked_at -= 10000;
    uds_conn_resume(conn, 1);
    asked = conn->beat.id;
    cr_assert_geq(uds_conn_process(conn), 0, "%s", uds_conn_get_error_text(conn));
    raw_bare(peer, UDS_MSG_PONG, asked);
    cr_assert_geq(uds_conn_process(conn), 0);
    cr_assert_not(conn->beat.asked);
}

Test(conn_heartbeat, ends_a_peer_that_asks_without_reading_the_answers)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = open_raw(&conn, NULL, UDS_FEATURE_HEARTBEAT);

    pair_send(conn, 1, 1 << 20); /* more than the socket takes */
    cr_assert_eq(uds_conn_process(conn), 0);
    raw_bare(peer, UDS_MSG_PING, 1);
    cr_assert_eq(uds_conn_process(conn), 0);
    raw_bare(peer, UDS_MSG_PING, 2);
    cr_assert_eq(uds_conn_process(conn), -EPROTO);
    cr_assert_neq(strstr(uds_conn_get_error_text(conn), "P-34"), NULL);
}

Test(conn_heartbeat, asked_for_behind_our_goodbye_costs_nothing)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = open_raw(&conn, NULL, UDS_FEATURE_HEARTBEAT);
    uint64_t before;

    for (unsigned i = 0; i < 100000; i++)
        pair_send(conn, 1, 1);
    cr_assert_eq(uds_conn_shutdown(conn, UDS_STATUS_OK, NULL), 0);
    before = cpu_ms();
    for (unsigned i = 0; i < 100; i++) {
        for (unsigned j = 0; j < 100; j++)
            raw_bare(peer, UDS_MSG_PING, 100 * i + j);
        cr_assert_geq(uds_conn_process(conn), 0);
    }
    cr_assert_lt(cpu_ms() - before, 500, "the queue was searched for each");
}

Test(conn_heartbeat, ends_what_was_shut_down_and_is_not_read, .timeout = 10)
{
    UDS_TEST_GUARD;

    for (int greeted = 0; greeted < 2; greeted++) {
        _cleanup_conn_ uds_conn *conn = NULL;
        struct raw_seen seen = {0};
        _cleanup_close_ int peer = greeted ? open_raw(&conn, &with_heartbeat, 0)
                                           : raw_conn(&conn, SOCK_STREAM, &with_heartbeat, 0);

        uds_conn_set_callbacks(conn, &raw_callbacks, &seen);
        pair_send(conn, 1, 1 << 20);
        cr_assert_eq(uds_conn_shutdown(conn, UDS_STATUS_OK, NULL), 0);
        while (turn(conn) >= 0)
            ;
        cr_assert_eq(seen.close_error, -ETIMEDOUT);
        cr_assert_neq(strstr(uds_conn_get_error_text(conn), "took nothing"), NULL);
    }
}

Test(conn_heartbeat, ends_a_blocking_receive)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = open_raw(&conn, &with_heartbeat, UDS_FEATURE_HEARTBEAT);
    uds_msg *msg;

    cr_assert_eq(uds_conn_receive_wait(conn, &msg, -1), -ETIMEDOUT);
}

Test(conn_heartbeat, ends_a_blocking_send, .timeout = 10)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = open_raw(&conn, &with_heartbeat, UDS_FEATURE_HEARTBEAT);
    static const char body
        [300 << 10]; /* more than a socket holds, and quick to copy where a machine is emulated */
    long before = sleeps();
    uds_msg *msg;

    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 1, body, sizeof(body)), 0);
    cr_assert_eq(uds_conn_send_wait(conn, msg, -1), -ETIMEDOUT);
    cr_assert_gt(sleeps(), before, "it has not slept");
    cr_assert_neq(strstr(uds_conn_get_error_text(conn), "nothing came"), NULL);
    (void)uds_msg_unref(msg);
}

Test(conn_heartbeat, goes_on_in_another_image)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL, *moved = NULL;
    _cleanup_snapshot_ uds_snapshot *s = NULL;
    _cleanup_close_ int peer = open_raw(&conn, &with_heartbeat, UDS_FEATURE_HEARTBEAT);

    while (!conn->beat.asked)
        cr_assert_geq(turn(conn), 0);
    cr_assert_eq(uds_snapshot_new(&s), 0);
    cr_assert_eq(uds_conn_serialise(conn, s), 0);
    cr_assert_eq(uds_conn_restore(&moved, s), 0);
    conn = uds_conn_unref(conn);
    raw_bare(peer, UDS_MSG_PONG, moved->beat.id);
    cr_assert_geq(uds_conn_process(moved), 0, "%s", uds_conn_get_error_text(moved));
    while (moved->beat.id < 2)
        cr_assert_geq(turn(moved), 0);
}

Test(conn_heartbeat, is_driven_by_a_libevent_loop)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    struct raw_seen seen = {0};
    struct event_base *base = event_base_new();
    uds_event *glue;
    _cleanup_close_ int peer = open_raw(&conn, &with_heartbeat, UDS_FEATURE_HEARTBEAT);

    cr_assert_eq(uds_event_attach(&glue, conn, base), 0);
    uds_conn_set_callbacks(conn, &raw_callbacks, &seen);
    raw_bare(peer, UDS_MSG_PING, 9);
    cr_assert_eq(event_base_dispatch(base), 1, "ends when nothing is left to wait for");
    cr_assert_eq(seen.close_error, -ETIMEDOUT);
    cr_assert_eq(conn->beat.id, 1);
    (void)uds_event_detach(glue);
    event_base_free(base);
}

/* ---- half-close ---- */

struct order {
    unsigned messages, finishes, closes;
    unsigned messages_before_finish;
    bool unref;
};

static void on_message(uds_conn *conn, uds_msg *msg, void *arg)
{
    struct order *order = arg;

    (void)conn;
    order->messages++;
    (void)uds_msg_unref(msg);
}

static void on_finish(uds_conn *conn, void *arg)
{
    struct order *order = arg;

    order->finishes++;
    order->messages_before_finish = order->messages;
    if (order->unref)
        (void)uds_conn_unref(conn);
}

static void on_close(uds_conn *conn, int error, void *arg)
{
    struct order *order = arg;

    (void)conn;
    cr_assert_eq(error, 0);
    order->closes++;
}

static const struct uds_conn_callbacks ordered = {
    .on_message = on_message, .on_close = on_close, .on_finish = on_finish};

Test(conn_finish, ends_one_direction_and_then_the_other)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    struct order at_a = {0}, at_b = {0};
    _cleanup_msg_ uds_msg *late = NULL;

    pair_open(&a, &b, NULL);
    uds_conn_set_callbacks(a, &ordered, &at_a);
    uds_conn_set_callbacks(b, &ordered, &at_b);
    pair_send(a, 1, 1 << 20);
    pair_send(a, 1, 10);
    cr_assert_eq(uds_conn_finish(a), 0);
    cr_assert_eq(uds_conn_finish(a), -EALREADY);
    cr_assert_eq(uds_msg_new(&late, UDS_MSG_MESSAGE, 0, NULL, 0), 0);
    cr_assert_eq(uds_conn_send(a, late), -EPIPE);
    while (at_b.finishes == 0) {
        cr_assert_geq(uds_conn_process(a), 0);
        cr_assert_geq(uds_conn_process(b), 0);
    }
    cr_assert_eq(at_b.messages_before_finish, 2);

    pair_send(b, 1, 300); /* the other direction goes on */
    cr_assert_eq(uds_conn_finish(b), 0);
    cr_assert_eq(uds_conn_process(b), -ESHUTDOWN);
    cr_assert_eq(uds_conn_process(a), -ESHUTDOWN);
    cr_assert_eq(at_a.messages, 1);
    cr_assert_eq(at_a.closes, 1);
    cr_assert_eq(at_b.closes, 1);
    cr_assert_eq(at_b.finishes, 1);
}

Test(conn_finish, is_told_by_the_blocking_calls)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    uds_msg *msg;

    pair_open(&a, &b, NULL);
    pair_send(a, 1, 10);
    cr_assert_eq(uds_conn_finish(a), 0);
    cr_assert_eq(uds_conn_flush(a), 0);
    cr_assert_eq(uds_conn_receive_wait(b, &msg, -1), 0);
    (void)uds_msg_unref(msg);
    cr_assert_eq(uds_conn_receive_wait(b, &msg, -1), -ENODATA);
    cr_assert_eq(uds_conn_receive(b, &msg), -ENODATA);
    pair_send(b, 1, 20);
    cr_assert_eq(uds_conn_flush(b), 0);
    cr_assert_eq(uds_conn_receive_wait(a, &msg, -1), 0);
    (void)uds_msg_unref(msg);
    cr_assert_eq(uds_conn_finish(b), 0);
    cr_assert_eq(uds_conn_receive_wait(b, &msg, -1), -ESHUTDOWN);
    cr_assert_eq(uds_conn_receive_wait(a, &msg, -1), -ESHUTDOWN);
}

Test(conn_finish, of_a_peer_that_does_not_read_lets_a_blocking_send_sleep)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = open_raw(&conn, NULL, UDS_FEATURE_FINISH);
    static const char body[1 << 20];
    uint64_t before = cpu_ms();
    uds_msg *msg;

    raw_bare(peer, UDS_MSG_FINISH, 0);
    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 1, body, sizeof(body)), 0);
    cr_assert_eq(uds_conn_send_wait(conn, msg, 500), -ETIMEDOUT);
    cr_assert_lt(cpu_ms() - before, 50, "it has not slept");
    (void)uds_msg_unref(msg);
}

Test(conn_finish, waits_for_a_message_that_nobody_has_taken)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    uds_msg *msg;

    pair_open(&a, &b, NULL);
    cr_assert_eq(uds_conn_finish(b), 0);
    cr_assert_eq(uds_conn_flush(b), 0);
    pair_send(a, 1, 10);
    cr_assert_eq(uds_conn_finish(a), 0);
    cr_assert_eq(uds_conn_flush(a), 0);
    cr_assert_eq(uds_conn_process(b), 0, "the message waits for receive()");
    cr_assert_eq(uds_conn_receive(b, &msg), 1);
    (void)uds_msg_unref(msg);
    cr_assert_eq(uds_conn_receive(b, &msg), -ESHUTDOWN);
}

Test(conn_finish, needs_a_peer_that_knows_it)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *early = NULL, *conn = NULL;
    _cleanup_close_ int silent = raw_conn(&early, SOCK_STREAM, NULL, 0);
    _cleanup_close_ int peer = open_raw(&conn, NULL, 0);

    cr_assert_eq(uds_conn_finish(early), -EAGAIN);
    cr_assert_eq(uds_conn_finish(conn), -EOPNOTSUPP);
    cr_assert_eq(uds_conn_shutdown(conn, 0, NULL), 0);
    cr_assert_eq(uds_conn_finish(conn), -ENOTCONN);
}

Test(conn_finish, lets_goodbye_and_heartbeats_follow) /* P-35, P-36 are in the vectors */
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = open_raw(&conn, NULL, UDS_FEATURE_HEARTBEAT | UDS_FEATURE_FINISH);

    raw_bare(peer, UDS_MSG_FINISH, 0);
    raw_bare(peer, UDS_MSG_PING, 4);
    cr_assert_eq(uds_conn_process(conn), 0);
    raw_bare(peer, UDS_MSG_GOODBYE, 0);
    cr_assert_eq(uds_conn_process(conn), -ESHUTDOWN);
}

/* Who has all closes at once, and may find what the protocol had to say after our FINISH: that breaks nothing off. */
static void end_with_a_pong_left(bool one_is_unread)
{
    _cleanup_conn_ uds_conn *conn = NULL;
    int peer = open_raw(&conn, NULL, UDS_FEATURE_HEARTBEAT | UDS_FEATURE_FINISH);
    uint8_t bytes[256];
    uds_msg *msg;

    cr_assert_eq(uds_conn_finish(conn), 0);
    cr_assert_eq(uds_conn_flush(conn), 0);
    cr_assert_gt(recv(peer, bytes, sizeof(bytes), MSG_DONTWAIT), 0, "HELLO and FINISH");
    if (one_is_unread) {
        raw_bare(peer, UDS_MSG_PING, 4);
        cr_assert_eq(uds_conn_process(conn), 0);
    }
    raw_bare(peer, UDS_MSG_MESSAGE, 1);
    raw_bare(peer, UDS_MSG_PING, 5);
    raw_bare(peer, UDS_MSG_FINISH, 0);
    (void)close(peer);
    cr_assert_eq(uds_conn_receive(conn, &msg), 1);
    (void)uds_msg_unref(msg);
    cr_assert_eq(uds_conn_receive(conn, &msg), -ESHUTDOWN, "%s", uds_conn_get_error_text(conn));
}

Test(conn_finish, is_in_order_whatever_of_ours_came_too_late)
{
    UDS_TEST_GUARD;
    end_with_a_pong_left(false);
    end_with_a_pong_left(true);
}

Test(conn_finish, of_the_peer_alone_is_no_end_in_order)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    int peer = open_raw(&conn, NULL, UDS_FEATURE_FINISH);
    uds_msg *msg;

    raw_bare(peer, UDS_MSG_FINISH, 0);
    cr_assert_eq(uds_conn_process(conn), 0);
    (void)close(peer);
    cr_assert_eq(uds_conn_receive(conn, &msg), -ECONNRESET);
}

Test(conn_finish, may_free_the_connection_in_its_callback)
{
    UDS_TEST_GUARD;
    uds_conn *conn = NULL;
    struct order order = {.unref = true};
    _cleanup_close_ int peer = open_raw(&conn, NULL, UDS_FEATURE_FINISH);

    uds_conn_set_callbacks(conn, &ordered, &order);
    raw_bare(peer, UDS_MSG_FINISH, 0);
    (void)uds_conn_process(conn);
    cr_assert_eq(order.finishes, 1);
}

Test(conn_finish, survives_a_move_to_another_image)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL, *moved = NULL;
    _cleanup_snapshot_ uds_snapshot *s = NULL;
    struct order order = {0};
    _cleanup_close_ int peer = open_raw(&conn, NULL, UDS_FEATURE_FINISH);

    cr_assert_eq(uds_conn_finish(conn), 0);
    cr_assert_eq(uds_snapshot_new(&s), 0);
    cr_assert_eq(uds_conn_serialise(conn, s), 0);
    cr_assert_eq(uds_conn_restore(&moved, s), 0);
    conn = uds_conn_unref(conn);
    uds_conn_set_callbacks(moved, &ordered, &order);
    cr_assert_eq(uds_conn_finish(moved), -EALREADY);
    raw_bare(peer, UDS_MSG_FINISH, 0);
    while (uds_conn_process(moved) >= 0)
        ;
    cr_assert_eq(order.closes, 1);
}
