/* SPDX-License-Identifier: MIT */

/* A connection moved into another image at any byte: nothing is lost, doubled or leaked. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include "cleanup.h"
#include "conn/conn.h"
#include "conn/msg.h"
#include "faultsock.h"
#include "guard.h"
#include "rawpeer.h"

/* Replaces *@conn by what a snapshot of it, carried as bytes and fds, restores to. */
static void move(uds_conn **conn)
{
    _cleanup_snapshot_ uds_snapshot *from = NULL, *to = NULL;
    const void *data;
    const int *fds;
    size_t len, nfds;
    int *copies;

    cr_assert_eq(uds_snapshot_new(&from), 0);
    cr_assert_eq(uds_conn_serialise(*conn, from), 0);
    *conn = uds_conn_unref(*conn);
    uds_snapshot_peek(from, &data, &len, &fds, &nfds);
    copies = calloc(nfds + 1, sizeof(int));
    for (size_t i = 0; i < nfds; i++)
        copies[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
    cr_assert_eq(uds_snapshot_open(&to, data, len, copies, nfds), 0);
    free(copies);
    cr_assert_eq(uds_conn_restore(conn, to), 0);
    cr_assert_eq(uds_snapshot_error(to), 0);
    cr_assert(udsi_conn_check(*conn));
}

static uds_msg *make(uint64_t id, size_t len, size_t nfds)
{
    uds_msg *msg = NULL;
    void *room;

    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, id, NULL, 0), 0);
    cr_assert_eq(uds_msg_add_string(msg, UDS_FIELD_SUBJECT, "some.subject"), 0);
    cr_assert_eq(uds_msg_reserve_body(msg, len, &room), 0);
    memset(room, (int)id, len);
    for (size_t i = 0; i < nfds; i++)
        cr_assert_eq(uds_msg_push_dup_fd(msg, 0), 0);
    return msg;
}

static void check(const uds_msg *msg, uint64_t id, size_t len, size_t nfds)
{
    size_t body_len;
    const uint8_t *body = uds_msg_peek_body(msg, &body_len);
    char subject[32];

    cr_assert_eq(uds_msg_get_id(msg), id);
    cr_assert_eq(body_len, len);
    for (size_t i = 0; i < len; i++)
        cr_assert_eq(body[i], (uint8_t)id);
    cr_assert_eq(uds_msg_get_fd_count(msg), nfds);
    for (size_t i = 0; i < nfds; i++)
        cr_assert_geq(fcntl(uds_msg_peek_fd(msg, i), F_GETFD), 0);
    cr_assert_eq(uds_msg_get_string(msg, UDS_FIELD_SUBJECT, subject, sizeof(subject)), 0);
    cr_assert_str_eq(subject, "some.subject");
}

/* The exchange of every test: three messages with fds, moving the sender and the receiver after each step. */
static void exchange_moving(int send_limit, int recv_limit, bool move_sender, bool move_receiver)
{
    static const size_t lens[] = {5, 150, 1}, nfds[] = {2, 0, 1};
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    FAULTSOCK({FAULT_SEND, FAULT_LIMIT, send_limit, 0}, {FAULT_RECV, FAULT_LIMIT, recv_limit, 0});
    size_t got = 0;

    cr_assert_eq(uds_conn_pair(&a, &b, NULL), 0);
    for (size_t i = 0; i < 3; i++) {
        _cleanup_msg_ uds_msg *msg = make(i + 1, lens[i], nfds[i]);

        cr_assert_eq(uds_conn_send(a, msg), 0);
    }
    for (int step = 0; step < 3000 && got < 3; step++) {
        _cleanup_msg_ uds_msg *msg = NULL;

        cr_assert_geq(uds_conn_process(a), 0);
        if (move_sender)
            move(&a);
        cr_assert_geq(uds_conn_process(b), 0);
        if (move_receiver)
            move(&b);
        if (uds_conn_receive(b, &msg) == 1) {
            check(msg, got + 1, lens[got], nfds[got]);
            got++;
        }
    }
    cr_assert_eq(got, 3);
    cr_assert_eq(uds_conn_get_queued_bytes(a), 0);
    cr_assert_eq(uds_conn_get_queued_fds(a), 0);
}

Test(conn_restore, goes_on_from_every_byte_of_what_is_being_received)
{
    UDS_TEST_GUARD;
    exchange_moving(100000, 1, false, true);
}

Test(conn_restore, goes_on_from_every_byte_of_what_is_being_sent)
{
    UDS_TEST_GUARD;
    exchange_moving(1, 100000, true, false);
}

Test(conn_restore, goes_on_when_both_sides_move_in_odd_portions)
{
    UDS_TEST_GUARD;
    for (int i = 2; i < 40; i += 7) {
        exchange_moving(i, 41 - i, true, true);
        exchange_moving(100000, i, true, true);
    }
}

#define MANY 60

static size_t many_len(size_t i)
{
    return i % 41 == 40 ? 2 * UDSI_SMALL_MAX : i % 13;
}

/* Small messages lie many to an entry; larger ones, and those with fds, between them. Moves after so many bytes. */
static void exchange_many(int sent)
{
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    size_t got = 0;

    cr_assert_eq(uds_conn_pair(&a, &b, NULL), 0);
    for (int i = 0; i < 3; i++)
        cr_assert(uds_conn_process(a) >= 0 && uds_conn_process(b) >= 0);
    for (size_t i = 0; i < MANY; i++) {
        _cleanup_msg_ uds_msg *msg = make(i, many_len(i), i % 29 == 28);

        cr_assert_eq(uds_conn_send(a, msg), 0);
        cr_assert(udsi_conn_check(a));
    }
    cr_assert_lt(a->out.count, 10);
    if (sent > 0) {
        FAULTSOCK({FAULT_SEND, FAULT_LIMIT, sent, 0});

        cr_assert_geq(uds_conn_process(a), 0);
    }
    move(&a);
    while (got < MANY) {
        _cleanup_msg_ uds_msg *msg = NULL;

        cr_assert_geq(uds_conn_process(a), 0);
        while (uds_conn_receive(b, &msg) == 1) {
            check(msg, got, many_len(got), got % 29 == 28);
            got++;
            msg = uds_msg_unref(msg);
        }
    }
    cr_assert_eq(uds_conn_get_queued_bytes(a), 0);
}

Test(conn_restore, goes_on_at_every_byte_of_many_small_messages)
{
    UDS_TEST_GUARD;
    for (int sent = 0; sent < 3 * (24 + 16 + 13); sent++)
        exchange_many(sent);
}

Test(conn_restore, keeps_fds_that_wait_for_the_rest_of_a_header)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = raw_conn(&conn, SOCK_STREAM, NULL, 1);
    _cleanup_msg_ uds_msg *msg = NULL;
    uint8_t bytes[64];
    size_t len = raw_encode(&(struct raw_frame){.id = 3, .claimed_fds = 3}, bytes);

    cr_assert_eq(raw_send(peer, bytes, 10, 0, 3), 10);
    cr_assert_eq(uds_conn_process(conn), 0);
    move(&conn);
    cr_assert_eq(conn->in.nbatches, 1);
    cr_assert_gt(raw_send(peer, bytes + 10, len - 10, -1, 0), 0);
    cr_assert_eq(uds_conn_receive(conn, &msg), 1);
    cr_assert_eq(uds_msg_get_fd_count(msg), 3);
}

Test(conn_restore, keeps_limits_pauses_and_what_was_received_but_not_taken)
{
    UDS_TEST_GUARD;
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = -1;
    struct raw_seen seen = {0};

    options.max_body = 1234;
    options.max_fds = 5;
    options.send_queue_bytes = 777;
    peer = raw_conn(&conn, SOCK_STREAM, &options, 1);
    cr_assert_gt(raw_send_frame(peer, &(struct raw_frame){.id = 1}, -1, 0), 0);
    cr_assert_gt(raw_send_frame(peer, &(struct raw_frame){.id = 2}, -1, 0), 0);
    cr_assert_eq(uds_conn_process(conn), 0);
    cr_assert_not_null(conn->ready);
    uds_conn_pause(conn, 4);
    move(&conn);
    cr_assert_eq(conn->in.limits.max_body, 1234);
    cr_assert_eq(conn->in.limits.max_fds, 5);
    cr_assert_eq(conn->max_bytes, 777);
    cr_assert_eq(uds_conn_get_peer_max_fds(conn), 253);
    cr_assert(uds_conn_is_open(conn));
    uds_conn_set_callbacks(conn, &raw_callbacks, &seen);
    cr_assert_eq(uds_conn_process(conn), 0);
    cr_assert_eq(seen.messages, 0, "still paused");
    uds_conn_resume(conn, 4);
    cr_assert_geq(uds_conn_process(conn), 0);
    cr_assert_eq(seen.messages, 2);
}

Test(conn_restore, goes_on_closing)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    struct raw_seen seen = {0};

    cr_assert_eq(uds_conn_pair(&a, &b, NULL), 0);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(uds_conn_process(a), 0);
        cr_assert_eq(uds_conn_process(b), 0);
    }
    cr_assert_eq(uds_conn_shutdown(a, 3, "moved"), 0);
    move(&a);
    uds_conn_set_callbacks(b, &raw_callbacks, &seen);
    cr_assert_eq(uds_conn_process(a), -ESHUTDOWN);
    cr_assert_eq(uds_conn_process(b), -ESHUTDOWN);
    cr_assert(strstr(uds_conn_get_error_text(b), "moved"));
    cr_assert_eq(seen.close_error, 0);
}

Test(conn_serialise, refuses_a_closed_connection)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = raw_conn(&conn, SOCK_STREAM, NULL, 1);
    _cleanup_snapshot_ uds_snapshot *s = NULL;

    close(udsi_take_fd(&peer));
    cr_assert_eq(uds_conn_process(conn), -ECONNRESET);
    cr_assert_eq(uds_snapshot_new(&s), 0);
    cr_assert_eq(uds_conn_serialise(conn, s), -ENOTCONN);
}

/* A connection with something of everything in it, as bytes and fds. */
static uds_snapshot *make_snapshot(int *ret_peer)
{
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_msg_ uds_msg *msg = make(1, 100, 2);
    uds_snapshot *s = NULL;
    uint8_t bytes[64];
    int peer = raw_conn(&conn, SOCK_STREAM, NULL, 1);

    (void)raw_encode(&(struct raw_frame){.id = 3, .claimed_fds = 1}, bytes);
    cr_assert_gt(raw_send_frame(peer, &(struct raw_frame){.id = 1}, -1, 0), 0);
    cr_assert_eq(raw_send(peer, bytes, 10, 0, 1), 10);
    cr_assert_geq(uds_conn_process(conn), 0);
    cr_assert_eq(uds_conn_send(conn, msg), 0);
    cr_assert_eq(uds_snapshot_new(&s), 0);
    cr_assert_eq(uds_conn_serialise(conn, s), 0);
    *ret_peer = peer;
    return s;
}

/* Restores from bytes that may be wrong; whatever comes out must be consistent. */
static int restore_from(const uds_snapshot *from, const void *data, size_t len)
{
    _cleanup_snapshot_ uds_snapshot *s = NULL;
    _cleanup_conn_ uds_conn *conn = NULL;
    const void *unused;
    const int *fds;
    size_t all, nfds;
    int copies[16], r;

    uds_snapshot_peek(from, &unused, &all, &fds, &nfds);
    cr_assert_leq(nfds, 16);
    for (size_t i = 0; i < nfds; i++)
        copies[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
    cr_assert_eq(uds_snapshot_open(&s, data, len, copies, nfds), 0);
    r = uds_conn_restore(&conn, s);
    if (r == 0) {
        cr_assert(udsi_conn_check(conn));
        (void)uds_conn_process(conn);
        cr_assert(udsi_conn_check(conn));
    }
    return r;
}

Test(conn_restore, refuses_a_snapshot_cut_at_any_byte)
{
    UDS_TEST_GUARD;
    _cleanup_close_ int peer = -1;
    _cleanup_snapshot_ uds_snapshot *s = make_snapshot(&peer);
    const void *data;
    const int *fds;
    size_t len, nfds;

    uds_snapshot_peek(s, &data, &len, &fds, &nfds);
    for (size_t cut = 0; cut < len; cut++)
        cr_assert_eq(restore_from(s, data, cut), -EBADMSG, "cut at %zu", cut);
    cr_assert_eq(restore_from(s, data, len), 0);
}

/* What was marked as the last frame of the stream would be followed by frames in a ring. */
Test(conn_restore, refuses_a_stream_that_ends_for_no_ring)
{
    UDS_TEST_GUARD;
    _cleanup_close_ int peer = -1;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_msg_ uds_msg *msg = make(1, 2 * UDSI_SMALL_MAX, 0); /* in an entry of its own */
    _cleanup_snapshot_ uds_snapshot *s = NULL;
    const void *data;
    const int *fds;
    size_t len, nfds;

    peer = raw_conn(&conn, SOCK_STREAM, NULL, 1);
    cr_assert_eq(uds_conn_send(conn, msg), 0);
    cr_assert(udsi_conn_check(conn));
    udsi_sendq_end_stream(&conn->out);
    cr_assert_not(udsi_conn_check(conn));
    cr_assert_eq(uds_snapshot_new(&s), 0);
    cr_assert_eq(uds_conn_serialise(conn, s), 0);
    uds_snapshot_peek(s, &data, &len, &fds, &nfds);
    cr_assert_eq(restore_from(s, data, len), -EBADMSG);
}

/* Nothing would be left to receive of it. */
Test(conn_restore, refuses_half_a_frame_that_is_whole)
{
    UDS_TEST_GUARD;
    _cleanup_close_ int peer = -1;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_snapshot_ uds_snapshot *s = NULL;
    uint8_t frame[64];
    const void *data;
    const int *fds;
    size_t len, nfds;

    peer = raw_conn(&conn, SOCK_STREAM, NULL, 1);
    len = raw_encode(&(struct raw_frame){.id = 1, .body = "x", .body_len = 1}, frame);
    cr_assert_eq(raw_send(peer, frame, len - 1, -1, 0), (ssize_t)len - 1);
    cr_assert_eq(uds_conn_process(conn), 0);
    cr_assert_not_null(conn->in.partial);
    conn->in.header.body_length = 0;
    cr_assert_eq(uds_snapshot_new(&s), 0);
    cr_assert_eq(uds_conn_serialise(conn, s), 0);
    uds_snapshot_peek(s, &data, &len, &fds, &nfds);
    cr_assert_eq(restore_from(s, data, len), -EBADMSG);
}

Test(conn_restore, survives_every_byte_being_wrong)
{
    UDS_TEST_GUARD;
    _cleanup_close_ int peer = -1;
    _cleanup_snapshot_ uds_snapshot *s = make_snapshot(&peer);
    _cleanup_free_ uint8_t *copy = NULL;
    const void *data;
    const int *fds;
    size_t len, nfds;

    uds_snapshot_peek(s, &data, &len, &fds, &nfds);
    copy = malloc(len);
    memcpy(copy, data, len);
    for (size_t i = 0; i < len; i++) {
        static const uint8_t values[] = {0, 1, 0x7f, 0xff};

        for (size_t j = 0; j < sizeof(values); j++) {
            int r;

            copy[i] = values[j];
            raw_drain(peer); /* or what is queued would never go out */
            r = restore_from(s, copy, len);
            cr_assert(r == 0 || r == -EBADMSG || r == -ENOMEM, "byte %zu: %d", i, r);
        }
        copy[i] = ((const uint8_t *)data)[i];
    }
}

static void sum_bytes(uds_msg *payload, size_t bytes, void *arg)
{
    cr_assert_not_null(payload);
    *(size_t *)arg += bytes;
}

Test(conn_restore, lets_the_owner_visit_what_is_queued)
{
    UDS_TEST_GUARD;
    _cleanup_close_ int peer = -1;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_msg_ uds_msg *first = make(1, 100, 0), *second = make(2, 200, 0);
    size_t sum = 0;

    peer = raw_conn(&conn, SOCK_STREAM, NULL, 1);
    cr_assert_eq(uds_conn_send(conn, first), 0);
    cr_assert_eq(uds_conn_send(conn, second), 0);
    move(&conn);
    uds_conn_each_queued(conn, sum_bytes, &sum);
    cr_assert_eq(sum, uds_conn_get_queued_bytes(conn));
    cr_assert_eq(sum, 2 * (24 + 16) + 300);
}
