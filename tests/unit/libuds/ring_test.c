/* SPDX-License-Identifier: MIT */

/* Byte rings in shared memory: bytes, room, the sleep handshake, and what a hostile peer can write into the words. */

#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "conn/ring.h"
#include "guard.h"

#define SIZE UDSI_RING_MIN

struct pair {
    void *base;
    struct udsi_ring a, b;
};

static void pair_free(struct pair *pair)
{
    free(pair->base);
}
#define _cleanup_pair_ __attribute__((cleanup(pair_free)))

/* Two sides whose indices have come to @start in either direction. */
static struct pair pair_at(uint32_t start)
{
    struct pair pair = {.base = aligned_alloc(4096, udsi_ring_total(SIZE))};
    struct udsi_ring *sides[] = {&pair.a, &pair.b};

    cr_assert(pair.base);
    memset(pair.base, 0, udsi_ring_total(SIZE));
    for (unsigned i = 0; i < 2; i++) {
        struct udsi_ring *ring = sides[i];

        udsi_ring_init(ring, pair.base, SIZE, i);
        ring->tail = ring->out_tail = ring->out_head = ring->head = ring->in_tail = start;
        atomic_store(&ring->mine->tail.value, start);
        atomic_store(&ring->mine->head.value, start);
    }
    return pair;
}

static ssize_t get(struct udsi_ring *ring, void *to, size_t len)
{
    ssize_t n = udsi_ring_read(ring, &(struct iovec){.iov_base = to, .iov_len = len}, 1);

    cr_assert(n < 0 || udsi_ring_check(ring));
    return n;
}

static void put(struct udsi_ring *ring, const void *data, size_t len)
{
    cr_assert_eq(udsi_ring_write(ring, data, len), (ssize_t)len);
    udsi_ring_publish(ring);
    cr_assert(udsi_ring_check(ring));
}

Test(ring, knows_which_sizes_are_possible)
{
    UDS_TEST_GUARD;
    cr_assert(udsi_ring_size_is_valid(4096));
    cr_assert(udsi_ring_size_is_valid(16u << 20));
    cr_assert_not(udsi_ring_size_is_valid(0));
    cr_assert_not(udsi_ring_size_is_valid(2048));
    cr_assert_not(udsi_ring_size_is_valid(4097));
    cr_assert_not(udsi_ring_size_is_valid(12288));
    cr_assert_not(udsi_ring_size_is_valid(32u << 20));
    cr_assert_not(udsi_ring_size_is_valid((uint64_t)1 << 32));
}

Test(ring, shows_bytes_to_the_peer_when_they_are_published_and_not_before)
{
    UDS_TEST_GUARD;
    _cleanup_pair_ struct pair pair = pair_at(0);
    char buf[8];

    cr_assert_eq(udsi_ring_write(&pair.a, "one", 3), 3);
    cr_assert_eq(udsi_ring_write(&pair.a, "two", 3), 3);
    cr_assert_eq(get(&pair.b, buf, 8), 0);
    udsi_ring_publish(&pair.a);
    cr_assert_eq(get(&pair.b, buf, 8), 6);
    cr_assert_eq(memcmp(buf, "onetwo", 6), 0);
    cr_assert_eq(get(&pair.b, buf, 8), 0);
}

Test(ring, keeps_its_two_directions_apart)
{
    UDS_TEST_GUARD;
    _cleanup_pair_ struct pair pair = pair_at(0);
    char buf[8];

    put(&pair.a, "to b", 4);
    put(&pair.b, "to a", 4);
    cr_assert_eq(get(&pair.a, buf, 8), 4);
    cr_assert_eq(memcmp(buf, "to a", 4), 0);
    cr_assert_eq(get(&pair.b, buf, 8), 4);
    cr_assert_eq(memcmp(buf, "to b", 4), 0);
}

Test(ring, takes_no_more_than_there_is_room_for)
{
    UDS_TEST_GUARD;
    _cleanup_pair_ struct pair pair = pair_at(0);
    static uint8_t big[SIZE + 100], buf[SIZE];

    cr_assert_eq(udsi_ring_write(&pair.a, big, sizeof(big)), SIZE);
    cr_assert_eq(udsi_ring_write(&pair.a, big, 1), 0);
    udsi_ring_publish(&pair.a);
    cr_assert_eq(get(&pair.b, buf, 10), 10);
    cr_assert_eq(udsi_ring_write(&pair.a, big, sizeof(big)), 10);
}

Test(ring, carries_every_byte_around_both_wraps_in_pieces_of_any_size)
{
    UDS_TEST_GUARD;
    _cleanup_pair_ struct pair pair =
        pair_at((uint32_t)0 - 5 * SIZE / 2); /* the index overflows on the way */
    uint32_t written = 0, got = 0, seed = 7;
    static uint8_t buf[SIZE];

    while (got < 10 * SIZE) {
        seed = seed * 1103515245 + 12345;
        size_t len = (seed >> 8) % 700 + 1;
        uint8_t piece[700];
        ssize_t n;

        for (size_t i = 0; i < len; i++)
            piece[i] = (uint8_t)((written + i) * 31);
        n = udsi_ring_write(&pair.a, piece, len);
        cr_assert_geq(n, 0);
        written += (uint32_t)n;
        udsi_ring_publish(&pair.a);
        len = (seed >> 20) % 900;
        struct iovec iov[3] = {{buf, len / 3}, {buf + len / 3, 0}, {buf + len / 3, len - len / 3}};
        n = udsi_ring_read(&pair.b, iov, 3);
        cr_assert(n >= 0 && udsi_ring_check(&pair.a) && udsi_ring_check(&pair.b));
        for (ssize_t i = 0; i < n; i++)
            cr_assert_eq(buf[i], (uint8_t)((got + (uint32_t)i) * 31));
        got += (uint32_t)n;
    }
}

Test(ring, wakes_a_sleeper_once_for_each_sleep)
{
    UDS_TEST_GUARD;
    _cleanup_pair_ struct pair pair = pair_at(0);
    char buf[8];

    put(&pair.a, "x", 1);
    cr_assert_not(udsi_ring_must_ring(&pair.a), "awake: it finds the byte itself");
    cr_assert_neq(udsi_ring_sleep(&pair.b, UDSI_RING_DATA), 0, "there is something to read");
    udsi_ring_wake(&pair.b);
    cr_assert_eq(get(&pair.b, buf, 8), 1);
    cr_assert_eq(udsi_ring_sleep(&pair.b, UDSI_RING_DATA), 0);
    put(&pair.a, "x", 1);
    cr_assert(udsi_ring_must_ring(&pair.a));
    cr_assert(udsi_ring_must_ring(&pair.a), "until it has been done");
    udsi_ring_rung(&pair.a);
    put(&pair.a, "x", 1);
    cr_assert_not(udsi_ring_must_ring(&pair.a), "it is on its way");
    udsi_ring_wake(&pair.b);
    cr_assert_eq(get(&pair.b, buf, 8), 2);
    cr_assert_eq(udsi_ring_sleep(&pair.b, UDSI_RING_DATA), 0);
    put(&pair.a, "x", 1);
    cr_assert(udsi_ring_must_ring(&pair.a));
}

Test(ring, does_not_take_a_new_sleep_for_the_one_that_it_has_ended)
{
    UDS_TEST_GUARD;
    _cleanup_pair_ struct pair pair = pair_at(0);
    char buf[8];

    cr_assert_eq(udsi_ring_sleep(&pair.b, UDSI_RING_DATA), 0);
    put(&pair.a, "x", 1);
    cr_assert(udsi_ring_must_ring(&pair.a));
    /* The doorbell has been sent; the peer is quick: it wakes, reads and sleeps again before we are back. */
    udsi_ring_wake(&pair.b);
    cr_assert_eq(get(&pair.b, buf, 8), 1);
    cr_assert_eq(udsi_ring_sleep(&pair.b, UDSI_RING_DATA), 0);
    udsi_ring_rung(&pair.a);
    put(&pair.a, "y", 1);
    cr_assert(udsi_ring_must_ring(&pair.a));
}

Test(ring, wakes_for_room_when_half_of_it_is_free)
{
    UDS_TEST_GUARD;
    _cleanup_pair_ struct pair pair = pair_at(0);
    static uint8_t buf[SIZE];

    put(&pair.a, buf, SIZE);
    cr_assert_eq(udsi_ring_sleep(&pair.a, UDSI_RING_SPACE), 0);
    cr_assert_eq(get(&pair.b, buf, SIZE / 2 - 1), SIZE / 2 - 1);
    cr_assert_not(udsi_ring_must_ring(&pair.b));
    cr_assert_eq(get(&pair.b, buf, 1), 1);
    cr_assert(udsi_ring_must_ring(&pair.b));
    udsi_ring_rung(&pair.b);
    cr_assert_neq(udsi_ring_sleep(&pair.a, UDSI_RING_SPACE), 0, "there is room");
}

Test(ring, does_not_wake_a_sleeper_for_what_it_does_not_need)
{
    UDS_TEST_GUARD;
    _cleanup_pair_ struct pair pair = pair_at(0);
    char buf[8];

    cr_assert_eq(udsi_ring_sleep(&pair.b, UDSI_RING_DATA), 0);
    put(&pair.b, "x", 1);
    cr_assert_eq(get(&pair.a, buf, 8), 1);
    cr_assert_not(udsi_ring_must_ring(&pair.a));
}

Test(ring, finds_out_a_tail_that_goes_back_or_runs_ahead) /* P-53 */
{
    static const int32_t wrong[] = {-1, -10, -11, SIZE - 9, 100 * SIZE, INT32_MIN};
    UDS_TEST_GUARD;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        _cleanup_pair_ struct pair pair = pair_at((uint32_t)0 - 15);
        char buf[8];

        put(&pair.a, "0123456789", 10);
        put(&pair.a, "0123456789", 10);
        cr_assert_eq(get(&pair.b, buf, 5), 5);
        cr_assert_eq(get(&pair.b, buf, 5), 5);
        atomic_fetch_add(&pair.a.mine->tail.value, (uint32_t)wrong[i]);
        cr_assert_eq(get(&pair.b, buf, 5), -EPROTO, "%d", wrong[i]);
        cr_assert(udsi_ring_check(&pair.b));
    }
}

Test(ring, finds_out_a_head_that_goes_back_or_passes_what_was_published) /* P-53 */
{
    static const int32_t wrong[] = {-1, 11, SIZE, INT32_MIN};
    static uint8_t bytes[SIZE];
    UDS_TEST_GUARD;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        _cleanup_pair_ struct pair pair = pair_at((uint32_t)0 - 15);
        char buf[8];

        put(&pair.a, "0123456789", 10);
        cr_assert_eq(get(&pair.b, buf, 5), 5);
        cr_assert_eq(udsi_ring_write(&pair.a, bytes, SIZE), SIZE - 5, "it looks");
        atomic_fetch_add(&pair.b.mine->head.value, (uint32_t)wrong[i]);
        cr_assert_eq(udsi_ring_write(&pair.a, bytes, 1), -EPROTO, "%d", wrong[i]);
        cr_assert(udsi_ring_check(&pair.a));
    }
}

Test(ring, never_believes_its_own_words)
{
    UDS_TEST_GUARD;
    _cleanup_pair_ struct pair pair = pair_at(0);
    char buf[8];

    put(&pair.a, "0123", 4);
    put(&pair.b, "4567", 4);
    cr_assert_eq(get(&pair.a, buf, 2), 2);
    memset(pair.a.mine, 0xff, sizeof(struct udsi_ring_words));
    cr_assert_eq(get(&pair.a, buf, 2), 2);
    cr_assert_eq(memcmp(buf, "67", 2), 0);
    put(&pair.a, "89", 2);
    cr_assert_eq(get(&pair.b, buf, 8), 6, "publishing mends what was scribbled on");
}

Test(ring, survives_any_word_at_any_moment)
{
    UDS_TEST_GUARD;
    uint64_t seed = 88172645463325252u;
    static uint8_t bytes[SIZE];

    for (int round = 0; round < 3000; round++) {
        _cleanup_pair_ struct pair pair = pair_at((uint32_t)seed);

        for (int step = 0; step < 30; step++) {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            uint32_t *words = (uint32_t *)(void *)pair.b.mine;
            uint32_t value = seed & 1 ? (uint32_t)(seed >> 20) : words[0] + (uint32_t)(seed >> 40);
            size_t len = (seed >> 12) % SIZE;
            ssize_t n = 0;

            words[((seed >> 4) % 4) * sizeof(struct udsi_ring_word) / 4] = value;
            switch ((seed >> 8) % 4) {
            case 0:
                n = udsi_ring_write(&pair.a, bytes, len);
                udsi_ring_publish(&pair.a);
                break;
            case 1:
                n = get(&pair.a, bytes, len);
                break;
            case 2:
                if (udsi_ring_must_ring(&pair.a))
                    udsi_ring_rung(&pair.a);
                (void)udsi_ring_peer_runs(&pair.a);
                break;
            default:
                (void)udsi_ring_sleep(&pair.a, UDSI_RING_DATA | UDSI_RING_SPACE);
                udsi_ring_wake(&pair.a);
                break;
            }
            cr_assert(udsi_ring_check(&pair.a) && n >= -EPROTO && n <= (ssize_t)SIZE);
            cr_assert(n >= 0 || n == -EPROTO);
        }
    }
}

Test(ring, waits_for_a_peer_that_is_on_another_core_and_not_for_one_that_sleeps)
{
    UDS_TEST_GUARD;
    _cleanup_pair_ struct pair pair = pair_at(0);

    cr_assert_not(udsi_ring_peer_runs(&pair.a), "nobody knows where it is");
    atomic_store(&pair.b.mine->core.value, 10000);
    cr_assert(udsi_ring_peer_runs(&pair.a));
    cr_assert_eq(udsi_ring_sleep(&pair.b, UDSI_RING_DATA), 0);
    cr_assert_not(udsi_ring_peer_runs(&pair.a), "only we could wake it");
    put(&pair.a, "x", 1);
    cr_assert(udsi_ring_must_ring(&pair.a));
    udsi_ring_rung(&pair.a);
    cr_assert(udsi_ring_peer_runs(&pair.a), "and we have");
    atomic_store(&pair.b.mine->core.value, pair.a.core);
    cr_assert_not(udsi_ring_peer_runs(&pair.a), "it needs the core that we spin on");
}
