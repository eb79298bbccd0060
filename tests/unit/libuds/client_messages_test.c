/* SPDX-License-Identifier: MIT */
/* What goes through the client: subscriptions, publishing, calls. */
#include "client_scene.h"

/* ---- subscriptions ---- */

Test(client_subscribe, asks_the_broker_and_hands_out_deliveries)
{
    UDS_TEST_GUARD;
    struct scene scene;
    struct seen seen;
    char text[64];
    uint64_t id;
    uint32_t mode;

    scene_make(&scene, &seen);
    cr_assert_eq(
        uds_client_subscribe(scene.client, "a.*", "workers", on_delivery, on_ack, &seen, &id), 0);
    uds_msg *msg = broker_expect(&scene, UDS_MSG_SUBSCRIBE);
    cr_expect_eq(uds_msg_get_id(msg), id);
    cr_assert_eq(uds_msg_get_string(msg, UDS_FIELD_SUBJECT, text, sizeof(text)), 0);
    cr_expect_str_eq(text, "a.*");
    cr_assert_eq(uds_msg_get_string(msg, UDS_FIELD_QUEUE, text, sizeof(text)), 0);
    cr_expect_str_eq(text, "workers");
    cr_expect_eq(uds_msg_get_u32(msg, UDS_FIELD_MODE, &mode), -ENOENT);
    (void)uds_msg_unref(msg);

    broker_ack(&scene, id, UDS_STATUS_OK);
    cr_expect_eq(seen.acks, 1);
    cr_expect_eq(seen.status, UDS_STATUS_OK);
    broker_send(&scene, UDS_MSG_DELIVER, id,
                (struct field[]){{UDS_FIELD_SUBJECT, "a.b", 0, false},
                                 {UDS_FIELD_SENDER, "sandbox:x", 0, false},
                                 {UDS_FIELD_SEQUENCE, NULL, 12, true},
                                 {UDS_FIELD_DROPPED, NULL, 3, true},
                                 {0x8077, "later", 0, false},
                                 {0}});
    cr_expect_eq(seen.deliveries, 1);
    cr_expect_str_eq(seen.subject, "a.b");
    cr_expect_str_eq(seen.sender, "sandbox:x");
    cr_expect_eq(seen.sequence, 12);
    cr_expect_eq(seen.dropped, 3);
    broker_send(&scene, UDS_MSG_DELIVER, id + 1,
                (struct field[]){{UDS_FIELD_SUBJECT, "a.b", 0, false}, {0}});
    cr_expect_eq(seen.deliveries, 1, "nobody asked for that one");
    scene_end(&scene);
}

Test(client_subscribe, refuses_malformed_subjects)
{
    UDS_TEST_GUARD;
    struct scene scene;
    struct seen seen;
    struct uds_publish publish = UDS_PUBLISH_INIT;
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;

    scene_make(&scene, &seen);
    cr_expect_eq(uds_client_subscribe(scene.client, "a..b", NULL, on_delivery, NULL, NULL, NULL),
                 -EINVAL);
    cr_expect_eq(uds_client_subscribe(scene.client, "a", "*", on_delivery, NULL, NULL, NULL),
                 -EINVAL);
    cr_expect_eq(uds_client_serve(scene.client, "", on_call, NULL, NULL, NULL), -EINVAL);
    cr_expect_eq(uds_client_publish(scene.client, &publish, NULL, NULL), -EINVAL);
    publish.subject = "a.*";
    cr_expect_eq(uds_client_publish(scene.client, &publish, NULL, NULL), -EINVAL);
    cr_expect_eq(uds_client_request(scene.client, &request, on_reply, &seen, NULL), -EINVAL);
    request.subject = ">";
    cr_expect_eq(uds_client_request(scene.client, &request, on_reply, &seen, NULL), -EINVAL);
    cr_expect_not(broker_has_frame(&scene));
    scene_end(&scene);
}

Test(client_subscribe, tells_of_a_refusal_by_ack_or_else_by_event)
{
    UDS_TEST_GUARD;
    struct scene scene;
    struct seen seen;
    uint64_t silent;
    struct field denied[] = {{UDS_FIELD_STATUS, NULL, UDS_STATUS_DENIED, false},
                             {UDS_FIELD_DETAIL, "no subscribe rule", 0, false},
                             {UDS_FIELD_RULE, "default deny", 0, false},
                             {0}};

    scene_make(&scene, &seen);
    uint64_t id = subscribe(&scene, &seen, "a");
    broker_send(&scene, UDS_MSG_ACK, id, denied);
    cr_expect_eq(seen.acks, 1);
    cr_expect_eq(seen.status, UDS_STATUS_DENIED);
    cr_expect_str_eq(seen.detail, "no subscribe rule");
    cr_expect_str_eq(seen.rule, "default deny");
    cr_expect_eq(seen.notices, 0);
    cr_assert_eq(uds_client_subscribe(scene.client, "b", NULL, on_delivery, NULL, &seen, &silent),
                 0);
    broker_send(&scene, UDS_MSG_ACK, silent, denied);
    cr_expect_eq(seen.notices, 1);
    cr_expect(strstr(seen.detail, "\"b\"") && strstr(seen.detail, "no subscribe rule"), "%s",
              seen.detail);
    scene_end(&scene);
}

Test(client_unsubscribe, stops_deliveries_also_inside_one)
{
    UDS_TEST_GUARD;
    struct scene scene;
    struct seen seen;
    struct field delivery[] = {{UDS_FIELD_SUBJECT, "a", 0, false}, {0}};

    scene_make(&scene, &seen);
    uint64_t id = subscribe(&scene, &seen, "a");
    cr_expect_eq(broker_expect_id(&scene, UDS_MSG_SUBSCRIBE), id);
    broker_ack(&scene, id, UDS_STATUS_OK);
    seen.unsubscribe_in_callback = id;
    broker_send(&scene, UDS_MSG_DELIVER, id, delivery);
    broker_send(&scene, UDS_MSG_DELIVER, id, delivery);
    cr_expect_eq(seen.deliveries, 1);
    cr_expect_eq(broker_expect_id(&scene, UDS_MSG_UNSUBSCRIBE), id);
    cr_expect_eq(uds_client_unsubscribe(scene.client, id), -ENOENT);
    scene_end(&scene);
}

Test(client_subscribe, drops_a_delivery_that_it_does_not_understand_but_not_silently)
{
    UDS_TEST_GUARD;
    struct scene scene;
    struct seen seen;

    scene_make(&scene, &seen);
    uint64_t id = subscribe(&scene, &seen, "a");
    broker_send(&scene, UDS_MSG_DELIVER, id, NULL);
    broker_send(&scene, UDS_MSG_DELIVER, id,
                (struct field[]){{UDS_FIELD_SUBJECT, "a", 0, false}, {0x0077, "x", 0, false}, {0}});
    broker_send(&scene, UDS_MSG_DELIVER, id,
                (struct field[]){
                    {UDS_FIELD_SUBJECT, "a", 0, false}, {UDS_FIELD_SEQUENCE, NULL, 1, false}, {0}});
    cr_expect_eq(seen.deliveries, 0);
    cr_expect_eq(seen.notices, 3);
    scene_end(&scene);
}

/* ---- publishing ---- */

Test(client_publish, carries_headers_body_and_fds)
{
    UDS_TEST_GUARD;
    static const char *const headers[] = {"k", "v", "k", "", NULL};
    struct uds_publish publish = UDS_PUBLISH_INIT;
    struct scene scene;
    struct seen seen;
    char text[64];
    size_t len, pos = 0, found = 0;
    const void *data;
    uint16_t tag;

    scene_make(&scene, &seen);
    publish.subject = "a.b";
    publish.body = "hi";
    publish.body_len = 2;
    publish.fds = (const int[]){STDIN_FILENO};
    publish.nfds = 1;
    publish.headers = headers;
    cr_assert_eq(uds_client_publish(scene.client, &publish, NULL, NULL), 0);
    uds_msg *msg = broker_expect(&scene, UDS_MSG_PUBLISH);
    cr_expect_eq(uds_msg_get_id(msg), 0);
    cr_expect_eq(uds_msg_get_fd_count(msg), 1);
    cr_assert_eq(uds_msg_get_string(msg, UDS_FIELD_SUBJECT, text, sizeof(text)), 0);
    cr_expect_str_eq(text, "a.b");
    cr_expect_eq(memcmp(uds_msg_peek_body(msg, &len), "hi", 2), 0);
    while (uds_msg_next(msg, &pos, &tag, &data, &len) == 1)
        if (tag == UDS_FIELD_HEADER) {
            cr_expect_eq(len, found == 0 ? 3 : 2);
            cr_expect_eq(memcmp(data, "k\0v", len), 0);
            found++;
        }
    cr_expect_eq(found, 2);
    (void)uds_msg_unref(msg);
    publish.headers = (const char *const[]){"odd", NULL};
    cr_expect_eq(uds_client_publish(scene.client, &publish, NULL, NULL), -EINVAL);
    publish.headers = (const char *const[]){"", "v", NULL};
    cr_expect_eq(uds_client_publish(scene.client, &publish, NULL, NULL), -EINVAL);
    scene_end(&scene);
}

Test(client_publish, is_confirmed_once)
{
    UDS_TEST_GUARD;
    struct uds_publish publish = UDS_PUBLISH_INIT;
    struct scene scene;
    struct seen seen;

    scene_make(&scene, &seen);
    uint64_t sub = subscribe(&scene, &seen, "a");
    cr_expect_eq(broker_expect_id(&scene, UDS_MSG_SUBSCRIBE), sub);
    publish.subject = "a";
    cr_assert_eq(uds_client_publish(scene.client, &publish, on_ack, &seen), 0);
    uint64_t id = broker_expect_id(&scene, UDS_MSG_PUBLISH);
    cr_expect_neq(id, 0);
    cr_expect_neq(id, sub, "their ACKs could not be told apart");
    cr_assert_eq(uds_client_publish(scene.client, &publish, on_ack, &seen), 0);
    cr_expect_neq(broker_expect_id(&scene, UDS_MSG_PUBLISH), id);
    broker_ack(&scene, id, UDS_STATUS_QUOTA);
    broker_ack(&scene, id, UDS_STATUS_OK);
    cr_expect_eq(seen.acks, 1);
    cr_expect_eq(seen.status, UDS_STATUS_QUOTA);
    scene_end(&scene);
    cr_expect_eq(seen.acks, 2);
}

Test(client_publish_wait, that_gave_up_is_not_reached_by_a_late_answer)
{
    UDS_TEST_GUARD;
    struct uds_publish publish = UDS_PUBLISH_INIT;
    struct scene scene;
    struct seen seen;
    char detail[16] = "untouched";
    uint32_t status = 4242;

    scene_make(&scene, &seen);
    publish.subject = "a";
    cr_expect_eq(
        uds_client_publish_wait(scene.client, &publish, 20, &status, detail, sizeof(detail)),
        -ETIMEDOUT);
    cr_expect_eq(scene.client->publishes.count, 0,
                 "an answer would be written to a stack that is gone");
    broker_ack(&scene, broker_expect_id(&scene, UDS_MSG_PUBLISH), UDS_STATUS_OK);
    turn(&scene);
    cr_expect_str_eq(detail, "untouched");
    cr_expect_eq(status, 4242);
    scene_end(&scene);
    cr_expect_str_eq(detail, "untouched");
}

/* ---- calls ---- */

Test(client_serve, answers_requests_of_its_subscription)
{
    UDS_TEST_GUARD;
    struct scene scene;
    struct seen seen;
    uint64_t id;
    uint32_t mode = 0, status = 0;

    scene_make(&scene, &seen);
    cr_assert_eq(uds_client_serve(scene.client, "thumbs", on_call, on_ack, &seen, &id), 0);
    uds_msg *msg = broker_expect(&scene, UDS_MSG_SUBSCRIBE);
    cr_assert_eq(uds_msg_get_u32(msg, UDS_FIELD_MODE, &mode), 0);
    cr_expect_eq(mode, 1);
    (void)uds_msg_unref(msg);
    broker_ack(&scene, id, UDS_STATUS_OK);
    broker_send(&scene, UDS_MSG_REQUEST, 50,
                (struct field[]){{UDS_FIELD_SUBJECT, "thumbs", 0, false},
                                 {UDS_FIELD_METHOD, "pkg.S/M", 0, false},
                                 {UDS_FIELD_SENDER, "uid:7", 0, false},
                                 {0x8001, NULL, id, true},
                                 {0}});
    cr_assert_eq(seen.calls, 1);
    cr_expect_str_eq(uds_rpc_call_get_subject(seen.call), "thumbs");
    cr_expect_str_eq(uds_rpc_call_get_method(seen.call), "pkg.S/M");
    cr_expect_str_eq(uds_rpc_call_get_sender(seen.call), "uid:7");
    cr_expect_eq(uds_rpc_call_reply(seen.call, "done", 4, NULL, 0), 0);
    cr_expect_eq(broker_expect_id(&scene, UDS_MSG_REPLY), 50);

    cr_expect_eq(uds_client_unsubscribe(scene.client, id), 0);
    (void)broker_expect_id(&scene, UDS_MSG_UNSUBSCRIBE);
    broker_send(&scene, UDS_MSG_REQUEST, 51, (struct field[]){{0x8001, NULL, id, true}, {0}});
    msg = broker_expect(&scene, UDS_MSG_REPLY);
    cr_assert_eq(uds_msg_get_u32(msg, UDS_FIELD_STATUS, &status), 0);
    cr_expect_eq(status, UDS_STATUS_UNAVAILABLE);
    (void)uds_msg_unref(msg);
    cr_expect_eq(seen.calls, 1);
    scene_end(&scene);
}

Test(client_request, is_answered_cancelled_or_lost)
{
    UDS_TEST_GUARD;
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
    struct scene scene;
    struct seen seen;
    uint64_t first, second, third;

    scene_make(&scene, &seen);
    request.subject = "thumbs";
    request.method = "pkg.S/M";
    cr_assert_eq(uds_client_request(scene.client, &request, on_reply, &seen, &first), 0);
    cr_expect_eq(broker_expect_id(&scene, UDS_MSG_REQUEST), first);
    broker_send(&scene, UDS_MSG_REPLY, first,
                (struct field[]){{UDS_FIELD_STATUS, NULL, UDS_STATUS_CALLEE_OOM, false},
                                 {UDS_FIELD_VALUE, NULL, 64 << 20, true},
                                 {UDS_FIELD_SENDER, "sandbox:d", 0, false},
                                 {0}});
    cr_expect_eq(seen.replies, 1);
    cr_expect_eq(seen.status, UDS_STATUS_CALLEE_OOM);

    cr_assert_eq(uds_client_request(scene.client, &request, on_reply, &seen, &second), 0);
    cr_expect_eq(uds_client_cancel(scene.client, second), 0);
    cr_expect_eq(seen.replies, 2);
    cr_expect_eq(seen.status, UDS_STATUS_CANCELLED);

    cr_assert_eq(uds_client_request(scene.client, &request, on_reply, &seen, &third), 0);
    turn(&scene);
    broker_restart(&scene);
    cr_expect_eq(seen.replies, 3);
    cr_expect_eq(seen.status, UDS_STATUS_CALLEE_LOST);
    cr_assert_eq(uds_client_request(scene.client, &request, on_reply, &seen, &first), 0);
    cr_expect_gt(first, third, "the id of an old call must not name a new one");
    scene_end(&scene);
    cr_expect_eq(seen.replies, 4);
    cr_expect_eq(seen.status, UDS_STATUS_CANCELLED);
}
