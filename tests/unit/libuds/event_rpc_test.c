/* SPDX-License-Identifier: MIT */
/* Calls and the client of a broker in the loop of libevent. */
#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <unistd.h>

#include <uds/error.h>
#include <uds/event.h>

#include "event_loop.h"
#include "guard.h"

struct call_end {
    struct event_base *base;
    unsigned ended;
    uint32_t status;
};

static void ignore_message(uds_conn *conn, uds_msg *msg, void *arg)
{
    (void)conn;
    (void)arg;
    uds_msg_unref(msg);
}

static void on_reply(const struct uds_rpc_reply *reply, void *arg)
{
    struct call_end *end = arg;

    end->ended++;
    end->status = reply->status;
    event_base_loopbreak(end->base);
}

Test(event_rpc, ends_a_call_at_its_deadline_and_has_no_timer_afterwards)
{
    UDS_TEST_GUARD;
    static const struct uds_conn_callbacks ignoring = {.on_message = ignore_message};
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
    struct call_end end = {0};
    uds_event *ea, *eb;
    uint64_t patient;
    uds_conn *a, *b;
    uds_rpc *rpc;

    end.base = event_base_new();
    cr_assert_eq(uds_conn_pair(&a, &b, NULL), 0);
    uds_conn_set_callbacks(b, &ignoring, NULL);
    cr_assert_eq(uds_rpc_new(&rpc, a, NULL, NULL), 0);
    cr_assert_eq(uds_event_attach_rpc(&ea, rpc, end.base), 0);
    cr_assert_eq(uds_event_attach(&eb, b, end.base), 0);
    settle(end.base);

    request.timeout_ms = 600000;
    cr_assert_eq(uds_rpc_request(rpc, &request, on_reply, &end, &patient), 0);
    request.timeout_ms = 10; /* the later call has the earlier deadline */
    cr_assert_eq(uds_rpc_request(rpc, &request, on_reply, &end, NULL), 0);
    event_base_dispatch(end.base);
    cr_assert_eq(end.ended, 1);
    cr_assert_eq(end.status, UDS_STATUS_DEADLINE);
    cr_assert_eq(uds_rpc_cancel(rpc, patient), 0);
    cr_assert_eq(end.ended, 2);
    settle(end.base);
    cr_assert_eq(event_base_get_num_events(end.base, EVENT_BASE_COUNT_ADDED), 2);

    uds_event_detach(ea);
    uds_event_detach(eb);
    uds_rpc_free(rpc);
    uds_conn_unref(a);
    uds_conn_unref(b);
    event_base_free(end.base);
}

/* A broker that hangs up on its first guest. */
struct rude {
    struct event_base *base;
    uds_conn *conns[2];
    uds_event *events[2];
    unsigned accepted, connected, disconnected, subscribes;
};

static void rude_message(uds_conn *conn, uds_msg *msg, void *arg)
{
    struct rude *rude = arg;

    if (uds_msg_get_type(msg) == UDS_MSG_SUBSCRIBE && ++rude->subscribes == 1)
        cr_assert_eq(uds_conn_shutdown(conn, UDS_STATUS_UNAVAILABLE, "go away"), 0);
    else
        event_base_loopbreak(rude->base);
    uds_msg_unref(msg);
}

static void rude_accept(int fd, void *arg)
{
    static const struct uds_conn_callbacks rude_callbacks = {.on_message = rude_message};
    struct rude *rude = arg;
    unsigned i = rude->accepted++;

    cr_assert_geq(fd, 0);
    cr_assert_lt(i, 2);
    cr_assert_eq(uds_conn_new(&rude->conns[i], fd, NULL), 0);
    uds_conn_set_callbacks(rude->conns[i], &rude_callbacks, rude);
    cr_assert_eq(uds_event_attach(&rude->events[i], rude->conns[i], rude->base), 0);
}

static void on_client_event(uds_client *client,
                            enum uds_client_event event,
                            int error,
                            const char *detail,
                            uds_msg *notice,
                            void *arg)
{
    struct rude *rude = arg;

    (void)client;
    (void)error;
    (void)detail;
    (void)notice;
    rude->connected += event == UDS_CLIENT_CONNECTED;
    rude->disconnected += event == UDS_CLIENT_DISCONNECTED;
}

static void ignore_delivery(uds_client *client, const struct uds_delivery *delivery, void *arg)
{
    (void)client;
    (void)delivery;
    (void)arg;
}

Test(event_rpc, follows_a_client_through_a_reconnect)
{
    UDS_TEST_GUARD;
    static const struct uds_client_callbacks client_callbacks = {.on_event = on_client_event};
    struct rude rude = {0};
    uds_event *listening, *event;
    uds_listener *listener;
    uds_client *client;
    struct uds_addr addr;
    char text[64];

    rude.base = event_base_new();
    snprintf(text, sizeof(text), "unix:@uds-event-rude-%d", (int)getpid());
    cr_assert_eq(uds_addr_parse(text, &addr), 0);
    cr_assert_eq(uds_listener_new(&listener, &addr, NULL), 0);
    cr_assert_eq(uds_event_listen(&listening, listener, rude.base, rude_accept, &rude), 0);
    cr_assert_eq(uds_client_new(&client, &addr, NULL, 0), 0);
    uds_client_set_callbacks(client, &client_callbacks, &rude);
    cr_assert_eq(uds_event_attach_client(&event, client, rude.base), 0);
    cr_assert_eq(uds_client_subscribe(client, "a", NULL, ignore_delivery, NULL, NULL, NULL), 0);

    event_base_dispatch(rude.base); /* until the second SUBSCRIBE */
    cr_assert_eq(rude.subscribes, 2);
    cr_assert_eq(rude.accepted, 2);
    settle(rude.base);
    cr_assert_eq(rude.disconnected, 1);
    cr_assert_geq(rude.connected, 1);

    uds_event_detach(event);
    uds_client_free(client);
    uds_event_detach(listening);
    uds_listener_free(listener);
    for (unsigned i = 0; i < 2; i++) {
        uds_event_detach(rude.events[i]);
        uds_conn_unref(rude.conns[i]);
    }
    event_base_free(rude.base);
}
