/* SPDX-License-Identifier: MIT */
/* What calls cost the callee: bounded by what it was told, and no new memory for each. */
#include "rpc_stream.h"

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
