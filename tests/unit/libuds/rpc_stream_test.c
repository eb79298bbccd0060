/* SPDX-License-Identifier: MIT */
/* The caller of a stream: many parts, one end, and never more on their way than it has allowed. */
#include "rpc_stream.h"

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
