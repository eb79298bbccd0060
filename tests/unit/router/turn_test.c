/* SPDX-License-Identifier: MIT */
/* Whoever sends more, or makes others send, takes no more of the router's turns and of others' places. */
#include "hostile_scene.h"

Test(hostile, an_account_waits_when_its_messages_have_cost_enough_for_this_turn)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    uds_conn *greedy = world_link(&w, 1, 1);
    for (uint64_t i = 1; i <= 1000; i++)
        world_subscribe(&w, greedy, i, "loop", 0);
    /* Each publish costs a thousand deliveries, and all of them are there when the router comes to read. */
    for (uint64_t i = 1; i <= 100; i++) {
        uds_msg *msg = world_msg(UDS_MSG_PUBLISH, 10000 + i, "loop", NULL);
        cr_assert_eq(uds_conn_send(greedy, msg), 0);
        uds_msg_unref(msg);
    }
    cr_assert_geq(uds_conn_flush(greedy), 0);
    struct peer *peer = table_get(&w.router->peers, w.router->next_peer);
    uint64_t before = peer->counters.messages_out;
    event_base_loop(w.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    uint64_t once = peer->counters.messages_out - before;
    cr_assert(once > 0 && once <= 10000, "%lu deliveries in one turn", once);
    cr_assert(peer->tired, "it waits, and is not lost");
    WAIT_FOR(&w, peer->counters.messages_out - before == 100000);
    WAIT_FOR(&w, !peer->tired && peer->account->tired == 0);
    uds_conn_unref(greedy);
    WAIT_FOR(&w, world_is_empty(&w));
    check_alive(&w);
    world_close(&w);
}

Test(hostile, a_peer_that_goes_while_it_waits_for_its_turn_leaves_nothing)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    uds_conn *greedy = world_link(&w, 1, 1);
    for (uint64_t i = 1; i <= 1000; i++)
        world_subscribe(&w, greedy, i, "loop", 0);
    for (uint64_t i = 1; i <= 100; i++) {
        uds_msg *msg = world_msg(UDS_MSG_PUBLISH, 0, "loop", NULL);
        cr_assert_eq(uds_conn_send(greedy, msg), 0);
        uds_msg_unref(msg);
    }
    cr_assert_geq(uds_conn_flush(greedy), 0);
    struct peer *peer = table_get(&w.router->peers, w.router->next_peer);
    event_base_loop(w.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    cr_assert(peer->tired);
    peer_kick(peer, UDS_STATUS_INTERNAL, "test");
    WAIT_FOR(&w, world_is_empty(&w));
    uds_conn_unref(greedy);
    world_close(&w);
}

Test(hostile, many_connections_get_no_more_of_a_turn_than_one)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    uds_conn *greedy[40];
    c.quota.connections = 64;
    cr_assert_eq(router_configure(w.router, &c.configuration), 0);
    for (size_t k = 0; k < 40; k++) {
        greedy[k] = world_link(&w, 1, 1);
        world_subscribe(&w, greedy[k], 1000, "greeted", 0);
    }
    for (size_t k = 0; k < 40; k++) {
        for (uint64_t i = 1; i <= 250; i++) {
            uds_msg *msg = world_msg(UDS_MSG_PUBLISH, i, "nobody.listens", NULL);
            cr_assert_eq(uds_conn_send(greedy[k], msg), 0);
            uds_msg_unref(msg);
        }
        cr_assert_geq(uds_conn_flush(greedy[k]), 0);
    }
    struct peer *peer = table_get(&w.router->peers, w.router->next_peer);
    struct account *account = account_ref(peer->account);
    event_base_loop(w.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    cr_assert_leq(account->steps, 20000, "%lu steps in one turn", account->steps);
    cr_assert_gt(account->tired, 5, "the others wait");
    for (size_t k = 0; k < 40; k++) {
        for (uint64_t i = 1; i <= 250; i++) /* all are answered, each connection in order */
            uds_msg_unref(world_expect(&w, greedy[k], UDS_MSG_ACK, i));
        uds_conn_unref(greedy[k]);
    }
    cr_assert_eq(account->tired, 0);
    account_unref(account);
    WAIT_FOR(&w, world_is_empty(&w));
    check_alive(&w);
    world_close(&w);
}

static size_t count_peers_of(struct world *w, bool sandbox)
{
    struct peer *peer;
    size_t count = 0;
    for (size_t pos = 0; (peer = table_next(&w->router->peers, &pos)) != NULL;)
        count += peer->identity.is_sandbox == sandbox;
    return count;
}

Test(hostile, nobody_is_kicked_for_what_others_make_us_tell_it)
{
    UDS_TEST_GUARD;
    enum {
        SUBJECTS = 6000
    };
    struct world w;
    struct world_config c;
    char subject[32];
    open_world(&w, &c);
    c.quota.queued_bytes = 1u << 20;
    cr_assert_eq(router_configure(w.router, &c.configuration), 0);
    uds_conn *slow = world_connect(&w), *flood = world_link(&w, 1, 1);
    for (uint64_t i = 1; i <= SUBJECTS; i++) {
        snprintf(subject, sizeof(subject), "many.%lu", i);
        world_subscribe(&w, slow, i, subject, 0);
    }
    /* It does not read for a moment. Each subject of it has a drop to tell, more than the room for our own words. */
    char *big = calloc(1, 100001);
    memset(big, 'x', 100000);
    for (uint64_t i = 0; i < 8; i++)
        world_send(flood, world_msg(UDS_MSG_PUBLISH, 0, "many.1", big));
    free(big);
    for (uint64_t i = 1; i <= SUBJECTS; i++) {
        snprintf(subject, sizeof(subject), "many.%lu", i);
        world_send(flood,
                   world_msg(UDS_MSG_PUBLISH, 0, subject, "a body that is not worth the room"));
        world_turn(&w);
    }
    cr_assert_eq(count_peers_of(&w, false), 1, "the slow one was kicked");
    /* Now it reads: of each drop it hears. */
    static uint64_t last[SUBJECTS + 1];
    uint64_t told = 0, got = 0;
    while (told + got < SUBJECTS + 8) {
        uint64_t dropped;
        uds_msg *msg = world_receive(&w, slow);
        cr_assert_not_null(msg);
        got += uds_msg_get_type(msg) == UDS_MSG_DELIVER;
        if (uds_msg_get_u64(msg, UDS_FIELD_DROPPED, &dropped) == 0) {
            told += dropped - last[uds_msg_get_id(msg)];
            last[uds_msg_get_id(msg)] = dropped; /* of that subscription so far */
        }
        uds_msg_unref(msg);
    }
    cr_assert_gt(told, 0);
    uds_conn_unref(slow);
    uds_conn_unref(flood);
    WAIT_FOR(&w, world_is_empty(&w));
    world_close(&w);
}

Test(hostile, one_caller_cannot_take_all_places_of_calls_that_wait)
{
    UDS_TEST_GUARD;
    struct world w;
    struct world_config c;
    open_world(&w, &c);
    Uds__Supervisor__Sandbox changed = c.sandbox[0];
    changed.state = UDS__SUPERVISOR__STATE__STARTING;
    world_sandbox(&w, &changed);
    uds_conn *greedy = world_link(&w, 1, 1), *honest = world_connect(&w);
    for (uint64_t id = 1; id <= 300; id++) {
        world_send(greedy, world_msg(UDS_MSG_REQUEST, id, "svc", ""));
        world_turn(&w);
    }
    cr_assert_eq(w.router->calls.count, 128);
    for (uint64_t id = 1; id <= 64; id++)
        world_send(honest, world_msg(UDS_MSG_REQUEST, id, "svc", ""));
    WAIT_FOR(&w, w.router->calls.count == 192);
    uds_conn_unref(greedy);
    uds_conn_unref(honest);
    WAIT_FOR(&w, world_is_empty(&w));
    world_close(&w);
}
