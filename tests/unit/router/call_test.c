/* SPDX-License-Identifier: MIT */
/* Calls through a router: who gets them, who may answer. Calls that wait are in held_test.c. */
#include "call_scene.h"

Test(call, goes_to_the_server_and_its_reply_comes_back_with_the_sender)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    uds_conn *server, *client;
    open_ends(&w, 5, &server, &client);
    call(client, 7, 1000);

    uds_msg *request = world_receive(&w, server);
    cr_assert_eq(uds_msg_get_type(request), UDS_MSG_REQUEST);
    cr_assert(world_body_is(request, "picture"));
    cr_assert_str_eq(world_text(request, UDS_FIELD_METHOD), "a.B/C");
    char sender[32];
    snprintf(sender, sizeof(sender), "uid:%u", getuid());
    cr_assert_str_eq(world_text(request, UDS_FIELD_SENDER), sender);
    uint64_t subscription = 0;
    uint32_t left = 0;
    cr_assert_eq(uds_msg_get_u64(request, HEAD_FIELD_SUBSCRIPTION, &subscription), 0);
    cr_assert_eq(subscription, 5);
    cr_assert_eq(uds_msg_get_u32(request, UDS_FIELD_TIMEOUT_MS, &left), 0);
    cr_assert(left > 0 && left <= 1000);

    world_send(server, world_msg(UDS_MSG_REPLY, uds_msg_get_id(request), NULL, "small"));
    uds_msg *reply = world_expect(&w, client, UDS_MSG_REPLY, 7);
    cr_assert(world_body_is(reply, "small"));
    cr_assert_str_eq(world_text(reply, UDS_FIELD_SENDER), "sandbox:decoder");
    cr_assert_eq(w.router->calls.count, 0);
    uds_msg_unref(request);
    uds_msg_unref(reply);
    close_ends(&w, server, client);
}

/* All HEADERs of @msg as "a=1;b=2;". */
static const char *headers_of(const uds_msg *msg)
{
    static char text[128];
    const char *name, *value;
    size_t pos = 0, len, used = 0;
    text[0] = '\0';
    while (used < sizeof(text) && uds_msg_next_header(msg, &pos, &name, &value, &len) == 1)
        used +=
            (size_t)snprintf(text + used, sizeof(text) - used, "%s=%.*s;", name, (int)len, value);
    return text;
}

Test(call, brings_headers_there_and_back_with_a_failure_too)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    uds_conn *server, *client;
    open_ends(&w, 5, &server, &client);
    for (uint32_t status = UDS_STATUS_OK; status < 2; status++) {
        uds_msg *msg = world_msg(UDS_MSG_REQUEST, 7 + status, thumbnail, "picture");
        cr_assert_eq(uds_msg_add_header(msg, "trace", "17"), 0);
        cr_assert_eq(uds_msg_add_header(msg, "trace", "18"), 0);
        world_send(client, msg);
        uds_msg *request = world_receive(&w, server);
        cr_assert_str_eq(headers_of(request), "trace=17;trace=18;");

        msg = world_msg(UDS_MSG_REPLY, uds_msg_get_id(request), NULL, NULL);
        cr_assert_eq(uds_msg_add_u32(msg, UDS_FIELD_STATUS, status), 0);
        cr_assert_eq(uds_msg_add_header(msg, "cost", "3"), 0);
        world_send(server, msg);
        uds_msg *reply = world_expect(&w, client, UDS_MSG_REPLY, 7 + status);
        cr_assert_eq(world_status(reply), status);
        cr_assert_str_eq(headers_of(reply), "cost=3;");
        uds_msg_unref(request);
        uds_msg_unref(reply);
    }
    close_ends(&w, server, client);
}

Test(call, without_a_server_hears_so_at_once)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    uds_conn *client = world_connect(&w);
    world_send(client, world_msg(UDS_MSG_REQUEST, 1, "nobody.serves.this", NULL));
    cr_assert_eq(world_answer(&w, client, UDS_MSG_REPLY, 1), UDS_STATUS_NO_RESPONDERS);
    uds_conn_unref(client);
    world_close(&w);
}

Test(call, is_denied_by_default_and_names_the_rule)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    uds_conn *sandbox = world_link(&w, 2, 1);
    call(sandbox, 3, 0);
    uds_msg *reply = world_expect(&w, sandbox, UDS_MSG_REPLY, 3);
    cr_assert_eq(world_status(reply), UDS_STATUS_DENIED);
    cr_assert_str_eq(world_text(reply, UDS_FIELD_RULE), "default deny");
    uds_msg_unref(reply);
    uds_conn_unref(sandbox);
    world_close(&w);
}

Test(call, is_not_told_by_a_server_what_only_the_broker_can_know)
{
    UDS_TEST_GUARD;
    static const uint32_t forged[] = {
        UDS_STATUS_NO_RESPONDERS,  UDS_STATUS_CALLEE_LOST, UDS_STATUS_CALLEE_EXITED,
        UDS_STATUS_CALLEE_CRASHED, UDS_STATUS_CALLEE_OOM,  UDS_STATUS_FD_REFUSED,
        UDS_STATUS_SLOW_CONSUMER,
    };
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    uds_conn *server, *client;
    open_ends(&w, 5, &server, &client);
    for (size_t i = 0; i < sizeof(forged) / sizeof(forged[0]); i++) {
        call(client, 7 + i, 1000);
        uds_msg *request = world_receive(&w, server);
        uds_msg *lie = world_msg(UDS_MSG_REPLY, uds_msg_get_id(request), NULL, "");
        cr_assert_eq(uds_msg_add_u32(lie, UDS_FIELD_STATUS, forged[i]), 0);
        cr_assert_eq(uds_msg_add_u64(lie, UDS_FIELD_VALUE, 64u << 20), 0);
        world_send(server, lie);
        uds_msg *reply = world_expect(&w, client, UDS_MSG_REPLY, 7 + i);
        uint32_t status = 0;
        uint64_t value;
        cr_assert_eq(uds_msg_get_u32(reply, UDS_FIELD_STATUS, &status), 0);
        cr_expect_eq(status, UDS_STATUS_INTERNAL, "%s passed", uds_status_name(forged[i]));
        cr_expect_eq(uds_msg_get_u64(reply, UDS_FIELD_VALUE, &value), -ENOENT);
        uds_msg_unref(request);
        uds_msg_unref(reply);
    }
    close_ends(&w, server, client);
}

Test(call, is_answered_once_and_by_the_callee_only)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    uds_conn *server = world_link(&w, 1, 1), *liar = world_link(&w, 2, 1);
    uds_conn *client = world_connect(&w);
    world_subscribe(&w, server, 1, thumbnail, 1);
    call(client, 9, 0);
    uds_msg *request = world_receive(&w, server);
    uint64_t id = uds_msg_get_id(request);
    world_send(liar, world_msg(UDS_MSG_REPLY, id, NULL, "forged"));
    world_turn(&w);
    world_send(server, world_msg(UDS_MSG_REPLY, id, NULL, "first"));
    world_send(server, world_msg(UDS_MSG_REPLY, id, NULL, "second"));
    uds_msg *reply = world_expect(&w, client, UDS_MSG_REPLY, 9);
    cr_assert(world_body_is(reply, "first"));
    call(client, 10, 0);
    uds_msg *again = world_receive(&w, server);
    world_send(server, world_msg(UDS_MSG_REPLY, uds_msg_get_id(again), NULL, "third"));
    uds_msg *last = world_expect(&w, client, UDS_MSG_REPLY, 10);
    cr_assert(world_body_is(last, "third"), "the second reply must have gone nowhere");
    uds_msg_unref(request);
    uds_msg_unref(reply);
    uds_msg_unref(again);
    uds_msg_unref(last);
    uds_conn_unref(liar);
    close_ends(&w, server, client);
}

Test(call, goes_to_the_server_with_the_fewest_open_calls_and_round_robin_between_equals)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    uds_conn *a = world_link(&w, 1, 1), *b = world_link(&w, 2, 1), *client = world_connect(&w);
    world_subscribe(&w, a, 1, thumbnail, 1);
    world_subscribe(&w, b, 1, thumbnail, 1);
    for (uint64_t id = 1; id <= 4; id++)
        call(client, id, 0);
    WAIT_FOR(&w, w.router->calls.count == 4);
    uds_msg *msgs[4] = {world_receive(&w, a), world_receive(&w, b), world_receive(&w, a),
                        world_receive(&w, b)};
    /* b answers both of its calls: the next two are b's. */
    for (int i = 1; i < 4; i += 2)
        world_send(b, world_msg(UDS_MSG_REPLY, uds_msg_get_id(msgs[i]), NULL, ""));
    WAIT_FOR(&w, w.router->calls.count == 2);
    call(client, 5, 0);
    call(client, 6, 0);
    uds_msg *more[2] = {world_receive(&w, b), world_receive(&w, b)};
    for (int i = 0; i < 4; i++)
        uds_msg_unref(msgs[i]);
    for (int i = 0; i < 2; i++)
        uds_msg_unref(more[i]);
    uds_conn_unref(a);
    uds_conn_unref(b);
    uds_conn_unref(client);
    world_close(&w);
}

Test(call, ends_at_its_deadline_and_the_server_is_told)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    uds_conn *server, *client;
    open_ends(&w, 1, &server, &client);
    call(client, 2, 20);
    uds_msg *request = world_receive(&w, server);
    uint64_t id = uds_msg_get_id(request);
    cr_assert_eq(world_answer(&w, client, UDS_MSG_REPLY, 2), UDS_STATUS_DEADLINE);
    (void)world_answer(&w, server, UDS_MSG_CANCEL, id);
    cr_assert_eq(w.router->calls.count, 0);
    uds_msg_unref(request);
    close_ends(&w, server, client);
}

Test(call, cancelled_by_the_caller_or_by_its_death_reaches_the_server)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    uds_conn *server, *client;
    open_ends(&w, 1, &server, &client);
    call(client, 2, 0);
    call(client, 3, 0);
    uds_msg *first = world_receive(&w, server), *second = world_receive(&w, server);
    world_send(client, world_msg(UDS_MSG_CANCEL, 2, NULL, NULL));
    (void)world_answer(&w, server, UDS_MSG_CANCEL, uds_msg_get_id(first));
    uds_conn_unref(client);
    (void)world_answer(&w, server, UDS_MSG_CANCEL, uds_msg_get_id(second));
    cr_assert_eq(w.router->calls.count, 0);
    uds_msg_unref(first);
    uds_msg_unref(second);
    uds_conn_unref(server);
    world_close(&w);
}

Test(call, over_the_quota_is_refused_and_the_others_go_on)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    c.quota.pending_calls = 2;
    cr_assert_eq(router_configure(w.router, &c.configuration), 0);
    uds_conn *server, *client;
    open_ends(&w, 1, &server, &client);
    for (uint64_t id = 1; id <= 3; id++)
        call(client, id, 0);
    cr_assert_eq(world_answer(&w, client, UDS_MSG_REPLY, 3), UDS_STATUS_QUOTA);
    cr_assert_eq(w.router->calls.count, 2);
    close_ends(&w, server, client);
}

Test(call, with_an_id_in_use_ends_only_that_connection)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    uds_conn *server, *client;
    open_ends(&w, 1, &server, &client);
    call(client, 1, 0);
    call(client, 1, 0);
    uds_msg *msg = world_receive(&w, client);
    cr_assert_null(msg);
    WAIT_FOR(&w, w.router->peers.count == 1);
    close_ends(&w, server, client);
}

/* HELLO takes descriptors, the socket does not: the callee's, then the caller's. */
Test(call, whose_descriptors_a_socket_refuses_is_answered_and_ends_no_connection)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    c.rule[0].fds_send = c.rule[0].fds_receive = UDS_FD_MEMFD_OPEN;
    c.rule[2].fds_send = c.rule[2].fds_receive = UDS_FD_MEMFD_OPEN;
    cr_assert_eq(router_configure(w.router, &c.configuration), 0);
    uds_conn *server, *client;
    open_ends(&w, 5, &server, &client);
    for (uint64_t id = 1; id <= 2; id++) {
        int off = 0, on = 1;
        if (setsockopt(uds_conn_get_fd(id == 1 ? server : client), SOL_SOCKET, SO_PASSRIGHTS, &off,
                       sizeof(off)) < 0)
            break; /* a kernel before 6.16 */
        uds_msg *msg = world_msg(UDS_MSG_REQUEST, id, thumbnail, "picture");
        if (id == 1)
            cr_assert_eq(uds_msg_push_fd(msg, memfd_create("cargo", MFD_CLOEXEC)), 0);
        world_send(client, msg);
        if (id == 2) {
            uds_msg *request = world_receive(&w, server);
            msg = world_msg(UDS_MSG_REPLY, uds_msg_get_id(request), NULL, "small");
            cr_assert_eq(uds_msg_push_fd(msg, memfd_create("cargo", MFD_CLOEXEC)), 0);
            world_send(server, msg);
            uds_msg_unref(request);
        }
        msg = world_expect(&w, client, UDS_MSG_REPLY, id);
        cr_assert_eq(world_status(msg), UDS_STATUS_FD_REFUSED, "%u: %s", world_status(msg),
                     world_text(msg, UDS_FIELD_DETAIL));
        cr_assert_not_null(strstr(world_text(msg, UDS_FIELD_DETAIL), "socket refuses"));
        uds_msg_unref(msg);
        (void)setsockopt(uds_conn_get_fd(server), SOL_SOCKET, SO_PASSRIGHTS, &on, sizeof(on));
    }
    cr_assert_eq(w.router->calls.count, 0);
    cr_assert(uds_conn_is_open(server));
    cr_assert(uds_conn_is_open(client));
    close_ends(&w, server, client);
}
