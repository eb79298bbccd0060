/* SPDX-License-Identifier: MIT */
/*
 * Rules of docs/protocol.md that no single vector can break: what a side sends and when, and how calls end. The other
 * side is raw bytes.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include <uds/client.h>
#include <uds/error.h>
#include <uds/listener.h>
#include <uds/rpc.h>

#include "guard.h"
#include "nofile.h"
#include "rawpeer.h"
#include "wire/frame.h"
#include "wire/head.h"

/* A frame as it came, its fds counted and closed. */
struct got {
    struct udsi_header header;
    uint8_t head[512];
    size_t nfds_on_first_byte, nfds_elsewhere;
};

static size_t read_some(int sock, void *buf, size_t size, size_t *ret_nfds)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(UDS_FDS_MAX * sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = buf, .iov_len = size};
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    ssize_t n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    *ret_nfds = 0;
    if (n <= 0)
        return 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        int fds[UDS_FDS_MAX];

        *ret_nfds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(c), *ret_nfds * sizeof(int));
        for (size_t i = 0; i < *ret_nfds; i++)
            close(fds[i]);
    }
    return (size_t)n;
}

/* Byte by byte, so that it shows with which byte fds come. False when nothing is there. */
static bool read_frame(int sock, struct got *ret)
{
    static const struct udsi_limits limits = {.max_body = 1 << 20, .max_fds = UDS_FDS_MAX};
    uint8_t bytes[1024];
    size_t len = UDSI_HEADER_SIZE, nfds;

    memset(ret, 0, sizeof(*ret));
    for (size_t i = 0; i < len; i++) {
        if (read_some(sock, bytes + i, 1, &nfds) == 0) {
            cr_assert_eq(i, 0, "a frame ends after %zu bytes", i);
            return false;
        }
        *(i == 0 ? &ret->nfds_on_first_byte : &ret->nfds_elsewhere) += nfds;
        if (i + 1 == UDSI_HEADER_SIZE) {
            cr_assert_eq(udsi_header_decode(bytes, &limits, &ret->header), UDSI_RULE_NONE);
            len += ret->header.head_length + ret->header.body_length;
            cr_assert_leq(len, sizeof(bytes));
        }
    }
    memcpy(ret->head, bytes + UDSI_HEADER_SIZE, ret->header.head_length);
    return true;
}

static uint32_t status_of(const struct got *got)
{
    uint32_t status = 0;

    if (udsi_head_get_u32(got->head, got->header.head_length, UDS_FIELD_STATUS, &status) < 0)
        return UDS_STATUS_OK;
    return status;
}

static void queue_message(uds_conn *conn, size_t body_len, size_t nfds)
{
    uds_msg *msg;

    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, nfds, "0123456789", body_len), 0);
    for (size_t i = 0; i < nfds; i++)
        cr_assert_eq(uds_msg_push_dup_fd(msg, STDIN_FILENO), 0);
    cr_assert_eq(uds_conn_send(conn, msg), 0);
    uds_msg_unref(msg);
}

/* P-20 */
Test(protocol_rules, fds_come_with_the_first_byte_of_their_frame_and_nowhere_else)
{
    UDS_TEST_GUARD;
    static const size_t nfds[] = {0, 1, 0, 0, 3, 2, 0, 1, 16, 0};
    const size_t n = sizeof(nfds) / sizeof(*nfds);
    struct got got;
    uds_conn *conn;
    int raw = raw_conn(&conn, SOCK_STREAM, NULL, 1);

    for (size_t i = 0; i < n; i++)
        queue_message(conn, i, nfds[i]);
    cr_assert_eq(uds_conn_flush(conn), 0);
    for (size_t i = 0; i < n; i++) {
        cr_assert(read_frame(raw, &got));
        cr_assert_eq(got.header.fd_count, nfds[i]);
        cr_assert_eq(got.nfds_on_first_byte, nfds[i], "frame %zu: %zu", i, got.nfds_on_first_byte);
        cr_assert_eq(got.nfds_elsewhere, 0);
    }
    uds_conn_unref(conn);
    close(raw);
}

/* P-21 */
Test(protocol_rules, fds_that_the_kernel_cut_off_are_an_error_of_that_message)
{
    UDS_TEST_GUARD;
    struct raw_frame frame = {.body = "x", .body_len = 1, .claimed_fds = 3};
    uds_conn *conn;
    uds_msg *msg;
    int raw = raw_conn(&conn, SOCK_STREAM, NULL, 1);
    rlim_t next, before;

    cr_assert_eq(raw_send_frame(raw, &frame, STDIN_FILENO, 3), 25);
    next = nofile_next();
    before = nofile_set(next + 1); /* room for one of the three */
    cr_assert_eq(uds_conn_receive(conn, &msg), 1);
    nofile_set(before);

    cr_assert_eq(uds_msg_get_error(msg), -EMFILE);
    cr_assert_eq(uds_msg_get_fd_count(msg), 0);
    cr_assert_lt(fcntl((int)next, F_GETFD), 0, "the fd that did arrive is still open");
    uds_msg_unref(msg);
    cr_assert(uds_conn_is_open(conn));
    uds_conn_unref(conn);
    close(raw);
}

/* P-31 */
Test(protocol_rules, nothing_but_hello_is_sent_before_the_peers_hello)
{
    UDS_TEST_GUARD;
    struct got got;
    uds_conn *conn;
    int raw = raw_conn(&conn, SOCK_STREAM, NULL, 0);

    queue_message(conn, 3, 1);
    (void)uds_conn_process(conn);
    (void)uds_conn_flush(conn);
    cr_assert(read_frame(raw, &got));
    cr_assert_eq(got.header.type, UDS_MSG_HELLO);
    cr_assert_not(read_frame(raw, &got), "type %u came before our HELLO", got.header.type);
    raw_send_hello(raw);
    (void)uds_conn_process(conn);
    cr_assert(read_frame(raw, &got));
    cr_assert_eq(got.header.type, UDS_MSG_MESSAGE);
    cr_assert_eq(got.nfds_on_first_byte, 1);
    uds_conn_unref(conn);
    close(raw);
}

/* P-32 */
Test(protocol_rules, goodbye_is_the_last_frame)
{
    UDS_TEST_GUARD;
    struct got got;
    uds_conn *conn;
    uds_msg *msg;
    int raw = raw_conn(&conn, SOCK_STREAM, NULL, 1);

    queue_message(conn, 1, 0);
    cr_assert_eq(uds_conn_shutdown(conn, UDS_STATUS_UNAVAILABLE, "over"), 0);
    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 0, NULL, 0), 0);
    cr_assert_eq(uds_conn_send(conn, msg), -ENOTCONN);
    uds_msg_unref(msg);
    (void)uds_conn_process(conn);
    cr_assert(read_frame(raw, &got));
    cr_assert_eq(got.header.type, UDS_MSG_MESSAGE);
    cr_assert(read_frame(raw, &got));
    cr_assert_eq(got.header.type, UDS_MSG_GOODBYE);
    cr_assert_eq(status_of(&got), UDS_STATUS_UNAVAILABLE);
    cr_assert_not(read_frame(raw, &got));
    uds_conn_unref(conn);
    close(raw);
}

/* ---- calls ---- */

static void answer_at_once(uds_rpc_call *call, void *arg)
{
    (*(unsigned *)arg)++;
    cr_assert_eq(uds_rpc_call_reply(call, "ok", 2, NULL, 0), 0);
}

static void keep(uds_rpc_call *call, void *arg)
{
    *(uds_rpc_call **)arg = call;
}

static int raw_rpc(uds_rpc **ret, uds_conn **ret_conn)
{
    int raw = raw_conn(ret_conn, SOCK_STREAM, NULL, 1);

    cr_assert_eq(uds_rpc_new(ret, *ret_conn, NULL, NULL), 0);
    return raw;
}

static void raw_close(int raw, uds_rpc *rpc, uds_conn *conn)
{
    uds_rpc_free(rpc);
    uds_conn_unref(conn);
    close(raw);
}

static void raw_simple(int raw, uint8_t type, uint64_t id)
{
    struct raw_frame frame = {.type = type, .id = id};

    cr_assert_eq(raw_send_frame(raw, &frame, -1, 0), 24);
}

/* P-23 */
Test(protocol_rules, each_request_gets_exactly_one_reply)
{
    UDS_TEST_GUARD;
    unsigned handled = 0;
    struct got got;
    uds_conn *conn;
    uds_rpc *rpc;
    int raw = raw_rpc(&rpc, &conn);

    uds_rpc_set_handler(rpc, answer_at_once, &handled, 0);
    for (uint64_t id = 1; id <= 3; id++)
        raw_simple(raw, UDS_MSG_REQUEST, id * 1000);
    (void)uds_conn_process(conn);
    cr_assert_eq(handled, 3);
    for (uint64_t id = 1; id <= 3; id++) {
        cr_assert(read_frame(raw, &got));
        cr_assert_eq(got.header.type, UDS_MSG_REPLY);
        cr_assert_eq(got.header.id, id * 1000);
    }
    cr_assert_not(read_frame(raw, &got));
    /* Without a handler too. */
    uds_rpc_set_handler(rpc, NULL, NULL, 0);
    raw_simple(raw, UDS_MSG_REQUEST, 1);
    (void)uds_conn_process(conn);
    cr_assert(read_frame(raw, &got));
    cr_assert_eq(status_of(&got), UDS_STATUS_UNIMPLEMENTED);
    cr_assert_not(read_frame(raw, &got));
    raw_close(raw, rpc, conn);
}

static void expect_goodbye(int raw)
{
    struct got got;

    cr_assert(read_frame(raw, &got));
    cr_assert_eq(got.header.type, UDS_MSG_GOODBYE);
    cr_assert_eq(status_of(&got), UDS_STATUS_BAD_REQUEST);
}

/* P-22 */
Test(protocol_rules, a_request_id_that_is_0_or_in_use_ends_the_connection)
{
    UDS_TEST_GUARD;
    uds_rpc_call *call = NULL;
    uds_conn *conn;
    uds_rpc *rpc;
    int raw = raw_rpc(&rpc, &conn);

    uds_rpc_set_handler(rpc, keep, &call, 0);
    raw_simple(raw, UDS_MSG_REQUEST, 0);
    (void)uds_conn_process(conn);
    cr_assert_null(call);
    expect_goodbye(raw);
    raw_close(raw, rpc, conn);

    raw = raw_rpc(&rpc, &conn);
    uds_rpc_set_handler(rpc, keep, &call, 0);
    raw_simple(raw, UDS_MSG_REQUEST, 5);
    raw_simple(raw, UDS_MSG_REQUEST, 5);
    (void)uds_conn_process(conn);
    cr_assert_not_null(call);
    expect_goodbye(raw);
    (void)uds_rpc_call_reply(call, NULL, 0, NULL, 0);
    raw_close(raw, rpc, conn);
}

static void count_reply(const struct uds_rpc_reply *reply, void *arg)
{
    (void)reply;
    (*(unsigned *)arg)++;
}

/* P-24 */
Test(protocol_rules, replies_and_cancels_that_nobody_waits_for_are_ignored)
{
    UDS_TEST_GUARD;
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
    unsigned replies = 0;
    uint64_t id;
    uds_conn *conn;
    uds_rpc *rpc;
    int raw = raw_rpc(&rpc, &conn);

    cr_assert_eq(uds_rpc_request(rpc, &request, count_reply, &replies, &id), 0);
    (void)uds_conn_process(conn);
    raw_simple(raw, UDS_MSG_REPLY, id + 1);
    raw_simple(raw, UDS_MSG_CANCEL, 77);
    (void)uds_conn_process(conn);
    cr_assert_eq(replies, 0);
    raw_simple(raw, UDS_MSG_REPLY, id);
    raw_simple(raw, UDS_MSG_REPLY, id);
    (void)uds_conn_process(conn);
    cr_assert_eq(replies, 1);
    cr_assert(uds_conn_is_open(conn));
    raw_close(raw, rpc, conn);
}

/* P-19 */
Test(protocol_rules, a_request_with_an_unknown_field_is_taken_or_refused_by_bit_15)
{
    UDS_TEST_GUARD;
    static const uint8_t may_skip[] = {0xff, 0x80, 1, 0, 'x'},
                         must_know[] = {0xff, 0x00, 1, 0, 'x'};
    struct raw_frame frame = {.type = UDS_MSG_REQUEST, .id = 1, .head = may_skip, .head_len = 5};
    unsigned handled = 0;
    struct got got;
    uds_conn *conn;
    uds_rpc *rpc;
    int raw = raw_rpc(&rpc, &conn);

    uds_rpc_set_handler(rpc, answer_at_once, &handled, 0);
    cr_assert_eq(raw_send_frame(raw, &frame, -1, 0), 29);
    frame.head = must_know;
    cr_assert_eq(raw_send_frame(raw, &frame, -1, 0), 29);
    (void)uds_conn_process(conn);
    cr_assert_eq(handled, 1);
    cr_assert(read_frame(raw, &got));
    cr_assert_eq(status_of(&got), UDS_STATUS_OK);
    cr_assert(read_frame(raw, &got));
    cr_assert_eq(status_of(&got), UDS_STATUS_BAD_REQUEST);
    raw_close(raw, rpc, conn);
}

/* ---- the broker's client ---- */

/* P-25 */
Test(protocol_rules, wildcards_do_not_reach_the_brokers_own_subjects)
{
    UDS_TEST_GUARD;
    cr_assert(uds_subject_matches(">", "a.b"));
    cr_assert(uds_subject_matches("*", "a"));
    cr_assert_not(uds_subject_matches(">", "$SYS.broker"));
    cr_assert_not(uds_subject_matches("*.broker", "$SYS.broker"));
    cr_assert_not(uds_subject_matches("*", "$SYS"));
    cr_assert(uds_subject_matches("$SYS.>", "$SYS.broker"));
    cr_assert(uds_subject_matches("a.>", "a.$SYS"));
}

static void ignore_delivery(uds_client *client, const struct uds_delivery *delivery, void *arg)
{
    (void)client;
    (void)delivery;
    (void)arg;
}

static void
ignore_ack(uds_client *client, uint32_t status, const char *detail, const char *rule, void *arg)
{
    (void)client;
    (void)status;
    (void)detail;
    (void)rule;
    (void)arg;
}

/* P-27 */
Test(protocol_rules, subscriptions_and_confirmed_publishes_have_ids_of_their_own)
{
    UDS_TEST_GUARD;
    struct uds_publish publish = UDS_PUBLISH_INIT;
    uds_listener *listener;
    struct uds_addr addr;
    uds_client *client;
    uint64_t seen[6];
    struct got got;
    char text[64];
    int raw;

    snprintf(text, sizeof(text), "unix:@uds-rules-test-%d", (int)getpid());
    cr_assert_eq(uds_addr_parse(text, &addr), 0);
    cr_assert_eq(uds_listener_new(&listener, &addr, NULL), 0);
    cr_assert_eq(uds_client_new(&client, &addr, NULL, 0), 0);
    raw = uds_listener_accept(listener);
    cr_assert_geq(raw, 0);
    raw_send_hello(raw);
    (void)uds_client_process(client);
    cr_assert(read_frame(raw, &got)); /* its HELLO */

    publish.subject = "a";
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(uds_client_subscribe(client, "a", NULL, ignore_delivery, NULL, NULL, NULL), 0);
        cr_assert_eq(uds_client_publish(client, &publish, ignore_ack, NULL), 0);
    }
    (void)uds_client_process(client);
    for (size_t i = 0; i < 6; i++) {
        cr_assert(read_frame(raw, &got));
        cr_assert(got.header.type == UDS_MSG_SUBSCRIBE || got.header.type == UDS_MSG_PUBLISH);
        cr_assert_neq(got.header.id, 0);
        seen[i] = got.header.id;
        for (size_t j = 0; j < i; j++)
            cr_assert_neq(seen[j], seen[i]);
    }
    uds_client_free(client);
    uds_listener_free(listener);
    close(raw);
}
