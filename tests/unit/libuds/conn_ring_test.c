/* SPDX-License-Identifier: MIT */
/*
 * Connections whose frames go through shared memory: agreeing on it, what stays the same, descriptors, room, sleeping and
 * waking. How they end and move is in conn_ring_end_test.c, what a hostile peer can do in conn_ring_hostile_test.c.
 */
#include "ring_scene.h"

Test(conn_ring, goes_over_when_both_sides_want_it_and_one_offers)
{
    UDS_TEST_GUARD;
    _cleanup_ends_ struct ends ends = ringed(SIZE);

    send_body(ends.a, 1, 100, 0);
    send_body(ends.b, 2, 200, 0);
    cr_assert_eq(uds_conn_flush(ends.a), 0);
    cr_assert_eq(uds_conn_flush(ends.b), 0);
    expect_body(ends.b, 1, 100, 0);
    expect_body(ends.a, 2, 200, 0);
}

Test(conn_ring, stays_on_the_socket_when_one_side_does_not_want_it)
{
    UDS_TEST_GUARD;
    struct uds_conn_options a = with_ring(SIZE, true);
    _cleanup_ends_ struct ends ends = ends_new(&a, NULL);

    settle(&ends);
    cr_assert_not(uds_conn_uses_ring(ends.a) || uds_conn_uses_ring(ends.b));
    cr_assert_eq(ends.a->ring, NULL);
    send_body(ends.a, 1, 100, 1);
    cr_assert_eq(uds_conn_flush(ends.a), 0);
    expect_body(ends.b, 1, 100, 1);
}

Test(conn_ring, stays_on_the_socket_when_nobody_offers)
{
    UDS_TEST_GUARD;
    struct uds_conn_options take = with_ring(SIZE, false);
    _cleanup_ends_ struct ends ends = ends_new(&take, &take);

    settle(&ends);
    cr_assert(uds_conn_get_features(ends.a) & UDS_FEATURE_RING);
    cr_assert_not(uds_conn_uses_ring(ends.a) || uds_conn_uses_ring(ends.b));
}

Test(conn_ring, is_declined_when_it_is_larger_than_the_other_side_takes)
{
    UDS_TEST_GUARD;
    struct uds_conn_options a = with_ring(2 * SIZE, true), b = with_ring(SIZE, false);
    _cleanup_ends_ struct ends ends = ends_new(&a, &b);

    settle(&ends);
    cr_assert_not(uds_conn_uses_ring(ends.a) || uds_conn_uses_ring(ends.b));
    cr_assert_eq(ends.a->ring, NULL, "what was made for it is gone");
    send_body(ends.a, 1, 100, 0);
    cr_assert_eq(uds_conn_flush(ends.a), 0);
    expect_body(ends.b, 1, 100, 0);
}

Test(conn_ring, is_one_when_both_sides_offer) /* P-51 */
{
    UDS_TEST_GUARD;
    struct uds_conn_options both = with_ring(SIZE, true);

    for (int i = 0; i < 20; i++) {
        _cleanup_ends_ struct ends ends = ends_new(&both, &both);

        settle(&ends);
        cr_assert(uds_conn_uses_ring(ends.a) && uds_conn_uses_ring(ends.b));
        cr_assert_eq(ends.a->ring->id, ends.b->ring->id);
        cr_assert_neq(ends.a->ring->side, ends.b->ring->side);
        send_body(ends.a, 1, 100, 1);
        send_body(ends.b, 2, 100, 1);
        settle(&ends);
        expect_body(ends.b, 1, 100, 1);
        expect_body(ends.a, 2, 100, 1);
    }
}

Test(conn_ring, is_not_for_a_peer_that_takes_no_descriptors)
{
    UDS_TEST_GUARD;
    struct uds_conn_options a = with_ring(SIZE, true), b = with_ring(SIZE, false);

    b.max_fds = 0;
    _cleanup_ends_ struct ends ends = ends_new(&a, &b);
    settle(&ends);
    cr_assert_not(uds_conn_uses_ring(ends.a) || uds_conn_uses_ring(ends.b));
}

Test(conn_ring, refuses_options_that_cannot_be)
{
    UDS_TEST_GUARD;
    struct uds_conn_options options = with_ring(5000, false);
    uds_conn *conn;
    int pair[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    cr_assert_eq(uds_conn_new(&conn, pair[0], &options), -EINVAL);
    options.ring_bytes = 4096;
    cr_assert_eq(uds_conn_new(&conn, pair[0], &options), -EPROTOTYPE, "records have no ring");
    (void)close(pair[0]);
    (void)close(pair[1]);
}

Test(conn_ring, keeps_the_order_of_what_was_queued_before_it) /* P-56 */
{
    UDS_TEST_GUARD;
    struct uds_conn_options a = with_ring(SIZE, true), b = with_ring(SIZE, false);
    _cleanup_ends_ struct ends ends = ends_new(&a, &b);

    for (uint64_t id = 1; id <= 40; id++) {
        send_body(ends.a, id, 1000, id % 5 == 0);
        send_body(ends.b, id, 1000, id % 7 == 0);
        if (id % 4 == 0) {
            (void)run(ends.a);
            (void)run(ends.b);
        }
    }
    for (uint64_t id = 1; id <= 40; id++) {
        settle(&ends);
        expect_body(ends.a, id, 1000, id % 7 == 0);
        expect_body(ends.b, id, 1000, id % 5 == 0);
    }
    settle(&ends);
    cr_assert(uds_conn_uses_ring(ends.a) && uds_conn_uses_ring(ends.b));
}

Test(conn_ring, carries_bodies_larger_than_itself)
{
    UDS_TEST_GUARD;
    _cleanup_ends_ struct ends ends = ringed(SIZE);

    send_body(ends.a, 1, 300000, 2);
    send_body(ends.a, 2, 10, 0);
    settle(&ends);
    expect_body(ends.b, 1, 300000, 2);
    expect_body(ends.b, 2, 10, 0);
}

Test(conn_ring, makes_no_system_call_while_the_other_side_is_awake)
{
    UDS_TEST_GUARD;
    _cleanup_ends_ struct ends ends = ringed(SIZE);

    udsi_ringlink_wake(ends.b, false);
    {
        FAULTSOCK({FAULT_SEND, FAULT_PASS, 0, 1});
        for (uint64_t id = 1; id <= 100; id++) {
            uds_msg *msg;
            unsigned budget = 64;

            send_body(ends.a, id, 64, 0);
            cr_assert_eq(uds_conn_flush(ends.a), 0);
            cr_assert_eq(udsi_conn_next(ends.b, &budget, &msg), 1);
            (void)uds_msg_unref(msg);
        }
        cr_assert_eq(faultsock_sends() + faultsock_receives(), 0);
    }
}

Test(conn_ring, rings_a_sleeping_peer_once) /* P-55 */
{
    UDS_TEST_GUARD;
    _cleanup_ends_ struct ends ends = ringed(SIZE);
    struct pollfd pfd = {.fd = uds_conn_get_fd(ends.b), .events = POLLIN};

    cr_assert_eq(poll(&pfd, 1, 0), 0);
    {
        FAULTSOCK({FAULT_SEND, FAULT_PASS, 0, 1});
        for (uint64_t id = 1; id <= 5; id++) {
            send_body(ends.a, id, 64, 0);
            cr_assert_eq(uds_conn_flush(ends.a), 0);
        }
        cr_assert_eq(faultsock_sends(), 1);
    }
    cr_assert_eq(poll(&pfd, 1, 0), 1);
    for (uint64_t id = 1; id <= 5; id++)
        expect_body(ends.b, id, 64, 0);
    settle(&ends);
    cr_assert_eq(poll(&pfd, 1, 0), 0, "nothing is left that would wake it again");
}

Test(conn_ring, rings_again_when_the_kernel_had_no_memory_for_it)
{
    UDS_TEST_GUARD;
    _cleanup_ends_ struct ends ends = ringed(SIZE);
    struct pollfd pfd = {.fd = uds_conn_get_fd(ends.b), .events = POLLIN};
    int timeout;

    {
        FAULTSOCK({FAULT_SEND, FAULT_ERRNO, ENOBUFS, 1});
        send_body(ends.a, 1, 64, 0);
        (void)run(ends.a);
    }
    cr_assert_eq(poll(&pfd, 1, 0), 0);
    timeout = uds_conn_get_timeout(ends.a);
    cr_assert(timeout >= 0 && timeout <= UDSI_RETRY_MS);
    (void)poll(NULL, 0, timeout + 1);
    (void)run(ends.a);
    cr_assert_eq(poll(&pfd, 1, 0), 1);
    expect_body(ends.b, 1, 64, 0);
}

Test(conn_ring, holds_its_sender_back_when_it_is_full)
{
    UDS_TEST_GUARD;
    _cleanup_ends_ struct ends ends = ringed(SIZE);
    struct pollfd pfd = {.fd = uds_conn_get_fd(ends.a)};

    uds_conn_pause(ends.b, 1);
    for (uint64_t id = 1; id <= 30; id++)
        send_body(ends.a, id, 1000, 0);
    settle(&ends);
    cr_assert_eq(uds_conn_flush(ends.a), 1);
    cr_assert_geq(uds_conn_get_queued_bytes(ends.a), 30 * 1024 - SIZE);
    pfd.events = uds_conn_get_events(ends.a);
    cr_assert_eq(pfd.events, POLLIN, "room is told by a byte");
    cr_assert_eq(poll(&pfd, 1, 0), 0);
    uds_conn_resume(ends.b, 1);
    for (uint64_t id = 1; id <= 30; id++) {
        settle(&ends);
        expect_body(ends.b, id, 1000, 0);
    }
    cr_assert_eq(uds_conn_flush(ends.a), 0);
}

Test(conn_ring, tells_of_room_a_side_that_reads_nothing)
{
    UDS_TEST_GUARD;
    _cleanup_ends_ struct ends ends = ringed(SIZE);

    uds_conn_pause(ends.a, 1);
    for (uint64_t id = 1; id <= 30; id++) {
        send_body(ends.a, id, 1000, 0);
        send_body(ends.b, id, 10,
                  id < 9); /* descriptors that nobody takes are in the way of the doorbell */
    }
    for (uint64_t id = 1, spent = 0; id <= 30; spent++) {
        uds_msg *msg = NULL;

        cr_assert_lt(spent, 10000);
        (void)run(ends.a);
        (void)run(ends.b);
        while (uds_conn_receive(ends.b, &msg) == 1) {
            cr_assert_eq(uds_msg_get_id(msg), id++);
            msg = uds_msg_unref(msg);
        }
        if (uds_conn_get_timeout(ends.a) > 0)
            (void)poll(NULL, 0, uds_conn_get_timeout(ends.a));
    }
    uds_conn_resume(ends.a, 1);
    for (uint64_t id = 1; id <= 30; id++) {
        settle(&ends);
        expect_body(ends.a, id, 10, id < 9);
    }
}

Test(conn_ring, hands_each_frame_its_own_descriptors) /* P-57 */
{
    UDS_TEST_GUARD;
    _cleanup_ends_ struct ends ends = ringed(SIZE);

    for (uint64_t round = 0; round < 20; round++) {
        for (uint64_t id = 1; id <= 12; id++)
            send_body(ends.a, id, id * 300, id % 3);
        for (uint64_t id = 1; id <= 12; id++) {
            settle(&ends);
            expect_body(ends.b, id, id * 300, id % 3);
        }
    }
}

Test(conn_ring, waits_while_too_many_descriptors_are_in_flight)
{
    UDS_TEST_GUARD;
    _cleanup_ends_ struct ends ends = ringed(SIZE);

    {
        FAULTSOCK({FAULT_SEND, FAULT_ERRNO, ETOOMANYREFS, 1});
        send_body(ends.a, 1, 10, 0);
        send_body(ends.a, 2, 10, 1);
        udsi_ringlink_wake(ends.b, false);
        cr_assert_eq(uds_conn_flush(ends.a), 1);
    }
    expect_body(ends.b, 1, 10, 0);
    (void)poll(NULL, 0, UDSI_RETRY_MS + 1);
    cr_assert_eq(uds_conn_flush(ends.a), 0);
    expect_body(ends.b, 2, 10, 1);
}

Test(conn_ring, reports_descriptors_that_the_kernel_dropped) /* P-21 */
{
    UDS_TEST_GUARD;
    _cleanup_ends_ struct ends ends = ringed(SIZE);
    _cleanup_msg_ uds_msg *msg = NULL;

    send_body(ends.a, 1, 10, 2);
    cr_assert_eq(uds_conn_flush(ends.a), 0);
    {
        FAULTSOCK({FAULT_RECV, FAULT_CTRUNC, 0, 1});
        cr_assert_eq(uds_conn_receive(ends.b, &msg), 1);
    }
    cr_assert_eq(uds_msg_get_error(msg), -EMFILE);
    cr_assert_eq(uds_msg_get_fd_count(msg), 0);
}

/* ---- blocking, with a thread on the other side ---- */

static void *echo(void *arg)
{
    uds_conn *conn = arg;
    uds_msg *msg;

    while (uds_conn_receive_wait(conn, &msg, -1) == 0) {
        if (uds_conn_send_wait(conn, msg, -1) < 0)
            break;
        (void)uds_msg_unref(msg);
    }
    return NULL;
}

static void ping_pong(struct ends *ends, unsigned rounds)
{
    for (uint64_t id = 1; id <= rounds; id++) {
        _cleanup_msg_ uds_msg *msg = NULL;
        uds_msg *answer;
        size_t len;

        cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, id, "0123456789", id % 11), 0);
        if (id % 16 == 0)
            cr_assert_eq(uds_msg_push_dup_fd(msg, 0), 0);
        cr_assert_eq(uds_conn_send_wait(ends->a, msg, 10000), 0);
        cr_assert_eq(uds_conn_receive_wait(ends->a, &answer, id % 2 ? 10000 : -1), 0);
        cr_assert_eq(uds_msg_get_id(answer), id);
        (void)uds_msg_peek_body(answer, &len);
        cr_assert_eq(len, id % 11);
        (void)uds_msg_unref(answer);
    }
}

Test(conn_ring, answers_a_blocking_caller)
{
    UDS_TEST_GUARD;
    _cleanup_ends_ struct ends ends = ringed(SIZE);
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, echo, ends.b), 0);
    ping_pong(&ends, 5000);
    ends.a = uds_conn_unref(ends.a);
    cr_assert_eq(pthread_join(thread, NULL), 0);
}

Test(conn_ring, keeps_the_deadline_of_a_blocking_caller)
{
    UDS_TEST_GUARD;
    _cleanup_ends_ struct ends ends = ringed(SIZE);
    uds_msg *msg;

    cr_assert_eq(uds_conn_receive_wait(ends.a, &msg, 0), -ETIMEDOUT);
    cr_assert_eq(uds_conn_receive_wait(ends.a, &msg, 20), -ETIMEDOUT);
    for (uint64_t id = 1; id <= 10; id++)
        send_body(ends.a, id, 1000, 0);
    _cleanup_msg_ uds_msg *last = NULL;
    cr_assert_eq(uds_msg_new(&last, UDS_MSG_MESSAGE, 11, NULL, 0), 0);
    cr_assert_eq(uds_conn_send_wait(ends.a, last, 20), -ETIMEDOUT);
}

Test(conn_ring, wakes_a_blocking_caller_when_the_peer_is_gone)
{
    UDS_TEST_GUARD;
    _cleanup_ends_ struct ends ends = ringed(SIZE);
    pthread_t thread;

    cr_assert_eq(pthread_create(&thread, NULL, echo, ends.b), 0);
    ping_pong(&ends, 3);
    while (!(atomic_load(&ends.a->ring->ring.theirs->sleep.value) & UDSI_RING_DATA))
        (void)sched_yield();
    ends.a = uds_conn_unref(ends.a);
    cr_assert_eq(pthread_join(thread, NULL), 0);
}
