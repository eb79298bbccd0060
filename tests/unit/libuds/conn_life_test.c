/* SPDX-License-Identifier: MIT */

/* How connections end and pause, what callbacks may do, blocking forms, records and forwarding. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include <uds/error.h>

#include "cleanup.h"
#include "conn/conn.h"
#include "conn/msg.h"
#include "faultsock.h"
#include "guard.h"
#include "pair.h"
#include "rawpeer.h"

Test(conn_shutdown, sends_what_is_queued_then_goodbye_then_closes)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    struct raw_seen seen_a = {0}, seen_b = {0};
    _cleanup_msg_ uds_msg *late = pair_msg(9, 1);

    pair_open(&a, &b, NULL);
    uds_conn_set_callbacks(a, &raw_callbacks, &seen_a);
    uds_conn_set_callbacks(b, &raw_callbacks, &seen_b);
    pair_send(a, 5, 10);
    cr_assert_eq(uds_conn_shutdown(a, UDS_STATUS_QUOTA, "enough"), 0);
    cr_assert_eq(uds_conn_send(a, late), -ENOTCONN);
    cr_assert_eq(uds_conn_shutdown(a, 0, NULL), -ENOTCONN);
    cr_assert_eq(pair_run(a), -ESHUTDOWN);
    cr_assert_eq(seen_a.closes, 1);
    cr_assert_eq(seen_a.close_error, 0);
    cr_assert_eq(pair_run(b), -ESHUTDOWN);
    cr_assert_eq(seen_b.messages, 1);
    cr_assert_eq(seen_b.close_error, 0);
    cr_assert(strstr(uds_conn_get_error_text(b), "enough"), "%s", uds_conn_get_error_text(b));
}

Test(conn_shutdown, lets_the_other_side_drain_its_queue)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = raw_conn(&conn, SOCK_STREAM, NULL, 1);
    struct raw_seen seen = {0};
    static uint8_t buf[1 << 16];
    size_t got = 0;
    ssize_t n;

    uds_conn_set_callbacks(conn, &raw_callbacks, &seen);
    pair_send(conn, 1, 2 << 20);
    cr_assert_eq(pair_run(conn), 0);
    cr_assert_gt(raw_send_frame(peer, &(struct raw_frame){.type = UDS_MSG_GOODBYE}, -1, 0), 0);
    for (int i = 0; i < 1000 && seen.closes == 0; i++) {
        (void)uds_conn_process(conn);
        while ((n = recv(peer, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
            got += (size_t)n;
    }
    while ((n = recv(peer, buf, sizeof(buf), MSG_DONTWAIT)) > 0)
        got += (size_t)n;
    cr_assert_eq(got, (2u << 20) + 24);
    cr_assert_eq(seen.close_error, 0);
}

Test(conn_shutdown, is_orderly_for_a_side_whose_own_sends_fail_before_it_reads_the_goodbye)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    struct raw_seen seen = {0};

    pair_open(&a, &b, NULL);
    uds_conn_set_callbacks(b, &raw_callbacks, &seen);
    cr_assert_eq(uds_conn_shutdown(a, 0, NULL), 0);
    cr_assert_eq(pair_run(a), -ESHUTDOWN);
    pair_send(b, 1, 1);
    cr_assert_eq(uds_conn_flush(b), -EPIPE);
    cr_assert_eq(pair_run(b), -ESHUTDOWN);
    cr_assert_eq(seen.close_error, 0);
}

Test(conn_pause, stops_reading_until_every_reason_is_gone)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    struct raw_seen seen = {0};

    pair_open(&a, &b, NULL);
    uds_conn_set_callbacks(b, &raw_callbacks, &seen);
    pair_send(a, 1, 1);
    cr_assert_eq(uds_conn_flush(a), 0);
    uds_conn_pause(b, 1u << 0);
    uds_conn_pause(b, 1u << 31);
    cr_assert_eq(uds_conn_get_events(b), 0);
    cr_assert_eq(uds_conn_process(b), 0);
    uds_conn_resume(b, 1u << 0);
    cr_assert_eq(uds_conn_process(b), 0);
    cr_assert_eq(seen.messages, 0);
    uds_conn_resume(b, 1u << 31);
    cr_assert_eq(uds_conn_get_timeout(b), 0);
    cr_assert_eq(uds_conn_process(b), 0);
    cr_assert_eq(seen.messages, 1);
}

/* ---- inside callbacks ---- */

enum deed {
    DEED_UNREF,
    DEED_SHUTDOWN,
    DEED_SEND,
    DEED_PAUSE,
    DEED_RECURSE,
    DEED_CALLBACKS
};

struct actor {
    enum deed deed;
    uds_conn *other;
    unsigned messages, closes, writables, rearms;
};

static void act(uds_conn *conn, struct actor *actor)
{
    switch (actor->deed) {
    case DEED_UNREF:
        (void)uds_conn_unref(conn);
        break;
    case DEED_SHUTDOWN:
        (void)uds_conn_shutdown(conn, 0, NULL);
        break;
    case DEED_SEND: {
        _cleanup_msg_ uds_msg *msg = pair_msg(1, 1);

        if (uds_conn_send(conn, msg) == 0)
            (void)uds_conn_flush(conn);
        break;
    }
    case DEED_PAUSE:
        uds_conn_pause(conn, 1);
        break;
    case DEED_RECURSE:
        (void)uds_conn_process(conn);
        break;
    case DEED_CALLBACKS:
        uds_conn_set_callbacks(conn, NULL, NULL);
        break;
    }
}

static void act_message(uds_conn *conn, uds_msg *msg, void *arg)
{
    struct actor *actor = arg;

    (void)uds_msg_unref(msg);
    if (actor->messages++ == 0)
        act(conn, actor);
}

static void act_close(uds_conn *conn, int error, void *arg)
{
    struct actor *actor = arg;

    (void)error;
    if (actor->closes++ == 0)
        act(conn, actor);
}

static void act_writable(uds_conn *conn, void *arg)
{
    struct actor *actor = arg;

    if (actor->writables++ == 0)
        act(conn, actor);
}

static const struct uds_conn_callbacks act_callbacks = {
    .on_message = act_message, .on_close = act_close, .on_writable = act_writable};

Test(conn_callbacks, may_do_anything_in_on_message)
{
    UDS_TEST_GUARD;
    static const unsigned delivered[] = {
        [DEED_UNREF] = 1, [DEED_SHUTDOWN] = 3, [DEED_SEND] = 3,
        [DEED_PAUSE] = 1, [DEED_RECURSE] = 3,  [DEED_CALLBACKS] = 1};

    for (enum deed deed = DEED_UNREF; deed <= DEED_CALLBACKS; deed++) {
        _cleanup_conn_ uds_conn *a = NULL;
        uds_conn *b = NULL;
        struct actor actor = {.deed = deed};

        pair_open(&a, &b, NULL);
        uds_conn_set_callbacks(b, &act_callbacks, &actor);
        for (uint64_t id = 0; id < 3; id++)
            pair_send(a, id, 1);
        cr_assert_eq(uds_conn_flush(a), 0);
        (void)uds_conn_process(b);
        cr_assert_eq(actor.messages, delivered[deed], "deed %d", (int)deed);
        cr_assert_eq(actor.closes, deed == DEED_SHUTDOWN ? 1 : 0);
        if (deed != DEED_UNREF)
            uds_conn_unref(b);
    }
}

Test(conn_callbacks, may_do_anything_in_on_close)
{
    UDS_TEST_GUARD;
    for (enum deed deed = DEED_UNREF; deed <= DEED_CALLBACKS; deed++) {
        _cleanup_conn_ uds_conn *a = NULL;
        uds_conn *b = NULL;
        struct actor actor = {.deed = deed};

        pair_open(&a, &b, NULL);
        uds_conn_set_callbacks(b, &act_callbacks, &actor);
        a = uds_conn_unref(a);
        cr_assert_eq(uds_conn_process(b), -ECONNRESET);
        cr_assert_eq(actor.closes, 1);
        if (deed != DEED_UNREF)
            uds_conn_unref(b);
    }
}

Test(conn_callbacks, may_do_anything_in_on_writable)
{
    UDS_TEST_GUARD;
    for (enum deed deed = DEED_UNREF; deed <= DEED_CALLBACKS; deed++) {
        struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
        _cleanup_conn_ uds_conn *a = NULL;
        uds_conn *b = NULL;
        struct actor actor = {.deed = deed};

        options.high_water = 2;
        options.low_water = 1;
        pair_open(&a, &b, &options);
        uds_conn_set_callbacks(b, &act_callbacks, &actor);
        pair_send(b, 1, 1);
        (void)uds_conn_process(b);
        cr_assert_eq(actor.writables, 1);
        if (deed != DEED_UNREF)
            uds_conn_unref(b);
    }
}

static void count_rearm(uds_conn *conn, void *arg)
{
    (void)conn;
    ((struct actor *)arg)->rearms++;
}

Test(conn_callbacks, tell_the_loop_what_changed_outside_process)
{
    UDS_TEST_GUARD;
    static const struct uds_conn_callbacks callbacks = {.on_rearm = count_rearm};
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    struct actor actor = {0}, hook = {0};

    pair_open(&a, &b, NULL);
    uds_conn_set_callbacks(a, &callbacks, &actor);
    uds_conn_set_loop_hook(a, count_rearm, &hook);
    pair_send(a, 1, 1);
    cr_assert_eq(actor.rearms, 1);
    pair_send(a, 1, 1);
    cr_assert_eq(actor.rearms, 1, "POLLOUT was wanted already");
    uds_conn_pause(a, 1);
    cr_assert_eq(actor.rearms, 2);
    uds_conn_resume(a, 1);
    cr_assert_eq(actor.rearms, 3);
    cr_assert_eq(hook.rearms, 3);
}

/* ---- blocking forms, records, forwarding ---- */

Test(conn_wait, leaves_a_message_that_nobody_took_without_waking_the_loop_for_it)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = NULL;
    struct raw_seen seen = {0};

    pair_open(&a, &b, NULL);
    pair_send(a, 1, 1);
    pair_send(a, 2, 1);
    cr_assert_eq(uds_conn_flush(a), 0);
    cr_assert_eq(uds_conn_process(b), 0);
    cr_assert_eq(uds_conn_get_events(b), 0);
    cr_assert_eq(uds_conn_get_timeout(b), -1);
    cr_assert_eq(uds_conn_receive(b, &msg), 1);
    cr_assert_eq(uds_conn_get_events(b), POLLIN);
    cr_assert_eq(uds_conn_get_timeout(b), 0, "our buffer has another");
    cr_assert_eq(uds_conn_process(b), 0);
    uds_conn_set_callbacks(b, &raw_callbacks, &seen);
    cr_assert_eq(uds_conn_get_timeout(b), 0, "now somebody wants it");
    cr_assert_eq(uds_conn_process(b), 0);
    cr_assert_eq(seen.last_id, 2);
    cr_assert_eq(uds_conn_get_timeout(b), -1);
}

Test(conn_wait, times_out_and_delivers)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = NULL, *got = NULL;

    pair_open(&a, &b, NULL);
    cr_assert_eq(uds_conn_receive_wait(b, &got, 0), -ETIMEDOUT);
    cr_assert_eq(uds_conn_receive_wait(b, &got, 5), -ETIMEDOUT);
    msg = pair_msg(4, 100);
    cr_assert_eq(uds_conn_send_wait(a, msg, 1000), 0);
    cr_assert_eq(uds_conn_receive_wait(b, &got, 1000), 0);
    cr_assert_eq(uds_msg_get_id(got), 4);
    a = uds_conn_unref(a);
    cr_assert_eq(uds_conn_receive_wait(b, &got, -1), -ECONNRESET);
    cr_assert_eq(uds_conn_send_wait(b, msg, -1), -ECONNRESET);
}

Test(conn_wait, sends_no_further_than_the_timeout_when_nobody_reads)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = pair_msg(1, 4 << 20), *first = pair_msg(1, 1);

    cr_assert_eq(uds_conn_pair(&a, &b, NULL), 0);
    cr_assert_eq(uds_conn_send_wait(a, first, 5), -ETIMEDOUT, "no HELLO has come");
    cr_assert_geq(pair_run(b), 0);
    cr_assert_eq(uds_conn_send_wait(a, msg, 5), -ETIMEDOUT);
    cr_assert_gt(uds_conn_get_queued_bytes(a), 0);
    cr_assert_lt(uds_conn_get_queued_bytes(a), 4u << 20);
}

Test(conn_wait, waits_in_the_receive_and_goes_on_after_parts_and_interruptions)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = pair_msg(4, 100), *got = NULL;
    size_t len;

    pair_open(&a, &b, NULL);
    cr_assert_eq(uds_conn_send_wait(a, msg, 1000), 0);
    {
        FAULTSOCK({.call = FAULT_RECV, .what = FAULT_ERRNO, .value = EINTR, .times = 1},
                  {.call = FAULT_RECV, .what = FAULT_LIMIT, .value = 10, .times = 1},
                  {.call = FAULT_RECV, .what = FAULT_LIMIT, .value = 20, .times = 2});
        cr_assert_eq(uds_conn_receive_wait(b, &got, -1), 0);
        /* After a part the socket may be empty: the next receive waits again, and asks nothing before. */
        cr_assert_eq(faultsock_receives(), 5u);
    }
    (void)uds_msg_peek_body(got, &len);
    cr_assert_eq(len, 100u);
    cr_assert(udsi_conn_check(b));
}

Test(conn_wait, tells_what_the_receive_said_that_waited)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = pair_msg(4, 100), *got = NULL;

    pair_open(&a, &b, NULL);
    cr_assert_eq(uds_conn_send_wait(a, msg, 1000), 0);
    {
        FAULTSOCK({.call = FAULT_RECV, .what = FAULT_ERRNO, .value = EIO, .times = 1});
        cr_assert_eq(uds_conn_receive_wait(b, &got, -1), -EIO);
    }
    cr_assert_str_eq(uds_conn_get_error_text(b), "receiving failed: Input/output error");
}

static void
resume(uds_conn *conn, enum uds_msg_type type, uint64_t id, uds_msg *payload, int error, void *arg)
{
    (void)type;
    (void)id;
    (void)payload;
    (void)error;
    (void)arg;
    uds_conn_resume(conn, 1);
}

Test(conn_wait, gives_what_it_has_before_it_waits_in_the_receive_once_a_callback_has_resumed_it)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *first = NULL, *got = NULL, *refused = pair_msg(9, 1);
    static const struct uds_conn_callbacks callbacks = {.on_refused = resume};

    pair_open(&a, &b, NULL);
    uds_conn_set_callbacks(b, &callbacks, NULL);
    pair_send(a, 1, 100);
    pair_send(a, 2, 100);
    cr_assert_eq(uds_conn_flush(a), 0);
    cr_assert_eq(uds_conn_receive_wait(b, &first, 1000), 0);
    uds_conn_pause(b, 1);
    cr_assert_eq(uds_msg_push_dup_fd(refused, 0), 0);
    cr_assert_eq(uds_conn_send(b, refused), 0);
    {
        FAULTSOCK({.call = FAULT_SEND, .what = FAULT_ERRNO, .value = EPERM, .times = 1},
                  {.call = FAULT_RECV, .what = FAULT_ERRNO, .value = EIO, .times = 1});
        cr_assert_eq(uds_conn_receive_wait(b, &got, -1), 0);
        cr_assert_eq(faultsock_receives(), 0u);
    }
    cr_assert_eq(uds_msg_get_id(got), 2);
}

struct late {
    uds_conn *conn;
    uds_msg *msg;
};

static void *send_late(void *arg)
{
    struct late *late = arg;

    (void)poll(NULL, 0, 50);
    return uds_conn_send_wait(late->conn, late->msg, 1000) == 0 ? arg : NULL;
}

Test(conn_wait, sleeps_though_somebody_who_shares_the_socket_has_made_it_non_blocking)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = pair_msg(1, 100), *got = NULL;
    struct late late;
    pthread_t thread;
    void *sent;

    pair_open(&a, &b, NULL);
    cr_assert_eq(fcntl(uds_conn_get_fd(b), F_SETFL, O_NONBLOCK), 0);
    late = (struct late){.conn = a, .msg = msg};
    cr_assert_eq(pthread_create(&thread, NULL, send_late, &late), 0);
    {
        FAULTSOCK({.call = FAULT_RECV, .what = FAULT_PASS});
        cr_assert_eq(uds_conn_receive_wait(b, &got, -1), 0);
        cr_assert_lt(faultsock_receives(), 20u, "%u receives: it span", faultsock_receives());
    }
    cr_assert_eq(pthread_join(thread, &sent), 0);
    cr_assert_not_null(sent);
}

Test(conn_wait, sleeps_while_the_peer_reads_nothing_though_a_message_came_before)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = pair_msg(1, 4 << 20), *got = NULL;

    pair_open(&a, &b, NULL);
    pair_send(b, 2, 10);
    cr_assert_eq(pair_run(b), 0);
    cr_assert_eq(uds_conn_receive_wait(a, &got, 1000), 0);
    {
        FAULTSOCK({.call = FAULT_SEND, .what = FAULT_PASS});
        cr_assert_eq(uds_conn_send_wait(a, msg, 100), -ETIMEDOUT);
        cr_assert_lt(faultsock_sends(), 20u, "%u sends: it span", faultsock_sends());
    }
}

static void count_room(uds_conn *conn, void *arg)
{
    cr_assert_eq(uds_conn_get_events(conn), POLLIN | POLLOUT);
    ++*(unsigned *)arg;
}

Test(conn_wait, sends_the_rest_of_a_small_message_of_which_a_part_has_gone)
{
    UDS_TEST_GUARD;
    unsigned rearms = 0;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = pair_msg(7, 100), *got = NULL;

    pair_open(&a, &b, NULL);
    cr_assert_eq(uds_msg_push_dup_fd(msg, 0), 0);
    uds_conn_set_loop_hook(a, count_room, &rearms);
    {
        FAULTSOCK({.call = FAULT_SEND, .what = FAULT_LIMIT, .value = 30, .times = 1},
                  {.call = FAULT_SEND, .what = FAULT_ERRNO, .value = ETOOMANYREFS, .times = 0});
        cr_assert_eq(uds_conn_send_wait(a, msg, 0), -ETIMEDOUT);
        cr_assert(udsi_conn_check(a));
        cr_assert_eq(uds_conn_get_queued_bytes(a), 24u + 100 - 30);
        cr_assert_eq(uds_conn_get_queued_fds(a), 0, "they went with the first byte");
        cr_assert_eq(rearms, 1, "the loop has to wait for room now");
        uds_conn_set_loop_hook(a, NULL, NULL);
    }
    while (uds_conn_flush(a) == 1)
        (void)poll(NULL, 0, uds_conn_get_timeout(a));
    cr_assert(udsi_conn_check(a));
    cr_assert_eq(uds_conn_receive_wait(b, &got, 1000), 0);
    cr_assert_eq(uds_msg_get_id(got), 7);
    cr_assert_eq(uds_msg_get_fd_count(got), 1);
}

Test(conn_wait, sends_a_small_message_that_the_socket_does_not_take_at_first)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = pair_msg(8, 100), *got = NULL;

    pair_open(&a, &b, NULL);
    {
        FAULTSOCK({.call = FAULT_SEND, .what = FAULT_ERRNO, .value = ETOOMANYREFS, .times = 2});
        cr_assert_eq(uds_conn_send_wait(a, msg, 1000), 0);
        cr_assert_eq(faultsock_sends(), 3u);
    }
    cr_assert_eq(uds_conn_receive_wait(b, &got, 1000), 0);
    cr_assert_eq(uds_msg_get_id(got), 8);
    cr_assert_eq(uds_conn_get_queued_bytes(a), 0);
}

Test(conn_records, are_one_frame_each_and_say_how_large_they_may_be)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *huge = NULL, *got = NULL;
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    struct raw_seen seen = {0};
    int pair[2];

    options.arena_bytes = 0; /* with arenas a larger one may go, see arena_record_test.c */
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    cr_assert_eq(uds_conn_new(&a, pair[0], &options), 0);
    cr_assert_eq(uds_conn_new(&b, pair[1], NULL), 0);
    pair_send(a, 1, 0);
    pair_send(a, 2, 100000);
    huge = pair_msg(3, a->record_max - 24 + 1);
    cr_assert_eq(uds_conn_send(a, huge), -EMSGSIZE);
    (void)uds_msg_unref(huge);
    huge = pair_msg(4, a->record_max - 24);
    cr_assert_eq(uds_conn_send(a, huge), 0);
    for (int i = 0; i < 5; i++) {
        cr_assert_geq(uds_conn_process(a), 0);
        cr_assert_geq(uds_conn_receive(b, &got), 0);
        got = uds_msg_unref(got);
    }
    uds_conn_set_callbacks(b, &raw_callbacks, &seen);
    cr_assert_eq(uds_conn_get_queued_bytes(a), 0);
    pair_send(a, 7, 10);
    pair_send(a, 8, 70000);
    cr_assert_eq(pair_run(a), 0);
    cr_assert_eq(pair_run(b), 0);
    cr_assert_eq(seen.last_id, 8);
    cr_assert_eq(seen.last_body_len, 70000);
}

Test(conn_records, that_hold_more_or_less_than_a_frame_break_the_protocol)
{
    UDS_TEST_GUARD;
    uint8_t bytes[256] = {0};
    size_t len = raw_encode(&(struct raw_frame){.body = "body", .body_len = 4}, bytes);
    const size_t lengths[] = {1, 23, len - 1, len + 1, 2 * len};

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        _cleanup_conn_ uds_conn *conn = NULL;
        _cleanup_close_ int peer = raw_conn(&conn, SOCK_SEQPACKET, NULL, 1);

        (void)raw_encode(&(struct raw_frame){.body = "body", .body_len = 4}, bytes + len);
        cr_assert_gt(raw_send(peer, bytes, lengths[i], -1, 0), 0);
        cr_assert_eq(pair_run(conn), -EPROTO);
        cr_assert(strstr(uds_conn_get_error_text(conn), "P-18"));
    }
}

Test(conn_forward, shares_a_body_under_another_head)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *payload = pair_msg(1, 5000), *got = NULL;
    static const uint8_t head[] = {1, 0, 1, 0, 's'};
    const void *data;
    size_t len;

    cr_assert_eq(uds_msg_add_string(payload, UDS_FIELD_SUBJECT, "other"), 0);
    pair_open(&a, &b, NULL);
    cr_assert_eq(uds_conn_forward(a, UDS_MSG_DELIVER, 77, head, sizeof(head), payload, false), 0);
    cr_assert_eq(uds_conn_forward(a, UDS_MSG_ACK, 78, NULL, 0, NULL, false), 0);
    cr_assert_eq(uds_conn_flush(a), 0);
    cr_assert_eq(uds_conn_receive(b, &got), 1);
    cr_assert_eq(uds_msg_get_type(got), UDS_MSG_DELIVER);
    cr_assert_eq(uds_msg_get_id(got), 77);
    cr_assert_eq(uds_msg_find(got, UDS_FIELD_SUBJECT, &data, &len), 0);
    cr_assert_eq(len, 1);
    cr_assert_arr_eq(uds_msg_peek_body(got, &len), uds_msg_peek_body(payload, NULL), 5000);
    (void)uds_msg_unref(got);
    cr_assert_eq(uds_conn_receive(b, &got), 1);
    cr_assert_eq(uds_msg_get_type(got), UDS_MSG_ACK);
    cr_assert_eq(uds_conn_forward(a, UDS_MSG_ACK, 1, head, UDS_HEAD_MAX + 1, NULL, false), -EINVAL);
}

Test(conn_life, a_large_record_leaves_no_large_buffer_behind)
{
    UDS_TEST_GUARD;
    static char body[150 << 10];
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = NULL, *got = NULL;
    int pair[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    cr_assert_eq(uds_conn_new(&a, pair[0], NULL), 0);
    cr_assert_eq(uds_conn_new(&b, pair[1], NULL), 0);
    for (int i = 0; i < 2; i++) {
        (void)uds_conn_process(a);
        (void)uds_conn_process(b);
    }
    cr_assert(uds_conn_is_open(a) && uds_conn_is_open(b));
    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 1, body, sizeof(body)), 0);
    cr_assert_eq(uds_conn_send(a, msg), 0);
    cr_assert(uds_conn_process(a) >= 0);
    cr_assert(uds_conn_process(b) >= 0);
    cr_assert_eq(uds_conn_receive(b, &got), 1);
    cr_assert(uds_conn_process(b) >= 0); /* finds nothing more */
    cr_expect_leq(b->in.cap, UDSI_BUFFER_LARGE, "%zu bytes", b->in.cap);
}
