/* SPDX-License-Identifier: MIT */
/* Connections with a ring: goodbyes, deaths, and the way into another image. */
#include "ring_scene.h"

Test(conn_ring, delivers_what_was_said_before_a_goodbye)
{
    UDS_TEST_GUARD;
    _cleanup_ends_ struct ends ends = ringed(SIZE);
    struct raw_seen seen = {0};

    uds_conn_set_callbacks(ends.b, &raw_callbacks, &seen);
    for (uint64_t id = 1; id <= 20; id++)
        send_body(ends.a, id, 1000, 0);
    cr_assert_eq(uds_conn_shutdown(ends.a, 0, "done"), 0);
    for (int i = 0; i < 100; i++) {
        (void)uds_conn_process(ends.a);
        (void)uds_conn_process(ends.b);
    }
    cr_assert_eq(seen.messages, 20);
    cr_assert_eq(seen.closes, 1);
    cr_assert_eq(seen.close_error, 0);
}

Test(conn_ring, delivers_what_was_published_before_the_peer_died)
{
    UDS_TEST_GUARD;
    _cleanup_ends_ struct ends ends = ringed(SIZE);
    uds_msg *msg;

    send_body(ends.a, 1, 100, 1);
    {
        FAULTSOCK({FAULT_SEND, FAULT_PASS, 0, 1},
                  {FAULT_SEND, FAULT_ERRNO, ENOBUFS, 0}); /* no doorbell */
        (void)uds_conn_flush(ends.a);
    }
    ends.a = uds_conn_unref(ends.a);
    expect_body(ends.b, 1, 100, 1);
    cr_assert_eq(uds_conn_receive(ends.b, &msg), -ECONNRESET);
}

Test(conn_ring, ends_a_sender_that_waits_for_room_when_the_peer_is_gone)
{
    UDS_TEST_GUARD;
    _cleanup_ends_ struct ends ends = ringed(SIZE);

    for (uint64_t id = 1; id <= 30; id++)
        send_body(ends.a, id, 1000, 0);
    cr_assert_eq(uds_conn_flush(ends.a), 1);
    ends.b = uds_conn_unref(ends.b);
    cr_assert_eq(run(ends.a), -ECONNRESET);
}

Test(conn_ring, ends_a_sender_that_reads_nothing_when_the_peer_is_gone)
{
    UDS_TEST_GUARD;
    _cleanup_ends_ struct ends ends = ringed(SIZE);

    uds_conn_pause(ends.a, 1);
    for (uint64_t id = 1; id <= 30; id++)
        send_body(ends.a, id, 1000, 0);
    cr_assert_eq(uds_conn_flush(ends.a), 1);
    ends.b = uds_conn_unref(ends.b);
    for (int i = 0; i < 5; i++)
        (void)uds_conn_process(ends.a);
    cr_assert_eq(uds_conn_flush(ends.a), -EPIPE);
    cr_assert_eq(uds_conn_get_events(ends.a), 0, "nothing to be woken for");
}

Test(conn_ring, finishes_in_order)
{
    UDS_TEST_GUARD;
    _cleanup_ends_ struct ends ends = ringed(SIZE);
    uds_msg *msg;

    send_body(ends.a, 1, 100, 0);
    cr_assert_eq(uds_conn_finish(ends.a), 0);
    settle(&ends);
    expect_body(ends.b, 1, 100, 0);
    cr_assert_eq(uds_conn_receive(ends.b, &msg), -ENODATA);
    send_body(ends.b, 2, 100, 0);
    cr_assert_eq(uds_conn_finish(ends.b), 0);
    (void)uds_conn_flush(ends.b);
    expect_body(ends.a, 2, 100, 0);
    cr_assert_eq(uds_conn_receive(ends.a, &msg), -ESHUTDOWN);
}

static uds_conn *move(uds_conn *conn)
{
    _cleanup_snapshot_ uds_snapshot *from = NULL, *to = NULL;
    const void *data;
    const int *fds;
    int copies[64];
    size_t len, nfds;

    cr_assert_eq(uds_snapshot_new(&from), 0);
    cr_assert_eq(uds_conn_serialise(conn, from), 0);
    uds_snapshot_peek(from, &data, &len, &fds, &nfds);
    for (size_t i = 0; i < nfds; i++)
        copies[i] = dup(fds[i]);
    (void)uds_conn_unref(conn);
    cr_assert_eq(uds_snapshot_open(&to, data, len, copies, nfds), 0);
    cr_assert_eq(uds_conn_restore(&conn, to), 0);
    return conn;
}

Test(conn_ring, moves_into_another_image_at_any_moment)
{
    UDS_TEST_GUARD;

    for (int moment = 0; moment < 60; moment++) {
        struct uds_conn_options a = with_ring(SIZE, true), b = with_ring(SIZE, false);
        _cleanup_ends_ struct ends ends = ends_new(&a, &b);

        for (uint64_t id = 1; id <= 20; id++) {
            send_body(ends.a, id, 700, id % 4 == 0);
            send_body(ends.b, id, 700, id % 5 == 0);
        }
        for (int i = 0; i < moment; i++) {
            uds_conn *conn = i % 3 ? ends.a : ends.b;

            (void)(i % 2 ? uds_conn_process(conn) : uds_conn_flush(conn));
        }
        if (moment % 3 != 1)
            ends.a = move(ends.a);
        if (moment % 3 != 2)
            ends.b = move(ends.b);
        for (uint64_t id = 1; id <= 20; id++) {
            settle(&ends);
            expect_body(ends.a, id, 700, id % 5 == 0);
            expect_body(ends.b, id, 700, id % 4 == 0);
        }
        settle(&ends);
        cr_assert(uds_conn_uses_ring(ends.a) && uds_conn_uses_ring(ends.b));
    }
}
