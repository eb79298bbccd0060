/* SPDX-License-Identifier: MIT */

/* Streams: many parts, one end, and never more on their way than the caller has allowed. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include <uds/error.h>
#include <uds/rpc.h>

#include "cleanup.h"
#include "guard.h"
#include "rawpeer.h"
#include "rpc/rpc.h"

struct seen {
    unsigned parts, replies, calls, cancels, credits;
    uint32_t status;
    uint64_t value;
    char detail[200];
    char order[64]; /* first byte of each part's body; '.' for the reply */
    size_t nfds;
    uds_rpc_call *call;
    uds_rpc *rpc; /* to be freed or cancelled in a callback */
    uint64_t cancel_id;
    bool free_in_part, cancel_in_part, answer_in_cancel, free_in_cancel, send_in_credit;
};

/* One side has an rpc, the other is a bare connection that says what the test says. */
struct scene {
    uds_conn *conn, *peer;
    uds_rpc *rpc;
    struct seen seen;
};

static void on_part(uint64_t id, uds_msg *part, void *arg)
{
    struct seen *seen = arg;
    size_t len;
    const char *body = uds_msg_peek_body(part, &len);

    (void)id;
    if (seen->parts + 1 < sizeof(seen->order))
        seen->order[seen->parts] = len > 0 ? body[0] : '0';
    seen->parts++;
    seen->nfds += uds_msg_get_fd_count(part);
    if (seen->cancel_in_part)
        cr_expect_eq(uds_rpc_cancel(seen->rpc, id), 0);
    if (seen->free_in_part)
        seen->rpc = uds_rpc_free(seen->rpc);
}

static void on_reply(const struct uds_rpc_reply *reply, void *arg)
{
    struct seen *seen = arg;

    seen->replies++;
    seen->status = reply->status;
    (void)snprintf(seen->detail, sizeof(seen->detail), "%s", reply->detail);
}

static void on_cancel(uds_rpc_call *call, void *arg)
{
    struct seen *seen = arg;

    seen->cancels++;
    cr_expect_neq(uds_rpc_call_is_cancelled(call), 0);
    cr_expect_lt(uds_rpc_call_send_part(call, "x", 1, NULL, 0), 0);
    if (seen->answer_in_cancel) {
        cr_expect_eq(uds_rpc_call_fail(call, UDS_STATUS_CANCELLED, 0, NULL), 0);
        seen->call = NULL;
    }
    if (seen->free_in_cancel)
        seen->rpc = uds_rpc_free(seen->rpc);
}

static void on_credit(uds_rpc_call *call, void *arg)
{
    struct seen *seen = arg;

    seen->credits++;
    while (seen->send_in_credit && uds_rpc_call_send_part(call, "c", 1, NULL, 0) == 0)
        ;
}

static void on_call(uds_rpc_call *call, void *arg)
{
    static const struct uds_rpc_call_callbacks callbacks = {.on_cancel = on_cancel,
                                                            .on_credit = on_credit};
    struct seen *seen = arg;

    seen->calls++;
    seen->call = call;
    uds_rpc_call_set_callbacks(call, &callbacks, arg);
}

static void turn(struct scene *scene)
{
    for (int i = 0; i < 4; i++) {
        if (scene->conn)
            (void)uds_conn_process(scene->conn);
        if (scene->peer)
            (void)uds_conn_process(scene->peer);
    }
}

static void scene_make_with(struct scene *scene, const struct uds_conn_options *options)
{
    memset(scene, 0, sizeof(*scene));
    cr_assert_eq(uds_conn_pair(&scene->conn, &scene->peer, options), 0);
    cr_assert_eq(uds_rpc_new(&scene->rpc, scene->conn, NULL, NULL), 0);
    scene->seen.rpc = scene->rpc;
    uds_rpc_set_handler(scene->rpc, on_call, &scene->seen, 0);
    turn(scene);
}

static void scene_make(struct scene *scene)
{
    scene_make_with(scene, NULL);
}

static void scene_end(struct scene *scene)
{
    if (scene->seen.rpc)
        (void)uds_rpc_free(scene->rpc);
    (void)uds_conn_unref(scene->conn);
    (void)uds_conn_unref(scene->peer);
}

/* ---- the bare end ---- */

static uds_msg *peer_receive(struct scene *scene)
{
    uds_msg *msg = NULL;

    turn(scene);
    return uds_conn_receive(scene->peer, &msg) == 1 ? msg : NULL;
}

/* Nothing, or the type of the next frame, with its WINDOW (0: none) and STATUS. */
static int peer_next(struct scene *scene, uint32_t *ret_window, uint32_t *ret_status)
{
    _cleanup_msg_ uds_msg *msg = peer_receive(scene);

    *ret_window = *ret_status = 0;
    if (!msg)
        return 0;
    (void)!uds_msg_get_u32(msg, UDS_FIELD_WINDOW, ret_window);
    (void)!uds_msg_get_u32(msg, UDS_FIELD_STATUS, ret_status);
    return (int)uds_msg_get_type(msg);
}

static int peer_next_type(struct scene *scene)
{
    uint32_t window, status;

    return peer_next(scene, &window, &status);
}

static void
peer_send(struct scene *scene, enum uds_msg_type type, uint64_t id, uint16_t tag, uint32_t value)
{
    _cleanup_msg_ uds_msg *msg = NULL;

    cr_assert_eq(uds_msg_new(&msg, type, id, NULL, 0), 0);
    if (tag != 0)
        cr_assert_eq(uds_msg_add_u32(msg, tag, value), 0);
    cr_assert_eq(uds_conn_send(scene->peer, msg), 0);
}

static void peer_part(struct scene *scene, uint64_t id, const char *body)
{
    _cleanup_msg_ uds_msg *msg = NULL;

    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_PART, id, body, strlen(body)), 0);
    cr_assert_eq(uds_conn_send(scene->peer, msg), 0);
}

/* A REQUEST of the bare end that asks for a stream. */
static uds_rpc_call *peer_call(struct scene *scene, uint64_t id, uint32_t window)
{
    scene->seen.call = NULL;
    peer_send(scene, UDS_MSG_REQUEST, id, UDS_FIELD_WINDOW, window);
    turn(scene);
    cr_assert_not_null(scene->seen.call);
    return scene->seen.call;
}

/* ---- our end ---- */

static uint64_t stream_by(struct scene *scene, uint32_t window, bool by_hand, int timeout_ms)
{
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
    uint64_t id = 0;

    request.on_part = on_part;
    request.window = window;
    request.credit_by_hand = by_hand;
    request.timeout_ms = timeout_ms;
    cr_assert_eq(uds_rpc_request(scene->rpc, &request, on_reply, &scene->seen, &id), 0);
    return id;
}

/* … and takes the REQUEST off the other end. */
static uint64_t stream(struct scene *scene, uint32_t window)
{
    uint64_t id = stream_by(scene, window, false, -1);
    uint32_t seen_window, status;

    cr_assert_eq(peer_next(scene, &seen_window, &status), UDS_MSG_REQUEST);
    cr_assert_eq(seen_window, window);
    return id;
}

/* ---- the caller ---- */

/* P-65 */
Test(stream, gives_its_parts_in_order_and_its_reply_ends_it)
{
    UDS_TEST_GUARD;
    struct scene scene;

    scene_make(&scene);
    uint64_t id = stream(&scene, 4);
    peer_part(&scene, id, "a");
    peer_part(&scene, id, "b");
    peer_part(&scene, id, "c");
    peer_send(&scene, UDS_MSG_REPLY, id, UDS_FIELD_STATUS, 1234);
    peer_part(&scene, id, "d");
    turn(&scene);
    cr_expect_str_eq(scene.seen.order, "abc");
    cr_expect_eq(scene.seen.replies, 1);
    cr_expect_eq(scene.seen.status, 1234);
    scene_end(&scene);
}

Test(stream, may_have_no_parts_at_all)
{
    UDS_TEST_GUARD;
    struct scene scene;

    scene_make(&scene);
    peer_send(&scene, UDS_MSG_REPLY, stream(&scene, 4), 0, 0);
    turn(&scene);
    cr_expect_eq(scene.seen.parts, 0);
    cr_expect_eq(scene.seen.replies, 1);
    cr_expect_eq(scene.seen.status, UDS_STATUS_OK);
    scene_end(&scene);
}

Test(stream, asks_for_sixteen_parts_unless_it_says_otherwise)
{
    UDS_TEST_GUARD;
    struct scene scene;
    uint32_t window, status;

    scene_make(&scene);
    (void)stream_by(&scene, 0, false, -1);
    cr_assert_eq(peer_next(&scene, &window, &status), UDS_MSG_REQUEST);
    cr_expect_eq(window, UDS_RPC_WINDOW_DEFAULT);
    scene_end(&scene);
}

Test(stream, brings_descriptors_with_its_parts)
{
    UDS_TEST_GUARD;
    struct scene scene;
    uds_msg *msg;

    scene_make(&scene);
    uint64_t id = stream(&scene, 4);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(uds_msg_new(&msg, UDS_MSG_PART, id, NULL, 0), 0);
        cr_assert_eq(uds_msg_push_dup_fd(msg, STDERR_FILENO), 0);
        cr_assert_eq(uds_conn_send(scene.peer, msg), 0);
        (void)uds_msg_unref(msg);
    }
    turn(&scene);
    cr_expect_eq(scene.seen.nfds, 2);
    scene_end(&scene);
}

Test(stream, gives_credit_back_by_halves_of_its_window)
{
    UDS_TEST_GUARD;
    struct scene scene;
    uint32_t window, status;

    scene_make(&scene);
    uint64_t id = stream(&scene, 8);
    for (int i = 0; i < 3; i++)
        peer_part(&scene, id, "a");
    cr_expect_eq(peer_next_type(&scene), 0, "not for every part a frame");
    peer_part(&scene, id, "a");
    cr_expect_eq(peer_next(&scene, &window, &status), UDS_MSG_CREDIT);
    cr_expect_eq(window, 4);
    /* For ever: what is given back can be used. */
    for (int round = 0; round < 50; round++) {
        for (int i = 0; i < 4; i++)
            peer_part(&scene, id, "a");
        cr_assert_eq(peer_next(&scene, &window, &status), UDS_MSG_CREDIT);
        cr_assert_eq(window, 4);
    }
    cr_expect_eq(scene.seen.parts, 204);
    cr_expect_eq(scene.seen.replies, 0);
    scene_end(&scene);
}

Test(stream, with_a_window_of_one_goes_on)
{
    UDS_TEST_GUARD;
    struct scene scene;
    uint32_t window, status;

    scene_make(&scene);
    uint64_t id = stream(&scene, 1);
    for (int round = 0; round < 5; round++) {
        peer_part(&scene, id, "a");
        cr_assert_eq(peer_next(&scene, &window, &status), UDS_MSG_CREDIT);
        cr_assert_eq(window, 1);
    }
    scene_end(&scene);
}

Test(stream, by_hand_gets_what_is_granted_and_no_more)
{
    UDS_TEST_GUARD;
    struct scene scene;
    uint32_t window, status;

    scene_make(&scene);
    uint64_t id = stream_by(&scene, 2, true, -1);
    cr_assert_eq(peer_next_type(&scene), UDS_MSG_REQUEST);
    peer_part(&scene, id, "a");
    peer_part(&scene, id, "b");
    cr_expect_eq(peer_next_type(&scene), 0);
    cr_expect_eq(uds_rpc_grant(scene.rpc, id, 0), -EINVAL);
    cr_expect_eq(uds_rpc_grant(scene.rpc, id, UDS_RPC_WINDOW_MAX + 1), -EINVAL);
    cr_expect_eq(uds_rpc_grant(scene.rpc, id + 1, 1), -ENOENT);
    cr_expect_eq(uds_rpc_grant(scene.rpc, id, 3), 0);
    cr_expect_eq(uds_rpc_grant(scene.rpc, id, UDS_RPC_WINDOW_MAX - 2), -EINVAL);
    cr_expect_eq(peer_next(&scene, &window, &status), UDS_MSG_CREDIT);
    cr_expect_eq(window, 3);
    for (int i = 0; i < 3; i++)
        peer_part(&scene, id, "c");
    turn(&scene);
    cr_expect_eq(scene.seen.parts, 5);
    cr_expect_eq(scene.seen.replies, 0);
    peer_part(&scene, id, "d");
    turn(&scene);
    cr_expect_eq(scene.seen.parts, 5);
    cr_expect_eq(scene.seen.status, UDS_STATUS_INTERNAL);
    cr_expect_eq(uds_rpc_grant(scene.rpc, id, 1), -ENOENT);
    scene_end(&scene);
}

/* The connection and its other calls go on. */
/* P-62 */
Test(stream, ends_when_the_callee_sends_more_than_it_may)
{
    UDS_TEST_GUARD;
    struct scene scene;

    scene_make(&scene);
    uint64_t id = stream_by(&scene, 2, true, -1);
    uint64_t other = stream_by(&scene, 2, true, -1);
    cr_assert_eq(peer_next_type(&scene), UDS_MSG_REQUEST);
    cr_assert_eq(peer_next_type(&scene), UDS_MSG_REQUEST);
    for (int i = 0; i < 5; i++)
        peer_part(&scene, id, "a");
    turn(&scene);
    cr_expect_eq(scene.seen.parts, 2);
    cr_expect_eq(scene.seen.replies, 1);
    cr_expect_eq(scene.seen.status, UDS_STATUS_INTERNAL);
    cr_expect_str_eq(scene.seen.detail, "the callee sent more parts than it may");
    cr_expect_eq(peer_next_type(&scene), UDS_MSG_CANCEL);
    peer_send(&scene, UDS_MSG_REPLY, other, 0, 0);
    turn(&scene);
    cr_expect_eq(scene.seen.replies, 2);
    cr_expect_eq(scene.seen.status, UDS_STATUS_OK);
    scene_end(&scene);
}

/* P-61 */
Test(stream, is_nothing_that_a_plain_call_takes)
{
    UDS_TEST_GUARD;
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
    struct scene scene;
    uint64_t id = 0;

    scene_make(&scene);
    cr_assert_eq(uds_rpc_request(scene.rpc, &request, on_reply, &scene.seen, &id), 0);
    peer_part(&scene, id, "a");
    turn(&scene);
    cr_expect_eq(scene.seen.status, UDS_STATUS_INTERNAL);
    cr_expect_eq(scene.seen.parts, 0);
    cr_expect(uds_conn_is_open(scene.conn));
    scene_end(&scene);
}

Test(stream, ends_with_a_part_that_cannot_be_understood)
{
    UDS_TEST_GUARD;
    struct scene scene;

    scene_make(&scene);
    uint64_t id = stream(&scene, 4);
    peer_send(&scene, UDS_MSG_PART, id, UDS_FIELD_STATUS, 0);
    turn(&scene);
    cr_expect_eq(scene.seen.parts, 0);
    cr_expect_eq(scene.seen.status, UDS_STATUS_INTERNAL);
    cr_expect_eq(peer_next_type(&scene), UDS_MSG_CANCEL);
    scene_end(&scene);
}

Test(stream, may_be_taken_back_while_a_part_is_handled)
{
    UDS_TEST_GUARD;
    struct scene scene;

    scene_make(&scene);
    uint64_t id = stream(&scene, 4);
    scene.seen.cancel_in_part = true;
    peer_part(&scene, id, "a");
    peer_part(&scene, id, "b");
    turn(&scene);
    cr_expect_eq(scene.seen.parts, 1);
    cr_expect_eq(scene.seen.replies, 1);
    cr_expect_eq(scene.seen.status, UDS_STATUS_CANCELLED);
    cr_expect_eq(peer_next_type(&scene), UDS_MSG_CANCEL);
    cr_expect_eq(peer_next_type(&scene), 0, "no credit for what has ended");
    scene_end(&scene);
}

Test(stream, survives_that_a_part_frees_everything)
{
    UDS_TEST_GUARD;
    struct scene scene;

    scene_make(&scene);
    uint64_t id = stream(&scene, 1);
    scene.seen.free_in_part = true;
    peer_part(&scene, id, "a");
    turn(&scene);
    cr_expect_eq(scene.seen.parts, 1);
    cr_expect_eq(scene.seen.status, UDS_STATUS_CANCELLED);
    scene_end(&scene);
}

Test(stream, ends_with_its_deadline_however_busy_it_is)
{
    UDS_TEST_GUARD;
    struct scene scene;

    scene_make(&scene);
    uint64_t id = stream_by(&scene, 2, false, 20);
    cr_assert_eq(peer_next_type(&scene), UDS_MSG_REQUEST);
    while (scene.seen.replies == 0) {
        peer_part(&scene, id, "a");
        turn(&scene);
        uds_msg *msg;
        while ((msg = peer_receive(&scene)) != NULL)
            (void)uds_msg_unref(msg);
        uds_rpc_process_timeouts(scene.rpc);
    }
    cr_expect_eq(scene.seen.status, UDS_STATUS_DEADLINE);
    cr_expect_gt(scene.seen.parts, 0);
    cr_expect_eq(peer_next_type(&scene), UDS_MSG_CANCEL);
    scene_end(&scene);
}

Test(stream, is_lost_with_its_connection)
{
    UDS_TEST_GUARD;
    struct scene scene;

    scene_make(&scene);
    uint64_t id = stream(&scene, 4);
    peer_part(&scene, id, "a");
    turn(&scene);
    scene.peer = uds_conn_unref(scene.peer);
    turn(&scene);
    cr_expect_eq(scene.seen.parts, 1);
    cr_expect_eq(scene.seen.replies, 1);
    cr_expect_eq(scene.seen.status, UDS_STATUS_CALLEE_LOST);
    scene_end(&scene);
}

Test(stream, is_refused_here_when_the_other_side_knows_none)
{
    UDS_TEST_GUARD;
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
    struct seen seen = {0};
    uds_conn *conn;
    uds_rpc *rpc;
    int raw = raw_conn(&conn, SOCK_STREAM, NULL, 1);

    cr_assert_eq(uds_rpc_new(&rpc, conn, NULL, NULL), 0);
    request.on_part = on_part;
    cr_expect_eq(uds_rpc_request(rpc, &request, on_reply, &seen, NULL), -EOPNOTSUPP);
    request.window = UDS_RPC_WINDOW_MAX + 1;
    cr_expect_eq(uds_rpc_request(rpc, &request, on_reply, &seen, NULL), -EINVAL);
    request.on_part = NULL;
    request.window = 1;
    cr_expect_eq(uds_rpc_request(rpc, &request, on_reply, &seen, NULL), -EINVAL);
    (void)uds_rpc_free(rpc);
    (void)uds_conn_unref(conn);
    (void)close(raw);
}

Test(stream, asked_for_before_hello_ends_unimplemented_at_one_that_knows_none)
{
    UDS_TEST_GUARD;
    static const uint8_t bad_request[] = {4, 0, 4, 0, UDS_STATUS_BAD_REQUEST, 0, 0, 0};
    struct raw_frame reply = {
        .type = UDS_MSG_REPLY, .id = 1, .head = bad_request, .head_len = sizeof(bad_request)};
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
    struct seen seen = {0};
    uds_conn *conn;
    uds_rpc *rpc;
    int raw = raw_conn(&conn, SOCK_STREAM, NULL, 0);

    cr_assert_eq(uds_rpc_new(&rpc, conn, NULL, NULL), 0);
    request.on_part = on_part;
    cr_assert_eq(uds_rpc_request(rpc, &request, on_reply, &seen, NULL), 0);
    raw_send_hello(raw);
    cr_assert_gt(raw_send_frame(raw, &reply, -1, 0), 0);
    (void)uds_conn_process(conn);
    cr_expect_eq(seen.status, UDS_STATUS_UNIMPLEMENTED);
    cr_expect_str_eq(seen.detail, "the other side does not know streaming replies");
    (void)uds_rpc_free(rpc);
    (void)uds_conn_unref(conn);
    (void)close(raw);
}

/* ---- the callee ---- */

Test(stream_call, sends_what_it_may_and_hears_of_more)
{
    UDS_TEST_GUARD;
    struct scene scene;

    scene_make(&scene);
    uds_rpc_call *call = peer_call(&scene, 7, 2);
    cr_expect_neq(uds_rpc_call_is_streaming(call), 0);
    cr_expect_eq(uds_rpc_call_get_credit(call), 2);
    cr_expect_eq(uds_rpc_call_send_part(call, "a", 1, NULL, 0), 0);
    cr_expect_eq(uds_rpc_call_send_part(call, "b", 1, NULL, 0), 0);
    peer_send(&scene, UDS_MSG_CREDIT, 7, UDS_FIELD_WINDOW, 1);
    turn(&scene);
    cr_expect_eq(scene.seen.credits, 0, "nobody asked");
    cr_expect_eq(uds_rpc_call_send_part(call, "c", 1, NULL, 0), 0);
    cr_expect_eq(uds_rpc_call_send_part(call, "d", 1, NULL, 0), -EAGAIN);
    peer_send(&scene, UDS_MSG_CREDIT, 7, UDS_FIELD_WINDOW, 5);
    turn(&scene);
    cr_expect_eq(scene.seen.credits, 1);
    cr_expect_eq(uds_rpc_call_get_credit(call), 5);
    for (int i = 0; i < 3; i++)
        cr_expect_eq(peer_next_type(&scene), UDS_MSG_PART);
    cr_expect_eq(uds_rpc_call_reply(call, "end", 3, NULL, 0), 0);
    cr_expect_eq(peer_next_type(&scene), UDS_MSG_REPLY);
    peer_send(&scene, UDS_MSG_CREDIT, 7, UDS_FIELD_WINDOW, 5);
    turn(&scene);
    cr_expect(uds_conn_is_open(scene.conn), "it crossed the reply");
    scene_end(&scene);
}

Test(stream_call, may_begin_without_credit)
{
    UDS_TEST_GUARD;
    struct scene scene;

    scene_make(&scene);
    uds_rpc_call *call = peer_call(&scene, 7, 0);
    cr_expect_neq(uds_rpc_call_is_streaming(call), 0);
    cr_expect_eq(uds_rpc_call_send_part(call, "a", 1, NULL, 0), -EAGAIN);
    cr_expect_eq(uds_rpc_call_reply(call, NULL, 0, NULL, 0), 0);
    scene_end(&scene);
}

Test(stream_call, keeps_its_descriptors_when_a_part_cannot_go)
{
    UDS_TEST_GUARD;
    struct scene scene;
    int fds[2];

    scene_make(&scene);
    cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
    peer_send(&scene, UDS_MSG_REQUEST, 6, 0, 0);
    turn(&scene);
    uds_rpc_call *plain = scene.seen.call;
    cr_expect_eq(uds_rpc_call_is_streaming(plain), 0);
    cr_expect_eq(uds_rpc_call_send_part(plain, "a", 1, fds, 2), -EOPNOTSUPP);
    cr_expect_eq(uds_rpc_call_reply(plain, NULL, 0, NULL, 0), 0);

    uds_rpc_call *call = peer_call(&scene, 7, 1);
    static const int bad[] = {-1};
    cr_expect_eq(uds_rpc_call_send_part(call, "a", 1, bad, 1), -EINVAL);
    cr_expect_eq(uds_rpc_call_get_credit(call), 1);
    cr_expect_eq(uds_rpc_call_send_part(call, "a", 1, fds, 1), 0);
    cr_expect_eq(uds_rpc_call_send_part(call, "a", 1, fds + 1, 1), -EAGAIN);
    cr_expect_eq(fcntl(fds[1], F_GETFD), FD_CLOEXEC);
    (void)close(fds[1]);
    cr_expect_eq(uds_rpc_call_reply(call, NULL, 0, NULL, 0), 0);
    scene_end(&scene);
}

/* P-60 */
Test(stream_call, is_refused_where_streaming_is_not_in_use)
{
    UDS_TEST_GUARD;
    static const uint8_t window[] = {14, 0, 4, 0, 1, 0, 0, 0};
    struct raw_frame request = {
        .type = UDS_MSG_REQUEST, .id = 7, .head = window, .head_len = sizeof(window)};
    struct seen seen = {0};
    uint8_t bytes[200];
    uds_conn *conn;
    uds_rpc *rpc;
    int raw = raw_conn(&conn, SOCK_STREAM, NULL, 1);

    cr_assert_eq(uds_rpc_new(&rpc, conn, NULL, NULL), 0);
    uds_rpc_set_handler(rpc, on_call, &seen, 0);
    cr_assert_gt(raw_send_frame(raw, &request, -1, 0), 0);
    (void)uds_conn_process(conn);
    cr_expect_eq(seen.calls, 0);
    cr_assert_gt(recv(raw, bytes, sizeof(bytes), MSG_DONTWAIT), 32);
    cr_expect_eq(bytes[2], UDS_MSG_REPLY);
    cr_expect_eq(bytes[28], UDS_STATUS_BAD_REQUEST);
    cr_expect(uds_conn_is_open(conn));
    (void)uds_rpc_free(rpc);
    (void)uds_conn_unref(conn);
    (void)close(raw);
}

/* What is wrong with a WINDOW harms its own call. */
/* P-63 */
/* P-64 */
Test(stream_call, ends_with_credit_that_cannot_be)
{
    UDS_TEST_GUARD;
    static const struct {
        uint16_t tag;
        uint32_t value;
    } bad[] = {{UDS_FIELD_WINDOW, 0},
               {UDS_FIELD_WINDOW, UDS_RPC_WINDOW_MAX},
               {UDS_FIELD_WINDOW, UINT32_MAX},
               {UDS_FIELD_STATUS, 1},
               {0, 0}};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct scene scene;
        uint32_t window, status;

        scene_make(&scene);
        uds_rpc_call *call = peer_call(&scene, 7, 1);
        peer_send(&scene, UDS_MSG_CREDIT, 7, bad[i].tag, bad[i].value);
        cr_expect_eq(peer_next(&scene, &window, &status), UDS_MSG_REPLY);
        cr_expect_eq(status, UDS_STATUS_BAD_REQUEST);
        cr_expect_eq(scene.seen.cancels, 1);
        cr_expect_eq(uds_rpc_call_send_part(call, "a", 1, NULL, 0), -ECANCELED);
        cr_expect_eq(uds_rpc_call_reply(call, NULL, 0, NULL, 0), 0);
        cr_expect_eq(peer_next_type(&scene), 0, "one answer is enough");
        cr_expect(uds_conn_is_open(scene.conn));
        scene_end(&scene);
    }
}

Test(stream_call, that_is_plain_takes_no_credit)
{
    UDS_TEST_GUARD;
    struct scene scene;
    uint32_t window, status;

    scene_make(&scene);
    peer_send(&scene, UDS_MSG_REQUEST, 7, 0, 0);
    peer_send(&scene, UDS_MSG_CREDIT, 7, UDS_FIELD_WINDOW, 1);
    cr_expect_eq(peer_next(&scene, &window, &status), UDS_MSG_REPLY);
    cr_expect_eq(status, UDS_STATUS_BAD_REQUEST);
    cr_expect_eq(uds_rpc_call_reply(scene.seen.call, NULL, 0, NULL, 0), 0);
    scene_end(&scene);
}

Test(stream_call, begins_with_no_window_over_the_limit)
{
    UDS_TEST_GUARD;
    struct scene scene;
    uint32_t window, status;

    scene_make(&scene);
    peer_send(&scene, UDS_MSG_REQUEST, 7, UDS_FIELD_WINDOW, UDS_RPC_WINDOW_MAX + 1);
    cr_expect_eq(peer_next(&scene, &window, &status), UDS_MSG_REPLY);
    cr_expect_eq(status, UDS_STATUS_BAD_REQUEST);
    cr_expect_eq(scene.seen.calls, 0);
    scene_end(&scene);
}

static void small_queue(struct uds_conn_options *options)
{
    *options = (struct uds_conn_options)UDS_CONN_OPTIONS_INIT;
    options->send_queue_bytes = 4 << 20;
    options->high_water = 1 << 20;
    options->low_water = 64 << 10;
}

/* A caller that gives credit and does not read: the parts stop at the high-water mark, and a reply still fits. */
Test(stream_call, stops_at_the_high_water_mark_and_goes_on_below_the_low_one)
{
    UDS_TEST_GUARD;
    struct uds_conn_options options;
    struct scene scene;
    static char body[16 << 10];
    unsigned sent = 0, came = 0;

    small_queue(&options);
    scene_make_with(&scene, &options);
    uds_rpc_call *call = peer_call(&scene, 7, UDS_RPC_WINDOW_MAX);
    while (uds_rpc_call_send_part(call, body, sizeof(body), NULL, 0) == 0) {
        sent++;
        (void)uds_conn_flush(scene.conn);
        cr_assert_lt(sent, 10000);
    }
    cr_expect_leq(uds_conn_get_queued_bytes(scene.conn), 1 << 20);
    cr_expect_eq(uds_rpc_call_send_part(call, "x", 1, NULL, 0), -EAGAIN);
    cr_expect_eq(scene.seen.credits, 0);
    for (int i = 0; i < 10000 && scene.seen.credits == 0; i++) {
        uds_msg *msg = peer_receive(&scene);

        came += msg != NULL;
        (void)uds_msg_unref(msg);
    }
    cr_expect_eq(scene.seen.credits, 1);
    cr_expect_eq(uds_rpc_call_send_part(call, "x", 1, NULL, 0), 0);
    cr_expect_eq(uds_rpc_call_reply(call, NULL, 0, NULL, 0), 0);
    for (uds_msg *msg; (msg = peer_receive(&scene)) != NULL; came++)
        (void)uds_msg_unref(msg);
    cr_expect_eq(came, sent + 2);
    scene_end(&scene);
}

/* Small parts are counted with what it costs to keep them: a caller with much credit that does not read cannot park more. */
Test(stream_call, stops_small_parts_by_the_memory_that_they_take)
{
    UDS_TEST_GUARD;
    struct uds_conn_options options;
    struct scene scene;
    unsigned sent = 0, came = 0;

    small_queue(&options);
    scene_make_with(&scene, &options);
    uds_rpc_call *call = peer_call(&scene, 7, UDS_RPC_WINDOW_MAX);
    while (uds_rpc_call_send_part(call, "x", 1, NULL, 0) == 0) {
        sent++;
        cr_assert_leq(scene.conn->out.count, (1 << 20) / 512);
    }
    for (uds_msg *msg; (msg = peer_receive(&scene)) != NULL; came++)
        (void)uds_msg_unref(msg);
    cr_expect_eq(came, sent);
    cr_expect_eq(scene.seen.credits, 1);
    cr_expect_eq(uds_rpc_call_reply(call, NULL, 0, NULL, 0), 0);
    scene_end(&scene);
}

/* A part that does not fit beside what is queued, though that is below the high-water mark. */
Test(stream_call, is_told_when_a_large_part_fits_again)
{
    UDS_TEST_GUARD;
    struct uds_conn_options options;
    struct scene scene;
    char *body = calloc(1, 4 << 20);

    small_queue(&options);
    scene_make_with(&scene, &options);
    uds_rpc_call *call = peer_call(&scene, 7, 16);
    cr_assert_eq(uds_rpc_call_send_part(call, body, 512 << 10, NULL, 0), 0);
    cr_expect_eq(uds_rpc_call_send_part(call, body, 3 << 20, NULL, 0), -EAGAIN);
    for (int i = 0; i < 1000 && scene.seen.credits == 0; i++)
        (void)uds_msg_unref(peer_receive(&scene));
    cr_expect_eq(scene.seen.credits, 1);
    for (int i = 0; i < 1000 && uds_conn_get_queued_bytes(scene.conn) > 0; i++)
        (void)uds_msg_unref(peer_receive(&scene));
    cr_expect_eq(uds_rpc_call_send_part(call, body, 3 << 20, NULL, 0), 0);
    cr_expect_eq(uds_rpc_call_reply(call, NULL, 0, NULL, 0), 0);
    free(body);
    scene_end(&scene);
}

struct share {
    unsigned sent, turns;
    char *body;
};

static void on_share(uds_rpc_call *call, void *arg)
{
    struct share *share = arg;

    share->turns++;
    while (uds_rpc_call_send_part(call, share->body, 64 << 10, NULL, 0) == 0)
        share->sent++;
}

/* None of several can keep the queue full for itself. */
Test(stream_call, shares_the_queue_with_others_in_turns)
{
    UDS_TEST_GUARD;
    static const struct uds_rpc_call_callbacks callbacks = {.on_credit = on_share};
    struct uds_conn_options options;
    struct share shares[3] = {0};
    uds_rpc_call *calls[3];
    struct scene scene;
    char *body = calloc(1, 64 << 10);

    small_queue(&options);
    scene_make_with(&scene, &options);
    for (unsigned i = 0; i < 3; i++) {
        calls[i] = peer_call(&scene, i + 1, UDS_RPC_WINDOW_MAX);
        shares[i].body = body;
        uds_rpc_call_set_callbacks(calls[i], &callbacks, &shares[i]);
    }
    for (unsigned i = 0; i < 3; i++)
        on_share(calls[i], &shares[i]);
    for (int i = 0; i < 1000; i++)
        (void)uds_msg_unref(peer_receive(&scene));
    for (unsigned i = 0; i < 3; i++) {
        cr_expect_gt(shares[i].turns, 3, "call %u had %u turns", i, shares[i].turns);
        cr_expect_eq(uds_rpc_call_reply(calls[i], NULL, 0, NULL, 0), 0);
    }
    free(body);
    scene_end(&scene);
}

/* ---- cancellation, of every call ---- */

Test(cancel, is_told_to_the_callee_once)
{
    UDS_TEST_GUARD;
    struct scene scene;

    scene_make(&scene);
    uds_rpc_call *call = peer_call(&scene, 7, 1);
    cr_expect_eq(uds_rpc_call_send_part(call, "a", 1, NULL, 0), 0);
    cr_expect_eq(uds_rpc_call_send_part(call, "a", 1, NULL, 0), -EAGAIN);
    peer_send(&scene, UDS_MSG_CANCEL, 7, 0, 0);
    peer_send(&scene, UDS_MSG_CANCEL, 7, 0, 0);
    peer_send(&scene, UDS_MSG_CREDIT, 7, UDS_FIELD_WINDOW, 1);
    turn(&scene);
    cr_expect_eq(scene.seen.cancels, 1);
    cr_expect_eq(scene.seen.credits, 0);
    cr_expect_eq(uds_rpc_call_get_credit(call), 0);
    scene.peer = uds_conn_unref(scene.peer);
    turn(&scene);
    cr_expect_eq(scene.seen.cancels, 1);
    cr_expect_eq(uds_rpc_call_reply(call, NULL, 0, NULL, 0), 0);
    scene_end(&scene);
}

Test(cancel, may_be_answered_at_once)
{
    UDS_TEST_GUARD;
    struct scene scene;

    scene_make(&scene);
    scene.seen.answer_in_cancel = true;
    (void)peer_call(&scene, 7, 1);
    (void)peer_call(&scene, 8, 1);
    peer_send(&scene, UDS_MSG_CANCEL, 7, 0, 0);
    turn(&scene);
    cr_expect_eq(scene.seen.cancels, 1);
    cr_expect_eq(scene.rpc->calls.count, 1);
    cr_expect_eq(scene.rpc->call_bytes, ((uds_rpc_call *)scene.rpc->calls.first)->bytes);
    scene.peer = uds_conn_unref(scene.peer);
    turn(&scene);
    cr_expect_eq(scene.seen.cancels, 2);
    cr_expect_eq(scene.rpc->calls.count, 0);
    cr_expect_eq(scene.rpc->call_bytes, 0);
    scene_end(&scene);
}

Test(cancel, comes_with_the_end_of_the_rpc)
{
    UDS_TEST_GUARD;
    struct scene scene;

    scene_make(&scene);
    uds_rpc_call *call = peer_call(&scene, 7, 1);
    scene_end(&scene);
    cr_expect_eq(scene.seen.cancels, 1);
    cr_expect_eq(uds_rpc_call_send_part(call, "a", 1, NULL, 0), -ECANCELED);
    cr_expect_eq(uds_rpc_call_fail(call, UDS_STATUS_INTERNAL, 0, NULL), 0);
}

Test(cancel, may_free_the_rpc)
{
    UDS_TEST_GUARD;
    struct scene scene;

    scene_make(&scene);
    scene.seen.answer_in_cancel = scene.seen.free_in_cancel = true;
    for (uint64_t id = 1; id < 5; id++)
        (void)peer_call(&scene, id, 1);
    peer_send(&scene, UDS_MSG_CANCEL, 2, 0, 0);
    turn(&scene);
    cr_expect_eq(scene.seen.cancels, 4);
    cr_expect_null(scene.seen.rpc);
    scene_end(&scene);
}

/* ---- limits ---- */

static uint32_t peer_status(struct scene *scene)
{
    uint32_t window, status;

    cr_expect_eq(peer_next(scene, &window, &status), UDS_MSG_REPLY);
    return status;
}

static void peer_request(struct scene *scene, uint64_t id, size_t len, unsigned nfds)
{
    _cleanup_msg_ uds_msg *msg = NULL;
    void *body;

    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_REQUEST, id, NULL, 0), 0);
    cr_assert_eq(uds_msg_reserve_body(msg, len, &body), 0);
    memset(body, 0, len);
    for (unsigned i = 0; i < nfds; i++)
        cr_assert_eq(uds_msg_push_dup_fd(msg, STDERR_FILENO), 0);
    cr_assert_eq(uds_conn_send(scene->peer, msg), 0);
    for (int i = 0; i < 50; i++)
        turn(scene);
}

Test(limits, bound_what_open_requests_hold)
{
    UDS_TEST_GUARD;
    struct uds_rpc_limits limits = UDS_RPC_LIMITS_INIT;
    struct scene scene;

    scene_make(&scene);
    limits.bytes = 1 << 20;
    limits.fds = 3;
    cr_assert_eq(uds_rpc_set_limits(scene.rpc, &limits), 0);
    peer_request(&scene, 1, 2 << 20, 4);
    uds_rpc_call *large = scene.seen.call;
    cr_expect_eq(scene.seen.calls, 1, "one is always taken");
    peer_request(&scene, 2, 1, 0);
    cr_expect_eq(peer_status(&scene), UDS_STATUS_QUOTA);
    cr_expect_eq(uds_rpc_call_reply(large, NULL, 0, NULL, 0), 0);
    cr_expect_eq(peer_status(&scene), UDS_STATUS_OK);

    peer_request(&scene, 3, 1, 2);
    uds_rpc_call *two = scene.seen.call;
    peer_request(&scene, 4, 1, 2);
    cr_expect_eq(peer_status(&scene), UDS_STATUS_QUOTA);
    peer_request(&scene, 5, 1, 1);
    cr_expect_eq(scene.seen.calls, 3);
    cr_expect_eq(uds_rpc_call_reply(two, NULL, 0, NULL, 0), 0);
    cr_expect_eq(uds_rpc_call_reply(scene.seen.call, NULL, 0, NULL, 0), 0);
    cr_expect_eq(scene.rpc->call_bytes, 0);
    cr_expect_eq(scene.rpc->call_fds, 0);
    limits.size--;
    cr_expect_eq(uds_rpc_set_limits(scene.rpc, &limits), -EINVAL);
    scene_end(&scene);
}

/* Else a caller could have any number of them worked on: ask, take back, ask again. */
Test(limits, count_calls_that_were_taken_back_and_not_answered)
{
    UDS_TEST_GUARD;
    struct uds_rpc_limits limits = UDS_RPC_LIMITS_INIT;
    struct scene scene;

    scene_make(&scene);
    limits.calls = 1;
    cr_assert_eq(uds_rpc_set_limits(scene.rpc, &limits), 0);
    peer_request(&scene, 1, 1, 0);
    peer_send(&scene, UDS_MSG_CANCEL, 1, 0, 0);
    peer_request(&scene, 2, 1, 0);
    cr_expect_eq(peer_status(&scene), UDS_STATUS_QUOTA);
    cr_expect_eq(scene.seen.calls, 1);
    cr_expect_eq(uds_rpc_call_reply(scene.seen.call, NULL, 0, NULL, 0), 0);
    peer_request(&scene, 3, 1, 0);
    cr_expect_eq(scene.seen.calls, 2);
    cr_expect_eq(uds_rpc_call_reply(scene.seen.call, NULL, 0, NULL, 0), 0);
    scene_end(&scene);
}

/* ---- memory ---- */

Test(steady_state, needs_no_new_memory_for_a_call_after_the_other)
{
    UDS_TEST_GUARD;
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
    struct scene scene;
    uint64_t id = 0;

    scene_make(&scene);
    const void *pending = NULL, *call = NULL, *buckets[2] = {NULL, NULL};
    for (uint64_t i = 1; i <= 100; i++) {
        cr_assert_eq(uds_rpc_request(scene.rpc, &request, on_reply, &scene.seen, &id), 0);
        peer_request(&scene, i, 1, 0);
        if (i == 1) {
            pending = scene.rpc->pending.first;
            call = scene.seen.call;
            buckets[0] = scene.rpc->pending.buckets;
            buckets[1] = scene.rpc->calls.buckets;
        }
        cr_assert_eq(scene.rpc->pending.first, pending);
        cr_assert_eq(scene.seen.call, call);
        peer_send(&scene, UDS_MSG_REPLY, id, 0, 0);
        cr_assert_eq(uds_rpc_call_reply(scene.seen.call, NULL, 0, NULL, 0), 0);
        for (uds_msg *msg; (msg = peer_receive(&scene)) != NULL;)
            (void)uds_msg_unref(msg);
    }
    cr_expect_eq(scene.seen.replies, 100);
    cr_expect_eq(scene.rpc->pending.buckets, buckets[0]);
    cr_expect_eq(scene.rpc->calls.buckets, buckets[1]);
    scene_end(&scene);
}
