/* SPDX-License-Identifier: MIT */

/*
 * What failure_test.c does for connections, for all that is above them: memory fails at every allocation of a client, of an
 * rpc with streams and headers, of generated stubs and services, of listeners and of the loop glue. Each call that was
 * made ends once, each confirmed publish is confirmed once, and nothing is left behind.
 */

#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <uds/client.h>
#include <uds/error.h>
#include <uds/event.h>
#include <uds/listener.h>
#include <uds/pb.h>

#include "cleanup.h"
#include "failing_heap.h"
#include "guard.h"
#include "heap.h"
#include "test.pb-c.h"

/* ---- calls with headers and streams ---- */

static const char *const headers[] = {"trace", "17", "long",
                                      "0123456789012345678901234567890123456", NULL};

static void stream_answer(uds_rpc_call *call, void *arg)
{
    int r = uds_rpc_call_add_header(call, "row",
                                    "a header that makes the head grow beyond its room, "
                                    "and once more, and once more, and once more");

    (void)arg;
    for (int i = 0; r == 0 && uds_rpc_call_is_streaming(call) && i < 3; i++)
        r = uds_rpc_call_send_part(call, "part", 4, NULL, 0);
    if (r == 0)
        (void)uds_rpc_call_reply(call, "end", 3, NULL, 0);
    else
        (void)uds_rpc_call_fail(call, UDS_STATUS_UNAVAILABLE, 5, "it did not work out");
}

static void ignore_part(uint64_t id, uds_msg *part, void *arg)
{
    (void)id;
    (void)part;
    (void)arg;
}

static void scenario_streams(void)
{
    uds_conn *a, *b;
    uds_rpc *caller = NULL, *callee = NULL;
    unsigned made = 0, ended = 0;

    if (uds_conn_pair(&a, &b, NULL) < 0)
        return;
    if (uds_rpc_new(&caller, a, NULL, NULL) == 0 && uds_rpc_new(&callee, b, NULL, NULL) == 0) {
        uds_rpc_set_handler(callee, stream_answer, NULL, 0);
        for (int i = 0; i < 4; i++) {
            struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;

            request.headers = headers;
            request.on_part = i % 2 ? ignore_part : NULL;
            made += uds_rpc_request(caller, &request, count_reply, &ended, NULL) == 0;
            for (int j = 0; j < 3; j++) {
                (void)uds_conn_process(a);
                (void)uds_conn_process(b);
            }
        }
    }
    (void)uds_rpc_free(caller);
    (void)uds_rpc_free(callee);
    (void)uds_conn_unref(a);
    (void)uds_conn_unref(b);
    cr_assert_eq(made, ended);
    cr_assert(heap_has_failed() || made == 4);
}

Test(failing_heap, loses_no_stream)
{
    UDS_TEST_GUARD;
    with_failing_heap(scenario_streams, 12);
}

/* ---- generated stubs and services ---- */

static void say(Uds__Test__Echo_Service *service,
                const Uds__Test__Words *input,
                Uds__Test__Words_Closure closure,
                void *closure_data)
{
    uds_pb_call *call = uds_pb_call_from(closure_data);
    int fd = dup(STDIN_FILENO);

    (void)service;
    if (uds_pb_call_push_fd(call, fd) < 0)
        close(fd);
    if (uds_pb_call_add_header(call, "by", "test") < 0)
        uds_pb_call_fail(call, UDS_STATUS_UNAVAILABLE, 0, "no header");
    closure(input, closure_data);
}

static void fail(Uds__Test__Echo_Service *service,
                 const Uds__Test__Words *input,
                 Uds__Test__Words_Closure closure,
                 void *closure_data)
{
    (void)service;
    (void)input;
    uds_pb_call_fail(uds_pb_call_from(closure_data), UDS_STATUS_QUOTA, 1, "words");
    closure(NULL, closure_data);
}

static void count(Uds__Test__Echo_Service *service,
                  const Uds__Test__Words *input,
                  Uds__Test__Leaf_Closure closure,
                  void *closure_data)
{
    uds_pb_call *call = uds_pb_call_from(closure_data);
    Uds__Test__Leaf leaf = UDS__TEST__LEAF__INIT;

    (void)service;
    (void)input;
    for (int i = 0; i < 3; i++)
        if (uds_pb_call_send(call, &leaf.base) < 0)
            break;
    closure(NULL, closure_data);
}

static Uds__Test__Echo_Service echo = {
    .base = {&uds__test__echo__descriptor, protobuf_c_service_invoke_internal, NULL},
    .say = say,
    .fail = fail,
    .count = count,
};

static void on_words(const Uds__Test__Words *message, void *closure_data)
{
    (void)message;
    ++*(unsigned *)closure_data;
}

static void on_last_leaf(const Uds__Test__Leaf *message, void *closure_data)
{
    (void)message;
    ++*(unsigned *)closure_data;
}

static void on_leaf(uds_pb_stub *stub, const ProtobufCMessage *message, void *arg)
{
    (void)stub;
    (void)message;
    (void)arg;
}

static void call_echo(uds_pb_stub *stub, uds_conn *a, uds_conn *b, unsigned *ended)
{
    ProtobufCService *service = uds_pb_stub_service(stub);
    Uds__Test__Leaf leaf = UDS__TEST__LEAF__INIT, *leaves[] = {&leaf, &leaf};
    static char large[20000];
    Uds__Test__Words words;

    uds__test__words__init(&words);
    words.leaves = leaves;
    words.n_leaves = 2;
    memset(large, 'x', sizeof(large) - 1);
    for (int i = 0; i < 4; i++) {
        words.text = i == 1 ? large : large + sizeof(large) - 5;
        uds_pb_stub_next_headers(stub, headers);
        if (i < 2) {
            uds__test__echo__say(service, &words, on_words, ended);
        } else if (i == 2) {
            uds__test__echo__fail(service, &words, on_words, ended);
        } else {
            uds_pb_stub_next_stream(stub, on_leaf, NULL, 2);
            uds__test__echo__count(service, &words, on_last_leaf, ended);
        }
        for (int j = 0; j < 4; j++) {
            (void)uds_conn_process(a);
            (void)uds_conn_process(b);
        }
    }
}

static void scenario_stubs(void)
{
    uds_conn *a, *b;
    uds_rpc *caller = NULL, *callee = NULL;
    uds_pb_server *server = NULL;
    uds_pb_stub *stub = NULL;
    unsigned ended = 0, made = 0;

    if (uds_conn_pair(&a, &b, NULL) < 0)
        return;
    if (uds_rpc_new(&caller, a, NULL, NULL) == 0 && uds_rpc_new(&callee, b, NULL, NULL) == 0 &&
        uds_pb_serve(&server, callee, &echo.base) == 0 &&
        uds_pb_stub_new(&stub, caller, NULL, NULL, &uds__test__echo__descriptor) == 0) {
        made = 4;
        call_echo(stub, a, b, &ended);
    }
    (void)uds_pb_stub_free(stub);
    (void)uds_pb_server_free(server);
    (void)uds_rpc_free(caller);
    (void)uds_rpc_free(callee);
    (void)uds_conn_unref(a);
    (void)uds_conn_unref(b);
    cr_assert_eq(made, ended, "a closure ran %u times for %u calls", ended, made);
}

Test(failing_heap, loses_no_call_of_a_stub)
{
    UDS_TEST_GUARD;
    with_failing_heap(scenario_stubs, 30);
}

static void scenario_unpack(void)
{
    static const uint8_t bytes[] = {0x0a, 5, 'h', 'e', 'l', 'l', 'o', 0x22, 2, 8, 1, 0x22, 2, 8, 2};
    ProtobufCMessage *message = NULL;
    int r = uds_pb_unpack(&uds__test__words__descriptor, bytes, sizeof(bytes), &message);

    cr_assert(r == 0 || (r == -ENOMEM && heap_has_failed()), "%d", r);
    if (r == 0) {
        cr_assert_eq(((Uds__Test__Words *)message)->n_leaves, 2);
        protobuf_c_message_free_unpacked(message, NULL);
    }
    cr_assert(uds_pb_is_acyclic(&uds__test__diamond__descriptor) || heap_has_failed());
    cr_assert(!uds_pb_is_acyclic(&uds__test__knot__descriptor), "without memory it says no");
}

Test(failing_heap, unpacks_all_or_nothing)
{
    UDS_TEST_GUARD;
    with_failing_heap(scenario_unpack, 5);
}

/* ---- a client, its listener, and a loop for both ---- */

struct world {
    uds_listener *listener;
    uds_client *client;
    uds_conn *broker;
    uds_event *accepting, *glue;
    unsigned published, acked, requested, ended;
};

static void on_accept(int fd, void *arg)
{
    struct world *w = arg;

    if (fd >= 0 && (w->broker || uds_conn_new(&w->broker, fd, NULL) < 0))
        close(fd);
}

static void
count_ack(uds_client *client, uint32_t status, const char *detail, const char *rule, void *arg)
{
    (void)client;
    (void)status;
    (void)detail;
    (void)rule;
    ++*(unsigned *)arg;
}

static void ignore_delivery(uds_client *client, const struct uds_delivery *delivery, void *arg)
{
    (void)client;
    (void)delivery;
    (void)arg;
}

static void ignore_call(uds_rpc_call *call, void *arg)
{
    (void)arg;
    (void)uds_rpc_call_fail(call, UDS_STATUS_UNAVAILABLE, 0, NULL);
}

static void turn(struct world *w, struct event_base *base)
{
    for (int i = 0; i < 4; i++) {
        event_base_loop(base, EVLOOP_NONBLOCK);
        if (w->broker)
            (void)uds_conn_process(w->broker);
    }
}

/* What a broker sends: a delivery, an ACK of whatever waits first, and a request. */
static void answer(struct world *w)
{
    static const uint8_t subscription[8] = {2};
    _cleanup_msg_ uds_msg *delivery = NULL, *ack = NULL, *request = NULL;

    if (uds_msg_new(&delivery, UDS_MSG_DELIVER, 1, "news", 4) == 0 &&
        uds_msg_add_string(delivery, UDS_FIELD_SUBJECT, "a") == 0)
        (void)!uds_conn_send(w->broker, delivery);
    if (uds_msg_new(&ack, UDS_MSG_ACK, 3, NULL, 0) == 0)
        (void)!uds_conn_send(w->broker, ack);
    if (uds_msg_new(&request, UDS_MSG_REQUEST, 9, NULL, 0) == 0 &&
        uds_msg_add_bytes(request, 0x8001, subscription, sizeof(subscription)) == 0)
        (void)!uds_conn_send(w->broker, request);
}

static void use_client(struct world *w, struct event_base *base)
{
    struct uds_publish publish = UDS_PUBLISH_INIT;
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
    uint64_t id;

    (void)!uds_client_subscribe(w->client, "a", "queue", ignore_delivery, NULL, NULL, NULL);
    (void)!uds_client_serve(w->client, "b", ignore_call, NULL, NULL, NULL);
    publish.subject = "c";
    publish.headers = headers;
    for (int i = 0; i < 2; i++)
        w->published += uds_client_publish(w->client, &publish, count_ack, &w->acked) == 0;
    (void)!uds_client_publish(w->client, &publish, NULL, NULL);
    request.subject = "d";
    request.headers = headers;
    request.timeout_ms = 60000;
    for (int i = 0; i < 2; i++)
        if (uds_client_request(w->client, &request, count_reply, &w->ended, &id) == 0) {
            w->requested++;
            if (i == 0)
                (void)uds_client_cancel(w->client, id);
        }
    turn(w, base);
    if (w->broker)
        answer(w);
    turn(w, base);
    w->broker = uds_conn_unref(w->broker); /* and once more, by a lost link */
    turn(w, base);
}

static void scenario_client(void)
{
    struct event_base *base = event_base_new();
    struct world w = {.listener = NULL};
    struct uds_addr addr;
    char text[80];

    (void)snprintf(text, sizeof(text), "unix:/tmp/uds-failure-%d", getpid());
    cr_assert_eq(uds_addr_parse(text, &addr), 0);
    if (uds_listener_new(&w.listener, &addr, NULL) == 0 &&
        uds_event_listen(&w.accepting, w.listener, base, on_accept, &w) == 0 &&
        uds_client_new(&w.client, &addr, NULL, 0) == 0 &&
        uds_event_attach_client(&w.glue, w.client, base) == 0) {
        turn(&w, base);
        use_client(&w, base);
    }
    (void)uds_event_detach(w.glue);
    (void)uds_client_free(w.client);
    (void)uds_event_detach(w.accepting);
    (void)uds_conn_unref(w.broker);
    (void)uds_listener_free(w.listener);
    event_base_free(base);
    cr_assert_eq(w.published, w.acked);
    cr_assert_eq(w.requested, w.ended);
    cr_assert(heap_has_failed() || (w.published == 2 && w.requested == 2));
    cr_assert_eq(access(addr.name, F_OK), -1, "the socket file is left behind");
}

Test(failing_heap, loses_nothing_of_a_client)
{
    UDS_TEST_GUARD;
    with_failing_heap(scenario_client, 25);
}
