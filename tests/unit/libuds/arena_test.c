/* SPDX-License-Identifier: MIT */
/*
 * Large bodies in arenas between two honest ends: when they are used, and that nobody sees a difference but in speed. Who
 * has a slot when is in arena_slots_test.c, how arenas end and move in arena_life_test.c, what a hostile peer does in
 * arena_hostile_test.c.
 */
#include "arena_scene.h"

/* Whatever way is on trial, bodies arrive as they were sent, in order, copied or built in place. */
Test(arena, brings_every_body_whichever_way_it_goes)
{
    UDS_TEST_GUARD;
    for (int path = UDS_BODY_PATH_MEASURED; path <= UDS_BODY_PATH_IN_FRAMES; path++) {
        _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
        unsigned by_arena = 0;

        open_pair_by(&a, &b, UDS_ARENA_DEFAULT, (enum uds_body_path)path);
        for (uint64_t i = 0; i < 1200; i++) {
            size_t len = LARGE - (size_t)i % 64;
            _cleanup_msg_ uds_msg *msg = NULL, *seen = NULL;
            void *room;

            if (i % 2 == 0) {
                msg = make(i, len);
            } else {
                cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, i, NULL, 0), 0);
                cr_assert_eq(uds_conn_reserve_body(a, msg, len, &room), 0);
                memset(room, (int)i, len);
            }
            cr_assert_eq(uds_conn_send(a, msg), 0);
            msg = uds_msg_unref(msg);
            seen = receive(a, b);
            by_arena += came_by_arena(seen);
            check_body(seen, i, len);
            seen = uds_msg_unref(seen);
            step(a, b);
        }
        cr_assert_eq(by_arena > 0, path != UDS_BODY_PATH_IN_FRAMES, "path %d: %u by arena", path,
                     by_arena);
        if (path == UDS_BODY_PATH_ARENA || path == UDS_BODY_PATH_UNCACHED)
            cr_assert_gt(by_arena, 1000, "path %d: %u by arena", path, by_arena);
    }
}

Test(arena, knows_its_paths_by_number)
{
    UDS_TEST_GUARD;
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    uds_conn *a = NULL, *b = NULL;

    options.body_path = (enum uds_body_path)(UDS_BODY_PATH_IN_FRAMES + 1);
    cr_assert_eq(uds_conn_pair(&a, &b, &options), -EINVAL);
}

Test(arena, carries_large_bodies_once_a_connection_has_sent_many)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *first = NULL, *msg = NULL;

    open_pair(&a, &b, UDS_ARENA_DEFAULT);
    cr_assert(uds_conn_get_features(a) & UDS_FEATURE_ARENA);
    send_one(a, 1, LARGE);
    first = receive(a, b);
    cr_assert_not(came_by_arena(first), "the first one is not worth an arena");
    cr_assert_null(b->arenas);

    warm(a, b, LARGE);
    send_one(a, 2, LARGE);
    cr_assert_lt(uds_conn_get_queued_bytes(a), 100, "only a reference is queued");
    msg = receive(a, b);
    cr_assert(came_by_arena(msg));
    check_body(msg, 2, LARGE);
    check_body(first, 1, LARGE);
}

Test(arena, leaves_small_bodies_in_their_frames)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = NULL;

    open_pair(&a, &b, UDS_ARENA_DEFAULT);
    warm(a, b, LARGE);
    send_one(a, 2, 1000);
    msg = receive(a, b);
    cr_assert_not(came_by_arena(msg));
    check_body(msg, 2, 1000);
}

Test(arena, is_not_used_when_one_side_does_not_want_it)
{
    UDS_TEST_GUARD;
    struct uds_conn_options off = UDS_CONN_OPTIONS_INIT;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    int pair[2];

    off.arena_bytes = 0;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    cr_assert_eq(uds_conn_new(&a, pair[0], NULL), 0);
    cr_assert_eq(uds_conn_new(&b, pair[1], &off), 0);
    step(a, b);
    cr_assert_not(uds_conn_get_features(a) & UDS_FEATURE_ARENA);
    for (uint64_t i = 0; i < 100; i++) {
        _cleanup_msg_ uds_msg *msg = NULL;

        send_one(a, i, HUGE);
        msg = receive(a, b);
        check_body(msg, i, HUGE);
    }
    cr_assert_null(a->arenas);
}

Test(arena, is_not_announced_to_a_peer_that_takes_no_descriptors)
{
    UDS_TEST_GUARD;
    struct uds_conn_options none = UDS_CONN_OPTIONS_INIT;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    int pair[2];

    none.max_fds = 0;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    cr_assert_eq(uds_conn_new(&a, pair[0], NULL), 0);
    cr_assert_eq(uds_conn_new(&b, pair[1], &none), 0);
    step(a, b);
    for (uint64_t i = 0; i < 50; i++) {
        _cleanup_msg_ uds_msg *msg = NULL;

        send_one(a, i, HUGE);
        msg = receive(a, b);
        check_body(msg, i, HUGE);
    }
    cr_assert_null(a->arenas);
}

Test(arena, is_never_shown_to_a_third_party)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL, *c = NULL, *d = NULL;
    _cleanup_msg_ uds_msg *msg = NULL, *inside = NULL, *second = NULL;

    open_pair(&a, &b, UDS_ARENA_DEFAULT);
    open_pair(&c, &d, UDS_ARENA_DEFAULT);
    warm(a, b, LARGE);
    send_one(a, 9, LARGE);
    msg = receive(a, b);

    /* Inside a frame: a private copy, and the slot is free. */
    cr_assert_eq(uds_conn_forward(c, UDS_MSG_MESSAGE, 9, NULL, 0, msg, false), 0);
    memset(a->arenas->own[0].region->base, 0, LARGE);
    inside = receive(c, d);
    cr_assert_not(came_by_arena(inside));
    check_body(inside, 9, LARGE);

    /* By an arena of the second connection: copied there. */
    warm(c, d, LARGE);
    msg = uds_msg_unref(msg);
    step(a, b);
    send_one(a, 10, LARGE);
    msg = receive(a, b);
    cr_assert_eq(uds_conn_forward(c, UDS_MSG_MESSAGE, 10, NULL, 0, msg, false), 0);
    memset(a->arenas->own[0].region->base, 0, LARGE);
    second = receive(c, d);
    cr_assert(came_by_arena(second));
    cr_assert_neq(second->lease->region, msg->lease->region);
    check_body(second, 10, LARGE);
}

Test(arena, does_not_travel_by_datagram)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = NULL, *got = NULL;
    uds_dgram *from = NULL, *to = NULL;

    cr_assert_eq(uds_dgram_pair(&from, &to, NULL), 0);
    open_pair(&a, &b, UDS_ARENA_DEFAULT);
    warm(a, b, LARGE);
    send_one(a, 9, LARGE);
    msg = receive(a, b);
    cr_assert_eq(uds_dgram_send(from, NULL, msg), 0);
    cr_assert_eq(uds_dgram_receive(to, &got, NULL), 1);
    check_body(got, 9, LARGE);
    (void)uds_dgram_unref(from);
    (void)uds_dgram_unref(to);
}

Test(arena, keeps_the_order_of_bodies_in_it_in_frames_and_with_descriptors)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;

    open_pair(&a, &b, UDS_ARENA_DEFAULT);
    for (int i = 0; i < 8; i++)
        exchange_in_order(a, b, LARGE);
    cr_assert_eq(a->arenas->nown > 0 && a->arenas->own[0].granted, true);
}

Test(arena, works_over_seqpacket)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = NULL;

    open_seqpacket_pair(&a, &b);
    warm(a, b, LARGE);
    send_one(a, 1, LARGE);
    msg = receive(a, b);
    cr_assert(came_by_arena(msg));
    check_body(msg, 1, LARGE);
    exchange_in_order(a, b, LARGE);
}

Test(arena, is_found_by_a_sender_that_only_sends)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    size_t by_arena = 0;

    open_pair(&a, &b, UDS_ARENA_DEFAULT);
    for (uint64_t i = 0; i < 400; i++) {
        _cleanup_msg_ uds_msg *out = make(i, LARGE), *in = NULL;

        cr_assert_eq(uds_conn_send_wait(a, out, 1000), 0);
        cr_assert_eq(uds_conn_receive_wait(b, &in, 1000), 0);
        by_arena += came_by_arena(in);
        check_body(in, i, LARGE);
    }
    cr_assert_gt(by_arena, 200);
}
