/* SPDX-License-Identifier: MIT */

/* Calls: each one ends exactly once, whatever the other side, the clock or the callbacks do. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>
#include <sys/wait.h>

#include <uds/error.h>
#include <uds/rpc.h>

#include "cleanup.h"
#include "guard.h"
#include "rpc/deadline.h"

/* A caller with an rpc, and the other end: a bare connection that says what the test says. */
struct scene {
    uds_conn *conn, *peer;
    uds_rpc *rpc;
};

struct seen {
    unsigned replies, closes, messages, calls;
    uint32_t status;
    uint64_t value;
    char detail[1100], rule[300];
    size_t body_len, nfds;
    int close_error;
    uds_rpc_call *call;
    uds_rpc *free_in_callback;
    uds_rpc *cancel_in;
    uint64_t cancel_id;
    size_t unfinished;
};

static void on_reply(const struct uds_rpc_reply *reply, void *arg)
{
    struct seen *seen = arg;

    seen->replies++;
    seen->status = reply->status;
    seen->value = reply->value;
    (void)snprintf(seen->detail, sizeof(seen->detail), "%s", reply->detail);
    (void)snprintf(seen->rule, sizeof(seen->rule), "%s", reply->rule);
    if (reply->msg) {
        (void)uds_msg_peek_body(reply->msg, &seen->body_len);
        seen->nfds = uds_msg_get_fd_count(reply->msg);
    }
    if (seen->cancel_in)
        (void)uds_rpc_cancel(seen->cancel_in, seen->cancel_id);
    if (seen->free_in_callback) {
        (void)uds_rpc_free(seen->free_in_callback);
        seen->free_in_callback = NULL;
    }
}

static void on_call(uds_rpc_call *call, void *arg)
{
    struct seen *seen = arg;

    seen->calls++;
    seen->call = call;
}

static void on_close(uds_conn *conn, int error, void *arg)
{
    struct seen *seen = arg;

    (void)conn;
    seen->closes++;
    seen->close_error = error;
}

static void on_message(uds_conn *conn, uds_msg *msg, void *arg)
{
    struct seen *seen = arg;

    (void)conn;
    seen->messages++;
    (void)uds_msg_unref(msg);
}

static void on_unfinished(uds_conn *conn, size_t bytes, size_t fds, void *arg)
{
    struct seen *seen = arg;

    (void)conn;
    (void)fds;
    seen->unfinished = bytes;
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

static void scene_make(struct scene *scene, struct seen *seen)
{
    struct uds_conn_callbacks fallback = {
        .on_message = on_message, .on_close = on_close, .on_unfinished = on_unfinished};

    memset(seen, 0, sizeof(*seen));
    cr_assert_eq(uds_conn_pair(&scene->conn, &scene->peer, NULL), 0);
    cr_assert_eq(uds_rpc_new(&scene->rpc, scene->conn, &fallback, seen), 0);
    turn(scene);
}

static void scene_end(struct scene *scene)
{
    scene->rpc = uds_rpc_free(scene->rpc);
    scene->conn = uds_conn_unref(scene->conn);
    scene->peer = uds_conn_unref(scene->peer);
}

/* What came at the bare end; NULL if nothing. */
static uds_msg *peer_receive(struct scene *scene)
{
    uds_msg *msg = NULL;

    (void)uds_conn_process(scene->conn);
    (void)uds_conn_process(scene->peer);
    return uds_conn_receive(scene->peer, &msg) == 1 ? msg : NULL;
}

static enum uds_msg_type peer_receive_type(struct scene *scene, uint64_t *ret_id)
{
    uds_msg *msg = peer_receive(scene);

    if (!msg)
        return 0;
    enum uds_msg_type type = uds_msg_get_type(msg);
    *ret_id = uds_msg_get_id(msg);
    (void)uds_msg_unref(msg);
    return type;
}

/* A message of the bare end with any fields; @status UINT32_MAX = none. */
static void peer_send(struct scene *scene, enum uds_msg_type type, uint64_t id, uint32_t status)
{
    _cleanup_msg_ uds_msg *msg = NULL;

    cr_assert_eq(uds_msg_new(&msg, type, id, "body", 4), 0);
    if (status != UINT32_MAX)
        cr_assert_eq(uds_msg_add_u32(msg, UDS_FIELD_STATUS, status), 0);
    cr_assert_eq(uds_conn_send(scene->peer, msg), 0);
}

static uint64_t request(struct scene *scene, struct seen *seen, int timeout_ms)
{
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
    uint64_t id = 0;

    request.method = "m";
    request.timeout_ms = timeout_ms;
    cr_assert_eq(uds_rpc_request(scene->rpc, &request, on_reply, seen, &id), 0);
    cr_assert_neq(id, 0);
    return id;
}

Test(rpc, tells_its_fallback_what_half_a_frame_holds)
{
    UDS_TEST_GUARD;
    struct scene scene;
    struct seen seen;
    _cleanup_msg_ uds_msg *msg = NULL;
    void *body;

    scene_make(&scene, &seen);
    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 0, NULL, 0), 0);
    cr_assert_eq(uds_msg_reserve_body(msg, 4 << 20, &body), 0);
    memset(body, 0, 4 << 20);
    cr_assert_eq(uds_conn_send(scene.peer, msg), 0);
    cr_assert_eq(uds_conn_flush(scene.peer), 1, "more than the socket takes at once");
    (void)uds_conn_process(scene.conn);
    cr_assert_gt(seen.unfinished, 0);
    for (int i = 0; i < 1000 && seen.messages == 0; i++)
        turn(&scene);
    cr_assert_eq(seen.messages, 1);
    cr_assert_eq(seen.unfinished, 0);
    scene_end(&scene);
}

Test(rpc_request, carries_its_fields_and_gets_its_reply)
{
    UDS_TEST_GUARD;
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
    struct scene scene;
    struct seen seen;
    char text[32];
    uint32_t timeout = 0;
    uint64_t id;
    size_t len;

    scene_make(&scene, &seen);
    request.method = "pkg.Service/Do";
    request.subject = "thumbs";
    request.body = "hello";
    request.body_len = 5;
    request.fds = (const int[]){STDIN_FILENO};
    request.nfds = 1;
    request.timeout_ms = 5000;
    cr_assert_eq(uds_rpc_request(scene.rpc, &request, on_reply, &seen, &id), 0);
    cr_expect_eq(seen.replies, 0);
    cr_expect(uds_rpc_get_timeout(scene.rpc) > 4000);

    uds_msg *msg = peer_receive(&scene);
    cr_assert(msg);
    cr_expect_eq(uds_msg_get_type(msg), UDS_MSG_REQUEST);
    cr_expect_eq(uds_msg_get_id(msg), id);
    cr_expect_eq(uds_msg_get_fd_count(msg), 1);
    cr_assert_eq(uds_msg_get_string(msg, UDS_FIELD_METHOD, text, sizeof(text)), 0);
    cr_expect_str_eq(text, "pkg.Service/Do");
    cr_assert_eq(uds_msg_get_string(msg, UDS_FIELD_SUBJECT, text, sizeof(text)), 0);
    cr_expect_str_eq(text, "thumbs");
    cr_assert_eq(uds_msg_get_u32(msg, UDS_FIELD_TIMEOUT_MS, &timeout), 0);
    cr_expect_eq(timeout, 5000);
    cr_expect_eq(memcmp(uds_msg_peek_body(msg, &len), "hello", 5), 0);
    (void)uds_msg_unref(msg);

    peer_send(&scene, UDS_MSG_REPLY, id, UINT32_MAX);
    turn(&scene);
    cr_expect_eq(seen.replies, 1);
    cr_expect_eq(seen.status, UDS_STATUS_OK);
    cr_expect_eq(seen.body_len, 4);
    cr_expect_eq(uds_rpc_get_timeout(scene.rpc), -1);
    scene_end(&scene);
    cr_expect_eq(seen.replies, 1);
}

Test(rpc_request, ignores_replies_that_it_does_not_wait_for)
{
    UDS_TEST_GUARD;
    struct scene scene;
    struct seen seen;

    scene_make(&scene, &seen);
    uint64_t id = request(&scene, &seen, -1);
    peer_send(&scene, UDS_MSG_REPLY, id + 1, UINT32_MAX);
    turn(&scene);
    cr_expect_eq(seen.replies, 0);
    peer_send(&scene, UDS_MSG_REPLY, id, UINT32_MAX);
    peer_send(&scene, UDS_MSG_REPLY, id, UINT32_MAX);
    turn(&scene);
    cr_expect_eq(seen.replies, 1);
    cr_expect_eq(seen.closes, 0);
    scene_end(&scene);
}

Test(rpc_request, ends_at_its_deadline_and_tells_the_callee)
{
    UDS_TEST_GUARD;
    struct scene scene;
    struct seen late, other;
    uint64_t got = 0;

    scene_make(&scene, &other);
    memset(&late, 0, sizeof(late));
    (void)request(&scene, &other, 60000);
    uint64_t id = request(&scene, &late, 20);
    cr_expect_leq(uds_rpc_get_timeout(scene.rpc), 20);
    while (uds_rpc_get_timeout(scene.rpc) > 0 && late.replies == 0) {
        uds_rpc_process_timeouts(scene.rpc);
        cr_expect_eq(late.replies, 0);
        (void)poll(NULL, 0, uds_rpc_get_timeout(scene.rpc));
    }
    uds_rpc_process_timeouts(scene.rpc);
    cr_expect_eq(late.replies, 1);
    cr_expect_eq(late.status, UDS_STATUS_DEADLINE);
    cr_expect_neq(late.detail[0], '\0');
    cr_expect_eq(other.replies, 0);
    cr_expect_gt(uds_rpc_get_timeout(scene.rpc), 30000);
    cr_expect_eq(peer_receive_type(&scene, &got), UDS_MSG_REQUEST);
    cr_expect_eq(peer_receive_type(&scene, &got), UDS_MSG_REQUEST);
    cr_expect_eq(peer_receive_type(&scene, &got), UDS_MSG_CANCEL);
    cr_expect_eq(got, id);
    peer_send(&scene, UDS_MSG_REPLY, id, UINT32_MAX);
    turn(&scene);
    cr_expect_eq(late.replies, 1, "a late answer is no second one");
    scene_end(&scene);
    cr_expect_eq(other.status, UDS_STATUS_CANCELLED);
}

Test(rpc_cancel, ends_the_call_before_it_returns)
{
    UDS_TEST_GUARD;
    struct scene scene;
    struct seen seen;
    uint64_t got = 0;

    scene_make(&scene, &seen);
    uint64_t id = request(&scene, &seen, 1000);
    cr_expect_eq(uds_rpc_cancel(scene.rpc, id + 7), -ENOENT);
    cr_expect_eq(uds_rpc_cancel(scene.rpc, id), 0);
    cr_expect_eq(seen.replies, 1);
    cr_expect_eq(seen.status, UDS_STATUS_CANCELLED);
    cr_expect_eq(uds_rpc_cancel(scene.rpc, id), -ENOENT);
    cr_expect_eq(uds_rpc_get_timeout(scene.rpc), -1);
    cr_expect_eq(peer_receive_type(&scene, &got), UDS_MSG_REQUEST);
    cr_expect_eq(peer_receive_type(&scene, &got), UDS_MSG_CANCEL);
    cr_expect_eq(got, id);
    scene_end(&scene);
}

Test(rpc, ends_all_calls_when_the_connection_is_lost)
{
    UDS_TEST_GUARD;
    struct uds_rpc_request again = UDS_RPC_REQUEST_INIT;
    struct scene scene;
    struct seen seen;

    scene_make(&scene, &seen);
    for (int i = 0; i < 5; i++)
        (void)request(&scene, &seen, 1000);
    turn(&scene);
    scene.peer = uds_conn_unref(scene.peer);
    turn(&scene);
    cr_expect_eq(seen.replies, 5);
    cr_expect_eq(seen.status, UDS_STATUS_CALLEE_LOST);
    cr_expect_eq(seen.closes, 1);
    cr_expect_lt(seen.close_error, 0);
    cr_expect_eq(uds_rpc_request(scene.rpc, &again, on_reply, &seen, NULL), -ENOTCONN);
    scene_end(&scene);
    cr_expect_eq(seen.replies, 5);
}

Test(rpc, ends_all_calls_when_it_is_freed_also_inside_a_callback)
{
    UDS_TEST_GUARD;
    struct scene scene;
    struct seen first, rest;

    scene_make(&scene, &first);
    memset(&rest, 0, sizeof(rest));
    uint64_t id = request(&scene, &first, -1);
    (void)request(&scene, &rest, 50);
    (void)request(&scene, &rest, -1);
    first.free_in_callback = scene.rpc;
    peer_send(&scene, UDS_MSG_REPLY, id, UINT32_MAX);
    turn(&scene);
    cr_expect_eq(first.replies, 1);
    cr_expect_eq(first.status, UDS_STATUS_OK);
    cr_expect_eq(rest.replies, 2);
    cr_expect_eq(rest.status, UDS_STATUS_CANCELLED);
    scene.rpc = NULL;
    scene_end(&scene);
}

Test(rpc, may_cancel_another_call_inside_a_callback)
{
    UDS_TEST_GUARD;
    struct scene scene;
    struct seen first, second;

    scene_make(&scene, &first);
    memset(&second, 0, sizeof(second));
    (void)request(&scene, &first, -1);
    first.cancel_in = scene.rpc;
    first.cancel_id = request(&scene, &second, -1);
    scene.peer = uds_conn_unref(scene.peer);
    turn(&scene);
    cr_expect_eq(first.replies, 1);
    cr_expect_eq(second.replies, 1);
    cr_expect_eq(second.status, UDS_STATUS_CANCELLED);
    scene_end(&scene);
}

Test(rpc_reply, bounds_what_the_peer_says)
{
    UDS_TEST_GUARD;
    struct scene scene;
    struct seen seen;
    char longest[3000];
    _cleanup_msg_ uds_msg *msg = NULL;

    scene_make(&scene, &seen);
    uint64_t id = request(&scene, &seen, -1);
    memset(longest, 'x', sizeof(longest));
    longest[3] = '\x1b';
    memcpy(longest + 5, "\xc2\x9b", 2); /* CSI in one character */
    memcpy(longest + 8, "\xc3\x9f", 2); /* sharp s */
    longest[sizeof(longest) - 1] = '\0';
    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_REPLY, id, NULL, 0), 0);
    cr_assert_eq(uds_msg_add_u32(msg, UDS_FIELD_STATUS, UDS_STATUS_DENIED), 0);
    cr_assert_eq(uds_msg_add_u64(msg, UDS_FIELD_VALUE, 1ull << 40), 0);
    cr_assert_eq(uds_msg_add_string(msg, UDS_FIELD_DETAIL, longest), 0);
    cr_assert_eq(uds_msg_add_string(msg, UDS_FIELD_RULE, "policy rule 3"), 0);
    cr_assert_eq(uds_msg_add_string(msg, 0x8042, "an extension"), 0);
    cr_assert_eq(uds_conn_send(scene.peer, msg), 0);
    turn(&scene);
    cr_expect_eq(seen.status, UDS_STATUS_DENIED);
    cr_expect_eq(seen.value, 1ull << 40);
    cr_expect_eq(strlen(seen.detail), 1024);
    cr_expect_eq(seen.detail[3], '?', "a terminal must not be talked to");
    cr_expect_eq(memcmp(seen.detail + 5, "??", 2), 0, "not by a C1 control either");
    cr_expect_eq(memcmp(seen.detail + 8, "\xc3\x9f", 2), 0, "other letters stay");
    cr_expect_str_eq(seen.rule, "policy rule 3");
    scene_end(&scene);
}

/* One field with a tag and bytes. */
static uint32_t status_of_reply_with(uint16_t tag, const void *data, size_t len)
{
    struct scene scene;
    struct seen seen;
    uds_msg *msg;

    scene_make(&scene, &seen);
    uint64_t id = request(&scene, &seen, -1);
    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_REPLY, id, NULL, 0), 0);
    cr_assert_eq(uds_msg_add_bytes(msg, tag, data, len), 0);
    cr_assert_eq(uds_conn_send(scene.peer, msg), 0);
    turn(&scene);
    (void)uds_msg_unref(msg);
    scene_end(&scene);
    cr_expect_eq(seen.replies, 1);
    return seen.status;
}

Test(rpc_reply, that_cannot_be_understood_is_internal)
{
    UDS_TEST_GUARD;
    cr_expect_eq(status_of_reply_with(UDS_FIELD_STATUS, "abc", 3), UDS_STATUS_INTERNAL);
    cr_expect_eq(status_of_reply_with(UDS_FIELD_VALUE, "abc", 3), UDS_STATUS_INTERNAL);
    cr_expect_eq(status_of_reply_with(0x0142, "abc", 3), UDS_STATUS_INTERNAL);
    cr_expect_eq(status_of_reply_with(0x8142, "abc", 3), UDS_STATUS_OK);
}

/* ---- the callee's side ---- */

static void send_request(struct scene *scene, uint64_t id, uint16_t tag, const char *text)
{
    _cleanup_msg_ uds_msg *msg = NULL;

    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_REQUEST, id, "q", 1), 0);
    if (tag)
        cr_assert_eq(uds_msg_add_string(msg, tag, text), 0);
    cr_assert_eq(uds_conn_send(scene->peer, msg), 0);
}

/* The REPLY at the bare end: its status, or UINT32_MAX if there is none. */
static uint32_t peer_reply(struct scene *scene, uint64_t id, char *detail, size_t size)
{
    _cleanup_msg_ uds_msg *msg = peer_receive(scene);
    uint32_t status = UDS_STATUS_OK;

    if (!msg)
        return UINT32_MAX;
    cr_expect_eq(uds_msg_get_type(msg), UDS_MSG_REPLY);
    cr_expect_eq(uds_msg_get_id(msg), id);
    cr_expect(uds_msg_get_u32(msg, UDS_FIELD_STATUS, &status) != -EBADMSG);
    if (detail && uds_msg_get_string(msg, UDS_FIELD_DETAIL, detail, size) < 0)
        detail[0] = '\0';
    return status;
}

Test(rpc_call, is_handed_to_the_handler_and_answered_later)
{
    UDS_TEST_GUARD;
    struct scene scene;
    struct seen seen;
    int fds[2], nfds;

    scene_make(&scene, &seen);
    uds_rpc_set_handler(scene.rpc, on_call, &seen, 0);
    send_request(&scene, 9, UDS_FIELD_METHOD, "pkg.Svc/Do");
    turn(&scene);
    cr_assert_eq(seen.calls, 1);
    cr_expect_str_eq(uds_rpc_call_get_method(seen.call), "pkg.Svc/Do");
    cr_expect_str_eq(uds_rpc_call_get_subject(seen.call), "");
    cr_expect_str_eq(uds_rpc_call_get_sender(seen.call), "");
    cr_expect_eq(uds_rpc_call_get_timeout(seen.call), -1);
    cr_expect_eq(uds_rpc_call_is_cancelled(seen.call), 0);
    cr_expect(uds_rpc_call_peek_msg(seen.call));
    cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
    cr_expect_eq(uds_rpc_call_reply(seen.call, "answer", 6, fds, 2), 0);
    _cleanup_msg_ uds_msg *msg = peer_receive(&scene);
    cr_assert(msg);
    nfds = (int)uds_msg_get_fd_count(msg);
    cr_expect_eq(nfds, 2);
    scene_end(&scene);
}

Test(rpc_call, sees_how_much_time_is_left)
{
    UDS_TEST_GUARD;
    struct scene scene;
    struct seen seen;
    uds_msg *msg;

    scene_make(&scene, &seen);
    uds_rpc_set_handler(scene.rpc, on_call, &seen, 0);
    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_REQUEST, 1, NULL, 0), 0);
    cr_assert_eq(uds_msg_add_u32(msg, UDS_FIELD_TIMEOUT_MS, 30000), 0);
    cr_assert_eq(uds_msg_add_string(msg, UDS_FIELD_SENDER, "sandbox:a"), 0);
    cr_assert_eq(uds_msg_add_u64(msg, 0x8001, 77), 0);
    cr_assert_eq(uds_conn_send(scene.peer, msg), 0);
    (void)uds_msg_unref(msg);
    turn(&scene);
    cr_assert_eq(seen.calls, 1);
    int left = uds_rpc_call_get_timeout(seen.call);
    cr_expect(left > 20000 && left <= 30000, "%d", left);
    cr_expect_str_eq(uds_rpc_call_get_sender(seen.call), "sandbox:a");
    cr_expect_eq(uds_rpc_call_get_subscription(seen.call), 77);
    cr_expect_eq(uds_rpc_call_fail(seen.call, 1234, 5, "so"), 0);
    char detail[32];
    cr_expect_eq(peer_reply(&scene, 1, detail, sizeof(detail)), 1234);
    cr_expect_str_eq(detail, "so");
    scene_end(&scene);
}

Test(rpc_call, is_unimplemented_without_a_handler)
{
    UDS_TEST_GUARD;
    struct scene scene;
    struct seen seen;

    scene_make(&scene, &seen);
    send_request(&scene, 3, 0, NULL);
    turn(&scene);
    cr_expect_eq(peer_reply(&scene, 3, NULL, 0), UDS_STATUS_UNIMPLEMENTED);
    scene_end(&scene);
}

Test(rpc_call, is_a_bad_request_when_its_head_is_not_understood)
{
    UDS_TEST_GUARD;
    struct scene scene;
    struct seen seen;
    char longest[257];

    scene_make(&scene, &seen);
    uds_rpc_set_handler(scene.rpc, on_call, &seen, 0);
    memset(longest, 'm', 256);
    longest[256] = '\0';
    send_request(&scene, 1, 0x0142, "unknown");
    turn(&scene);
    cr_expect_eq(peer_reply(&scene, 1, NULL, 0), UDS_STATUS_BAD_REQUEST);
    send_request(&scene, 2, UDS_FIELD_METHOD, longest);
    turn(&scene);
    cr_expect_eq(peer_reply(&scene, 2, NULL, 0), UDS_STATUS_BAD_REQUEST);
    send_request(&scene, 3, UDS_FIELD_METHOD, "a\nb");
    turn(&scene);
    cr_expect_eq(peer_reply(&scene, 3, NULL, 0), UDS_STATUS_BAD_REQUEST);
    send_request(&scene, 4, UDS_FIELD_TIMEOUT_MS, "not four bytes");
    turn(&scene);
    cr_expect_eq(peer_reply(&scene, 4, NULL, 0), UDS_STATUS_BAD_REQUEST);
    cr_expect_eq(seen.calls, 0);
    longest[255] = '\0';
    send_request(&scene, 5, UDS_FIELD_METHOD, longest);
    turn(&scene);
    cr_assert_eq(seen.calls, 1);
    cr_expect_str_eq(uds_rpc_call_get_method(seen.call), longest);
    (void)uds_rpc_call_reply(seen.call, NULL, 0, NULL, 0);
    scene_end(&scene);
}

Test(rpc_call, over_the_limit_of_open_calls_gets_quota)
{
    UDS_TEST_GUARD;
    struct scene scene;
    struct seen seen;

    scene_make(&scene, &seen);
    uds_rpc_set_handler(scene.rpc, on_call, &seen, 1);
    send_request(&scene, 1, 0, NULL);
    send_request(&scene, 2, 0, NULL);
    turn(&scene);
    cr_expect_eq(seen.calls, 1);
    cr_expect_eq(peer_reply(&scene, 2, NULL, 0), UDS_STATUS_QUOTA);
    (void)uds_rpc_call_reply(seen.call, NULL, 0, NULL, 0);
    cr_expect_eq(peer_reply(&scene, 1, NULL, 0), UDS_STATUS_OK);
    send_request(&scene, 3, 0, NULL);
    turn(&scene);
    cr_expect_eq(seen.calls, 2, "an answered call is not open any more");
    (void)uds_rpc_call_reply(seen.call, NULL, 0, NULL, 0);
    scene_end(&scene);
}

Test(rpc_request, ends_when_the_other_side_finishes_and_may_not_begin_after_that)
{
    UDS_TEST_GUARD;
    struct uds_rpc_request plain = UDS_RPC_REQUEST_INIT;
    struct scene scene;
    struct seen seen;

    scene_make(&scene, &seen);
    uds_rpc_set_handler(scene.rpc, on_call, &seen, 0);
    (void)request(&scene, &seen, -1);
    send_request(&scene, 5, 0, NULL);
    cr_assert_eq(uds_conn_finish(scene.peer), 0);
    turn(&scene);
    cr_expect_eq(seen.replies, 1);
    cr_expect_eq(seen.status, UDS_STATUS_CALLEE_LOST);
    cr_expect_eq(uds_rpc_request(scene.rpc, &plain, on_reply, &seen, NULL), -ENOTCONN);
    cr_assert_eq(seen.calls, 1);
    cr_expect_eq(uds_rpc_call_is_cancelled(seen.call), 0, "what it asked can be answered");
    cr_expect_eq(uds_rpc_call_reply(seen.call, NULL, 0, NULL, 0), 0);
    uint64_t id;
    cr_expect_eq(peer_receive_type(&scene, &id), UDS_MSG_REQUEST);
    cr_expect_eq(peer_reply(&scene, 5, NULL, 0), UDS_STATUS_OK);
    scene_end(&scene);
}

Test(rpc_call, with_an_id_that_is_in_use_ends_the_connection)
{
    UDS_TEST_GUARD;
    static const uint64_t second_id[] = {5, 0};

    for (int i = 0; i < 2; i++) {
        struct scene scene;
        struct seen seen;

        scene_make(&scene, &seen);
        uds_rpc_set_handler(scene.rpc, on_call, &seen, 0);
        send_request(&scene, 5, 0, NULL);
        send_request(&scene, second_id[i], 0, NULL);
        turn(&scene);
        cr_expect_eq(seen.calls, 1);
        cr_expect_not(uds_conn_is_open(scene.peer));
        (void)uds_rpc_call_reply(seen.call, NULL, 0, NULL, 0);
        scene_end(&scene);
    }
}

static void on_call_answer(uds_rpc_call *call, void *arg)
{
    struct seen *seen = arg;

    seen->calls++;
    (void)uds_rpc_call_reply(call, NULL, 0, NULL, 0);
}

Test(rpc_call, whose_answers_nobody_reads_takes_no_more_memory_than_the_queue)
{
    UDS_TEST_GUARD;
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    struct scene scene = {0};
    struct seen seen = {0};
    uds_msg *msg;

    options.send_queue_bytes = 256 << 10;
    cr_assert_eq(uds_conn_pair(&scene.conn, &scene.peer, &options), 0);
    cr_assert_eq(uds_rpc_new(&scene.rpc, scene.conn, NULL, NULL), 0);
    turn(&scene);
    uds_rpc_set_handler(scene.rpc, on_call_answer, &seen, 0);
    for (uint64_t id = 1; id <= 20000 && uds_conn_is_open(scene.conn); id++) {
        send_request(&scene, id, 0, NULL);
        (void)uds_conn_flush(scene.peer); /* and reads nothing */
        cr_assert_geq(uds_conn_process(scene.conn), 0);
        cr_assert_leq(scene.conn->out.count, 520);
    }
    cr_assert_not(uds_conn_is_open(scene.conn));
    cr_assert_gt(seen.calls, 500);
    do {
        (void)uds_conn_process(scene.conn);
        while (uds_conn_receive(scene.peer, &msg) == 1)
            (void)uds_msg_unref(msg);
    } while (uds_conn_is_open(scene.peer));
    cr_assert_lt(uds_conn_receive(scene.peer, &msg), 0);
    cr_assert(strstr(uds_conn_get_error_text(scene.peer), "answers are not read"));
    scene_end(&scene);
}

Test(rpc_call, behind_our_goodbye_is_not_begun)
{
    UDS_TEST_GUARD;
    static const char large[1 << 20];
    struct scene scene;
    struct seen seen;
    uds_msg *msg;

    scene_make(&scene, &seen);
    uds_rpc_set_handler(scene.rpc, on_call, &seen, 0);
    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 1, large, sizeof(large)), 0);
    cr_assert_eq(uds_conn_send(scene.conn, msg), 0); /* what the other side does not read */
    (void)uds_msg_unref(msg);
    cr_assert_eq(uds_conn_shutdown(scene.conn, UDS_STATUS_OK, NULL), 0);
    for (uint64_t id = 1; id <= 3; id++) {
        send_request(&scene, id, 0, NULL);
        cr_assert_eq(uds_conn_flush(scene.peer), 0);
        cr_assert_eq(uds_conn_process(scene.conn), 0);
    }
    cr_assert_eq(seen.calls, 0);
    scene_end(&scene);
}

Test(rpc_call, that_was_cancelled_is_answered_to_nobody)
{
    UDS_TEST_GUARD;
    struct scene scene;
    struct seen seen;
    int fds[2];

    scene_make(&scene, &seen);
    uds_rpc_set_handler(scene.rpc, on_call, &seen, 0);
    send_request(&scene, 5, 0, NULL);
    peer_send(&scene, UDS_MSG_CANCEL, 5, UINT32_MAX);
    peer_send(&scene, UDS_MSG_CANCEL, 6, UINT32_MAX);
    turn(&scene);
    cr_assert_eq(seen.calls, 1);
    cr_expect_neq(uds_rpc_call_is_cancelled(seen.call), 0);
    cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
    cr_expect_eq(uds_rpc_call_reply(seen.call, "late", 4, fds, 2), 0);
    cr_expect_eq(peer_reply(&scene, 5, NULL, 0), UINT32_MAX);
    scene_end(&scene);
}

Test(rpc_call, outlives_its_connection_and_its_rpc)
{
    UDS_TEST_GUARD;
    struct scene scene;
    struct seen seen;
    uds_rpc_call *first, *second;
    int fds[2];

    scene_make(&scene, &seen);
    uds_rpc_set_handler(scene.rpc, on_call, &seen, 0);
    send_request(&scene, 5, 0, NULL);
    turn(&scene);
    first = seen.call;
    send_request(&scene, 6, 0, NULL);
    turn(&scene);
    second = seen.call;
    scene.peer = uds_conn_unref(scene.peer);
    turn(&scene);
    cr_expect_neq(uds_rpc_call_is_cancelled(first), 0);
    cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
    cr_expect_eq(uds_rpc_call_reply(first, NULL, 0, fds, 2), 0);
    scene_end(&scene);
    cr_expect_eq(uds_rpc_call_fail(second, UDS_STATUS_INTERNAL, 0, NULL), 0);
}

Test(rpc_call, whose_answer_cannot_be_sent_is_internal_and_keeps_the_fds_with_the_caller)
{
    UDS_TEST_GUARD;
    struct uds_conn_options small = UDS_CONN_OPTIONS_INIT;
    struct uds_conn_callbacks none = {.on_message = on_message};
    struct scene scene;
    struct seen seen;
    int fds[2], sockets[2];
    char detail[100];
    static char body[5000];

    memset(&seen, 0, sizeof(seen));
    small.max_body = 4096;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    cr_assert_eq(uds_conn_new(&scene.conn, sockets[0], NULL), 0);
    cr_assert_eq(uds_conn_new(&scene.peer, sockets[1], &small), 0);
    cr_assert_eq(uds_rpc_new(&scene.rpc, scene.conn, &none, &seen), 0);
    turn(&scene);
    uds_rpc_set_handler(scene.rpc, on_call, &seen, 0);
    send_request(&scene, 5, 0, NULL);
    turn(&scene);
    cr_assert_eq(seen.calls, 1);
    cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
    cr_expect_eq(uds_rpc_call_reply(seen.call, body, sizeof(body), fds, 2), -EMSGSIZE);
    cr_expect_eq(close(fds[0]), 0, "still ours");
    cr_expect_eq(close(fds[1]), 0, "still ours");
    cr_expect_eq(peer_reply(&scene, 5, detail, sizeof(detail)), UDS_STATUS_INTERNAL);
    cr_expect_neq(detail[0], '\0');
    scene_end(&scene);
}

Test(rpc, passes_on_what_is_no_call)
{
    UDS_TEST_GUARD;
    struct scene scene;
    struct seen seen;

    scene_make(&scene, &seen);
    peer_send(&scene, UDS_MSG_MESSAGE, 0, UINT32_MAX);
    peer_send(&scene, UDS_MSG_NOTICE, 0, UINT32_MAX);
    turn(&scene);
    cr_expect_eq(seen.messages, 2);
    scene_end(&scene);
}

/* ---- the blocking form, against a server in a child ---- */

static void serve_one(uds_rpc_call *call, void *arg)
{
    const char *method = uds_rpc_call_get_method(call);

    (void)arg;
    if (strcmp(method, "echo") == 0) {
        size_t len;
        const void *body = uds_msg_peek_body(uds_rpc_call_peek_msg(call), &len);
        (void)uds_rpc_call_reply(call, body, len, NULL, 0);
    } else if (strcmp(method, "fail") == 0) {
        (void)uds_rpc_call_fail(call, UDS_STATUS_APPLICATION + 4, 99, "as you asked");
    } else if (strcmp(method, "die") == 0) {
        _exit(0);
    } /* else: no answer */
}

static pid_t serve(int fd)
{
    pid_t pid = fork();
    uds_conn *conn;
    uds_rpc *rpc;

    if (pid != 0)
        return pid;
    if (uds_conn_new(&conn, fd, NULL) < 0 || uds_rpc_new(&rpc, conn, NULL, NULL) < 0)
        _exit(1);
    uds_rpc_set_handler(rpc, serve_one, NULL, 0);
    for (;;) {
        struct pollfd p = {.fd = uds_conn_get_fd(conn), .events = uds_conn_get_events(conn)};

        (void)poll(&p, 1, -1);
        if (uds_conn_process(conn) < 0)
            _exit(0);
    }
}

Test(rpc_request_wait, returns_what_the_other_process_answers)
{
    UDS_TEST_GUARD;
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
    struct uds_rpc_reply reply;
    int sockets[2];
    size_t len;
    uds_conn *conn;
    uds_rpc *rpc;

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    pid_t pid = serve(sockets[1]);
    close(sockets[1]);
    cr_assert_eq(uds_conn_new(&conn, sockets[0], NULL), 0);
    cr_assert_eq(uds_rpc_new(&rpc, conn, NULL, NULL), 0);

    request.method = "echo";
    request.body = "hello";
    request.body_len = 5;
    cr_assert_eq(uds_rpc_request_wait(rpc, &request, &reply), 0);
    cr_expect_eq(reply.status, UDS_STATUS_OK);
    cr_expect_str_eq(reply.detail, "");
    cr_expect_eq(memcmp(uds_msg_peek_body(reply.msg, &len), "hello", 5), 0);
    (void)uds_msg_unref(reply.msg);

    request.method = "fail";
    cr_assert_eq(uds_rpc_request_wait(rpc, &request, &reply), 0);
    cr_expect_eq(reply.status, UDS_STATUS_APPLICATION + 4);
    cr_expect_eq(reply.value, 99);
    cr_expect_str_eq(reply.detail, "as you asked");
    (void)uds_msg_unref(reply.msg);

    request.method = "silence";
    request.timeout_ms = 30;
    cr_assert_eq(uds_rpc_request_wait(rpc, &request, &reply), 0);
    cr_expect_eq(reply.status, UDS_STATUS_DEADLINE);
    cr_expect_null(reply.msg);

    request.method = "die";
    request.timeout_ms = -1;
    cr_expect_lt(uds_rpc_request_wait(rpc, &request, &reply), 0);
    cr_expect_eq(uds_rpc_request_wait(rpc, &request, &reply), -ENOTCONN);
    (void)uds_rpc_free(rpc);
    (void)uds_conn_unref(conn);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

/* ---- the heap ---- */

Test(rpc_deadlines, come_out_in_order_and_leave_from_anywhere)
{
    UDS_TEST_GUARD;
    enum {
        COUNT = 500
    };
    static struct udsi_deadline items[COUNT];
    static bool gone[COUNT];
    struct udsi_deadlines heap = {0};
    struct udsi_deadline none = {.at = UDSI_DEADLINE_NONE}, *first;
    uint64_t last = 0;
    size_t seen = 0, removed = 0;

    srand(7);
    for (size_t i = 0; i < COUNT; i++) {
        items[i].at = (uint64_t)rand() % 1000;
        cr_assert_eq(udsi_deadlines_add(&heap, &items[i]), 0);
    }
    cr_assert_eq(udsi_deadlines_add(&heap, &none), 0);
    cr_expect_eq(heap.count, COUNT);
    for (size_t i = 0; i < COUNT; i += 3) {
        udsi_deadlines_remove(&heap, &items[i]);
        gone[i] = true;
        removed++;
        for (size_t k = 0; k < heap.count; k++) {
            cr_assert_eq(heap.items[k]->slot, k);
            cr_assert_leq(heap.items[k == 0 ? 0 : (k - 1) / 2]->at, heap.items[k]->at);
        }
    }
    while ((first = udsi_deadlines_peek(&heap))) {
        cr_assert_geq(first->at, last);
        cr_assert_not(gone[first - items]);
        last = first->at;
        udsi_deadlines_remove(&heap, first);
        seen++;
    }
    cr_expect_eq(seen + removed, COUNT);
    udsi_deadlines_deinit(&heap);
}
