/* SPDX-License-Identifier: MIT */
/* Who has a slot of an arena when: looked at, given back, kept, built in. */
#include "arena_scene.h"

Test(arena, shows_a_body_that_no_longer_changes_once_it_was_peeked_at)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = NULL;
    const uint8_t *shared, *body;

    open_pair(&a, &b, UDS_ARENA_DEFAULT);
    warm(a, b, LARGE);
    send_one(a, 2, LARGE);
    msg = receive(a, b);
    shared = uds_msg_peek_body_shared(msg, NULL);
    cr_assert(is_all(shared, 2, LARGE));
    a->arenas->own[0].region->base[0] = 3; /* the sender changes its mind */
    cr_assert_eq(shared[0], 3, "in place shows what is there now");

    body = uds_msg_peek_body(msg, NULL);
    cr_assert_eq(body[0], 3);
    memset(a->arenas->own[0].region->base, 4, LARGE);
    cr_assert_eq(body[0], 3, "the copy does not change");
    cr_assert(is_all(body + 1, 2, LARGE - 1));
    cr_assert_eq(uds_msg_peek_body(msg, NULL), body);
    cr_assert_eq(uds_msg_peek_body_shared(msg, NULL), body, "there is nothing else any more");
}

Test(arena, gives_a_slot_back_with_the_first_look_at_the_body)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = NULL;

    open_pair(&a, &b, UDS_ARENA_DEFAULT);
    warm(a, b, LARGE);
    send_one(a, 2, LARGE);
    msg = receive(a, b);
    step(a, b);
    cr_assert_eq(a->arenas->own[0].out, 1, "nobody has looked");
    (void)uds_msg_peek_body_shared(msg, NULL);
    step(a, b);
    cr_assert_eq(a->arenas->own[0].out, 1, "it is still read in place");
    (void)uds_msg_peek_body(msg, NULL);
    step(a, b);
    cr_assert_eq(a->arenas->own[0].out, 0);
}

Test(arena, gives_slots_back_together)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    uds_msg *msgs[3];
    unsigned sends;

    open_pair(&a, &b, UDS_ARENA_DEFAULT);
    warm(a, b, LARGE);
    for (uint64_t i = 0; i < 3; i++)
        send_one(a, i, LARGE);
    for (int i = 0; i < 3; i++)
        msgs[i] = receive(a, b);
    cr_assert_eq(a->arenas->own[0].out, 7);
    for (int i = 0; i < 3; i++)
        msgs[i] = uds_msg_unref(msgs[i]);
    cr_assert_not(uds_conn_get_events(b) & POLLOUT, "three of eight can wait for other output");
    FAULTSOCK({.call = FAULT_SEND, .what = FAULT_PASS, .times = 0});
    sends = faultsock_sends();
    cr_assert_eq(uds_conn_flush(b), 0);
    cr_assert_eq(faultsock_sends(), sends + 1);
    cr_assert_geq(uds_conn_process(a), 0);
    cr_assert_eq(a->arenas->own[0].out, 0);
}

Test(arena, wakes_the_loop_when_half_of_the_slots_are_due)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    uds_msg *msgs[8];

    open_pair(&a, &b, UDS_ARENA_DEFAULT);
    warm(a, b, LARGE);
    for (uint64_t i = 0; i < 8; i++)
        send_one(a, i, LARGE);
    for (int i = 0; i < 8; i++)
        msgs[i] = receive(a, b);
    for (int i = 0; i < 8; i++) {
        cr_assert_eq((uds_conn_get_events(b) & POLLOUT) != 0, i > 4);
        msgs[i] = uds_msg_unref(msgs[i]);
    }
    cr_assert_geq(uds_conn_process(b), 0);
    cr_assert_not(uds_conn_get_events(b) & POLLOUT);
}

Test(arena, makes_way_for_frames_when_the_receiver_keeps_all_slots)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    uds_msg *kept[200];
    size_t by_arena = 0;

    open_pair(&a, &b, UDS_ARENA_DEFAULT);
    warm(a, b, LARGE);
    for (uint64_t i = 0; i < 200; i++) {
        send_one(a, i, LARGE);
        kept[i] = receive(a, b);
        by_arena += came_by_arena(kept[i]);
        cr_assert_geq(uds_conn_flush(b), 0);
        cr_assert_geq(uds_conn_process(a), 0);
        cr_assert_leq(a->arenas->own_bytes, UDS_ARENA_DEFAULT);
        cr_assert(udsi_conn_check(a));
    }
    cr_assert_gt(by_arena, 8);
    cr_assert_lt(by_arena, 200, "there is an end to arenas");
    for (uint64_t i = 0; i < 200; i++) {
        check_body(kept[i], i, LARGE);
        (void)uds_msg_unref(kept[i]);
    }
}

Test(arena, takes_bodies_that_were_built_in_it_without_a_copy)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = NULL, *got = NULL, *again = NULL;
    const struct udsi_own_arena *arena;
    void *room;

    open_pair(&a, &b, UDS_ARENA_DEFAULT);
    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 5, "old", 3), 0);
    cr_assert_eq(uds_conn_reserve_body(a, msg, LARGE, &room), 0,
                 "private memory before there is an arena");
    cr_assert_null(msg->lease);
    msg = uds_msg_unref(msg);

    warm(a, b, LARGE);
    arena = &a->arenas->own[0];
    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 5, "old", 3), 0);
    cr_assert_eq(uds_conn_reserve_body(a, msg, LARGE + 50, &room), 0);
    cr_assert_eq(room, arena->region->base);
    memset(room, 5, LARGE);
    cr_assert_eq(uds_msg_reserve_body(msg, LARGE, &room), 0);
    cr_assert_eq(room, arena->region->base, "less stays where it is");
    cr_assert_eq(uds_conn_send(a, msg), 0);
    cr_assert_eq(uds_conn_reserve_body(a, msg, LARGE, &room), -EBUSY);
    got = receive(a, b);
    cr_assert(came_by_arena(got));
    cr_assert_eq(got->lease->bit, 1);
    check_body(got, 5, LARGE);
    step(a, b);
    cr_assert_eq(arena->out, 0);
    cr_assert_eq(arena->held, 1, "the message that was sent still has it");

    /* The peer has given it back, so it may go once more as it is. */
    cr_assert_eq(uds_conn_send(a, msg), 0);
    cr_assert_eq(arena->out, 1);
    /* The slot is out: a copy goes. */
    cr_assert_eq(uds_conn_send(a, msg), 0);
    cr_assert_eq(arena->out, 3);
    got = uds_msg_unref(got);
    got = receive(a, b);
    again = receive(a, b);
    check_body(got, 5, LARGE);
    check_body(again, 5, LARGE);
    step(a, b);
    check_body(msg, 5, LARGE);
    msg = uds_msg_unref(msg);
    send_one(a, 6, LARGE);
    cr_assert_eq(arena->out, 1, "the slot serves others");
}

Test(arena, gets_a_slot_back_from_a_message_that_is_never_sent)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = NULL, *grown = NULL, *got = NULL;
    void *room;

    open_pair(&a, &b, UDS_ARENA_DEFAULT);
    warm(a, b, LARGE);
    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 5, NULL, 0), 0);
    cr_assert_eq(uds_conn_reserve_body(a, msg, LARGE, &room), 0);
    cr_assert_eq(a->arenas->own[0].held, 1);
    msg = uds_msg_unref(msg);

    /* What outgrows its slot leaves it, with what was written. */
    cr_assert_eq(uds_msg_new(&grown, UDS_MSG_MESSAGE, 5, NULL, 0), 0);
    cr_assert_eq(uds_conn_reserve_body(a, grown, LARGE, &room), 0);
    cr_assert_eq(a->arenas->own[0].held, 1, "the same slot");
    memset(room, 5, LARGE);
    cr_assert_eq(uds_msg_reserve_body(grown, 300 * 1000, &room), 0);
    cr_assert_null(grown->lease);
    cr_assert(is_all(room, 5, LARGE));
    memset(room, 5, 300 * 1000);
    cr_assert_eq(uds_conn_send(a, grown), 0);
    got = receive(a, b);
    check_body(got, 5, 300 * 1000);
    send_one(a, 1, LARGE);
    cr_assert_eq(a->arenas->own[0].held, 0);
    cr_assert_eq(a->arenas->own[0].out, 1);
}

Test(arena, does_not_mind_a_built_body_that_goes_elsewhere)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *c = NULL, *d = NULL;
    _cleanup_msg_ uds_msg *msg = NULL, *got = NULL;
    uds_conn *a = NULL, *b = NULL;
    void *room;

    open_pair(&a, &b, UDS_ARENA_DEFAULT);
    open_pair(&c, &d, UDS_ARENA_DEFAULT);
    warm(a, b, LARGE);
    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 5, NULL, 0), 0);
    cr_assert_eq(uds_conn_reserve_body(a, msg, LARGE, &room), 0);
    memset(room, 5, LARGE);
    (void)uds_conn_unref(a);
    (void)uds_conn_unref(b);
    cr_assert_eq(uds_conn_send(c, msg), 0);
    msg = uds_msg_unref(msg);
    got = receive(c, d);
    check_body(got, 5, LARGE);
}
