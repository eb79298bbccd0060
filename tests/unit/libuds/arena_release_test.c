/* SPDX-License-Identifier: MIT */
/* Arenas against a peer that lies about releases, or announces and withdraws without end; docs/protocol.md P-40 … P-48. */
#include "arena_liar.h"

/* Makes @conn announce an arena. Returns how many slots it has. */
static unsigned make_own_arena(uds_conn *conn, int peer)
{
    static uint8_t body[SLOT], sink[1 << 20];
    union {
        struct cmsghdr align;
        uint8_t bytes[256];
    } control;
    struct iovec iov = {.iov_base = sink, .iov_len = sizeof(sink)};

    while (!conn->arenas || conn->arenas->nown == 0) {
        _cleanup_msg_ uds_msg *msg = NULL;

        cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 1, body, sizeof(body)), 0);
        cr_assert_eq(uds_conn_send(conn, msg), 0);
        for (int r = 1; r == 1;) {
            r = uds_conn_flush(conn);
            cr_assert_geq(r, 0);
            raw_drain(peer); /* the fd goes with it */
        }
    }
    for (;;) {
        struct msghdr msg = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof(control)};
        if (recvmsg(peer, &msg, MSG_DONTWAIT) <= 0)
            break;
    }
    return (unsigned)__builtin_popcountll(conn->arenas->own[0].all);
}

Test(arena_hostile, a_release_names_slots_that_the_peer_has) /* P-47 */
{
    UDS_TEST_GUARD;
    for (int what = 0; what < 8; what++) {
        static uint8_t body[SLOT];
        _cleanup_conn_ uds_conn *conn = NULL;
        _cleanup_close_ int peer = open_conn(&conn, ARENA_MAX);
        unsigned count = make_own_arena(conn, peer);
        uint64_t number = conn->arenas->own[0].number, all = conn->arenas->own[0].all;
        uint64_t numbers[2] = {1, 1};
        uint8_t bytes[64], head[4] = {0, 0x80, 0, 0};
        struct raw_frame headed = {.type = UDS_MSG_RELEASE,
                                   .id = number,
                                   .head = head,
                                   .head_len = 4,
                                   .body = numbers,
                                   .body_len = 8};

        cr_assert_eq(count, 16);
        cr_assert_eq(conn->arenas->own[0].out, all, "the peer has all that it did not grant");
        switch (what) {
        case 0:
            release(peer, number + 1, 1); /* of no arena */
            break;
        case 1:
            release(peer, number, UINT64_MAX); /* of no slot */
            break;
        case 2:
            release(peer, number, 1);
            release(peer, number, 1); /* twice */
            break;
        case 3:
            release(peer, number, all);
            release(peer, number, 0); /* refused after it was taken */
            break;
        case 4:
            send_numbers(peer, UDS_MSG_RELEASE, number, numbers, 2, -1, 0);
            break;
        case 5:
            send_numbers(peer, UDS_MSG_RELEASE, number, NULL, 0, -1, 0);
            break;
        case 6:
            (void)raw_send(peer, bytes, raw_encode(&headed, bytes), -1, 0);
            break;
        case 7: /* a slot that is out, and one that is not */
            release(peer, number, all);
            for (int i = 0; i < 2; i++) {
                _cleanup_msg_ uds_msg *msg = NULL;

                cr_assert_geq(uds_conn_process(conn), 0);
                cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 1, body, sizeof(body)), 0);
                cr_assert_eq(uds_conn_send(conn, msg), 0);
                cr_assert_eq(conn->arenas->own[0].out, i == 0 ? 1 : 3);
            }
            release(peer, number, 4 | 1);
            break;
        default:
            break;
        }
        expect_close(conn, "P-47");
    }
}

Test(arena_hostile, a_refused_arena_is_given_up)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = open_conn(&conn, ARENA_MAX);

    (void)make_own_arena(conn, peer);
    release(peer, conn->arenas->own[0].number, 0);
    cr_assert_geq(uds_conn_process(conn), 0);
    cr_assert_eq(conn->arenas->nown, 0);
    cr_assert_eq(conn->arenas->own_bytes, 0);
    (void)make_own_arena(conn, peer);
    cr_assert_eq(conn->arenas->own[0].number, 2);
}

Test(arena_hostile, an_arena_is_not_withdrawn_under_our_feet) /* P-48 */
{
    UDS_TEST_GUARD;
    struct keeper keeper = {.count = 0};
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = open_conn(&conn, ARENA_MAX), fd = -1;

    uds_conn_set_callbacks(conn, &keeping, &keeper);
    fd = open_arena(conn, peer);
    refer(peer, 1, 0, SLOT);
    withdraw(peer, 1);
    expect_close(conn, "P-48");
    cr_assert_eq(keeper.count, 1);
    (void)uds_msg_peek_body(keeper.msgs[0], NULL); /* and it is still there */
    drop_kept(&keeper);
}

Test(arena_hostile, who_names_what_it_cannot_know_to_be_free_fills_no_queue)
{
    UDS_TEST_GUARD;
    struct raw_seen seen = {0};
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = open_conn(&conn, ARENA_MAX), fd = -1;
    int size = 1;

    fd = open_arena(conn, peer);
    uds_conn_set_callbacks(conn, &raw_callbacks, &seen);
    cr_assert_eq(setsockopt(uds_conn_get_fd(conn), SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    for (int i = 0; i < 10000; i++) { /* it never reads */
        refer(peer, 1, 0, 100);
        if (uds_conn_process(conn) < 0)
            break;
        cr_assert_leq(conn->out.count, 64);
    }
    cr_assert_eq(seen.closes, 1);
    cr_assert_not_null(strstr(uds_conn_get_error_text(conn), "P-46"));
}

Test(arena_hostile, who_announces_what_we_cannot_take_fills_no_queue) /* P-44 */
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = open_conn(&conn, ARENA_MAX);
    _cleanup_close_ int fd = make_memory(SLOT, SLOT, SEALS);
    uint64_t number = 0;
    FAULTSOCK({FAULT_RECV, FAULT_CTRUNC, 0, 0}); /* no descriptor is left for us */

    do {
        announce(peer, ++number, SLOT, fd); /* and reads no answer */
        if (uds_conn_process(conn) < 0)
            break;
        cr_assert(udsi_conn_check(conn));
        cr_assert_leq(conn->out.count, 32);
    } while (number < 2000);
    cr_assert(strstr(uds_conn_get_error_text(conn), "P-44"));
}

Test(arena_hostile, an_arena_that_we_cannot_keep_is_refused)
{
    UDS_TEST_GUARD;
    unsigned refused = 0;
    int failed = 1;

    for (size_t nth = 1; failed; nth++) {
        _cleanup_conn_ uds_conn *conn = NULL;
        _cleanup_close_ int peer = open_conn(&conn, ARENA_MAX);
        _cleanup_close_ int fd = make_memory(SLOT, SLOT, SEALS);
        uint64_t id, body = UINT64_MAX;
        uint8_t type;
        int r;

        announce(peer, 1, SLOT, fd);
        udsi_block_trim();
        heap_fail(nth);
        r = uds_conn_process(conn);
        failed = heap_has_failed();
        heap_fail(0);
        cr_assert(udsi_conn_check(conn));
        if (r == -ENOMEM) /* not even a message could be had */
            continue;
        cr_assert_geq(r, 0);
        (void)uds_conn_process(conn);
        cr_assert(next_frame(peer, &type, &id, &body));
        cr_assert_eq(type, UDS_MSG_RELEASE);
        refused += body == 0;
        cr_assert_eq(conn->arenas->npeer, body != 0);
        cr_assert(failed || body == 1);
    }
    cr_assert_gt(refused, 0);
}
