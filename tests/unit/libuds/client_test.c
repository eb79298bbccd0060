/* SPDX-License-Identifier: MIT */
/* The client of the broker from its beginning to its end: links that come and go, and who hears of it. */
#include <sys/wait.h>

#include "client_scene.h"

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
