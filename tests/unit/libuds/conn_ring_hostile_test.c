/* SPDX-License-Identifier: MIT */

/*
 * A hostile peer on the other side of a ring: what it offers, what it writes into the shared words and what it sends beside them
 * ends in an error or leaves the caller its timeout; never in a crash, a hang or a loop that is awake for nothing.
 */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "clock.h"
#include "conn/conn.h"
#include "guard.h"
#include "rawpeer.h"
#include "ringpeer.h"
#include "socket/ringmem.h"
#include "wire/cursor.h"
#include "wire/head.h"

#define SIZE  RINGPEER_SIZE
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* ---- what it offers ---- */

static int bad_memory(size_t size, int seals, bool read_only)
{
    int fd = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING), again;
    char path[64];

    cr_assert_eq(ftruncate(fd, (off_t)size), 0);
    cr_assert_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
    if (!read_only)
        return fd;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    again = open(path, O_RDONLY | O_CLOEXEC);
    udsi_close(fd);
    return again;
}

Test(conn_ring_hostile, takes_no_memory_that_could_hurt) /* P-52 */
{
    UDS_TEST_GUARD;
    const size_t total = udsi_ring_total(SIZE);
    const struct {
        const char *what;
        size_t size;
        int seals;
        bool read_only;
    } cases[] = {
        {"it can shrink", total, F_SEAL_GROW | F_SEAL_SEAL, false},
        {"it can grow", total, F_SEAL_SHRINK | F_SEAL_SEAL, false},
        {"it can be sealed", total, F_SEAL_SHRINK | F_SEAL_GROW, false},
        {"it cannot be written", total, SEALS | F_SEAL_WRITE, false},
        {"not from now on", total, SEALS | F_SEAL_FUTURE_WRITE, false},
        {"it is too short", total - 4096, SEALS, false},
        {"it is too long", total + 4096, SEALS, false},
        {"it is open for reading", total, SEALS, true},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        _cleanup_ringpeer_ struct ringpeer peer = ringpeer_new();
        int fd = bad_memory(cases[i].size, cases[i].seals, cases[i].read_only);

        ringpeer_hello(&peer);
        ringpeer_step(&peer, 7, UDSI_RING_OFFER, SIZE, fd);
        udsi_close(fd);
        ringpeer_expect(&peer, "P-52");
    }
}

Test(conn_ring_hostile, cannot_offer_what_it_does_not_send) /* P-50 */
{
    UDS_TEST_GUARD;
    _cleanup_ringpeer_ struct ringpeer peer = ringpeer_new();

    ringpeer_hello(&peer);
    ringpeer_step(&peer, 7, UDSI_RING_OFFER, SIZE, -1);
    ringpeer_expect(&peer, "P-50");
}

Test(conn_ring_hostile, answers_one_offer) /* P-51 */
{
    UDS_TEST_GUARD;
    _cleanup_ringpeer_ struct ringpeer peer = ringpeer_new();

    ringpeer_hello(&peer);
    ringpeer_step(&peer, 7, UDSI_RING_OFFER, 2 * SIZE, 0); /* declined before anybody looks at it */
    cr_assert_eq(ringpeer_run(&peer), 0);
    ringpeer_step(&peer, 8, UDSI_RING_OFFER, 2 * SIZE, 0);
    ringpeer_expect(&peer, "P-51");
}

Test(conn_ring_hostile, goes_over_once_and_under_the_right_id) /* P-51 */
{
    UDS_TEST_GUARD;
    struct raw_seen seen = {0};
    static uint8_t bytes[200];
    uint8_t head[8];
    struct raw_frame frame = {.type = UDS_MSG_RING, .id = 7, .head = head, .head_len = 8};
    size_t len;

    for (uint32_t step = UDSI_RING_ACCEPT; step <= UDSI_RING_SWITCH; step++) {
        _cleanup_ringpeer_ struct ringpeer peer = ringpeer_over(&seen);

        udsi_head_put_u32(head, UDSI_FIELD_RING_STEP, step);
        len = raw_encode(&frame, bytes);
        cr_assert_eq(udsi_ring_write(&peer.ring, bytes, len), (ssize_t)len);
        udsi_ring_publish(&peer.ring);
        ringpeer_bell(&peer);
        ringpeer_expect(&peer, "P-51");
    }
}

/* ---- what it writes into the ring ---- */

Test(conn_ring_hostile, may_scribble_over_what_it_has_sent)
{
    UDS_TEST_GUARD;
    struct raw_seen seen = {0};
    _cleanup_ringpeer_ struct ringpeer peer = ringpeer_over(&seen);

    ringpeer_put(&peer, 1, 1000, 0);
    cr_assert_eq(ringpeer_run(&peer), 0);
    memset((uint8_t *)peer.base + UDSI_RING_WORDS, 0xff, SIZE);
    cr_assert_eq(ringpeer_run(&peer), 0);
    cr_assert_eq(seen.messages, 1);
    cr_assert_eq(seen.last_body_len, 1000);
}

Test(conn_ring_hostile, loses_the_connection_by_an_impossible_tail) /* P-53 */
{
    UDS_TEST_GUARD;
    struct raw_seen seen = {0};
    _cleanup_ringpeer_ struct ringpeer peer = ringpeer_over(&seen);

    atomic_store(&peer.ring.mine->tail.value, SIZE + 1);
    ringpeer_bell(&peer);
    ringpeer_expect(&peer, "P-53");
}

Test(conn_ring_hostile, loses_the_connection_by_an_impossible_head) /* P-53 */
{
    UDS_TEST_GUARD;
    struct raw_seen seen = {0};
    _cleanup_ringpeer_ struct ringpeer peer = ringpeer_over(&seen);

    atomic_store(&peer.ring.mine->head.value, 1);
    for (int i = 0; i < 6; i++) {
        _cleanup_msg_ uds_msg *msg = NULL;
        static const char body[1000];

        cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 1, body, sizeof(body)), 0);
        cr_assert_eq(uds_conn_send(peer.conn, msg), 0);
    }
    atomic_store(&peer.ring.mine->head.value, 100000);
    ringpeer_expect(&peer, "P-53");
}

Test(conn_ring_hostile, may_write_any_word_at_any_moment)
{
    UDS_TEST_GUARD;
    uint64_t seed = 362436069;

    for (int round = 0; round < 300; round++) {
        struct raw_seen seen = {0};
        _cleanup_ringpeer_ struct ringpeer peer = ringpeer_over(&seen);

        for (int step = 0; step < 40; step++) {
            uint32_t *words = (uint32_t *)peer.base;
            _cleanup_msg_ uds_msg *msg = NULL;

            seed = seed * 6364136223846793005u + 1442695040888963407u;
            uint32_t value = (uint32_t)(seed >> 33);
            size_t word = ((seed >> 20) & 1) * 512 + ((seed >> 21) & 3) * 32;

            switch ((seed >> 24) % 5) {
            case 0:
                words[word] = seed & 2 ? value : words[word] + value % 100;
                break;
            case 1:
                ((uint8_t *)peer.base)[UDSI_RING_WORDS + value % SIZE] = (uint8_t)seed;
                atomic_fetch_add(&peer.ring.mine->tail.value, value % 64);
                break;
            case 2:
                if (seed & 2)
                    uds_conn_pause(peer.conn, 1);
                else
                    uds_conn_resume(peer.conn, 1);
                break;
            case 3:
                cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 1, words, value % 3000), 0);
                (void)(uds_conn_send(peer.conn, msg) == 0 && uds_conn_flush(peer.conn) == 0);
                break;
            default:
                ringpeer_bell(&peer);
                break;
            }
            if (ringpeer_run(&peer) < 0)
                break;
        }
    }
}

/* ---- what it sends, and does not send, beside it ---- */

Test(conn_ring_hostile, may_ring_for_ever)
{
    UDS_TEST_GUARD;
    struct raw_seen seen = {0};
    _cleanup_ringpeer_ struct ringpeer peer = ringpeer_over(&seen);

    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 1000; i++)
            ringpeer_bell(&peer);
        cr_assert_eq(ringpeer_run(&peer), 0);
    }
    ringpeer_put(&peer, 1, 10, 0);
    cr_assert_eq(ringpeer_run(&peer), 0);
    cr_assert_eq(seen.messages, 1);
}

Test(conn_ring_hostile, leaves_the_caller_its_timeout_when_it_never_rings)
{
    UDS_TEST_GUARD;
    struct raw_seen seen = {0};
    _cleanup_ringpeer_ struct ringpeer peer = ringpeer_over(&seen);
    uint64_t before = udsi_now_ms();
    uds_msg *msg;

    uds_conn_set_callbacks(peer.conn, NULL, NULL);
    atomic_store(&peer.ring.mine->core.value, 99); /* and says that it will be back at once */
    for (int i = 0; i < 20; i++)
        cr_assert_eq(uds_conn_receive_wait(peer.conn, &msg, 5), -ETIMEDOUT);
    cr_assert_geq(udsi_now_ms() - before, 100);
}

Test(conn_ring_hostile, is_found_out_when_fds_come_that_no_frame_claims) /* P-54 */
{
    UDS_TEST_GUARD;
    struct raw_seen seen = {0};
    _cleanup_ringpeer_ struct ringpeer peer = ringpeer_over(&seen);

    ringpeer_send_fds(&peer, 1);
    cr_assert_eq(ringpeer_run(&peer), 0, "its frame may be on its way");
    ringpeer_send_fds(&peer, 1);
    ringpeer_expect(&peer, "P-54");
}

Test(conn_ring_hostile, is_found_out_when_a_frame_claims_fds_that_did_not_come) /* P-10 */
{
    UDS_TEST_GUARD;
    struct raw_seen seen = {0};

    for (size_t come = 0; come < 4; come++) {
        _cleanup_ringpeer_ struct ringpeer peer = ringpeer_over(&seen);

        if (come > 0)
            ringpeer_send_fds(&peer, come);
        ringpeer_put(&peer, 1, 10, 2);
        if (come == 2)
            cr_assert_eq(ringpeer_run(&peer), 0);
        else
            ringpeer_expect(&peer, "P-10");
    }
}

Test(conn_ring_hostile, sends_no_more_fds_than_are_taken) /* P-8 */
{
    UDS_TEST_GUARD;
    struct raw_seen seen = {0};
    _cleanup_ringpeer_ struct ringpeer peer = ringpeer_over(&seen);

    ringpeer_send_fds(&peer, 17);
    ringpeer_put(&peer, 1, 10, 16);
    ringpeer_expect(&peer, "P-8");
}

Test(conn_ring_hostile, dies_in_the_middle_of_a_frame)
{
    UDS_TEST_GUARD;
    struct raw_seen seen = {0};
    _cleanup_ringpeer_ struct ringpeer peer = ringpeer_over(&seen);

    ringpeer_put(&peer, 1, 10, 0);
    cr_assert_eq(udsi_ring_write(&peer.ring, "\xd5\1\10", 3), 3);
    udsi_ring_publish(&peer.ring);
    udsi_close(udsi_take_fd(&peer.sock));
    cr_assert_eq(ringpeer_run(&peer), -ECONNRESET);
    cr_assert_eq(seen.messages, 1);
}

Test(conn_ring_hostile, takes_pages_out_of_the_ring)
{
    UDS_TEST_GUARD;
    struct raw_seen seen = {0};
    _cleanup_ringpeer_ struct ringpeer peer = ringpeer_over(&seen);

    ringpeer_put(&peer, 1, 10, 0);
    cr_assert_eq(madvise(peer.base, udsi_ring_total(SIZE), MADV_REMOVE), 0);
    ringpeer_bell(&peer);
    (void)ringpeer_run(&peer); /* zeroes: an index that went back, or nothing new */
    cr_assert_leq(seen.messages, 1);
}
