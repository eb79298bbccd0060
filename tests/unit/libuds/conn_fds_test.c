/* SPDX-License-Identifier: MIT */

/*
 * Descriptors and the frames they belong to: however the kernel glues and cuts, each frame gets its own, and a peer that
 * lies about them loses the connection and leaks nothing.
 */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "conn/conn.h"
#include "conn/msg.h"
#include "faultsock.h"
#include "guard.h"
#include "nofile.h"
#include "pair.h"
#include "rawpeer.h"

/* An fd whose file offset is its name, so that the receiver can tell which one it got. */
static int make_numbered(int number)
{
    int fd = memfd_create("numbered", MFD_CLOEXEC);

    cr_assert_geq(fd, 0);
    cr_assert_eq(ftruncate(fd, number), 0);
    return fd;
}

static int number_of(int fd)
{
    struct stat st;

    cr_assert_eq(fstat(fd, &st), 0);
    return (int)st.st_size;
}

/* Sends a message with @nfds fds that all carry @id as their number. */
static void send_with(uds_conn *conn, uint64_t id, size_t nfds, size_t body_len)
{
    _cleanup_msg_ uds_msg *msg = NULL;
    void *room;

    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, id, NULL, 0), 0);
    cr_assert_eq(uds_msg_reserve_body(msg, body_len, &room), 0);
    memset(room, 0, body_len);
    for (size_t i = 0; i < nfds; i++)
        cr_assert_eq(uds_msg_push_fd(msg, make_numbered((int)id)), 0);
    cr_assert_eq(uds_conn_send(conn, msg), 0);
}

struct expect {
    size_t nfds[64];
    size_t count, got;
};

static void check_message(uds_conn *conn, uds_msg *msg, void *arg)
{
    struct expect *expect = arg;
    _cleanup_msg_ uds_msg *owned = msg;
    uint64_t id = uds_msg_get_id(msg);

    (void)conn;
    cr_assert_lt(expect->got, expect->count);
    cr_assert_eq(id, expect->got + 1);
    cr_assert_eq(uds_msg_get_fd_count(msg), expect->nfds[expect->got], "message %d", (int)id);
    for (size_t i = 0; i < uds_msg_get_fd_count(msg); i++)
        cr_assert_eq(number_of(uds_msg_peek_fd(msg, i)), (int)id);
    expect->got++;
}

static const struct uds_conn_callbacks check_callbacks = {.on_message = check_message};

/* Sends the messages of @expect from one connection to another, and checks that each keeps its own fds. */
static void exchange(struct expect *expect, size_t body_len)
{
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;

    options.max_fds = UDS_FDS_MAX;
    cr_assert_eq(uds_conn_pair(&a, &b, &options), 0);
    uds_conn_set_callbacks(b, &check_callbacks, expect);
    for (size_t i = 0; i < expect->count; i++)
        send_with(a, i + 1, expect->nfds[i], body_len);
    for (int i = 0; i < 200000 && expect->got < expect->count; i++) {
        cr_assert_geq(uds_conn_process(a), 0);
        cr_assert_geq(uds_conn_process(b), 0);
        cr_assert(udsi_conn_check(a));
        cr_assert(udsi_conn_check(b));
    }
    cr_assert_eq(expect->got, expect->count);
    cr_assert_eq(uds_conn_get_queued_fds(a), 0);
}

Test(conn_fds, stay_with_their_frames_in_every_mixture)
{
    UDS_TEST_GUARD;
    struct expect mixed = {.nfds = {0, 1, 0, 2, 3, 0, 0, 1, 1, 253, 0, 5, 7, 0}, .count = 14};

    exchange(&mixed, 10);
}

Test(conn_fds, stay_with_their_frames_when_every_read_and_write_is_one_byte)
{
    UDS_TEST_GUARD;
    struct expect mixed = {.nfds = {0, 1, 0, 2, 3, 0, 0, 1, 1, 13, 0, 5, 7, 0}, .count = 14};
    FAULTSOCK({FAULT_RECV, FAULT_LIMIT, 1, 0}, {FAULT_SEND, FAULT_LIMIT, 1, 0});

    exchange(&mixed, 3);
}

Test(conn_fds, stay_with_their_frames_at_every_length_of_a_read)
{
    UDS_TEST_GUARD;
    for (int limit = 2; limit < 60; limit++) {
        struct expect mixed = {.nfds = {0, 1, 0, 2, 3, 0, 0, 1, 1, 3, 0, 5, 7, 0}, .count = 14};
        FAULTSOCK({FAULT_RECV, FAULT_LIMIT, limit, 0});

        exchange(&mixed, 9);
    }
}

Test(conn_fds, stay_with_their_frames_between_large_bodies)
{
    UDS_TEST_GUARD;
    struct expect mixed = {.nfds = {0, 1, 0, 2, 3, 0, 0, 1}, .count = 8};

    exchange(&mixed, 300000);
}

Test(conn_fds, go_to_the_second_of_two_frames_that_come_in_one_receive)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = raw_conn(&conn, SOCK_STREAM, NULL, 1);
    _cleanup_msg_ uds_msg *first = NULL, *second = NULL;

    FAULTSOCK({FAULT_RECV, FAULT_PASS, 0, 0});
    cr_assert_gt(raw_send_frame(peer, &(struct raw_frame){.id = 1}, -1, 0), 0);
    cr_assert_gt(raw_send_frame(peer, &(struct raw_frame){.id = 2, .claimed_fds = 1}, 0, 1), 0);
    cr_assert_eq(uds_conn_receive(conn, &first), 1);
    cr_assert_eq(uds_conn_receive(conn, &second), 1);
    cr_assert_eq(faultsock_receives(), 1, "the kernel glued them");
    cr_assert_eq(uds_msg_get_fd_count(first), 0);
    cr_assert_eq(uds_msg_get_fd_count(second), 1);
}

Test(conn_fds, may_come_with_later_frames_in_the_same_sendmsg)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = raw_conn(&conn, SOCK_STREAM, NULL, 1);
    struct raw_seen seen = {0};
    uint8_t bytes[128];
    size_t len = raw_encode(&(struct raw_frame){.id = 1, .claimed_fds = 2}, bytes);

    uds_conn_set_callbacks(conn, &raw_callbacks, &seen);
    len += raw_encode(&(struct raw_frame){.id = 2}, bytes + len);
    cr_assert_gt(raw_send(peer, bytes, len, 0, 2), 0);
    cr_assert_eq(pair_run(conn), 0);
    cr_assert_eq(seen.messages, 2);
    cr_assert_eq(seen.last_nfds, 0);
}

/* ---- lies ---- */

static void expect_rule(uds_conn *conn, const char *rule)
{
    static struct raw_seen unused;

    if (!conn->callbacks.on_message)
        uds_conn_set_callbacks(conn, &raw_callbacks, &unused);
    cr_assert_eq(pair_run(conn), -EPROTO);
    cr_assert(strstr(uds_conn_get_error_text(conn), rule), "expected %s: %s", rule,
              uds_conn_get_error_text(conn));
}

Test(conn_fds, of_another_number_than_claimed_break_the_protocol)
{
    UDS_TEST_GUARD;
    static const struct {
        uint16_t claimed;
        size_t sent;
        const char *rule;
    } lies[] = {{1, 0, "P-10"},  {2, 1, "P-10"},  {1, 2, "P-10"}, {16, 15, "P-10"},
                {0, 1, "P-11"},  {0, 16, "P-11"}, {3, 5, "P-10"}, {17, 17, "P-8"},
                {16, 17, "P-8"}, {0, 253, "P-8"}};

    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        _cleanup_conn_ uds_conn *conn = NULL;
        _cleanup_close_ int peer = raw_conn(&conn, SOCK_STREAM, NULL, 1);

        cr_assert_gt(raw_send_frame(peer, &(struct raw_frame){.claimed_fds = lies[i].claimed}, 0,
                                    lies[i].sent),
                     0);
        expect_rule(conn, lies[i].rule);
    }
}

Test(conn_fds, on_a_later_byte_of_their_frame_break_the_protocol)
{
    UDS_TEST_GUARD;
    uint8_t bytes[256], body[100] = {0};
    size_t len =
        raw_encode(&(struct raw_frame){.claimed_fds = 1, .body = body, .body_len = 100}, bytes);
    static const size_t cuts[] = {1, 23, 24, 60};

    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        _cleanup_conn_ uds_conn *conn = NULL;
        _cleanup_close_ int peer = raw_conn(&conn, SOCK_STREAM, NULL, 1);

        cr_assert_gt(raw_send(peer, bytes, cuts[i], -1, 0), 0);
        if (pair_run(conn) == 0) /* each part in a receive of its own */
            cr_assert_gt(raw_send(peer, bytes + cuts[i], len - cuts[i], 0, 1), 0);
        expect_rule(conn, "P-1");
    }
}

Test(conn_fds, in_the_middle_of_a_body_break_the_protocol)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = raw_conn(&conn, SOCK_STREAM, NULL, 1);
    uint8_t bytes[256], body[100] = {0};
    size_t len = raw_encode(&(struct raw_frame){.body = body, .body_len = 100}, bytes);

    cr_assert_gt(raw_send(peer, bytes, 50, -1, 0), 0);
    cr_assert_eq(pair_run(conn), 0);
    cr_assert_gt(raw_send(peer, bytes + 50, 10, 0, 1), 0);
    cr_assert_gt(len, 60);
    expect_rule(conn, "P-11");
}

Test(conn_fds, cannot_be_parked_while_a_header_dribbles_in)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = raw_conn(&conn, SOCK_STREAM, NULL, 1);
    uint8_t bytes[64];

    (void)raw_encode(&(struct raw_frame){.claimed_fds = 1}, bytes);
    cr_assert_eq(raw_send(peer, bytes, 1, 0, 16), 1);
    cr_assert_eq(pair_run(conn), 0, "may still become a frame");
    cr_assert_eq(conn->in.nbatches, 1);
    cr_assert_eq(raw_send(peer, bytes + 1, 1, 0, 16), 1);
    expect_rule(conn, "P-11");
}

Test(conn_fds, are_not_lent_to_a_frame_that_begins_after_them)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = raw_conn(&conn, SOCK_STREAM, NULL, 1);
    uint8_t bytes[128];
    size_t len = raw_encode(&(struct raw_frame){.id = 1}, bytes);

    len += raw_encode(&(struct raw_frame){.id = 2, .claimed_fds = 1}, bytes + len);
    cr_assert_eq(raw_send(peer, bytes, 10, 0, 1), 10);
    cr_assert_eq(pair_run(conn), 0);
    cr_assert_gt(raw_send(peer, bytes + 10, len - 10, -1, 0), 0);
    expect_rule(conn, "P-11");
}

Test(conn_fds, of_two_claiming_frames_in_one_sendmsg_are_missing_for_the_second)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = raw_conn(&conn, SOCK_STREAM, NULL, 1);
    struct raw_seen seen = {0};
    uint8_t bytes[128];
    size_t len = raw_encode(&(struct raw_frame){.id = 1, .claimed_fds = 1}, bytes);

    uds_conn_set_callbacks(conn, &raw_callbacks, &seen);
    len += raw_encode(&(struct raw_frame){.id = 2, .claimed_fds = 1}, bytes + len);
    cr_assert_gt(raw_send(peer, bytes, len, 0, 1), 0);
    expect_rule(conn, "P-10");
    cr_assert_eq(seen.messages, 1);
}

Test(conn_fds, with_hello_or_goodbye_break_the_protocol)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *first = NULL, *second = NULL;
    _cleanup_close_ int peer = raw_conn(&first, SOCK_STREAM, NULL, 0);
    _cleanup_close_ int other = raw_conn(&second, SOCK_STREAM, NULL, 1);

    cr_assert_gt(
        raw_send_frame(peer, &(struct raw_frame){.type = UDS_MSG_HELLO, .claimed_fds = 1}, 0, 1),
        0);
    expect_rule(first, "P-14");
    cr_assert_gt(
        raw_send_frame(other, &(struct raw_frame){.type = UDS_MSG_GOODBYE, .claimed_fds = 1}, 0, 1),
        0);
    expect_rule(second, "P-17");
}

/* ---- truncation ---- */

Test(conn_fds, that_the_kernel_dropped_are_an_error_of_that_message_only)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = raw_conn(&conn, SOCK_STREAM, NULL, 1);
    struct raw_seen seen = {0};
    rlim_t old;

    uds_conn_set_callbacks(conn, &raw_callbacks, &seen);
    cr_assert_gt(raw_send_frame(peer, &(struct raw_frame){.id = 1, .claimed_fds = 9}, 0, 9), 0);
    old = nofile_set((rlim_t)peer + 4);
    cr_assert_eq(pair_run(conn), 0);
    nofile_set(old);
    cr_assert_eq(seen.messages, 1);
    cr_assert_eq(seen.last_msg_error, -EMFILE);
    cr_assert_eq(seen.last_nfds, 0);
    cr_assert_gt(raw_send_frame(peer, &(struct raw_frame){.id = 2, .claimed_fds = 9}, 0, 9), 0);
    cr_assert_eq(pair_run(conn), 0, "the connection goes on");
    cr_assert_eq(seen.last_id, 2);
    cr_assert_eq(seen.last_msg_error, 0);
    cr_assert_eq(seen.last_nfds, 9);
}

Test(conn_fds, that_were_dropped_but_never_claimed_still_break_the_protocol)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = raw_conn(&conn, SOCK_STREAM, NULL, 1);
    FAULTSOCK({FAULT_RECV, FAULT_CTRUNC, 0, 1});

    cr_assert_gt(raw_send_frame(peer, &(struct raw_frame){.id = 1}, 0, 3), 0);
    expect_rule(conn, "P-11");
}

/* ---- records, queues, sharing ---- */

Test(conn_fds, travel_with_records_and_are_checked_there_too)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = raw_conn(&conn, SOCK_SEQPACKET, NULL, 1);
    struct raw_seen seen = {0};

    uds_conn_set_callbacks(conn, &raw_callbacks, &seen);
    cr_assert_gt(raw_send_frame(peer, &(struct raw_frame){.id = 1, .claimed_fds = 3}, 0, 3), 0);
    cr_assert_gt(raw_send_frame(peer, &(struct raw_frame){.id = 2}, -1, 0), 0);
    cr_assert_eq(pair_run(conn), 0);
    cr_assert_eq(seen.messages, 2);
    cr_assert_gt(raw_send_frame(peer, &(struct raw_frame){.id = 3, .claimed_fds = 3}, 0, 2), 0);
    expect_rule(conn, "P-10");
}

Test(conn_fds, are_bounded_in_the_send_queue_and_closed_once_sent)
{
    UDS_TEST_GUARD;
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = -1;
    _cleanup_msg_ uds_msg *more = NULL;
    int fd = make_numbered(1);

    options.send_queue_fds = 3;
    peer = raw_conn(&conn, SOCK_STREAM, &options, 1);
    send_with(conn, 1, 2, 0);
    cr_assert_eq(uds_msg_new(&more, UDS_MSG_MESSAGE, 2, NULL, 0), 0);
    cr_assert_eq(uds_msg_push_fd(more, fd), 0);
    cr_assert_eq(uds_msg_push_dup_fd(more, fd), 0);
    cr_assert_eq(uds_conn_send(conn, more), -ENOBUFS);
    cr_assert_eq(uds_conn_get_queued_fds(conn), 2);
    cr_assert_eq(uds_conn_flush(conn), 0);
    cr_assert_eq(uds_conn_get_queued_fds(conn), 0);
    cr_assert_eq(uds_conn_send(conn, more), 0);
    more = uds_msg_unref(more);
    cr_assert_geq(fcntl(fd, F_GETFD), 0);
    cr_assert_eq(uds_conn_flush(conn), 0);
    cr_assert_lt(fcntl(fd, F_GETFD), 0, "sent, and the last reference is gone");
}

Test(conn_fds, that_are_more_than_the_queue_may_hold_keep_no_message_without_any_out)
{
    UDS_TEST_GUARD;
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = -1;
    _cleanup_msg_ uds_msg *plain = NULL;

    options.send_queue_fds = 1;
    peer = raw_conn(&conn, SOCK_STREAM, &options, 1);
    send_with(conn, 1, 2, 0); /* the first always has room */
    cr_assert_eq(uds_conn_get_queued_fds(conn), 2);
    cr_assert_eq(uds_msg_new(&plain, UDS_MSG_MESSAGE, 2, NULL, 0), 0);
    cr_assert_eq(uds_conn_send(conn, plain), 0);
    cr_assert_eq(uds_conn_flush(conn), 0);
}

Test(conn_fds, cannot_be_taken_while_they_wait_to_be_sent)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = raw_conn(&conn, SOCK_STREAM, NULL, 1);
    _cleanup_close_ int fd = -1;
    _cleanup_msg_ uds_msg *msg = NULL;

    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 2, NULL, 0), 0);
    cr_assert_eq(uds_msg_push_fd(msg, make_numbered(1)), 0);
    cr_assert_eq(uds_conn_send(conn, msg), 0);
    cr_assert_eq(uds_msg_take_fd(msg, 0), -EBUSY);
    cr_assert_eq(uds_conn_flush(conn), 0);
    fd = uds_msg_take_fd(msg, 0);
    cr_assert_geq(fd, 0);
    cr_assert_eq(uds_conn_send(conn, msg), -ESTALE, "the descriptor it should carry is gone");
}

Test(conn_fds, go_along_with_a_forwarded_body_only_when_asked)
{
    UDS_TEST_GUARD;
    struct expect expect = {.nfds = {0, 2, 0}, .count = 3};
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *payload = NULL;

    cr_assert_eq(uds_conn_pair(&a, &b, NULL), 0);
    uds_conn_set_callbacks(b, &check_callbacks, &expect);
    cr_assert_eq(uds_msg_new(&payload, UDS_MSG_MESSAGE, 0, "x", 1), 0);
    cr_assert_eq(uds_msg_push_fd(payload, make_numbered(2)), 0);
    cr_assert_eq(uds_msg_push_fd(payload, make_numbered(2)), 0);
    cr_assert_eq(uds_conn_forward(a, UDS_MSG_DELIVER, 1, NULL, 0, payload, false), 0);
    cr_assert_eq(uds_conn_forward(a, UDS_MSG_DELIVER, 2, NULL, 0, payload, true), 0);
    cr_assert_eq(uds_conn_forward(a, UDS_MSG_DELIVER, 3, NULL, 0, payload, false), 0);
    for (int i = 0; i < 3; i++) {
        cr_assert_geq(uds_conn_process(a), 0);
        cr_assert_geq(uds_conn_process(b), 0);
    }
    cr_assert_eq(expect.got, 3);
}

Test(conn_fds, wait_for_their_turn_when_too_many_are_in_flight)
{
    UDS_TEST_GUARD;
    struct expect expect = {.nfds = {1, 0, 2}, .count = 3};
    FAULTSOCK({FAULT_SEND, FAULT_PASS, 0, 2}, {FAULT_SEND, FAULT_ERRNO, ETOOMANYREFS, 2});

    exchange(&expect, 10);
    cr_assert_geq(faultsock_sends(), 6u);
}
