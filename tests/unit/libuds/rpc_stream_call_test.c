/* SPDX-License-Identifier: MIT */
/* The callee of a stream: it sends what it may, and hears when it may send more. */
#include "rpc_stream.h"

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
