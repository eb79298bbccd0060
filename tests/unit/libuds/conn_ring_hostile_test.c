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
#include "socket/ringmem.h"
#include "wire/cursor.h"
#include "wire/head.h"

#define SIZE  4096u
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* The peer: its end of the socket and its side of the ring, to be used as it likes. */
struct peer {
    uds_conn *conn; /* ours */
    int sock;
    void *base;
    struct udsi_ring ring;
};

static void peer_free(struct peer *peer)
{
    (void)uds_conn_unref(peer->conn);
    udsi_close(peer->sock);
    if (peer->base)
        udsi_ringmem_unmap(peer->base, udsi_ring_total(SIZE));
}
#define _cleanup_peer_ __attribute__((cleanup(peer_free)))

static struct peer peer_new(void)
{
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    struct peer peer = {0};
    int pair[2];

    options.ring_bytes = SIZE;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    cr_assert_eq(uds_conn_new(&peer.conn, pair[0], &options), 0);
    peer.sock = pair[1];
    return peer;
}

static void say_hello(struct peer *peer)
{
    uint8_t head[8 + 8 + 12];
    struct raw_frame frame = {.type = UDS_MSG_HELLO, .head = head, .head_len = sizeof(head)};

    udsi_head_put_u32(head, UDSI_FIELD_MAX_BODY, 1 << 24);
    udsi_head_put_u32(head + 8, UDSI_FIELD_MAX_FDS, 16);
    udsi_head_put_u64(head + 16, UDSI_FIELD_FEATURES, UDS_FEATURE_RING);
    cr_assert_gt(raw_send_frame(peer->sock, &frame, -1, 0), 0);
}

static void raw_step(struct peer *peer, uint64_t id, uint32_t step, uint32_t bytes, int fd)
{
    uint8_t head[16];
    struct raw_frame frame = {.type = UDS_MSG_RING,
                              .id = id,
                              .head = head,
                              .head_len = bytes ? 16 : 8,
                              .claimed_fds = fd >= 0};

    udsi_head_put_u32(head, UDSI_FIELD_RING_STEP, step);
    udsi_head_put_u32(head + 8, UDSI_FIELD_RING_BYTES, bytes);
    cr_assert_gt(raw_send_frame(peer->sock, &frame, fd, fd >= 0), 0);
}

/* process() until it has nothing more to do; a peer must not be able to keep it busy with nothing. */
static int run(struct peer *peer)
{
    int r, turns = 0;

    do {
        struct pollfd pfd = {.fd = uds_conn_get_fd(peer->conn)};

        cr_assert_lt(turns++, 3000, "awake for nothing");
        r = uds_conn_process(peer->conn);
        cr_assert(udsi_conn_check(peer->conn));
        if (r < 0)
            break;
        pfd.events = uds_conn_get_events(peer->conn);
        if (r == 0 && pfd.events && poll(&pfd, 1, 0) > 0)
            r = 1;
    } while (r == 1);
    return r;
}

/* A ring is in use, and our HELLO and ACCEPT have been read. */
static struct peer ringed(struct raw_seen *seen)
{
    struct peer peer = peer_new();
    int memfd = udsi_ringmem_new(udsi_ring_total(SIZE), &peer.base);

    cr_assert_geq(memfd, 0);
    uds_conn_set_callbacks(peer.conn, &raw_callbacks, seen);
    udsi_ring_init(&peer.ring, peer.base, SIZE, 0);
    say_hello(&peer);
    raw_step(&peer, 7, UDSI_RING_OFFER, SIZE, memfd);
    udsi_close(memfd);
    cr_assert_eq(run(&peer), 0);
    raw_step(&peer, 7, UDSI_RING_SWITCH, 0, -1);
    cr_assert_eq(run(&peer), 0);
    cr_assert(uds_conn_uses_ring(peer.conn));
    raw_drain(peer.sock);
    return peer;
}

static void ring_bell(struct peer *peer)
{
    (void)send(peer->sock, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* A message into the ring, and the doorbell. */
static void put_message(struct peer *peer, uint64_t id, size_t body_len, uint16_t claimed_fds)
{
    static uint8_t body[3000], bytes[4000];
    struct raw_frame frame = {
        .id = id, .body = body, .body_len = body_len, .claimed_fds = claimed_fds};
    size_t len = raw_encode(&frame, bytes);

    cr_assert_eq(udsi_ring_write(&peer->ring, bytes, len), (ssize_t)len);
    udsi_ring_publish(&peer->ring);
    ring_bell(peer);
}

static void send_fds(struct peer *peer, size_t nfds)
{
    cr_assert_eq(raw_send(peer->sock, "", 1, 0, nfds), 1);
}

static void expect_broken(struct peer *peer, const char *rule)
{
    const char *text;

    cr_assert_eq(run(peer), -EPROTO);
    text = uds_conn_get_error_text(peer->conn);
    cr_assert(strstr(text, rule), "%s is not about %s", text, rule);
}

/* ---- what it offers ---- */

static int bad_memory(size_t size, int seals, bool touch, bool read_only)
{
    int fd = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING), again;
    char path[64];

    cr_assert_eq(ftruncate(fd, (off_t)size), 0);
    for (size_t at = 0; touch && at < size; at += 4096)
        cr_assert_eq(pwrite(fd, "x", 1, (off_t)at), 1);
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
        bool touch, read_only;
    } cases[] = {
        {"it can shrink", total, F_SEAL_GROW | F_SEAL_SEAL, true, false},
        {"it can grow", total, F_SEAL_SHRINK | F_SEAL_SEAL, true, false},
        {"it can be sealed", total, F_SEAL_SHRINK | F_SEAL_GROW, true, false},
        {"it cannot be written", total, SEALS | F_SEAL_WRITE, true, false},
        {"not from now on", total, SEALS | F_SEAL_FUTURE_WRITE, true, false},
        {"it is sparse", total, SEALS, false, false},
        {"it is too short", total - 4096, SEALS, true, false},
        {"it is too long", total + 4096, SEALS, true, false},
        {"it is open for reading", total, SEALS, true, true},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        _cleanup_peer_ struct peer peer = peer_new();
        int fd = bad_memory(cases[i].size, cases[i].seals, cases[i].touch, cases[i].read_only);

        say_hello(&peer);
        raw_step(&peer, 7, UDSI_RING_OFFER, SIZE, fd);
        udsi_close(fd);
        expect_broken(&peer, "P-52");
    }
}

Test(conn_ring_hostile, cannot_offer_what_it_does_not_send) /* P-50 */
{
    UDS_TEST_GUARD;
    _cleanup_peer_ struct peer peer = peer_new();

    say_hello(&peer);
    raw_step(&peer, 7, UDSI_RING_OFFER, SIZE, -1);
    expect_broken(&peer, "P-50");
}

Test(conn_ring_hostile, answers_one_offer) /* P-51 */
{
    UDS_TEST_GUARD;
    _cleanup_peer_ struct peer peer = peer_new();

    say_hello(&peer);
    raw_step(&peer, 7, UDSI_RING_OFFER, 2 * SIZE, 0); /* declined before anybody looks at it */
    cr_assert_eq(run(&peer), 0);
    raw_step(&peer, 8, UDSI_RING_OFFER, 2 * SIZE, 0);
    expect_broken(&peer, "P-51");
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
        _cleanup_peer_ struct peer peer = ringed(&seen);

        udsi_head_put_u32(head, UDSI_FIELD_RING_STEP, step);
        len = raw_encode(&frame, bytes);
        cr_assert_eq(udsi_ring_write(&peer.ring, bytes, len), (ssize_t)len);
        udsi_ring_publish(&peer.ring);
        ring_bell(&peer);
        expect_broken(&peer, "P-51");
    }
}

/* ---- what it writes into the ring ---- */

Test(conn_ring_hostile, may_scribble_over_what_it_has_sent)
{
    UDS_TEST_GUARD;
    struct raw_seen seen = {0};
    _cleanup_peer_ struct peer peer = ringed(&seen);

    put_message(&peer, 1, 1000, 0);
    cr_assert_eq(run(&peer), 0);
    memset((uint8_t *)peer.base + UDSI_RING_WORDS, 0xff, SIZE);
    cr_assert_eq(run(&peer), 0);
    cr_assert_eq(seen.messages, 1);
    cr_assert_eq(seen.last_body_len, 1000);
}

Test(conn_ring_hostile, loses_the_connection_by_an_impossible_tail) /* P-53 */
{
    UDS_TEST_GUARD;
    struct raw_seen seen = {0};
    _cleanup_peer_ struct peer peer = ringed(&seen);

    atomic_store(&peer.ring.mine->tail.value, SIZE + 1);
    ring_bell(&peer);
    expect_broken(&peer, "P-53");
}

Test(conn_ring_hostile, loses_the_connection_by_an_impossible_head) /* P-53 */
{
    UDS_TEST_GUARD;
    struct raw_seen seen = {0};
    _cleanup_peer_ struct peer peer = ringed(&seen);

    atomic_store(&peer.ring.mine->head.value, 1);
    for (int i = 0; i < 6; i++) {
        _cleanup_msg_ uds_msg *msg = NULL;
        static const char body[1000];

        cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 1, body, sizeof(body)), 0);
        cr_assert_eq(uds_conn_send(peer.conn, msg), 0);
    }
    atomic_store(&peer.ring.mine->head.value, 100000);
    expect_broken(&peer, "P-53");
}

Test(conn_ring_hostile, may_write_any_word_at_any_moment)
{
    UDS_TEST_GUARD;
    uint64_t seed = 362436069;

    for (int round = 0; round < 300; round++) {
        struct raw_seen seen = {0};
        _cleanup_peer_ struct peer peer = ringed(&seen);

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
                ring_bell(&peer);
                break;
            }
            if (run(&peer) < 0)
                break;
        }
    }
}

/* ---- what it sends, and does not send, beside it ---- */

Test(conn_ring_hostile, may_ring_for_ever)
{
    UDS_TEST_GUARD;
    struct raw_seen seen = {0};
    _cleanup_peer_ struct peer peer = ringed(&seen);

    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 1000; i++)
            ring_bell(&peer);
        cr_assert_eq(run(&peer), 0);
    }
    put_message(&peer, 1, 10, 0);
    cr_assert_eq(run(&peer), 0);
    cr_assert_eq(seen.messages, 1);
}

Test(conn_ring_hostile, leaves_the_caller_its_timeout_when_it_never_rings)
{
    UDS_TEST_GUARD;
    struct raw_seen seen = {0};
    _cleanup_peer_ struct peer peer = ringed(&seen);
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
    _cleanup_peer_ struct peer peer = ringed(&seen);

    send_fds(&peer, 1);
    cr_assert_eq(run(&peer), 0, "its frame may be on its way");
    send_fds(&peer, 1);
    expect_broken(&peer, "P-54");
}

Test(conn_ring_hostile, is_found_out_when_a_frame_claims_fds_that_did_not_come) /* P-10 */
{
    UDS_TEST_GUARD;
    struct raw_seen seen = {0};

    for (size_t come = 0; come < 4; come++) {
        _cleanup_peer_ struct peer peer = ringed(&seen);

        if (come > 0)
            send_fds(&peer, come);
        put_message(&peer, 1, 10, 2);
        if (come == 2)
            cr_assert_eq(run(&peer), 0);
        else
            expect_broken(&peer, "P-10");
    }
}

Test(conn_ring_hostile, sends_no_more_fds_than_are_taken) /* P-8 */
{
    UDS_TEST_GUARD;
    struct raw_seen seen = {0};
    _cleanup_peer_ struct peer peer = ringed(&seen);

    send_fds(&peer, 17);
    put_message(&peer, 1, 10, 16);
    expect_broken(&peer, "P-8");
}

Test(conn_ring_hostile, dies_in_the_middle_of_a_frame)
{
    UDS_TEST_GUARD;
    struct raw_seen seen = {0};
    _cleanup_peer_ struct peer peer = ringed(&seen);

    put_message(&peer, 1, 10, 0);
    cr_assert_eq(udsi_ring_write(&peer.ring, "\xd5\1\10", 3), 3);
    udsi_ring_publish(&peer.ring);
    udsi_close(udsi_take_fd(&peer.sock));
    cr_assert_eq(run(&peer), -ECONNRESET);
    cr_assert_eq(seen.messages, 1);
}

Test(conn_ring_hostile, takes_pages_out_of_the_ring)
{
    UDS_TEST_GUARD;
    struct raw_seen seen = {0};
    _cleanup_peer_ struct peer peer = ringed(&seen);

    put_message(&peer, 1, 10, 0);
    cr_assert_eq(madvise(peer.base, udsi_ring_total(SIZE), MADV_REMOVE), 0);
    ring_bell(&peer);
    (void)run(&peer); /* zeroes: an index that went back, or nothing new */
    cr_assert_leq(seen.messages, 1);
}
