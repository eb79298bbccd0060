/* SPDX-License-Identifier: MIT */
/* What a callee hears of calls that nobody waits for any more. */
#include "rpc_stream.h"

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
