/* SPDX-License-Identifier: MIT */

/*
 * Large bodies in arenas between two honest ends: when they are used, that nobody sees a difference but in speed, and who
 * has a slot when. What a hostile peer does is in arena_hostile_test.c.
 */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include <uds/dgram.h>

#include "cleanup.h"
#include "conn/conn.h"
#include "conn/msg.h"
#include "faultsock.h"
#include "guard.h"
#include "heap.h"
#include "nofile.h"

#define LARGE (100u * 1000)
#define HUGE  (1000u * 1000)

static void step(uds_conn *a, uds_conn *b)
{
    for (int i = 0; i < 4; i++) {
        cr_assert_geq(uds_conn_process(a), 0, "%s", uds_conn_get_error_text(a));
        cr_assert(udsi_conn_check(a));
        cr_assert_geq(uds_conn_process(b), 0, "%s", uds_conn_get_error_text(b));
        cr_assert(udsi_conn_check(b));
    }
}

static uds_msg *make(uint64_t id, size_t len)
{
    uds_msg *msg = NULL;
    void *room;

    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, id, NULL, 0), 0);
    cr_assert_eq(uds_msg_reserve_body(msg, len, &room), 0);
    memset(room, (int)id, len);
    return msg;
}

static void send_one(uds_conn *conn, uint64_t id, size_t len)
{
    _cleanup_msg_ uds_msg *msg = make(id, len);

    cr_assert_eq(uds_conn_send(conn, msg), 0);
}

static bool is_all(const void *body, uint64_t id, size_t len)
{
    const uint8_t *at = body;

    return len == 0 || (at[0] == (uint8_t)id && memcmp(at, at + 1, len - 1) == 0);
}

static void check_body(const uds_msg *msg, uint64_t id, size_t len)
{
    size_t have;
    const void *body = uds_msg_peek_body(msg, &have);

    cr_assert_eq(uds_msg_get_id(msg), id);
    cr_assert_eq(have, len);
    cr_assert(is_all(body, id, len), "the body of message %lu is wrong", (unsigned long)id);
}

/* The next message at @to, of what @from has sent. */
static uds_msg *receive(uds_conn *from, uds_conn *to)
{
    uds_msg *msg = NULL;

    for (int i = 0; i < 100; i++) {
        int r = uds_conn_receive(to, &msg);

        cr_assert_geq(r, 0, "%s", uds_conn_get_error_text(to));
        cr_assert(udsi_conn_check(to));
        if (r == 1)
            return msg;
        cr_assert_geq(uds_conn_flush(from), 0);
    }
    cr_assert_fail("nothing comes");
    return NULL;
}

/* Sends bodies of @len bytes until the peer has granted an arena for them, whose slots are then all free. */
static void warm(uds_conn *from, uds_conn *to, size_t len)
{
    for (int i = 0; i < 2000; i++) {
        _cleanup_msg_ uds_msg *msg = NULL;

        send_one(from, 7, len);
        msg = receive(from, to);
        check_body(msg, 7, len);
        msg = uds_msg_unref(msg);
        step(from, to);
        for (unsigned j = 0; from->arenas && j < from->arenas->nown; j++) {
            if (from->arenas->own[j].slot_size >= len && from->arenas->own[j].granted) {
                cr_assert_eq(from->arenas->own[j].out, 0);
                return;
            }
        }
    }
    cr_assert_fail("no arena was made");
}

static void open_pair_by(uds_conn **a, uds_conn **b, size_t arena_bytes, enum uds_body_path path)
{
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;

    options.arena_bytes = arena_bytes;
    options.body_path = path;
    cr_assert_eq(uds_conn_pair(a, b, &options), 0);
    step(*a, *b);
}

/* Which way a body goes shall not depend on the clock here. */
static void open_pair(uds_conn **a, uds_conn **b, size_t arena_bytes)
{
    open_pair_by(a, b, arena_bytes, UDS_BODY_PATH_ARENA);
}

static void open_seqpacket_pair(uds_conn **a, uds_conn **b)
{
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;

    options.body_path = UDS_BODY_PATH_ARENA;
    cr_assert_eq(uds_conn_pair_records(a, b, &options), 0);
    step(*a, *b);
}

static bool came_by_arena(const uds_msg *msg)
{
    return msg->lease != NULL;
}

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

static void exchange_in_order(uds_conn *a, uds_conn *b, size_t len)
{
    for (uint64_t i = 0; i < 60; i++) {
        _cleanup_msg_ uds_msg *msg = make(i, i % 3 ? len : 100);

        if (i % 4 == 0)
            cr_assert_eq(uds_msg_push_dup_fd(msg, 0), 0);
        cr_assert_eq(uds_conn_send(a, msg), 0);
    }
    for (uint64_t i = 0; i < 60; i++) {
        _cleanup_msg_ uds_msg *msg = receive(a, b);

        check_body(msg, i, i % 3 ? len : 100);
        cr_assert_eq(uds_msg_get_fd_count(msg), i % 4 == 0);
        cr_assert_eq(uds_msg_get_error(msg), 0);
    }
    step(a, b);
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
