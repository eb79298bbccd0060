/* SPDX-License-Identifier: MIT */
/* Calls that wait: for a sandbox that is to serve them, or for the cause of a death. */
#include "call_scene.h"

static void
die_with(uint32_t cause, uint64_t value, bool link_first, uint32_t expect, const char *detail)
{
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    uds_conn *server, *client;
    open_ends(&w, 1, &server, &client);
    call(client, 2, 0);
    uds_msg *request = world_receive(&w, server);
    Uds__Supervisor__Sandbox changed = c.sandbox[0];
    changed.state = UDS__SUPERVISOR__STATE__BACKOFF;
    changed.cause = (Uds__Supervisor__Cause)cause;
    changed.value = value;
    changed.peak_bytes = 64u << 20;
    if (link_first) {
        uds_conn_unref(server);
        WAIT_FOR(&w, w.router->peers.count == 1);
        cr_assert_eq(w.router->calls.count, 1, "the call waits for the cause");
        world_sandbox(&w, &changed);
    } else {
        world_sandbox(&w, &changed);
        uds_conn_unref(server);
    }
    uds_msg *reply = world_expect(&w, client, UDS_MSG_REPLY, 2);
    uint64_t told = 0;
    (void)!uds_msg_get_u64(reply, UDS_FIELD_VALUE, &told);
    cr_assert_eq(world_status(reply), expect);
    cr_assert_eq(told, value);
    cr_assert_str_eq(world_text(reply, UDS_FIELD_DETAIL), detail);
    uds_msg_unref(request);
    uds_msg_unref(reply);
    uds_conn_unref(client);
    world_close(&w);
}

Test(call, waits_for_the_cause_of_its_servers_death)
{
    UDS_TEST_GUARD;
    for (int link_first = 0; link_first < 2; link_first++) {
        die_with(UDS__SUPERVISOR__CAUSE__OOM, 64u << 20, link_first != 0, UDS_STATUS_CALLEE_OOM,
                 "decoder: killed by OOM: memory limit 64 MiB, peak 64 MiB");
        die_with(UDS__SUPERVISOR__CAUSE__SIGNALED, 11, link_first != 0, UDS_STATUS_CALLEE_CRASHED,
                 "decoder: killed by signal 11 SIGSEGV");
        die_with(UDS__SUPERVISOR__CAUSE__EXITED, 3, link_first != 0, UDS_STATUS_CALLEE_EXITED,
                 "decoder: exited with code 3");
    }
}

Test(call, of_a_dead_host_server_is_lost_at_once)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    uds_conn *server, *client;
    open_ends(&w, 1, &server, &client);
    call(client, 2, 0);
    WAIT_FOR(&w, w.router->calls.count == 1);
    uds_conn_unref(server);
    /* A sandbox whose cause never comes: bounded. */
    cr_assert_eq(world_answer(&w, client, UDS_MSG_REPLY, 2), UDS_STATUS_CALLEE_LOST);
    uds_conn_unref(client);
    world_close(&w);
}

Test(call, is_held_while_its_server_restarts)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    uds_conn *client = world_connect(&w);
    Uds__Supervisor__Sandbox changed = c.sandbox[0];
    changed.state = UDS__SUPERVISOR__STATE__BACKOFF;
    world_sandbox(&w, &changed);
    changed = c.sandbox[1];
    changed.state = UDS__SUPERVISOR__STATE__FAILED;
    world_sandbox(&w, &changed);
    call(client, 2, 0);
    WAIT_FOR(&w, w.router->calls.count == 1);
    changed = c.sandbox[0];
    changed.generation = 2;
    world_sandbox(&w, &changed);
    uds_conn *server = world_link(&w, 1, 2);
    world_subscribe(&w, server, 1, thumbnail, 1);
    uds_msg *request = world_receive(&w, server);
    cr_assert(world_body_is(request, "picture"));
    world_send(server, world_msg(UDS_MSG_REPLY, uds_msg_get_id(request), NULL, ""));
    cr_assert_eq(world_answer(&w, client, UDS_MSG_REPLY, 2), UDS_STATUS_OK);
    uds_msg_unref(request);
    close_ends(&w, server, client);
}

Test(call, held_for_a_sandbox_that_fails_for_good_says_why)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    uds_conn *client = world_connect(&w);
    Uds__Supervisor__Sandbox changed = c.sandbox[1];
    changed.state = UDS__SUPERVISOR__STATE__FAILED;
    world_sandbox(&w, &changed);
    call(client, 2, 0);
    WAIT_FOR(&w, w.router->calls.count == 1);
    changed = c.sandbox[0];
    changed.state = UDS__SUPERVISOR__STATE__FAILED;
    changed.cause = UDS__SUPERVISOR__CAUSE__EXITED;
    changed.value = 127;
    world_sandbox(&w, &changed);
    uds_msg *reply = world_expect(&w, client, UDS_MSG_REPLY, 2);
    cr_assert_eq(world_status(reply), UDS_STATUS_UNAVAILABLE);
    cr_assert_str_eq(world_text(reply, UDS_FIELD_DETAIL), "decoder: exited with code 127");
    uds_msg_unref(reply);
    uds_conn_unref(client);
    world_close(&w);
}

static void (*start_done)(uint32_t status, const char *detail, void *arg);
static void *start_arg;

static int fake_start(void *arg,
                      uint32_t id,
                      void (*done)(uint32_t status, const char *detail, void *done_arg),
                      void *done_arg)
{
    *(uint32_t *)arg = id;
    start_done = done;
    start_arg = done_arg;
    return 0;
}

Test(call, for_a_stopped_sandbox_asks_the_supervisor_to_start_it)
{
    UDS_TEST_GUARD;
    static const struct supervisor_ops ops = {.start = fake_start};
    struct world w;
    struct world_config c;
    uint32_t asked = 0;
    open_world(&w, &c);
    w.router->supervisor = &ops;
    w.router->supervisor_arg = &asked;
    Uds__Supervisor__Sandbox changed = c.sandbox[1];
    changed.state = UDS__SUPERVISOR__STATE__FAILED;
    world_sandbox(&w, &changed);
    changed = c.sandbox[0];
    changed.state = UDS__SUPERVISOR__STATE__STOPPED;
    world_sandbox(&w, &changed);
    uds_conn *client = world_connect(&w);
    call(client, 2, 0);
    WAIT_FOR(&w, asked == 1);
    start_done(UDS_STATUS_DENIED, "it does not start on demand", start_arg);
    cr_assert_eq(world_answer(&w, client, UDS_MSG_REPLY, 2), UDS_STATUS_UNAVAILABLE);
    uds_conn_unref(client);
    world_close(&w);
}
