/* SPDX-License-Identifier: MIT */
/* Calls: each one ends exactly once, whatever the other side, the clock or the callbacks do. */
#include "rpc_scene.h"

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
