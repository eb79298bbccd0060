/* SPDX-License-Identifier: MIT */
/* How arenas end, move, and get along with too few descriptors and too little memory. */
#include "arena_scene.h"

Test(arena, outlives_its_connection_in_a_message)
{
    UDS_TEST_GUARD;
    uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *shared = NULL, *copied = NULL;

    open_pair(&a, &b, UDS_ARENA_DEFAULT);
    warm(a, b, LARGE);
    send_one(a, 1, LARGE);
    send_one(a, 2, LARGE);
    shared = receive(a, b);
    copied = receive(a, b);
    (void)uds_conn_unref(a);
    (void)uds_conn_unref(b);
    cr_assert(is_all(uds_msg_peek_body_shared(shared, NULL), 1, LARGE));
    check_body(copied, 2, LARGE);
}

Test(arena, is_read_to_the_end_after_the_sender_died)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *b = NULL;
    _cleanup_msg_ uds_msg *msg = NULL;
    uds_conn *a = NULL;

    open_pair(&a, &b, UDS_ARENA_DEFAULT);
    warm(a, b, LARGE);
    send_one(a, 1, LARGE);
    cr_assert_geq(uds_conn_flush(a), 0);
    (void)uds_conn_unref(a);
    cr_assert_eq(uds_conn_receive(b, &msg), 1);
    check_body(msg, 1, LARGE);
    msg = uds_msg_unref(msg);
    cr_assert_eq(uds_conn_receive(b, &msg), -ECONNRESET);
}

Test(arena, is_given_up_for_one_that_is_needed_more)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = NULL;

    open_pair(&a, &b, 2 << 20);
    warm(a, b, LARGE);
    cr_assert_eq(b->arenas->peer_bytes, 1 << 20);
    warm(a, b, HUGE);
    cr_assert_leq(b->arenas->peer_bytes, 2 << 20);
    cr_assert_leq(a->arenas->own_bytes, 2 << 20);
    send_one(a, 3, HUGE);
    msg = receive(a, b);
    cr_assert(came_by_arena(msg));
    check_body(msg, 3, HUGE);
}

Test(arena, is_trimmed_when_it_is_idle)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = NULL;

    open_pair(&a, &b, UDS_ARENA_DEFAULT);
    cr_assert_eq(uds_conn_trim_arenas(a), 0);
    warm(a, b, LARGE);
    send_one(a, 3, LARGE);
    cr_assert_eq(uds_conn_trim_arenas(a), 0, "a slot is out");
    msg = receive(a, b);
    check_body(msg, 3, LARGE);
    step(a, b);
    cr_assert_eq(uds_conn_trim_arenas(a), 1 << 20);
    step(a, b);
    cr_assert_eq(b->arenas->npeer, 0);
    cr_assert_eq(a->arenas->own_bytes, 0);
    warm(a, b, LARGE);
}

Test(arena, is_refused_when_the_receiver_has_no_descriptor_left)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    rlim_t before;

    open_pair(&a, &b, UDS_ARENA_DEFAULT);
    /* Room for one descriptor: the memfd, until it is sent. */
    before = nofile_set(nofile_next() + 1);
    for (uint64_t i = 0; i < 200; i++) {
        _cleanup_msg_ uds_msg *msg = NULL;
        int taken;

        send_one(a, i, LARGE);
        cr_assert_geq(uds_conn_flush(a), 0);
        taken = dup(0);
        msg = receive(a, b);
        close(taken);
        check_body(msg, i, LARGE);
        step(a, b);
    }
    nofile_set(before);
    cr_assert_gt(a->arenas->refusals, 0);
    cr_assert_eq(a->arenas->nown, 0);
    cr_assert_eq(b->arenas->npeer, 0);
    warm(a, b, LARGE); /* later there is room again */
}

Test(arena, does_not_hold_up_messages_when_too_many_descriptors_are_in_flight)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    uint64_t sent = 0;

    open_pair(&a, &b, UDS_ARENA_DEFAULT);
    for (; !a->arenas || a->arenas->nown == 0; sent++) {
        _cleanup_msg_ uds_msg *msg = NULL;

        if (sent > 0) {
            msg = receive(a, b);
            check_body(msg, sent - 1, LARGE);
        }
        send_one(a, sent, LARGE);
    }
    FAULTSOCK({.call = FAULT_SEND, .what = FAULT_ERRNO, .value = ETOOMANYREFS, .times = 1});
    for (; uds_conn_get_queued_bytes(a) > 0;) {
        _cleanup_msg_ uds_msg *msg = receive(a, b);

        check_body(msg, sent - 1, LARGE);
    }
    cr_assert_eq(a->retry_at, 0, "nothing waits");
    cr_assert_eq(a->arenas->nown, 0);
    cr_assert_eq(a->arenas->refusals, 1);
}

static void *let_go(void *arg)
{
    check_body(arg, 2, LARGE);
    return uds_msg_unref(arg);
}

Test(arena, lets_another_thread_have_the_message)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    pthread_t thread;

    open_pair(&a, &b, UDS_ARENA_DEFAULT);
    warm(a, b, LARGE);
    send_one(a, 2, LARGE);
    cr_assert_eq(pthread_create(&thread, NULL, let_go, receive(a, b)), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    step(a, b);
    cr_assert_eq(a->arenas->own[0].out, 0);
}

/* As conn_state_test.c does it. */
static void move(uds_conn **conn)
{
    _cleanup_snapshot_ uds_snapshot *from = NULL, *to = NULL;
    const void *data;
    const int *fds;
    size_t len, nfds;
    int copies[64];

    cr_assert_eq(uds_snapshot_new(&from), 0);
    cr_assert_eq(uds_conn_serialise(*conn, from), 0);
    *conn = uds_conn_unref(*conn);
    uds_snapshot_peek(from, &data, &len, &fds, &nfds);
    cr_assert_leq(nfds, 64);
    for (size_t i = 0; i < nfds; i++)
        copies[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
    cr_assert_eq(uds_snapshot_open(&to, data, len, copies, nfds), 0);
    cr_assert_eq(uds_conn_restore(conn, to), 0);
    cr_assert(udsi_conn_check(*conn));
}

Test(arena, survives_the_move_of_either_end_at_any_moment)
{
    UDS_TEST_GUARD;
    for (int when = 0; when < 6; when++) {
        _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
        _cleanup_msg_ uds_msg *held = NULL;

        open_pair(&a, &b, UDS_ARENA_DEFAULT);
        warm(a, b, LARGE);
        warm(b, a, LARGE);
        for (uint64_t i = 1; i <= 3; i++) { /* the third with an fd */
            _cleanup_msg_ uds_msg *msg = make(i, LARGE);

            if (i == 3)
                cr_assert_eq(uds_msg_push_dup_fd(msg, 0), 0);
            cr_assert_eq(uds_conn_send(a, msg), 0);
        }
        if (when == 0) /* all is queued */
            move(&a);
        if (when == 1) { /* the first reference is half out, and half in */
            FAULTSOCK({.call = FAULT_SEND, .what = FAULT_LIMIT, .value = 30, .times = 1},
                      {.call = FAULT_SEND, .what = FAULT_ERRNO, .value = EAGAIN, .times = 1});
            cr_assert_eq(uds_conn_flush(a), 1);
            cr_assert_geq(uds_conn_process(b), 0);
            move(&a);
            move(&b);
        }
        if (when == 2) { /* one waits for the application, two in the buffer */
            cr_assert_geq(uds_conn_flush(a), 0);
            cr_assert_geq(uds_conn_process(b), 0);
            cr_assert_not_null(b->ready);
            move(&b);
            move(&b);
        }
        held = receive(a, b);
        if (when == 3) { /* one is in the application's hands */
            check_body(held, 1, LARGE);
            move(&b);
        }
        if (when == 4)
            move(&a);
        check_body(held, 1, LARGE);
        for (uint64_t i = 2; i <= 3; i++) {
            _cleanup_msg_ uds_msg *msg = receive(a, b);

            check_body(msg, i, LARGE);
            cr_assert_eq(uds_msg_get_fd_count(msg), i == 3);
        }
        held = uds_msg_unref(held);
        step(a, b);
        for (unsigned i = 0; i < a->arenas->nown; i++)
            cr_assert_eq(a->arenas->own[i].out, 0, "moved at %d: all is back", when);
        if (when == 0 || when == 1 || when == 4)
            cr_assert_eq(a->arenas->nown, 0, "what cannot be written any more is withdrawn");
        for (unsigned i = 0; i < b->arenas->npeer; i++)
            cr_assert_eq(b->arenas->peer[i].in_hand, 0);
        /* And on it goes, by arenas that the new image makes. */
        warm(a, b, LARGE);
        warm(b, a, LARGE);
        exchange_in_order(a, b, LARGE);
        exchange_in_order(b, a, LARGE);
    }
}

Test(arena, releases_for_the_new_image_what_the_old_one_held)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *held = NULL;

    open_pair(&a, &b, UDS_ARENA_DEFAULT);
    warm(a, b, LARGE);
    send_one(a, 1, LARGE);
    held = receive(a, b);
    move(&b);
    step(a, b);
    cr_assert_eq(a->arenas->own[0].out, 0);
}

Test(arena, has_no_say_in_what_becomes_of_a_message_when_memory_is_short)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;

    open_pair(&a, &b, UDS_ARENA_DEFAULT);
    warm(a, b, LARGE);
    udsi_conn_check(a);
    for (size_t nth = 1; nth < 50; nth++) {
        _cleanup_msg_ uds_msg *out = make(1, LARGE), *in = NULL;
        int r, failed;

        heap_fail(nth);
        r = uds_conn_send(a, out);
        failed = heap_has_failed();
        heap_fail(0);
        cr_assert(r == 0 || (r == -ENOMEM && failed));
        cr_assert(udsi_conn_check(a));
        if (r < 0)
            continue;
        heap_fail(nth);
        r = uds_conn_flush(a);
        if (r >= 0)
            r = uds_conn_receive(b, &in);
        failed = heap_has_failed();
        heap_fail(0);
        if (r == -ENOMEM) {
            cr_assert(failed);
            return; /* as with a body inside the frame: the connection is over */
        }
        cr_assert_eq(r, 1);
        check_body(in, 1, LARGE);
        step(a, b);
    }
}
