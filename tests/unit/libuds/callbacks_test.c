/* SPDX-License-Identifier: MIT */

/*
 * What a callback may do is the same for all of them: everything, the end of the object that called it included. Each test
 * here lets go of all that there is in one kind of callback; sanitizers and the guard say whether somebody still used it. What
 * one callback does in particular is tested with its noun; on_rearm and loop hooks, which may only look, in conn_life_test.c.
 */

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include <uds/client.h>
#include <uds/error.h>
#include <uds/listener.h>
#include <uds/pb.h>

#include "cleanup.h"
#include "faultsock.h"
#include "guard.h"
#include "test.pb-c.h"

/* ---- two sides: ours, which a callback lets go of, and the other, which makes the callback come ---- */

struct scene {
    uds_conn *conn, *other;
    uds_rpc *rpc;
    uds_pb_server *server;
    uds_client *client;
    uds_listener *listener;
    unsigned ran, replies;
};

static void let_go(struct scene *scene)
{
    scene->ran++;
    scene->server = uds_pb_server_free(scene->server);
    scene->client = uds_client_free(scene->client);
    scene->rpc = uds_rpc_free(scene->rpc);
    scene->conn = uds_conn_unref(scene->conn);
}

static void scene_end(struct scene *scene)
{
    cr_expect_eq(scene->ran, 1);
    cr_expect_null(scene->conn);
    scene->other = uds_conn_unref(scene->other);
    scene->listener = uds_listener_free(scene->listener);
}

static void turn(struct scene *scene)
{
    for (int i = 0; i < 6; i++) {
        if (scene->client)
            (void)uds_client_process(scene->client);
        if (scene->conn)
            (void)uds_conn_process(scene->conn);
        if (scene->rpc)
            uds_rpc_process_timeouts(scene->rpc);
        if (scene->other)
            (void)uds_conn_process(scene->other);
    }
}

/* Marks of a writable queue that one small message is over. */
static void open_pair(struct scene *scene)
{
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;

    memset(scene, 0, sizeof(*scene));
    options.high_water = 2;
    options.low_water = 1;
    cr_assert_eq(uds_conn_pair(&scene->conn, &scene->other, &options), 0);
    turn(scene);
}

static void send_one(uds_conn *conn, enum uds_msg_type type, uint64_t id, uint32_t window)
{
    _cleanup_msg_ uds_msg *msg = NULL;

    cr_assert_eq(uds_msg_new(&msg, type, id, "x", 1), 0);
    if (window > 0)
        cr_assert_eq(uds_msg_add_u32(msg, UDS_FIELD_WINDOW, window), 0);
    cr_assert_eq(uds_conn_send(conn, msg), 0);
}

/* ---- a connection's callbacks, of its own and as an rpc's fallback ---- */

static void conn_message(uds_conn *conn, uds_msg *msg, void *arg)
{
    (void)conn;
    (void)uds_msg_unref(msg);
    let_go(arg);
}

static void conn_close(uds_conn *conn, int error, void *arg)
{
    (void)conn;
    (void)error;
    let_go(arg);
}

static void conn_plain(uds_conn *conn, void *arg)
{
    (void)conn;
    let_go(arg);
}

static void conn_unfinished(uds_conn *conn, size_t bytes, size_t fds, void *arg)
{
    (void)conn;
    (void)bytes;
    (void)fds;
    let_go(arg);
}

static void conn_refused(
    uds_conn *conn, enum uds_msg_type type, uint64_t id, uds_msg *payload, int error, void *arg)
{
    (void)conn;
    (void)type;
    (void)id;
    (void)payload;
    (void)error;
    let_go(arg);
}

static void come_message(struct scene *scene)
{
    send_one(scene->other, UDS_MSG_MESSAGE, 0, 0);
}

static void come_close(struct scene *scene)
{
    scene->other = uds_conn_unref(scene->other);
}

static void come_writable(struct scene *scene)
{
    send_one(scene->conn, UDS_MSG_MESSAGE, 0, 0);
}

/* Half of a frame, past the connection that has the socket. */
static void come_unfinished(struct scene *scene)
{
    static const uint8_t half[30] = {0xd5, 1, 8, 0, 64};

    cr_assert_eq(send(uds_conn_get_fd(scene->other), half, sizeof(half), 0), (ssize_t)sizeof(half));
}

static void come_finish(struct scene *scene)
{
    cr_assert_eq(uds_conn_finish(scene->other), 0);
}

static void send_refused(struct scene *scene)
{
    FAULTSOCK({FAULT_SEND, FAULT_ERRNO, EPERM, 2});

    for (uint64_t id = 1; id < 3; id++) {
        _cleanup_msg_ uds_msg *msg = NULL;

        cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, id, NULL, 0), 0);
        cr_assert_eq(uds_msg_push_dup_fd(msg, STDERR_FILENO), 0);
        cr_assert_eq(uds_conn_send(scene->conn, msg), 0);
    }
    cr_assert_eq(uds_conn_flush(scene->conn), 0);
}

static const struct {
    const char *name;
    struct uds_conn_callbacks callbacks;
    void (*come)(struct scene *scene);
} of_conn[] = {
    {"on_message", {.on_message = conn_message}, come_message},
    {"on_close", {.on_close = conn_close}, come_close},
    {"on_writable", {.on_writable = conn_plain}, come_writable},
    {"on_unfinished", {.on_unfinished = conn_unfinished}, come_unfinished},
    {"on_refused", {.on_refused = conn_refused}, send_refused},
    {"on_finish", {.on_finish = conn_plain}, come_finish},
};

#define OF_CONN (sizeof(of_conn) / sizeof(of_conn[0]))

Test(callbacks, of_a_connection_may_end_it)
{
    UDS_TEST_GUARD;
    for (size_t i = 0; i < OF_CONN; i++) {
        struct scene scene;

        open_pair(&scene);
        uds_conn_set_callbacks(scene.conn, &of_conn[i].callbacks, &scene);
        of_conn[i].come(&scene);
        turn(&scene);
        cr_expect_eq(scene.ran, 1, "%s", of_conn[i].name);
        scene_end(&scene);
    }
}

Test(callbacks, of_a_fallback_may_end_its_rpc)
{
    UDS_TEST_GUARD;
    for (size_t i = 0; i < OF_CONN; i++) {
        struct scene scene;

        open_pair(&scene);
        cr_assert_eq(uds_rpc_new(&scene.rpc, scene.conn, &of_conn[i].callbacks, &scene), 0);
        of_conn[i].come(&scene);
        turn(&scene);
        cr_expect_eq(scene.ran, 1, "%s", of_conn[i].name);
        scene_end(&scene);
    }
}

Test(callbacks, may_end_a_connection_whose_owner_waits_for_it)
{
    UDS_TEST_GUARD;
    struct scene scene;
    uds_msg *msg = NULL;

    open_pair(&scene);
    uds_conn_set_callbacks(scene.conn, &(struct uds_conn_callbacks){.on_refused = conn_refused},
                           &scene);
    send_refused(&scene);
    cr_expect_eq(uds_conn_receive_wait(scene.conn, &msg, -1), -ECANCELED);
    scene_end(&scene);
}

/* ---- calls ---- */

static void on_reply(const struct uds_rpc_reply *reply, void *arg)
{
    struct scene *scene = arg;

    (void)reply;
    if (scene->replies++ == 0)
        let_go(scene);
}

static void on_part(uint64_t id, uds_msg *part, void *arg)
{
    (void)id;
    (void)part;
    let_go(arg);
}

/* One of ours that waits for its reply, or for the first part of it. */
static void request(struct scene *scene, uds_rpc_part_fn part)
{
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;

    request.on_part = part;
    request.timeout_ms = part ? -1 : 0;
    scene->replies = part != NULL;
    cr_assert_eq(uds_rpc_request(scene->rpc, &request, on_reply, scene, NULL), 0);
}

static void open_rpc(struct scene *scene)
{
    open_pair(scene);
    cr_assert_eq(uds_rpc_new(&scene->rpc, scene->conn, NULL, NULL), 0);
}

Test(callbacks, of_a_reply_may_end_the_rpc)
{
    UDS_TEST_GUARD;
    struct scene scene;

    open_rpc(&scene);
    request(&scene, NULL); /* its deadline is over at once */
    request(&scene, NULL);
    turn(&scene);
    scene_end(&scene);
    cr_expect_eq(scene.replies, 2);
}

Test(callbacks, of_a_part_may_end_the_rpc)
{
    UDS_TEST_GUARD;
    struct scene scene;

    open_rpc(&scene);
    request(&scene, on_part);
    send_one(scene.other, UDS_MSG_PART, 1, 0);
    send_one(scene.other, UDS_MSG_PART, 1, 0);
    turn(&scene);
    scene_end(&scene);
}

static void handle(uds_rpc_call *call, void *arg)
{
    let_go(arg);
    (void)uds_rpc_call_fail(call, UDS_STATUS_INTERNAL, 0, NULL);
}

static void fail_and_let_go(uds_rpc_call *call, void *arg)
{
    (void)uds_rpc_call_fail(call, UDS_STATUS_INTERNAL, 0, NULL);
    let_go(arg);
}

Test(callbacks, of_a_request_may_end_the_rpc_before_and_after_the_answer)
{
    UDS_TEST_GUARD;
    static const uds_rpc_handler_fn handlers[] = {handle, fail_and_let_go};

    for (int i = 0; i < 2; i++) {
        struct scene scene;

        open_rpc(&scene);
        uds_rpc_set_handler(scene.rpc, handlers[i], &scene, 0);
        send_one(scene.other, UDS_MSG_REQUEST, 1, 0);
        send_one(scene.other, UDS_MSG_REQUEST, 2, 0);
        turn(&scene);
        scene_end(&scene);
    }
}

static void keep(uds_rpc_call *call, void *arg)
{
    static const struct uds_rpc_call_callbacks callbacks = {.on_cancel = fail_and_let_go,
                                                            .on_credit = fail_and_let_go};

    while (uds_rpc_call_send_part(call, "x", 1, NULL, 0) == 0)
        ;
    uds_rpc_call_set_callbacks(call, &callbacks, arg);
}

Test(callbacks, of_an_open_call_may_end_the_rpc)
{
    UDS_TEST_GUARD;
    for (int cancel = 0; cancel < 2; cancel++) {
        struct scene scene;

        open_rpc(&scene);
        uds_rpc_set_handler(scene.rpc, keep, &scene, 0);
        send_one(scene.other, UDS_MSG_REQUEST, 1, 1);
        turn(&scene);
        send_one(scene.other, cancel ? UDS_MSG_CANCEL : UDS_MSG_CREDIT, 1, cancel ? 0 : 5);
        turn(&scene);
        scene_end(&scene);
    }
}

/* ---- services: methods and what they hear ---- */

struct service {
    Uds__Test__Echo_Service base; /* first: a method gets this */
    struct scene *scene;
    bool at_once;
    Uds__Test__Leaf_Closure closure; /* of the call that waits */
    void *closure_data;
};

static void pb_let_go(uds_pb_call *call, void *arg)
{
    struct service *service = arg;

    (void)call;
    let_go(service->scene);
    service->scene->ran = 1; /* on_cancel comes once more, from inside what on_credit does */
}

static void count(Uds__Test__Echo_Service *base,
                  const Uds__Test__Words *input,
                  Uds__Test__Leaf_Closure closure,
                  void *closure_data)
{
    static const struct uds_pb_call_callbacks callbacks = {.on_cancel = pb_let_go,
                                                           .on_credit = pb_let_go};
    struct service *service = (struct service *)base;
    uds_pb_call *call = uds_pb_call_from(closure_data);
    Uds__Test__Leaf leaf = UDS__TEST__LEAF__INIT;

    (void)input;
    if (service->at_once) {
        let_go(service->scene);
        closure(&leaf, closure_data);
        return;
    }
    service->closure = closure;
    service->closure_data = closure_data;
    while (uds_pb_call_send(call, &leaf.base) == 0)
        ;
    uds_pb_call_set_callbacks(call, &callbacks, service);
}

static struct service service_of(struct scene *scene)
{
    return (struct service){
        .base = {.base = {&uds__test__echo__descriptor, protobuf_c_service_invoke_internal, NULL},
                 .count = count},
        .scene = scene};
}

static void ask_count(struct scene *scene)
{
    _cleanup_msg_ uds_msg *msg = NULL;

    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_REQUEST, 1, NULL, 0), 0);
    cr_assert_eq(uds_msg_add_string(msg, UDS_FIELD_METHOD, "uds.test.Echo/Count"), 0);
    cr_assert_eq(uds_msg_add_u32(msg, UDS_FIELD_WINDOW, 1), 0);
    cr_assert_eq(uds_conn_send(scene->other, msg), 0);
    turn(scene);
}

enum served {
    SERVED_METHOD,
    SERVED_CANCEL,
    SERVED_CREDIT,
};

Test(callbacks, of_a_service_may_end_its_server_and_the_rpc)
{
    UDS_TEST_GUARD;
    for (enum served which = SERVED_METHOD; which <= SERVED_CREDIT; which++) {
        struct scene scene;
        struct service service = service_of(&scene);

        open_rpc(&scene);
        cr_assert_eq(uds_pb_serve(&scene.server, scene.rpc, &service.base.base), 0);
        service.at_once = which == SERVED_METHOD;
        ask_count(&scene);
        if (which == SERVED_CANCEL)
            send_one(scene.other, UDS_MSG_CANCEL, 1, 0);
        else if (which == SERVED_CREDIT)
            send_one(scene.other, UDS_MSG_CREDIT, 1, 5);
        turn(&scene);
        if (service.closure)
            service.closure(NULL, service.closure_data); /* owed, whoever is gone */
        scene_end(&scene);
    }
}

/* ---- a client; what else it tells is in client_test.c ---- */

static void on_event(uds_client *client,
                     enum uds_client_event event,
                     int error,
                     const char *detail,
                     uds_msg *notice,
                     void *arg)
{
    (void)client;
    (void)event;
    (void)error;
    (void)detail;
    (void)notice;
    let_go(arg);
}

static void
on_ack(uds_client *client, uint32_t status, const char *detail, const char *rule, void *arg)
{
    (void)client;
    (void)status;
    (void)detail;
    (void)rule;
    let_go(arg);
}

/* Its broker is the other side, a bare connection. */
static void open_client(struct scene *scene)
{
    struct uds_addr addr;
    char text[80];
    int fd;

    memset(scene, 0, sizeof(*scene));
    (void)snprintf(text, sizeof(text), "unix:@uds-callbacks-%d", (int)getpid());
    cr_assert_eq(uds_addr_parse(text, &addr), 0);
    cr_assert_eq(uds_listener_new(&scene->listener, &addr, NULL), 0);
    cr_assert_eq(uds_client_new(&scene->client, &addr, NULL, 0), 0);
    fd = uds_listener_accept(scene->listener);
    cr_assert_geq(fd, 0);
    cr_assert_eq(uds_conn_new(&scene->other, fd, NULL), 0);
}

Test(callbacks, of_a_client_may_free_it_when_it_is_connected)
{
    UDS_TEST_GUARD;
    static const struct uds_client_callbacks callbacks = {.on_event = on_event};
    struct scene scene;

    open_client(&scene);
    uds_client_set_callbacks(scene.client, &callbacks, &scene);
    turn(&scene);
    scene_end(&scene);
}

Test(callbacks, of_a_clients_calls_may_free_it)
{
    UDS_TEST_GUARD;
    for (int part = 0; part < 2; part++) {
        struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
        struct scene scene;

        open_client(&scene);
        turn(&scene);
        request.subject = "a";
        request.on_part = part ? on_part : NULL;
        scene.replies = part ? 1 : 0;
        cr_assert_eq(uds_client_request(scene.client, &request, on_reply, &scene, NULL), 0);
        turn(&scene);
        send_one(scene.other, part ? UDS_MSG_PART : UDS_MSG_REPLY, 1, 0);
        turn(&scene);
        scene_end(&scene);
    }
}

Test(callbacks, of_what_a_client_serves_may_free_it)
{
    UDS_TEST_GUARD;
    static const uds_rpc_handler_fn handlers[] = {handle, fail_and_let_go};

    for (int i = 0; i < 2; i++) {
        _cleanup_msg_ uds_msg *msg = NULL;
        struct scene scene;
        uint64_t id;

        open_client(&scene);
        turn(&scene);
        cr_assert_eq(uds_client_serve(scene.client, "a", handlers[i], NULL, &scene, &id), 0);
        turn(&scene);
        cr_assert_eq(uds_msg_new(&msg, UDS_MSG_REQUEST, 1, NULL, 0), 0);
        cr_assert_eq(uds_msg_add_u64(msg, 0x8001, id), 0); /* SUBSCRIPTION */
        cr_assert_eq(uds_conn_send(scene.other, msg), 0);
        turn(&scene);
        scene_end(&scene);
    }
}

Test(callbacks, of_a_service_behind_a_broker_may_free_it_and_its_client)
{
    UDS_TEST_GUARD;
    struct scene scene;
    struct service service = service_of(&scene);

    open_client(&scene);
    turn(&scene);
    cr_assert_eq(
        uds_pb_serve_subject(&scene.server, scene.client, "a", &service.base.base, on_ack, &scene),
        0);
    turn(&scene);
    send_one(scene.other, UDS_MSG_ACK, 1, 0);
    turn(&scene);
    scene_end(&scene);
}
