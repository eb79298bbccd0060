/* SPDX-License-Identifier: MIT */
/* Publish and subscribe through a router. */
#include <fcntl.h>

#include "admin.pb-c.h"
#include "sub.h"
#include "world.h"

static char any_subject[] = ">", sys_all[] = "$SYS.>", secret[] = "news.secret";
static char nobody[] = "", decoder[] = "decoder", other[] = "other", label[] = "rule";
static char *everything[] = {any_subject}, *sys[] = {sys_all}, *secrets[] = {secret};

static Uds__Supervisor__Rule *grant_all(struct world_config *c, char *sandbox)
{
    Uds__Supervisor__Rule *rule = world_rule(c, sandbox, label);
    rule->n_publish = rule->n_subscribe = rule->n_call = rule->n_serve = 1;
    rule->publish = rule->subscribe = rule->call = rule->serve = everything;
    return rule;
}

static void open_world(struct world *w, struct world_config *c)
{
    world_config_init(c);
    grant_all(c, decoder);
    grant_all(c, other);
    grant_all(c, nobody)->any = true;
    world_open(w, c);
    world_listen(w, 1, 0);
}

static void publish(uds_conn *conn, uint64_t id, const char *subject, const char *body)
{
    world_send(conn, world_msg(UDS_MSG_PUBLISH, id, subject, body));
}

Test(publish, reaches_each_subscription_with_sender_sequence_and_headers_in_order)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    uds_conn *sub = world_link(&w, 1, 1), *pub = world_link(&w, 2, 1);
    world_subscribe(&w, sub, 3, "news.*", 0);
    world_subscribe(&w, sub, 4, "news.>", 0);
    world_subscribe(&w, sub, 5, "news.x", 1); /* serves: no deliveries */
    uds_msg *msg = world_msg(UDS_MSG_PUBLISH, 8, "news.x", "hello");
    cr_assert_eq(uds_msg_add_bytes(msg, UDS_FIELD_HEADER, "a\0one", 5), 0);
    cr_assert_eq(uds_msg_add_bytes(msg, UDS_FIELD_HEADER, "a\0two", 5), 0);
    world_send(pub, msg);
    cr_assert_eq(world_answer(&w, pub, UDS_MSG_ACK, 8), UDS_STATUS_OK);
    uint64_t ids = 0;
    for (int i = 0; i < 2; i++) {
        uint64_t sequence = 0;
        size_t pos = 0, len, headers = 0;
        uint16_t tag;
        const void *data;
        msg = world_receive(&w, sub);
        cr_assert_eq(uds_msg_get_type(msg), UDS_MSG_DELIVER);
        ids += uds_msg_get_id(msg);
        cr_assert_str_eq(world_text(msg, UDS_FIELD_SENDER), "sandbox:other");
        cr_assert_eq(uds_msg_get_u64(msg, UDS_FIELD_SEQUENCE, &sequence), 0);
        cr_assert_eq(sequence, 1);
        while (uds_msg_next(msg, &pos, &tag, &data, &len) > 0) {
            if (tag == UDS_FIELD_HEADER)
                cr_expect_eq(memcmp(data, headers++ == 0 ? "a\0one" : "a\0two", 5), 0);
        }
        cr_expect_eq(headers, 2);
        uds_msg_unref(msg);
    }
    cr_assert_eq(ids, 7);
    uds_conn_unref(sub);
    uds_conn_unref(pub);
    WAIT_FOR(&w, world_is_empty(&w));
    world_close(&w);
}

Test(publish, gives_each_message_to_one_member_of_a_queue_group_in_turn)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    uds_conn *a = world_link(&w, 1, 1), *b = world_link(&w, 2, 1), *pub = world_connect(&w);
    uds_conn *members[] = {a, b};
    for (int i = 0; i < 2; i++) {
        uds_msg *msg = world_msg(UDS_MSG_SUBSCRIBE, 1, i == 0 ? "job.*" : "job.>", NULL);
        cr_assert_eq(uds_msg_add_string(msg, UDS_FIELD_QUEUE, "workers"), 0);
        world_send(members[i], msg);
        cr_assert_eq(world_answer(&w, members[i], UDS_MSG_ACK, 1), UDS_STATUS_OK);
    }
    for (uint64_t id = 1; id <= 4; id++) {
        publish(pub, id, "job.x", "");
        cr_assert_eq(world_answer(&w, pub, UDS_MSG_ACK, id), UDS_STATUS_OK);
    }
    for (int i = 0; i < 4; i++)
        (void)world_answer(&w, members[i % 2], UDS_MSG_DELIVER, 1);
    uds_conn_unref(a);
    (void)b;
    WAIT_FOR(&w, w.router->peers.count == 2);
    publish(pub, 5, "job.x", "");
    cr_assert_eq(world_answer(&w, pub, UDS_MSG_ACK, 5), UDS_STATUS_OK);
    (void)world_answer(&w, b, UDS_MSG_DELIVER, 1);
    uds_conn_unref(b);
    uds_conn_unref(pub);
    WAIT_FOR(&w, world_is_empty(&w));
    world_close(&w);
}

Test(publish, filters_what_a_deny_cuts_out_of_a_subscription)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    world_config_init(&c);
    grant_all(&c, decoder);
    grant_all(&c, other);
    Uds__Supervisor__Rule *rule = world_rule(&c, decoder, label);
    rule->deny = true;
    rule->n_subscribe = 1;
    rule->subscribe = secrets;
    world_open(&w, &c);
    uds_conn *sub = world_link(&w, 1, 1), *pub = world_link(&w, 2, 1);
    world_subscribe(&w, sub, 1, "news.*", 0);
    publish(pub, 1, "news.secret", "hidden");
    publish(pub, 2, "news.open", "seen");
    uds_msg *msg = world_expect(&w, sub, UDS_MSG_DELIVER, 1);
    cr_assert(world_body_is(msg, "seen"));
    uds_msg_unref(msg);
    uds_conn_unref(sub);
    uds_conn_unref(pub);
    world_close(&w);
}

Test(publish, without_a_grant_is_answered_with_the_rule)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    world_config_init(&c);
    world_open(&w, &c);
    uds_conn *peer = world_link(&w, 1, 1);
    publish(peer, 1, "x", "");
    publish(peer, 0, "x", "");
    uds_msg *msg = world_expect(&w, peer, UDS_MSG_ACK, 1);
    cr_assert_eq(world_status(msg), UDS_STATUS_DENIED);
    cr_assert_str_eq(world_text(msg, UDS_FIELD_RULE), "default deny");
    uds_msg_unref(msg);
    cr_assert_eq(world_answer(&w, peer, UDS_MSG_NOTICE, 0), UDS_STATUS_DENIED);
    uds_conn_unref(peer);
    world_close(&w);
}

/* Reads all deliveries that are there; returns the last sequence and dropped count. */
static void drain(struct world *w, uds_conn *conn, uint64_t *ret_sequence, uint64_t *ret_dropped)
{
    for (;;) {
        uds_msg *msg = NULL;
        world_turn(w);
        cr_assert(uds_conn_process(conn) >= 0);
        int r = uds_conn_receive(conn, &msg);
        cr_assert(r >= 0);
        if (r == 0 && uds_conn_process(conn) == 0) {
            world_turn(w);
            if (uds_conn_receive(conn, &msg) != 1)
                return;
        } else if (r == 0) {
            continue;
        }
        if (uds_msg_get_type(msg) == UDS_MSG_DELIVER)
            (void)!uds_msg_get_u64(msg, UDS_FIELD_SEQUENCE, ret_sequence);
        (void)!uds_msg_get_u64(msg, UDS_FIELD_DROPPED, ret_dropped);
        uds_msg_unref(msg);
    }
}

Test(publish, drops_for_a_slow_consumer_counts_and_tells)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    c.quota.queued_bytes = 2u << 20;
    cr_assert_eq(router_configure(w.router, &c.configuration), 0);
    uds_conn *slow = world_link(&w, 1, 1), *pub = world_connect(&w), *fast = world_link(&w, 2, 1);
    world_subscribe(&w, slow, 1, "x", 0);
    world_subscribe(&w, fast, 1, "x", 0);
    char *big = malloc(100001);
    memset(big, 'x', 100000);
    big[100000] = '\0';
    unsigned refused = 0;
    for (uint64_t id = 1; id <= 60; id++) {
        publish(pub, id, "x", big);
        refused += world_answer(&w, pub, UDS_MSG_ACK, id) == UDS_STATUS_OK ? 0 : 1;
        (void)world_answer(&w, fast, UDS_MSG_DELIVER, 1);
    }
    cr_assert(refused > 10, "the queue is bounded: %u", refused);
    cr_assert(table_get(&w.router->peers, 1) != NULL, "the slow one stays connected");
    uint64_t sequence = 0, dropped = 0;
    drain(&w, slow, &sequence, &dropped);
    cr_assert_eq(dropped, refused, "%lu told, %u happened", dropped, refused);
    publish(pub, 99, "x", "last");
    cr_assert_eq(world_answer(&w, pub, UDS_MSG_ACK, 99), UDS_STATUS_OK);
    drain(&w, slow, &sequence, &dropped);
    cr_assert_eq(sequence, 61, "a sequence counts what was dropped too: %lu", sequence);
    free(big);
    uds_conn_unref(slow);
    uds_conn_unref(fast);
    uds_conn_unref(pub);
    WAIT_FOR(&w, world_is_empty(&w));
    world_close(&w);
}

Test(publish, brings_events_to_explicit_subscribers_only)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    world_config_init(&c);
    grant_all(&c, decoder);
    Uds__Supervisor__Rule *rule = grant_all(&c, other);
    rule->subscribe = sys;
    world_open(&w, &c);
    uds_conn *all = world_link(&w, 1, 1), *watcher = world_link(&w, 2, 1);
    world_subscribe(&w, all, 1, ">", 0);
    world_subscribe(&w, watcher, 1, "$SYS.sandbox.*.oom", 0);
    Uds__Supervisor__Sandbox changed = c.sandbox[0];
    changed.state = UDS__SUPERVISOR__STATE__BACKOFF;
    changed.cause = UDS__SUPERVISOR__CAUSE__OOM;
    changed.value = changed.peak_bytes = 64u << 20;
    world_sandbox(&w, &changed);
    uds_msg *msg = world_expect(&w, watcher, UDS_MSG_DELIVER, 1);
    size_t len;
    const void *body = uds_msg_peek_body(msg, &len);
    Uds__Admin__SandboxEvent *event = uds__admin__sandbox_event__unpack(NULL, len, body);
    cr_assert_not_null(event);
    cr_expect_str_eq(world_text(msg, UDS_FIELD_SENDER), "broker");
    cr_expect_str_eq(world_text(msg, UDS_FIELD_SUBJECT), "$SYS.sandbox.decoder.oom");
    cr_expect_str_eq(event->name, "decoder");
    cr_expect_str_eq(event->event, "oom");
    cr_expect_eq(event->value, 64u << 20);
    uds__admin__sandbox_event__free_unpacked(event, NULL);
    uds_msg_unref(msg);
    publish(all, 2, "end", "end");
    uds_msg *own = world_receive(&w, all);
    cr_expect_str_eq(world_text(own, UDS_FIELD_SUBJECT), "end", "'>' must not have got the event");
    uds_msg_unref(own);
    uds_conn_unref(all);
    uds_conn_unref(watcher);
    world_close(&w);
}

Test(publish, of_a_subscription_that_a_new_policy_forbids_ends_with_a_notice)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    uds_conn *sub = world_link(&w, 1, 1);
    world_subscribe(&w, sub, 1, "x", 0);
    c.configuration.n_rules = 0;
    cr_assert_eq(router_configure(w.router, &c.configuration), 0);
    cr_assert_eq(world_answer(&w, sub, UDS_MSG_NOTICE, 1), UDS_STATUS_DENIED);
    uds_conn_unref(sub);
    world_close(&w);
}

Test(publish, lists_what_there_is_to_admins_and_to_nobody_else)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    Uds__Supervisor__Rule *rule = world_rule(&c, other, label);
    rule->admin = true;
    cr_assert_eq(router_configure(w.router, &c.configuration), 0);
    uds_conn *admin = world_link(&w, 2, 1), *plain = world_link(&w, 1, 1);
    uds_conn *conns[] = {plain, admin};
    world_subscribe(&w, plain, 1, "some.thing", 0);
    for (int i = 0; i < 2; i++) {
        uds_msg *msg = world_msg(UDS_MSG_REQUEST, 7, "$SYS.broker", NULL);
        cr_assert_eq(uds_msg_add_string(msg, UDS_FIELD_METHOD, "uds.admin.Broker/List"), 0);
        world_send(conns[i], msg);
    }
    cr_expect_eq(world_answer(&w, plain, UDS_MSG_REPLY, 7), UDS_STATUS_DENIED);
    uds_msg *reply = world_expect(&w, admin, UDS_MSG_REPLY, 7);
    size_t len;
    const void *body = uds_msg_peek_body(reply, &len);
    Uds__Admin__ListReply *list = uds__admin__list_reply__unpack(NULL, len, body);
    cr_assert_not_null(list);
    cr_expect_eq(list->n_sandboxes, 2);
    cr_expect_eq(list->n_connections, 2);
    cr_assert_eq(list->n_subscriptions, 1);
    cr_expect_str_eq(list->subscriptions[0]->subject, "some.thing");
    cr_expect_str_eq(list->subscriptions[0]->peer, "sandbox:decoder");
    uds__admin__list_reply__free_unpacked(list, NULL);
    uds_msg_unref(reply);
    uds_conn_unref(admin);
    uds_conn_unref(plain);
    world_close(&w);
}
