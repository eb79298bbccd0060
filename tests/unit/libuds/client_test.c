/* SPDX-License-Identifier: MIT */

/*
 * The client of the broker, against a broker that is a bare connection in the same test: it sees every frame and answers
 * what the test says.
 */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/socket.h>
#include <sys/wait.h>

#include <uds/client.h>
#include <uds/error.h>
#include <uds/listener.h>

#include "cleanup.h"
#include "client/client.h"
#include "guard.h"
#include "socket/io.h"

struct seen {
    unsigned connected, disconnected, notices, deliveries, acks, replies, calls;
    int error;
    uint32_t status;
    char detail[1400], rule[300], subject[300], sender[300];
    uint64_t sequence, dropped;
    uds_rpc_call *call;
    uds_client *free_in_callback;
    uint64_t unsubscribe_in_callback;
    bool publish_in_callback;
};

struct scene {
    struct uds_addr addr;
    char path[64];
    uds_listener *listener;
    uds_conn *broker; /* its end of the one link */
    uds_client *client;
};

static void after_callback(uds_client *client, struct seen *seen)
{
    if (seen->unsubscribe_in_callback) {
        (void)uds_client_unsubscribe(client, seen->unsubscribe_in_callback);
        seen->unsubscribe_in_callback = 0;
    }
    if (seen->free_in_callback) {
        (void)uds_client_free(seen->free_in_callback);
        seen->free_in_callback = NULL;
    }
}

static void on_event(uds_client *client,
                     enum uds_client_event event,
                     int error,
                     const char *detail,
                     uds_msg *notice,
                     void *arg)
{
    struct seen *seen = arg;

    (void)notice;
    seen->connected += event == UDS_CLIENT_CONNECTED;
    seen->disconnected += event == UDS_CLIENT_DISCONNECTED;
    seen->notices += event == UDS_CLIENT_NOTICE;
    if (event == UDS_CLIENT_DISCONNECTED)
        seen->error = error;
    (void)snprintf(seen->detail, sizeof(seen->detail), "%s", detail);
    after_callback(client, seen);
}

static void on_delivery(uds_client *client, const struct uds_delivery *delivery, void *arg)
{
    struct seen *seen = arg;

    seen->deliveries++;
    seen->sequence = delivery->sequence;
    seen->dropped = delivery->dropped;
    (void)snprintf(seen->subject, sizeof(seen->subject), "%s", delivery->subject);
    (void)snprintf(seen->sender, sizeof(seen->sender), "%s", delivery->sender);
    after_callback(client, seen);
}

static void
on_ack(uds_client *client, uint32_t status, const char *detail, const char *rule, void *arg)
{
    struct seen *seen = arg;

    seen->acks++;
    seen->status = status;
    (void)snprintf(seen->detail, sizeof(seen->detail), "%s", detail);
    (void)snprintf(seen->rule, sizeof(seen->rule), "%s", rule);
    if (seen->publish_in_callback) {
        struct uds_publish publish = UDS_PUBLISH_INIT;

        publish.subject = "again";
        cr_expect_eq(uds_client_publish(client, &publish, on_ack, arg), -ENOTCONN);
    }
    after_callback(client, seen);
}

static void on_reply(const struct uds_rpc_reply *reply, void *arg)
{
    struct seen *seen = arg;

    seen->replies++;
    seen->status = reply->status;
    (void)snprintf(seen->detail, sizeof(seen->detail), "%s", reply->detail);
}

static void on_call(uds_rpc_call *call, void *arg)
{
    struct seen *seen = arg;

    seen->calls++;
    seen->call = call;
}

static const struct uds_client_callbacks callbacks = {.on_event = on_event};

static void broker_accept(struct scene *scene)
{
    struct pollfd p = {.fd = uds_listener_get_fd(scene->listener), .events = POLLIN};

    cr_assert_eq(poll(&p, 1, 5000), 1, "the client did not dial");
    int fd = uds_listener_accept(scene->listener);
    cr_assert_geq(fd, 0);
    cr_assert_eq(uds_conn_new(&scene->broker, fd, NULL), 0);
}

static void turn(struct scene *scene)
{
    for (int i = 0; i < 4; i++) {
        if (scene->client)
            (void)uds_client_process(scene->client);
        if (scene->broker)
            (void)uds_conn_process(scene->broker);
    }
}

static void scene_listen(struct scene *scene)
{
    char text[80];

    (void)snprintf(scene->path, sizeof(scene->path), "/tmp/uds-client-%d", getpid());
    (void)snprintf(text, sizeof(text), "unix:%s", scene->path);
    cr_assert_eq(uds_addr_parse(text, &scene->addr), 0);
    cr_assert_eq(uds_listener_new(&scene->listener, &scene->addr, NULL), 0);
}

static void scene_make(struct scene *scene, struct seen *seen)
{
    memset(scene, 0, sizeof(*scene));
    memset(seen, 0, sizeof(*seen));
    scene_listen(scene);
    cr_assert_eq(uds_client_new(&scene->client, &scene->addr, NULL, 0), 0);
    uds_client_set_callbacks(scene->client, &callbacks, seen);
    broker_accept(scene);
    turn(scene);
    cr_assert_eq(seen->connected, 1);
}

static void scene_end(struct scene *scene)
{
    scene->client = uds_client_free(scene->client);
    scene->broker = uds_conn_unref(scene->broker);
    scene->listener = uds_listener_free(scene->listener);
}

/* The next frame at the broker, which must be of @type. The caller unrefs it. */
static uds_msg *broker_expect(struct scene *scene, enum uds_msg_type type)
{
    uds_msg *msg = NULL;

    for (int i = 0; i < 4; i++) {
        (void)uds_client_process(scene->client);
        (void)uds_conn_process(scene->broker);
        if (uds_conn_receive(scene->broker, &msg) == 1)
            break;
    }
    cr_assert(msg, "no frame of type %d came", (int)type);
    cr_assert_eq(uds_msg_get_type(msg), type, "type %d", (int)uds_msg_get_type(msg));
    return msg;
}

static uint64_t broker_expect_id(struct scene *scene, enum uds_msg_type type)
{
    _cleanup_msg_ uds_msg *msg = broker_expect(scene, type);

    return uds_msg_get_id(msg);
}

static bool broker_has_frame(struct scene *scene)
{
    _cleanup_msg_ uds_msg *msg = NULL;

    turn(scene);
    return uds_conn_receive(scene->broker, &msg) == 1;
}

struct field {
    uint16_t tag;
    const char *text;
    uint64_t number; /* when text is NULL and wide */
    bool wide;
};

static void
broker_send(struct scene *scene, enum uds_msg_type type, uint64_t id, const struct field *fields)
{
    _cleanup_msg_ uds_msg *msg = NULL;

    cr_assert_eq(uds_msg_new(&msg, type, id, "body", 4), 0);
    for (; fields && fields->tag; fields++) {
        int r = fields->text   ? uds_msg_add_string(msg, fields->tag, fields->text)
                : fields->wide ? uds_msg_add_u64(msg, fields->tag, fields->number)
                               : uds_msg_add_u32(msg, fields->tag, (uint32_t)fields->number);
        cr_assert_eq(r, 0);
    }
    cr_assert_eq(uds_conn_send(scene->broker, msg), 0);
    turn(scene);
}

static void broker_ack(struct scene *scene, uint64_t id, uint32_t status)
{
    broker_send(scene, UDS_MSG_ACK, id,
                (struct field[]){{UDS_FIELD_STATUS, NULL, status, false}, {0}});
}

/* The broker dies and comes back; the client is not told but by the sockets. */
static void broker_restart(struct scene *scene)
{
    scene->broker = uds_conn_unref(scene->broker);
    for (int i = 0; i < 1000 && uds_client_get_fd(scene->client) >= 0; i++)
        (void)uds_client_process(scene->client);
    for (int i = 0; i < 1000; i++) {
        struct pollfd p = {.fd = uds_listener_get_fd(scene->listener), .events = POLLIN};

        (void)uds_client_wait(scene->client, 100);
        if (poll(&p, 1, 0) == 1)
            break;
    }
    broker_accept(scene);
    turn(scene);
}

static uint64_t subscribe(struct scene *scene, struct seen *seen, const char *subject)
{
    uint64_t id = 0;

    cr_assert_eq(uds_client_subscribe(scene->client, subject, NULL, on_delivery, on_ack, seen, &id),
                 0);
    return id;
}

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

/* ---- interruptions ---- */

Test(client, reconnects_subscribes_again_and_says_so)
{
    UDS_TEST_GUARD;
    struct uds_publish publish = UDS_PUBLISH_INIT;
    struct scene scene;
    struct seen seen;
    struct field denied[] = {{UDS_FIELD_STATUS, NULL, UDS_STATUS_DENIED, false}, {0}};

    scene_make(&scene, &seen);
    uint64_t first = subscribe(&scene, &seen, "a");
    uint64_t second = subscribe(&scene, &seen, "b");
    (void)broker_expect_id(&scene, UDS_MSG_SUBSCRIBE);
    (void)broker_expect_id(&scene, UDS_MSG_SUBSCRIBE);
    broker_ack(&scene, first, UDS_STATUS_OK);
    broker_ack(&scene, second, UDS_STATUS_OK);
    cr_expect_eq(seen.acks, 2);
    publish.subject = "x";
    cr_assert_eq(uds_client_publish(scene.client, &publish, on_ack, &seen), 0);
    turn(&scene);

    broker_restart(&scene);
    cr_expect_eq(seen.disconnected, 1);
    cr_expect_lt(seen.error, 0);
    cr_expect_eq(seen.connected, 2);
    cr_expect_eq(seen.acks, 3, "the publish ended");
    cr_expect_eq(seen.status, UDS_STATUS_CALLEE_LOST);
    cr_expect_eq(broker_expect_id(&scene, UDS_MSG_SUBSCRIBE), first);
    cr_expect_eq(broker_expect_id(&scene, UDS_MSG_SUBSCRIBE), second);
    broker_ack(&scene, first, UDS_STATUS_OK);
    cr_expect_eq(seen.acks, 3, "known already");
    broker_send(&scene, UDS_MSG_ACK, second, denied);
    cr_expect_eq(seen.acks, 4);
    cr_expect_eq(seen.status, UDS_STATUS_DENIED);
    scene_end(&scene);
}

Test(client, backs_off_and_keeps_subscriptions_while_nobody_listens)
{
    UDS_TEST_GUARD;
    struct uds_publish publish = UDS_PUBLISH_INIT;
    struct scene scene;
    struct seen seen;
    int longest = 0;

    scene_make(&scene, &seen);
    scene.listener = uds_listener_free(scene.listener);
    scene.broker = uds_conn_unref(scene.broker);
    turn(&scene);
    cr_expect_eq(seen.disconnected, 1);
    cr_expect_eq(uds_client_get_fd(scene.client), -1);
    publish.subject = "a";
    cr_expect_eq(uds_client_publish(scene.client, &publish, NULL, NULL), -ENOTCONN);
    cr_expect_eq(uds_client_flush(scene.client, 10), -ENOTCONN);
    uint64_t id = subscribe(&scene, &seen, "late");
    for (int i = 0; i < 20; i++)
        (void)uds_client_process(scene.client);
    cr_expect_lt(uds_client_get_timeout(scene.client), 100, "it dials when it is not time to");
    for (int i = 0; i < 5; i++) {
        int timeout = uds_client_get_timeout(scene.client);

        cr_assert_geq(timeout, 0, "it would never try again");
        longest = timeout > longest ? timeout : longest;
        (void)poll(NULL, 0, timeout + 1);
        cr_expect_eq(uds_client_process(scene.client), 0);
    }
    cr_expect_gt(longest, 60, "no back-off");
    scene_listen(&scene);
    for (int i = 0; i < 100 && seen.connected < 2; i++) {
        struct pollfd p = {.fd = uds_listener_get_fd(scene.listener), .events = POLLIN};

        cr_assert_geq(uds_client_wait(scene.client, 5000), 0);
        if (!scene.broker && poll(&p, 1, 0) == 1)
            broker_accept(&scene);
        if (scene.broker)
            (void)uds_conn_process(scene.broker);
    }
    cr_expect_eq(seen.connected, 2);
    cr_expect_eq(seen.disconnected, 1, "one interruption is one event");
    cr_expect_eq(broker_expect_id(&scene, UDS_MSG_SUBSCRIBE), id);
    scene_end(&scene);
}

/* A broker that accepts and hangs up, as one that is just going down does, is no further interruption. */
Test(client, tells_of_one_loss_once_whatever_comes_of_its_dials)
{
    UDS_TEST_GUARD;
    struct scene scene;
    struct seen seen;

    scene_make(&scene, &seen);
    scene.broker = uds_conn_unref(scene.broker);
    turn(&scene);
    cr_assert_eq(seen.disconnected, 1);
    for (unsigned dials = 0; dials < 3;) {
        struct pollfd p = {.fd = uds_listener_get_fd(scene.listener), .events = POLLIN};

        cr_assert_geq(uds_client_wait(scene.client, 5000), 0);
        if (poll(&p, 1, 0) == 1) {
            close(uds_listener_accept(scene.listener));
            turn(&scene);
            cr_expect_eq(seen.notices, ++dials, "an attempt that failed is told");
            cr_expect_neq(strstr(seen.detail, "before it was up"), NULL, "%s", seen.detail);
        }
    }
    cr_expect_eq(seen.connected, 1);
    cr_expect_eq(seen.disconnected, 1);
    broker_restart(&scene);
    cr_expect_eq(seen.connected, 2);
    cr_expect_eq(seen.disconnected, 1);
    broker_restart(&scene);
    cr_expect_eq(seen.connected, 3);
    cr_expect_eq(seen.disconnected, 2);
    scene_end(&scene);
}

struct order {
    struct scene *scene;
    char events[16];
    size_t count;
};

static void note_event(uds_client *client,
                       enum uds_client_event event,
                       int error,
                       const char *detail,
                       uds_msg *notice,
                       void *arg)
{
    struct order *order = arg;

    (void)client;
    (void)error;
    (void)detail;
    (void)notice;
    cr_assert_lt(order->count, sizeof(order->events) - 1);
    order->events[order->count++] = event == UDS_CLIENT_CONNECTED      ? 'c'
                                    : event == UDS_CLIENT_DISCONNECTED ? 'd'
                                                                       : 'n';
}

/* Goes on only when there is a link again. */
static void
wait_in_ack(uds_client *client, uint32_t status, const char *detail, const char *rule, void *arg)
{
    struct order *order = arg;
    struct scene *scene = order->scene;

    (void)detail;
    (void)rule;
    cr_expect_eq(status, UDS_STATUS_CALLEE_LOST);
    scene->broker = uds_conn_unref(scene->broker);
    for (int i = 0; i < 100 && order->events[order->count - 1] != 'c'; i++) {
        struct pollfd p = {.fd = uds_listener_get_fd(scene->listener), .events = POLLIN};

        (void)uds_client_wait(client, 100);
        if (!scene->broker && poll(&p, 1, 0) == 1)
            broker_accept(scene);
        if (scene->broker)
            (void)uds_conn_process(scene->broker);
    }
}

Test(client, tells_of_a_loss_before_a_callback_brings_the_next_link)
{
    UDS_TEST_GUARD;
    static const struct uds_client_callbacks notes = {.on_event = note_event};
    struct uds_publish publish = UDS_PUBLISH_INIT;
    struct scene scene;
    struct seen seen;
    struct order order = {.scene = &scene, .events = "c", .count = 1};

    scene_make(&scene, &seen);
    uds_client_set_callbacks(scene.client, &notes, &order);
    publish.subject = "a";
    cr_assert_eq(uds_client_publish(scene.client, &publish, wait_in_ack, &order), 0);
    turn(&scene);
    order.events[0] = '-'; /* what the callback waits for is a new one */
    uds_conn *broker = UDSI_TAKE(scene.broker);
    (void)uds_conn_unref(broker);
    turn(&scene);
    cr_expect_str_eq(order.events, "-dc");
    scene_end(&scene);
}

Test(client_new, fails_at_once_or_waits_for_a_broker)
{
    UDS_TEST_GUARD;
    struct scene scene;
    uds_client *client = NULL;

    memset(&scene, 0, sizeof(scene));
    scene_listen(&scene);
    scene.listener = uds_listener_free(scene.listener);
    cr_expect_eq(uds_client_new(&client, &scene.addr, NULL, 0), -ENOENT);
    cr_expect_eq(uds_client_new(&client, &scene.addr, NULL, 30), -ENOENT);
    cr_expect_null(client);

    int go[2];
    cr_assert_eq(pipe2(go, O_CLOEXEC), 0);
    pid_t child = fork();
    if (child == 0) {
        uds_listener *listener;
        char c;

        close(go[1]);
        (void)poll(NULL, 0, 40); /* whenever: the client retries */
        if (uds_listener_new(&listener, &scene.addr, NULL) < 0)
            _exit(1);
        (void)!read(go[0], &c, 1);
        (void)uds_listener_free(listener);
        _exit(0);
    }
    close(go[0]);
    cr_expect_eq(uds_client_new(&client, &scene.addr, NULL, 10000), 0);
    (void)uds_client_free(client);
    close(go[1]);
    cr_assert_eq(waitpid(child, NULL, 0), child);
}

Test(client, may_be_freed_in_any_callback)
{
    UDS_TEST_GUARD;
    struct uds_publish publish = UDS_PUBLISH_INIT;

    for (int which = 0; which < 4; which++) {
        struct scene scene;
        struct seen seen;

        scene_make(&scene, &seen);
        uint64_t id = subscribe(&scene, &seen, "a");
        publish.subject = "x";
        cr_assert_eq(uds_client_publish(scene.client, &publish, on_ack, &seen), 0);
        turn(&scene);
        seen.free_in_callback = scene.client;
        uds_client *client = scene.client;
        scene.client = NULL;
        if (which == 0)
            broker_send(&scene, UDS_MSG_DELIVER, id,
                        (struct field[]){{UDS_FIELD_SUBJECT, "a", 0, false}, {0}});
        else if (which == 1)
            broker_ack(&scene, id, UDS_STATUS_OK);
        else if (which == 2)
            broker_send(&scene, UDS_MSG_NOTICE, 0, NULL);
        else
            scene.broker = uds_conn_unref(scene.broker);
        for (int i = 0; i < 10 && seen.free_in_callback; i++)
            (void)uds_client_process(client);
        cr_expect_null(seen.free_in_callback, "callback %d did not run", which);
        scene_end(&scene);
    }
}

Test(client_free, ends_what_waits_and_lets_nothing_new_begin)
{
    UDS_TEST_GUARD;
    struct uds_publish publish = UDS_PUBLISH_INIT;
    struct scene scene;
    struct seen seen;

    scene_make(&scene, &seen);
    publish.subject = "x";
    cr_assert_eq(uds_client_publish(scene.client, &publish, on_ack, &seen), 0);
    seen.publish_in_callback = true;
    scene_end(&scene);
    cr_expect_eq(seen.acks, 1);
    cr_expect_eq(seen.status, UDS_STATUS_CANCELLED);
    cr_expect_eq(seen.disconnected, 0);
}

Test(client, passes_notices_on)
{
    UDS_TEST_GUARD;
    struct scene scene;
    struct seen seen;

    scene_make(&scene, &seen);
    broker_send(&scene, UDS_MSG_NOTICE, 0,
                (struct field[]){{UDS_FIELD_STATUS, NULL, UDS_STATUS_SLOW_CONSUMER, false},
                                 {UDS_FIELD_DETAIL, "3 dropped", 0, false},
                                 {0}});
    cr_expect_eq(seen.notices, 1);
    cr_expect_str_eq(seen.detail, "3 dropped");
    scene_end(&scene);
}

/* ---- in a sandbox: a link that is there, and an end through which new ones come ---- */

static void name_fd(const char *variable, int fd)
{
    char text[16];

    (void)snprintf(text, sizeof(text), "fd:%d", fd);
    cr_assert_eq(setenv(variable, text, 1), 0);
}

Test(client, takes_a_new_link_from_the_redial_end)
{
    UDS_TEST_GUARD;
    struct scene scene;
    struct seen seen;
    int link[2], redial[2], stale[2], fresh[2];

    memset(&scene, 0, sizeof(scene));
    memset(&seen, 0, sizeof(seen));
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, link), 0);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, redial), 0);
    name_fd("UDS_BROKER", link[0]);
    name_fd("UDS_BROKER_REDIAL", redial[0]);
    cr_assert_eq(uds_conn_new(&scene.broker, link[1], NULL), 0);
    cr_assert_eq(uds_client_new(&scene.client, NULL, NULL, 0), 0);
    uds_client_set_callbacks(scene.client, &callbacks, &seen);
    cr_expect_eq(fcntl(link[0], F_GETFD), FD_CLOEXEC, "children would hold the link open");
    uint64_t id = subscribe(&scene, &seen, "a");
    cr_expect_eq(broker_expect_id(&scene, UDS_MSG_SUBSCRIBE), id);

    scene.broker = uds_conn_unref(scene.broker);
    turn(&scene);
    cr_expect_eq(seen.disconnected, 1);
    cr_expect_eq(uds_client_get_fd(scene.client), redial[0]);
    cr_expect_eq(uds_client_get_events(scene.client), POLLIN);
    cr_expect_eq(uds_client_get_timeout(scene.client), -1, "nothing to do but wait");

    /* Two routers came; the first is dead already. */
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stale), 0);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fresh), 0);
    cr_assert_eq(uds_fd_send(redial[1], stale[0]), 0);
    cr_assert_eq(uds_fd_send(redial[1], fresh[0]), 0);
    close(stale[0]);
    close(stale[1]);
    close(fresh[0]);
    cr_assert_eq(uds_conn_new(&scene.broker, fresh[1], NULL), 0);
    cr_expect_eq(broker_expect_id(&scene, UDS_MSG_SUBSCRIBE), id);
    turn(&scene);
    cr_expect_eq(seen.connected, 2);
    cr_expect_eq(seen.disconnected, 1);

    /* The supervisor goes, too: that is the end. */
    close(redial[1]);
    scene.broker = uds_conn_unref(scene.broker);
    turn(&scene);
    cr_expect_eq(seen.disconnected, 2);
    cr_expect_eq(uds_client_process(scene.client), -ECONNRESET);
    cr_expect_eq(uds_client_get_fd(scene.client), -1);
    cr_expect_eq(uds_client_get_timeout(scene.client), -1);
    scene_end(&scene);
    close(link[0]);
    close(redial[0]);
}

Test(client, ends_with_an_inherited_link_that_nobody_can_renew)
{
    UDS_TEST_GUARD;
    struct scene scene;
    struct seen seen;
    int link[2];

    memset(&scene, 0, sizeof(scene));
    memset(&seen, 0, sizeof(seen));
    unsetenv("UDS_BROKER_REDIAL");
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, link), 0);
    name_fd("UDS_BROKER", link[0]);
    cr_assert_eq(uds_conn_new(&scene.broker, link[1], NULL), 0);
    cr_assert_eq(uds_client_new(&scene.client, NULL, NULL, 0), 0);
    uds_client_set_callbacks(scene.client, &callbacks, &seen);
    turn(&scene);
    cr_expect_eq(seen.connected, 1);
    scene.broker = uds_conn_unref(scene.broker);
    turn(&scene);
    cr_expect_eq(seen.disconnected, 1);
    cr_expect_eq(uds_client_process(scene.client), -ECONNRESET);
    cr_expect_eq(uds_client_wait(scene.client, 1000), -ECONNRESET);
    cr_expect_eq(uds_client_get_fd(scene.client), -1);
    cr_expect_eq(uds_client_get_timeout(scene.client), -1);
    scene_end(&scene);
    close(link[0]);
}

Test(client_free, lets_the_broker_see_the_end_of_an_inherited_link)
{
    UDS_TEST_GUARD;
    struct scene scene;
    int link[2];

    memset(&scene, 0, sizeof(scene));
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, link), 0);
    name_fd("UDS_BROKER", link[0]);
    cr_assert_eq(uds_conn_new(&scene.broker, link[1], NULL), 0);
    cr_assert_eq(uds_client_new(&scene.client, NULL, NULL, 0), 0);
    turn(&scene);
    scene.client = uds_client_free(scene.client);
    cr_expect_lt(uds_conn_process(scene.broker), 0);
    scene_end(&scene);
    close(link[0]);
}

/* ---- the blocking forms, against a broker in a child ---- */

static void broker_in_child(uds_conn *conn, uds_msg *msg, void *arg)
{
    char subject[64] = "";
    _cleanup_msg_ uds_msg *owned = msg, *answer = NULL;
    bool request = uds_msg_get_type(msg) == UDS_MSG_REQUEST;

    (void)arg;
    (void)!uds_msg_get_string(msg, UDS_FIELD_SUBJECT, subject, sizeof(subject));
    if (strcmp(subject, "silence") == 0)
        return;
    if (strcmp(subject, "die") == 0)
        _exit(0);
    if (uds_msg_new(&answer, request ? UDS_MSG_REPLY : UDS_MSG_ACK, uds_msg_get_id(msg), "re", 2) <
            0 ||
        uds_msg_add_u32(answer, UDS_FIELD_STATUS, UDS_STATUS_DENIED) < 0 ||
        uds_msg_add_string(answer, UDS_FIELD_DETAIL, subject) < 0 ||
        uds_conn_send(conn, answer) < 0)
        _exit(1);
}

static pid_t fork_broker(int fd)
{
    struct uds_conn_callbacks child_callbacks = {.on_message = broker_in_child};
    pid_t pid = fork();
    uds_conn *conn;

    if (pid != 0)
        return pid;
    if (uds_conn_new(&conn, fd, NULL) < 0)
        _exit(1);
    uds_conn_set_callbacks(conn, &child_callbacks, NULL);
    for (;;) {
        struct pollfd p = {.fd = uds_conn_get_fd(conn), .events = uds_conn_get_events(conn)};

        (void)poll(&p, 1, -1);
        if (uds_conn_process(conn) < 0)
            _exit(0);
    }
}

Test(client_publish_wait, fails_when_the_broker_dies_meanwhile)
{
    UDS_TEST_GUARD;
    struct uds_publish publish = UDS_PUBLISH_INIT;
    struct uds_addr addr;
    uds_client *client;
    int link[2];
    char text[16];
    uint32_t status = 4242;

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link), 0);
    pid_t pid = fork_broker(link[1]);
    close(link[1]);
    (void)snprintf(text, sizeof(text), "fd:%d", link[0]);
    cr_assert_eq(uds_addr_parse(text, &addr), 0);
    cr_assert_eq(uds_client_new(&client, &addr, NULL, 0), 0);
    publish.subject = "die";
    cr_expect_eq(uds_client_publish_wait(client, &publish, 5000, &status, NULL, 0), -ECONNRESET);
    cr_expect_eq(status, 4242);
    (void)uds_client_free(client);
    close(link[0]);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

Test(client, has_blocking_forms)
{
    UDS_TEST_GUARD;
    struct uds_publish publish = UDS_PUBLISH_INIT;
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
    struct uds_rpc_reply reply;
    struct uds_addr addr;
    uds_client *client;
    int link[2];
    char text[16], detail[8];
    uint32_t status;

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link), 0);
    pid_t pid = fork_broker(link[1]);
    close(link[1]);
    (void)snprintf(text, sizeof(text), "fd:%d", link[0]);
    cr_assert_eq(uds_addr_parse(text, &addr), 0);
    cr_assert_eq(uds_client_new(&client, &addr, NULL, 0), 0);

    publish.subject = "some.where";
    cr_assert_eq(uds_client_publish_wait(client, &publish, 5000, &status, detail, sizeof(detail)),
                 0);
    cr_expect_eq(status, UDS_STATUS_DENIED);
    cr_expect_str_eq(detail, "some.wh");
    publish.subject = "silence";
    cr_expect_eq(uds_client_publish_wait(client, &publish, 30, &status, NULL, 0), -ETIMEDOUT);

    request.subject = "call.me";
    request.timeout_ms = 5000;
    cr_assert_eq(uds_client_request_wait(client, &request, &reply), 0);
    cr_expect_eq(reply.status, UDS_STATUS_DENIED);
    cr_expect_str_eq(reply.detail, "call.me");
    (void)uds_msg_unref(reply.msg);
    request.subject = "silence";
    request.timeout_ms = 30;
    cr_assert_eq(uds_client_request_wait(client, &request, &reply), 0);
    cr_expect_eq(reply.status, UDS_STATUS_DEADLINE);

    publish.subject = "x";
    cr_assert_eq(uds_client_publish(client, &publish, NULL, NULL), 0);
    cr_expect_eq(uds_client_flush(client, 5000), 0);
    request.subject = "die";
    request.timeout_ms = -1;
    cr_expect_eq(uds_client_request_wait(client, &request, &reply), -ECONNRESET);
    cr_expect_eq(uds_client_publish_wait(client, &publish, 5000, &status, NULL, 0), -ENOTCONN);
    cr_expect_eq(uds_client_flush(client, 5000), -ENOTCONN);
    (void)uds_client_free(client);
    close(link[0]);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
}
