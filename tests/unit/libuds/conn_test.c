/* SPDX-License-Identifier: MIT */

/* Connections: opening, bytes in any portion, limits and errors. What follows on that is in conn_life_test.c. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include <uds/error.h>

#include "cleanup.h"
#include "conn/conn.h"
#include "conn/msg.h"
#include "faultsock.h"
#include "guard.h"
#include "pair.h"
#include "rawpeer.h"

Test(conn_new, refuses_what_is_no_connected_unix_socket)
{
    UDS_TEST_GUARD;
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    _cleanup_close_ int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    _cleanup_close_ int dgram = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    uds_conn *conn = NULL;

    cr_assert_eq(uds_conn_new(&conn, 0, NULL), -ENOTSOCK);
    if (udp >= 0)
        cr_assert_eq(uds_conn_new(&conn, udp, NULL), -EAFNOSUPPORT);
    cr_assert_eq(uds_conn_new(&conn, dgram, NULL), -EPROTOTYPE);
    options.max_fds = UDS_FDS_MAX + 1;
    cr_assert_eq(uds_conn_pair(&conn, &conn, &options), -EINVAL);
    options = (struct uds_conn_options)UDS_CONN_OPTIONS_INIT;
    options.size = 1;
    cr_assert_eq(uds_conn_pair(&conn, &conn, &options), -EINVAL);
    cr_assert_null(conn);
}

Test(conn_open, holds_everything_back_until_the_peers_hello)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = raw_conn(&conn, SOCK_STREAM, NULL, 0);
    uint8_t buf[256];

    pair_send(conn, 1, 10);
    cr_assert_eq(uds_conn_process(conn), 0);
    cr_assert_eq(uds_conn_flush(conn), 1, "a message waits");
    cr_assert_eq(recv(peer, buf, sizeof(buf), MSG_DONTWAIT), 64, "HELLO and nothing else");
    cr_assert_eq(uds_conn_get_events(conn), POLLIN);
    cr_assert_not(uds_conn_is_open(conn));
    raw_send_hello(peer);
    cr_assert_eq(uds_conn_process(conn), 0);
    cr_assert(uds_conn_is_open(conn));
    cr_assert_eq(uds_conn_get_peer_max_body(conn), UDS_BODY_DEFAULT);
    cr_assert_eq(uds_conn_get_peer_max_fds(conn), 253);
    cr_assert_eq(recv(peer, buf, sizeof(buf), MSG_DONTWAIT), 34);
    cr_assert_eq(uds_conn_get_queued_bytes(conn), 0);
}

Test(conn_open, ends_when_a_queued_message_is_over_the_limits_that_come)
{
    UDS_TEST_GUARD;
    struct uds_conn_options small = UDS_CONN_OPTIONS_INIT;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    int pair[2];

    small.max_body = 10;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    cr_assert_eq(uds_conn_new(&a, pair[0], NULL), 0);
    cr_assert_eq(uds_conn_new(&b, pair[1], &small), 0);
    pair_send(a, 1, 11);
    cr_assert_eq(pair_run(b), 0);
    cr_assert_eq(pair_run(a), -EMSGSIZE);
    cr_assert_str_not_empty(uds_conn_get_error_text(a));
}

Test(conn_receive, gets_the_same_from_one_byte_reads_and_one_byte_writes)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    FAULTSOCK({FAULT_RECV, FAULT_LIMIT, 1, 0}, {FAULT_SEND, FAULT_LIMIT, 1, 0});
    uint64_t got = 0;

    cr_assert_eq(uds_conn_pair(&a, &b, NULL), 0);
    for (uint64_t id = 0; id < 10; id++)
        pair_send(a, id, (size_t)id * 20);
    for (int i = 0; i < 4000 && got < 10; i++) {
        _cleanup_msg_ uds_msg *msg = NULL;
        size_t len;

        cr_assert_geq(uds_conn_process(a), 0);
        if (uds_conn_receive(b, &msg) == 1) {
            cr_assert_eq(uds_msg_get_id(msg), got);
            (void)uds_msg_peek_body(msg, &len);
            cr_assert_eq(len, got * 20);
            got++;
        }
        cr_assert(udsi_conn_check(a));
        cr_assert(udsi_conn_check(b));
    }
    cr_assert_eq(got, 10);
}

Test(conn_receive, parses_many_frames_of_one_receive)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    struct raw_seen seen = {0};

    pair_open(&a, &b, NULL);
    uds_conn_set_callbacks(b, &raw_callbacks, &seen);
    for (uint64_t id = 1; id <= 100; id++)
        pair_send(a, id, 10);
    FAULTSOCK({FAULT_RECV, FAULT_PASS, 0, 0});
    cr_assert_eq(uds_conn_flush(a), 0);
    cr_assert_eq(faultsock_sends(), 1, "a hundred messages in one sendmsg");
    cr_assert_eq(uds_conn_process(b), 0);
    cr_assert_leq(faultsock_receives(), 2);
    cr_assert_eq(seen.messages, 100);
    cr_assert_eq(seen.last_id, 100);
}

Test(conn_process, stops_after_256_messages_and_says_that_there_is_more)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    struct raw_seen seen = {0};

    pair_open(&a, &b, NULL);
    uds_conn_set_callbacks(b, &raw_callbacks, &seen);
    for (uint64_t id = 0; id < 300; id++)
        pair_send(a, id, 1);
    cr_assert_eq(uds_conn_flush(a), 0);
    cr_assert_eq(uds_conn_process(b), 1);
    cr_assert_eq(seen.messages, 256);
    cr_assert_eq(uds_conn_get_timeout(b), 0, "the rest is in our buffer: poll would not wake");
    cr_assert_eq(pair_run(b), 0);
    cr_assert_eq(seen.messages, 300);
    cr_assert_eq(uds_conn_get_timeout(b), -1);
}

Test(conn_receive, carries_a_large_body_whole)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = NULL;
    const char *body;
    size_t len;
    int r = 0;

    pair_open(&a, &b, NULL);
    pair_send(a, 3, 10u << 20);
    while (r == 0) {
        cr_assert_geq(uds_conn_flush(a), 0);
        r = uds_conn_receive(b, &msg);
        cr_assert(udsi_conn_check(b));
    }
    body = uds_msg_peek_body(msg, &len);
    cr_assert_eq(len, 10u << 20);
    for (size_t i = 0; i < len; i += 4093)
        cr_assert_eq(body[i], 'd');
}

Test(conn_receive, holds_no_more_memory_than_what_has_arrived)
{
    UDS_TEST_GUARD;
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = -1;
    uint8_t header[24] = {0xD5, 1, UDS_MSG_MESSAGE, 0, 0, 0, 0, 0xf0};

    options.max_body = 0xf0000000;
    peer = raw_conn(&conn, SOCK_STREAM, &options, 1);
    cr_assert_eq(raw_send(peer, header, sizeof(header), -1, 0), 24);
    cr_assert_eq(uds_conn_process(conn), 0);
    cr_assert_not_null(conn->in.partial);
    cr_assert_leq(conn->in.partial->body_cap, 64u << 10, "although the header says 3.75 GiB");
}

Test(conn_receive, refuses_a_length_of_4_gib_before_allocating)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = raw_conn(&conn, SOCK_STREAM, NULL, 1);
    uint8_t header[24] = {0xD5, 1, UDS_MSG_MESSAGE, 0, 0xff, 0xff, 0xff, 0xff};

    cr_assert_eq(raw_send(peer, header, sizeof(header), -1, 0), 24);
    cr_assert_eq(pair_run(conn), -EPROTO);
    cr_assert(strstr(uds_conn_get_error_text(conn), "P-7"), "%s", uds_conn_get_error_text(conn));
}

Test(conn_receive, refuses_garbage_of_every_first_byte)
{
    UDS_TEST_GUARD;
    uint8_t garbage[64];

    for (unsigned first = 0; first < 256; first++) {
        _cleanup_conn_ uds_conn *conn = NULL;
        _cleanup_close_ int peer = raw_conn(&conn, SOCK_STREAM, NULL, 0);

        memset(garbage, (int)first, sizeof(garbage));
        cr_assert_eq(raw_send(peer, garbage, sizeof(garbage), -1, 0), 64);
        cr_assert_eq(pair_run(conn), -EPROTO);
        cr_assert(strstr(uds_conn_get_error_text(conn), first == 0xD5 ? "P-2" : "P-1"));
    }
}

Test(conn_receive, calls_a_peer_that_dies_in_a_frame_a_lost_one)
{
    UDS_TEST_GUARD;
    static const size_t cuts[] = {1, 23, 24, 30, 123};
    uint8_t bytes[256], body[100] = {0};
    size_t len = raw_encode(&(struct raw_frame){.body = body, .body_len = sizeof(body)}, bytes);

    cr_assert_eq(len, 124);
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        _cleanup_conn_ uds_conn *conn = NULL;
        _cleanup_close_ int peer = raw_conn(&conn, SOCK_STREAM, NULL, 1);
        struct raw_seen seen = {0};

        uds_conn_set_callbacks(conn, &raw_callbacks, &seen);
        cr_assert_eq(raw_send(peer, bytes, cuts[i], -1, 0), (ssize_t)cuts[i]);
        cr_assert_eq(pair_run(conn), 0, "half a frame is no error as long as the peer lives");
        close(udsi_take_fd(&peer));
        cr_assert_eq(pair_run(conn), -ECONNRESET);
        cr_assert_eq(seen.messages, 0);
        cr_assert_eq(seen.closes, 1);
        cr_assert_eq(seen.close_error, -ECONNRESET);
        cr_assert(strstr(uds_conn_get_error_text(conn), "middle of a frame"));
        cr_assert_eq(uds_conn_process(conn), -ECONNRESET);
        cr_assert_eq(seen.closes, 1, "on_close runs once");
        cr_assert_eq(uds_conn_get_fd(conn), -1);
    }
}

Test(conn_receive, delivers_what_a_dead_peer_sent_although_sending_fails_first)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = raw_conn(&conn, SOCK_STREAM, NULL, 1);
    struct raw_seen seen = {0};

    uds_conn_set_callbacks(conn, &raw_callbacks, &seen);
    cr_assert_gt(raw_send_frame(peer, &(struct raw_frame){.id = 9}, -1, 0), 0);
    close(udsi_take_fd(&peer));
    pair_send(conn, 1, 10);
    cr_assert_eq(uds_conn_flush(conn), -EPIPE);
    cr_assert_eq(seen.closes, 0, "flush never calls back");
    cr_assert_eq(pair_run(conn), -ECONNRESET);
    cr_assert_eq(seen.messages, 1);
    cr_assert_eq(seen.last_id, 9);
    cr_assert_eq(seen.closes, 1);
}

Test(conn_send, refuses_over_the_peers_limits_and_its_own_bounds)
{
    UDS_TEST_GUARD;
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *big = pair_msg(1, 1001), *fits = pair_msg(2, 1000),
                          *fds = pair_msg(3, 0);

    options.max_body = 1000;
    options.max_fds = 1;
    options.send_queue_bytes = 500;
    pair_open(&a, &b, &options);
    cr_assert_eq(uds_conn_send(a, big), -EMSGSIZE);
    cr_assert_eq(uds_msg_push_dup_fd(fds, 0), 0);
    cr_assert_eq(uds_msg_push_dup_fd(fds, 0), 0);
    cr_assert_eq(uds_conn_send(a, fds), -E2BIG);
    cr_assert_eq(uds_conn_send(a, fits), 0, "one always fits an empty queue");
    cr_assert_eq(uds_conn_send(a, fits), -ENOBUFS);
    cr_assert_eq(uds_conn_get_queued_bytes(a), 1024);
    cr_assert_eq(uds_msg_add_u32(fits, 1, 1), -EBUSY, "sent messages are immutable");
    cr_assert_eq(uds_msg_add_u32(big, 1, 1), 0, "refused ones are not sent");
}

Test(conn_send, tells_when_the_queue_has_fallen_to_low_water)
{
    UDS_TEST_GUARD;
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = -1;
    struct raw_seen seen = {0};

    options.high_water = 300 << 10;
    options.low_water = 200 << 10;
    peer = raw_conn(&conn, SOCK_STREAM, &options, 1);
    uds_conn_set_callbacks(conn, &raw_callbacks, &seen);
    pair_send(conn, 1, 250 << 10);
    cr_assert_eq(pair_run(conn), 0);
    raw_drain(peer);
    cr_assert_eq(pair_run(conn), 0);
    cr_assert_eq(uds_conn_get_queued_bytes(conn), 0);
    cr_assert_eq(seen.writables, 0, "it was never above high water");
    pair_send(conn, 2, 700 << 10);
    cr_assert_eq(pair_run(conn), 0);
    cr_assert_eq(seen.writables, 0);
    cr_assert_eq(uds_conn_get_events(conn), POLLIN | POLLOUT);
    for (int i = 0; i < 100 && uds_conn_get_queued_bytes(conn) > 0; i++) {
        bool low = uds_conn_get_queued_bytes(conn) <= 200 << 10;

        cr_assert_eq(seen.writables, low ? 1 : 0);
        raw_drain(peer);
        cr_assert_eq(pair_run(conn), 0);
    }
    cr_assert_eq(seen.writables, 1);
    cr_assert_eq(uds_conn_get_events(conn), POLLIN);
}

Test(conn_send, takes_a_full_kernel_as_back_pressure_and_tries_again)
{
    UDS_TEST_GUARD;
    static const int errors[] = {ETOOMANYREFS, ENOBUFS, ENOMEM};

    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        _cleanup_conn_ uds_conn *conn = NULL;
        _cleanup_close_ int peer = raw_conn(&conn, SOCK_STREAM, NULL, 1);
        FAULTSOCK({FAULT_SEND, FAULT_ERRNO, errors[i], 1});
        int timeout;

        pair_send(conn, 1, 10);
        cr_assert_eq(uds_conn_flush(conn), 1);
        timeout = uds_conn_get_timeout(conn);
        cr_assert(timeout >= 0 && timeout <= UDSI_RETRY_MS);
        cr_assert_eq(uds_conn_get_events(conn), POLLIN, "poll would say writable at once");
        cr_assert_eq(uds_conn_flush(conn), 1);
        cr_assert_leq(faultsock_sends(), 2u);
        while (uds_conn_get_timeout(conn) > 0)
            (void)poll(NULL, 0, uds_conn_get_timeout(conn));
        cr_assert_eq(uds_conn_process(conn), 0);
        cr_assert_eq(uds_conn_get_queued_bytes(conn), 0);
    }
}

Test(conn_send, ends_the_connection_on_an_error_that_waiting_does_not_cure)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = raw_conn(&conn, SOCK_STREAM, NULL, 1);
    struct raw_seen seen = {0};
    FAULTSOCK({FAULT_SEND, FAULT_ERRNO, EPERM, 1});

    uds_conn_set_callbacks(conn, &raw_callbacks, &seen);
    pair_send(conn, 1, 10);
    cr_assert_eq(uds_conn_flush(conn), -EPERM);
    cr_assert_eq(uds_conn_get_timeout(conn), 0, "the loop must come and hear of it");
    cr_assert_eq(uds_conn_process(conn), -EPERM);
    cr_assert_eq(seen.close_error, -EPERM);
}

Test(conn_receive, survives_interrupts_and_ends_on_other_errors)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = raw_conn(&conn, SOCK_STREAM, NULL, 1);
    struct raw_seen seen = {0};
    FAULTSOCK({FAULT_RECV, FAULT_ERRNO, EINTR, 2}, {FAULT_RECV, FAULT_ERRNO, EAGAIN, 1},
              {FAULT_RECV, FAULT_PASS, 0, 1}, {FAULT_RECV, FAULT_ERRNO, ECONNRESET, 1});

    uds_conn_set_callbacks(conn, &raw_callbacks, &seen);
    cr_assert_gt(raw_send_frame(peer, &(struct raw_frame){.id = 1}, -1, 0), 0);
    cr_assert_eq(uds_conn_process(conn), 0);
    cr_assert_eq(seen.messages, 0);
    cr_assert_eq(uds_conn_process(conn), 0);
    cr_assert_eq(seen.messages, 1);
    cr_assert_eq(uds_conn_process(conn), -ECONNRESET);
    cr_assert_eq(seen.closes, 1);
}

static void count_release(void *arg)
{
    ++*(unsigned *)arg;
}

/* A small message is copied into the queue, but not where somebody waits to see it go. */
Test(conn, runs_a_release_hook_when_the_message_has_gone)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    unsigned released = 0;
    uds_msg *msg;

    cr_assert_eq(uds_conn_pair(&a, &b, NULL), 0);
    for (int i = 0; i < 3; i++)
        cr_assert(uds_conn_process(a) >= 0 && uds_conn_process(b) >= 0);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 0, "x", 1), 0);
        if (i == 1)
            uds_msg_set_release(msg, count_release, &released);
        cr_assert_eq(uds_conn_send(a, msg), 0);
        msg = uds_msg_unref(msg);
    }
    cr_assert_eq(released, 0);
    cr_assert_eq(uds_conn_flush(a), 0);
    cr_assert_eq(released, 1);
}

static void ignore_release(void *arg)
{
    (void)arg;
}

/* Small messages, each beside one that goes alone: the blocks that they are copied into are no more than their bytes are worth. */
Test(conn, bounds_the_memory_of_small_messages_among_others)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    uds_msg *msg;

    cr_assert_eq(uds_conn_pair(&a, &b, NULL), 0);
    for (int i = 0; i < 3; i++)
        cr_assert(uds_conn_process(a) >= 0 && uds_conn_process(b) >= 0);
    for (unsigned i = 0; i < 2000; i++) {
        cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 0, "x", 1), 0);
        if (i % 2 == 0)
            uds_msg_set_release(msg, ignore_release, NULL);
        cr_assert_eq(uds_conn_send(a, msg), 0);
        msg = uds_msg_unref(msg);
        cr_assert_leq(a->out.packs * UDSI_PACK_SIZE, UDSI_PACK_SIZE + UDSI_PACK_USE * a->out.bytes);
    }
    cr_assert_gt(a->out.packs, 0);
    cr_assert_eq(uds_conn_flush(a), 0);
    cr_assert_eq(a->out.packs, 0);
}
