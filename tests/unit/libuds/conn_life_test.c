/* SPDX-License-Identifier: MIT */
/* How connections end and pause, and what callbacks may do. */

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

#include <sys/socket.h>

#include <uds/error.h>

#include "cleanup.h"
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
