/* SPDX-License-Identifier: MIT */
/* Records, one frame each, and bodies that are forwarded. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <sys/socket.h>

#include "cleanup.h"
#include "conn/conn.h"
#include "guard.h"
#include "pair.h"
#include "rawpeer.h"

Test(conn_records, are_one_frame_each_and_say_how_large_they_may_be)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *huge = NULL, *got = NULL;
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    struct raw_seen seen = {0};
    int pair[2];

    options.arena_bytes = 0; /* with arenas a larger one may go, see arena_record_test.c */
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    cr_assert_eq(uds_conn_new(&a, pair[0], &options), 0);
    cr_assert_eq(uds_conn_new(&b, pair[1], NULL), 0);
    pair_send(a, 1, 0);
    pair_send(a, 2, 100000);
    huge = pair_msg(3, a->record_max - 24 + 1);
    cr_assert_eq(uds_conn_send(a, huge), -EMSGSIZE);
    (void)uds_msg_unref(huge);
    huge = pair_msg(4, a->record_max - 24);
    cr_assert_eq(uds_conn_send(a, huge), 0);
    for (int i = 0; i < 5; i++) {
        cr_assert_geq(uds_conn_process(a), 0);
        cr_assert_geq(uds_conn_receive(b, &got), 0);
        got = uds_msg_unref(got);
    }
    uds_conn_set_callbacks(b, &raw_callbacks, &seen);
    cr_assert_eq(uds_conn_get_queued_bytes(a), 0);
    pair_send(a, 7, 10);
    pair_send(a, 8, 70000);
    cr_assert_eq(pair_run(a), 0);
    cr_assert_eq(pair_run(b), 0);
    cr_assert_eq(seen.last_id, 8);
    cr_assert_eq(seen.last_body_len, 70000);
}

Test(conn_records, that_hold_more_or_less_than_a_frame_break_the_protocol)
{
    UDS_TEST_GUARD;
    uint8_t bytes[256] = {0};
    size_t len = raw_encode(&(struct raw_frame){.body = "body", .body_len = 4}, bytes);
    const size_t lengths[] = {1, 23, len - 1, len + 1, 2 * len};

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        _cleanup_conn_ uds_conn *conn = NULL;
        _cleanup_close_ int peer = raw_conn(&conn, SOCK_SEQPACKET, NULL, 1);

        (void)raw_encode(&(struct raw_frame){.body = "body", .body_len = 4}, bytes + len);
        cr_assert_gt(raw_send(peer, bytes, lengths[i], -1, 0), 0);
        cr_assert_eq(pair_run(conn), -EPROTO);
        cr_assert(strstr(uds_conn_get_error_text(conn), "P-18"));
    }
}

Test(conn_forward, shares_a_body_under_another_head)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *payload = pair_msg(1, 5000), *got = NULL;
    static const uint8_t head[] = {1, 0, 1, 0, 's'};
    const void *data;
    size_t len;

    cr_assert_eq(uds_msg_add_string(payload, UDS_FIELD_SUBJECT, "other"), 0);
    pair_open(&a, &b, NULL);
    cr_assert_eq(uds_conn_forward(a, UDS_MSG_DELIVER, 77, head, sizeof(head), payload, false), 0);
    cr_assert_eq(uds_conn_forward(a, UDS_MSG_ACK, 78, NULL, 0, NULL, false), 0);
    cr_assert_eq(uds_conn_flush(a), 0);
    cr_assert_eq(uds_conn_receive(b, &got), 1);
    cr_assert_eq(uds_msg_get_type(got), UDS_MSG_DELIVER);
    cr_assert_eq(uds_msg_get_id(got), 77);
    cr_assert_eq(uds_msg_find(got, UDS_FIELD_SUBJECT, &data, &len), 0);
    cr_assert_eq(len, 1);
    cr_assert_arr_eq(uds_msg_peek_body(got, &len), uds_msg_peek_body(payload, NULL), 5000);
    (void)uds_msg_unref(got);
    cr_assert_eq(uds_conn_receive(b, &got), 1);
    cr_assert_eq(uds_msg_get_type(got), UDS_MSG_ACK);
    cr_assert_eq(uds_conn_forward(a, UDS_MSG_ACK, 1, head, UDS_HEAD_MAX + 1, NULL, false), -EINVAL);
}

Test(conn_life, a_large_record_leaves_no_large_buffer_behind)
{
    UDS_TEST_GUARD;
    static char body[150 << 10];
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = NULL, *got = NULL;
    int pair[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    cr_assert_eq(uds_conn_new(&a, pair[0], NULL), 0);
    cr_assert_eq(uds_conn_new(&b, pair[1], NULL), 0);
    for (int i = 0; i < 2; i++) {
        (void)uds_conn_process(a);
        (void)uds_conn_process(b);
    }
    cr_assert(uds_conn_is_open(a) && uds_conn_is_open(b));
    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 1, body, sizeof(body)), 0);
    cr_assert_eq(uds_conn_send(a, msg), 0);
    cr_assert(uds_conn_process(a) >= 0);
    cr_assert(uds_conn_process(b) >= 0);
    cr_assert_eq(uds_conn_receive(b, &got), 1);
    cr_assert(uds_conn_process(b) >= 0); /* finds nothing more */
    cr_expect_leq(b->in.cap, UDSI_BUFFER_LARGE, "%zu bytes", b->in.cap);
}
