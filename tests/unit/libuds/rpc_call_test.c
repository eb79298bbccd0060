/* SPDX-License-Identifier: MIT */
/* Calls as who answers them sees them. */
#include "rpc_scene.h"

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
