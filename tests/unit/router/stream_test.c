/* SPDX-License-Identifier: MIT */
/* Answers in parts through a router: it counts both sides' credit itself, and believes neither. */
#include <fcntl.h>

#include <sys/socket.h>

#include "call.h"
#include "rawpeer.h"
#include "world.h"

static char nobody[] = "", decoder[] = "decoder", label[] = "rule", any_subject[] = ">";
static char subject[] = "thumbnail";
static char *all[] = {any_subject};

#define WINDOW_MAX (1u << 20)

static void open_world(struct world *w, struct world_config *c)
{
    world_config_init(c);
    Uds__Supervisor__Rule *rule = world_rule(c, decoder, label);
    rule->serve = all;
    rule->n_serve = 1;
    rule->fds_send = UDS_FD_PIPE;
    rule = world_rule(c, nobody, label);
    rule->any = true;
    rule->call = rule->serve = all;
    rule->n_call = rule->n_serve = 1;
    rule->fds_receive = UDS_FD_PIPE;
    world_open(w, c);
    world_listen(w, 1, 0);
}

static void send_u32(
    uds_conn *conn, enum uds_msg_type type, uint64_t id, const char *to, uint16_t tag, uint32_t v)
{
    uds_msg *msg = world_msg(type, id, to, NULL);
    cr_assert_eq(uds_msg_add_u32(msg, tag, v), 0);
    world_send(conn, msg);
}

static void credit(uds_conn *conn, uint64_t id, uint32_t n)
{
    send_u32(conn, UDS_MSG_CREDIT, id, NULL, UDS_FIELD_WINDOW, n);
}

static void part(uds_conn *conn, uint64_t id, const char *body)
{
    world_send(conn, world_msg(UDS_MSG_PART, id, NULL, body));
}

static uint32_t window_of(const uds_msg *msg)
{
    uint32_t window = UINT32_MAX;
    cr_expect_eq(uds_msg_get_u32(msg, UDS_FIELD_WINDOW, &window), 0);
    return window;
}

/* A server, and a client whose stream 7 it has under the id that is returned. */
static uint64_t
begin(struct world *w, struct world_config *c, uds_conn **server, uds_conn **client, uint32_t n)
{
    open_world(w, c);
    *server = world_link(w, 1, 1);
    *client = world_connect(w);
    world_subscribe(w, *server, 5, subject, 1);
    send_u32(*client, UDS_MSG_REQUEST, 7, subject, UDS_FIELD_WINDOW, n);
    uds_msg *msg = world_receive(w, *server);
    cr_assert_eq(uds_msg_get_type(msg), UDS_MSG_REQUEST);
    cr_assert_eq(window_of(msg), n);
    uint64_t id = uds_msg_get_id(msg);
    uds_msg_unref(msg);
    return id;
}

static void end(struct world *w, uds_conn *server, uds_conn *client)
{
    uds_conn_unref(server);
    uds_conn_unref(client);
    WAIT_FOR(w, world_is_empty(w));
    world_close(w);
}

static void expect_credit(struct world *w, uds_conn *conn, uint64_t id, uint32_t n)
{
    uds_msg *msg = world_expect(w, conn, UDS_MSG_CREDIT, id);
    cr_expect_eq(window_of(msg), n);
    uds_msg_unref(msg);
}

Test(stream, goes_through_with_its_sender_and_its_end)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    uds_conn *server, *client;
    uint64_t id = begin(&w, &c, &server, &client, 4);
    uds_msg *msg = world_msg(UDS_MSG_PART, id, NULL, "one");
    cr_assert_eq(uds_msg_add_bytes(msg, UDS_FIELD_HEADER, "kind\0row", 8), 0);
    world_send(server, msg);
    part(server, id, "two");
    world_send(server, world_msg(UDS_MSG_REPLY, id, NULL, "end"));
    part(server, id, "after the end");

    msg = world_expect(&w, client, UDS_MSG_PART, 7);
    cr_expect(world_body_is(msg, "one"));
    cr_expect_str_eq(world_text(msg, UDS_FIELD_SENDER), "sandbox:decoder");
    const void *header;
    size_t len;
    cr_expect_eq(uds_msg_find(msg, UDS_FIELD_HEADER, &header, &len), 0);
    cr_expect_eq(len, 8);
    uds_msg_unref(msg);
    msg = world_expect(&w, client, UDS_MSG_PART, 7);
    cr_expect(world_body_is(msg, "two"));
    uds_msg_unref(msg);
    msg = world_expect(&w, client, UDS_MSG_REPLY, 7);
    cr_expect(world_body_is(msg, "end"));
    uds_msg_unref(msg);
    cr_expect_eq(w.router->calls.count, 0);
    end(&w, server, client);
}

/* However it is granted, one by one or at once: the server gets it when it has used half of what it had. */
Test(stream, passes_credit_on_in_frames_that_are_worth_it)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    uds_conn *server, *client;
    uint64_t id = begin(&w, &c, &server, &client, 8);
    for (int i = 0; i < 7; i++)
        credit(client, 7, 1);
    credit(client, 7, 1);
    expect_credit(&w, server, id, 8);
    for (int i = 0; i < 15; i++)
        credit(client, 7, 1);
    part(server, id, "x"); /* 15 left, 15 not told */
    expect_credit(&w, server, id, 15);
    uds_msg_unref(world_expect(&w, client, UDS_MSG_PART, 7));
    struct call *call = table_get(&w.router->calls, id);
    cr_expect_eq(call->credit, 30);
    cr_expect_eq(call->told, 30);
    end(&w, server, client);
}

Test(stream, runs_for_as_long_as_the_caller_grants)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    uds_conn *server, *client;
    uint64_t id = begin(&w, &c, &server, &client, 4);
    uint32_t may = 4;
    for (int sent = 0; sent < 200; sent++) {
        while (may == 0) {
            uds_msg *msg = world_expect(&w, server, UDS_MSG_CREDIT, id);
            may += window_of(msg);
            uds_msg_unref(msg);
        }
        part(server, id, "x");
        may--;
        uds_msg_unref(world_expect(&w, client, UDS_MSG_PART, 7));
        credit(client, 7, 1);
    }
    end(&w, server, client);
}

/* P-66 */
Test(stream, ends_when_the_server_sends_without_credit)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    uds_conn *server, *client;
    uint64_t id = begin(&w, &c, &server, &client, 2);
    for (int i = 0; i < 4; i++)
        part(server, id, "x");
    uds_msg_unref(world_expect(&w, client, UDS_MSG_PART, 7));
    uds_msg_unref(world_expect(&w, client, UDS_MSG_PART, 7));
    cr_expect_eq(world_answer(&w, client, UDS_MSG_REPLY, 7), UDS_STATUS_INTERNAL);
    uds_msg_unref(world_expect(&w, server, UDS_MSG_CANCEL, id));
    cr_expect_eq(world_answer(&w, server, UDS_MSG_NOTICE, id), UDS_STATUS_INTERNAL);
    /* Both are still there and may go on. */
    send_u32(client, UDS_MSG_REQUEST, 8, subject, UDS_FIELD_WINDOW, 1);
    uds_msg *msg = world_receive(&w, server);
    cr_expect_eq(uds_msg_get_type(msg), UDS_MSG_REQUEST);
    uds_msg_unref(msg);
    end(&w, server, client);
}

Test(stream, is_not_what_a_plain_call_gets)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    uds_conn *server = world_link(&w, 1, 1), *client = world_connect(&w);
    world_subscribe(&w, server, 5, subject, 1);
    world_send(client, world_msg(UDS_MSG_REQUEST, 7, subject, NULL));
    uds_msg *msg = world_receive(&w, server);
    part(server, uds_msg_get_id(msg), "x");
    uds_msg_unref(msg);
    cr_expect_eq(world_answer(&w, client, UDS_MSG_REPLY, 7), UDS_STATUS_INTERNAL);
    end(&w, server, client);
}

Test(stream, ends_with_credit_that_cannot_be)
{
    UDS_TEST_GUARD;
    static const uint32_t bad[] = {0, WINDOW_MAX, UINT32_MAX};
    for (size_t i = 0; i < 3; i++) {
        struct world w;
        struct world_config c;
        uds_conn *server, *client;
        uint64_t id = begin(&w, &c, &server, &client, 1);
        credit(client, 7, bad[i]);
        cr_expect_eq(world_answer(&w, client, UDS_MSG_REPLY, 7), UDS_STATUS_BAD_REQUEST);
        uds_msg_unref(world_expect(&w, server, UDS_MSG_CANCEL, id));
        credit(client, 7, 1); /* of no call: ignored */
        world_turn(&w);
        cr_expect_eq(w.router->peers.count, 2);
        end(&w, server, client);
    }
}

Test(stream, with_a_window_over_the_limit_is_a_bad_request)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    uds_conn *client = world_connect(&w);
    send_u32(client, UDS_MSG_REQUEST, 1, subject, UDS_FIELD_WINDOW, WINDOW_MAX + 1);
    cr_expect_eq(world_answer(&w, client, UDS_MSG_REPLY, 1), UDS_STATUS_BAD_REQUEST);
    uds_conn_unref(client);
    world_close(&w);
}

Test(stream, is_cancelled_by_its_caller_and_by_its_caller_s_end)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    uds_conn *server, *client;
    uint64_t id = begin(&w, &c, &server, &client, 4);
    world_send(client, world_msg(UDS_MSG_CANCEL, 7, NULL, NULL));
    uds_msg_unref(world_expect(&w, server, UDS_MSG_CANCEL, id));
    part(server, id, "too late");
    send_u32(client, UDS_MSG_REQUEST, 8, subject, UDS_FIELD_WINDOW, 1);
    uds_msg *msg = world_receive(&w, server);
    id = uds_msg_get_id(msg);
    uds_msg_unref(msg);
    client = uds_conn_unref(client);
    uds_msg_unref(world_expect(&w, server, UDS_MSG_CANCEL, id));
    end(&w, server, client);
}

Test(stream, has_one_deadline_for_all_of_it)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    uds_conn *server = world_link(&w, 1, 1), *client = world_connect(&w);
    world_subscribe(&w, server, 5, subject, 1);
    uds_msg *msg = world_msg(UDS_MSG_REQUEST, 7, subject, NULL);
    cr_assert_eq(uds_msg_add_u32(msg, UDS_FIELD_WINDOW, 100), 0);
    cr_assert_eq(uds_msg_add_u32(msg, UDS_FIELD_TIMEOUT_MS, 30), 0);
    world_send(client, msg);
    msg = world_receive(&w, server);
    uint64_t id = uds_msg_get_id(msg);
    uds_msg_unref(msg);
    part(server, id, "x");
    uds_msg_unref(world_expect(&w, client, UDS_MSG_PART, 7));
    cr_expect_eq(world_answer(&w, client, UDS_MSG_REPLY, 7), UDS_STATUS_DEADLINE);
    uds_msg_unref(world_expect(&w, server, UDS_MSG_CANCEL, id));
    end(&w, server, client);
}

Test(stream, whose_server_dies_waits_for_the_cause)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    uds_conn *server, *client;
    uint64_t id = begin(&w, &c, &server, &client, 4);
    part(server, id, "x");
    uds_msg_unref(world_expect(&w, client, UDS_MSG_PART, 7));
    server = uds_conn_unref(server);
    world_turn(&w);
    credit(client, 7, 1);
    world_turn(&w);
    Uds__Supervisor__Sandbox changed = c.sandbox[0];
    changed.state = UDS__SUPERVISOR__STATE__BACKOFF;
    changed.cause = UDS__SUPERVISOR__CAUSE__OOM;
    world_sandbox(&w, &changed);
    cr_expect_eq(world_answer(&w, client, UDS_MSG_REPLY, 7), UDS_STATUS_CALLEE_OOM);
    end(&w, server, client);
}

/* It gives credit and does not read: its own quota ends its own call. */
Test(stream, of_a_caller_that_does_not_read_ends_when_its_queue_is_full)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    static char body[200000];
    uds_conn *server, *client;
    uint64_t id = begin(&w, &c, &server, &client, WINDOW_MAX);
    memset(body, 'x', sizeof(body) - 1);
    uds_msg *msg = NULL;
    for (int i = 0; i < 5000 && msg == NULL; i++) {
        part(server, id, body);
        world_turn(&w);
        if (uds_conn_receive(server, &msg) < 1)
            msg = NULL;
    }
    cr_assert_not_null(msg);
    cr_expect_eq(uds_msg_get_type(msg), UDS_MSG_CANCEL);
    uds_msg_unref(msg);
    cr_expect_eq(w.router->calls.count, 0);
    cr_expect_eq(w.router->peers.count, 2);
    uint32_t status = UDS_STATUS_OK;
    do {
        msg = world_receive(&w, client);
        cr_assert_not_null(msg);
        if (uds_msg_get_type(msg) == UDS_MSG_REPLY)
            status = world_status(msg);
        uds_msg_unref(msg);
    } while (status == UDS_STATUS_OK);
    cr_expect(status == UDS_STATUS_SLOW_CONSUMER || status == UDS_STATUS_QUOTA, "%u", status);
    end(&w, server, client);
}

Test(stream, is_refused_when_the_server_knows_none)
{
    UDS_TEST_GUARD;
    static const uint8_t subscribe[] = {1,   0,   9,  0, 't', 'h', 'u', 'm', 'b', 'n', 'a',
                                        'i', 'l', 11, 0, 4,   0,   1,   0,   0,   0};
    struct raw_frame frame = {
        .type = UDS_MSG_SUBSCRIBE, .id = 1, .head = subscribe, .head_len = sizeof(subscribe)};
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    int raw = world_dial(&w);
    raw_send_hello(raw);
    cr_assert_gt(raw_send_frame(raw, &frame, -1, 0), 0);
    WAIT_FOR(&w, w.router->quota.accounts.count == 1 && w.router->peers.count == 1);
    uds_conn *client = world_connect(&w);
    send_u32(client, UDS_MSG_REQUEST, 1, subject, UDS_FIELD_WINDOW, 1);
    cr_expect_eq(world_answer(&w, client, UDS_MSG_REPLY, 1), UDS_STATUS_UNIMPLEMENTED);
    close(raw);
    uds_conn_unref(client);
    WAIT_FOR(&w, world_is_empty(&w));
    world_close(&w);
}

/* A PART is held against the fd policy like a reply. */
Test(stream, brings_no_descriptor_that_its_caller_may_not_have)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    uds_conn *server, *client;
    int pipes[2];
    uint64_t id = begin(&w, &c, &server, &client, 4);
    cr_assert_eq(pipe2(pipes, O_CLOEXEC), 0);
    uds_msg *msg = world_msg(UDS_MSG_PART, id, NULL, "pipe");
    cr_assert_eq(uds_msg_push_dup_fd(msg, pipes[0]), 0);
    world_send(server, msg);
    msg = world_expect(&w, client, UDS_MSG_PART, 7);
    cr_expect_eq(uds_msg_get_fd_count(msg), 1);
    uds_msg_unref(msg);
    msg = world_msg(UDS_MSG_PART, id, NULL, "directory");
    int directory = open("/", O_PATH | O_CLOEXEC);
    cr_assert_eq(uds_msg_push_fd(msg, directory), 0);
    world_send(server, msg);
    cr_expect_eq(world_answer(&w, client, UDS_MSG_REPLY, 7), UDS_STATUS_FD_REFUSED);
    uds_msg_unref(world_expect(&w, server, UDS_MSG_CANCEL, id));
    close(pipes[0]);
    close(pipes[1]);
    end(&w, server, client);
}

Test(stream, over_the_rate_of_its_server_ends)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    uds_conn *server, *client;
    uint64_t id = begin(&w, &c, &server, &client, 100);
    c.quota.messages_per_second = 3;
    cr_assert_eq(router_configure(w.router, &c.configuration), 0);
    for (int i = 0; i < 10; i++)
        part(server, id, "x");
    uint32_t status = UDS_STATUS_OK;
    unsigned parts = 0;
    do {
        uds_msg *msg = world_receive(&w, client);
        parts += uds_msg_get_type(msg) == UDS_MSG_PART;
        status = world_status(msg);
        uds_msg_unref(msg);
    } while (status == UDS_STATUS_OK);
    cr_expect_eq(status, UDS_STATUS_QUOTA);
    cr_expect_lt(parts, 10);
    uds_conn_unref(server);
    uds_conn_unref(client);
    world_close(&w);
}
