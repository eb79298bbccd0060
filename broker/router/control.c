/* SPDX-License-Identifier: MIT */
/*
 * The link to the supervisor: we serve uds.supervisor.Router on it and are a client of uds.supervisor.Supervisor.
 *
 * The supervisor is trusted and its messages still are scanned and unpacked like anybody's. It trusts us in nothing. When
 * the link ends, whoever held privilege is gone, and so are we.
 */
#include "control.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <unistd.h>

#include <uds/error.h>
#include <uds/event.h>
#include <uds/pb.h>

#include "router.h"

struct control {
    Uds__Supervisor__Router_Service service; /* first: what its methods are called with */
    struct router *router;
    uds_conn *conn;
    uds_rpc *rpc;
    uds_event *event;
    uds_pb_server *server;
    uds_pb_stub *stub;
};

/* A question on its way; one of the three is set. */
struct ask {
    struct control *control;
    void (*on_start)(uint32_t status, const char *detail, void *arg);
    void (*on_stats)(const Uds__Supervisor__SandboxStats *stats, void *arg);
    void (*on_identity)(const Uds__Supervisor__Identity *identity, void *arg);
    void *arg;
};

static const Uds__Supervisor__Empty empty = UDS__SUPERVISOR__EMPTY__INIT;

static void
finish(int error, const char *what, Uds__Supervisor__Empty_Closure closure, void *closure_data)
{
    if (error < 0) {
        uint32_t status = error == -ENOMEM ? UDS_STATUS_UNAVAILABLE : UDS_STATUS_BAD_REQUEST;
        uds_pb_call_fail(uds_pb_call_from(closure_data), status, (uint64_t)-error, what);
    }
    closure(error < 0 ? NULL : &empty, closure_data);
}

static void on_configure(Uds__Supervisor__Router_Service *service,
                         const Uds__Supervisor__Configuration *input,
                         Uds__Supervisor__Empty_Closure closure,
                         void *closure_data)
{
    struct control *control = (struct control *)service;
    finish(router_configure(control->router, input), "the configuration was not taken", closure,
           closure_data);
}

static void on_add_listener(Uds__Supervisor__Router_Service *service,
                            const Uds__Supervisor__Listener *input,
                            Uds__Supervisor__Empty_Closure closure,
                            void *closure_data)
{
    struct control *control = (struct control *)service;
    int fd = uds_pb_call_take_fd(uds_pb_call_from(closure_data), 0);
    int r = fd < 0 ? fd : router_add_listener(control->router, input, fd);
    finish(r, "the listener was not taken", closure, closure_data);
}

static void on_add_link(Uds__Supervisor__Router_Service *service,
                        const Uds__Supervisor__Link *input,
                        Uds__Supervisor__Empty_Closure closure,
                        void *closure_data)
{
    struct control *control = (struct control *)service;
    int fd = uds_pb_call_take_fd(uds_pb_call_from(closure_data), 0);
    int r = fd < 0 ? fd : router_add_link(control->router, input, fd);
    finish(r, "the link was not taken", closure, closure_data);
}

static void on_sandbox_changed(Uds__Supervisor__Router_Service *service,
                               const Uds__Supervisor__Sandbox *input,
                               Uds__Supervisor__Empty_Closure closure,
                               void *closure_data)
{
    struct control *control = (struct control *)service;
    finish(router_sandbox_changed(control->router, input), "no such sandbox", closure,
           closure_data);
}

static struct ask *ask_new(struct control *control, void *arg)
{
    struct ask *ask = calloc(1, sizeof(*ask));
    if (ask != NULL)
        *ask = (struct ask){.control = control, .arg = arg};
    return ask;
}

static void started(const Uds__Supervisor__Empty *reply, void *closure_data)
{
    struct ask ask = *(struct ask *)closure_data;
    free(closure_data);
    uint32_t status = uds_pb_stub_get_status(ask.control->stub);
    if (reply == NULL && status == UDS_STATUS_OK)
        status = UDS_STATUS_INTERNAL;
    ask.on_start(status, uds_pb_stub_get_detail(ask.control->stub), ask.arg);
}

static void got_stats(const Uds__Supervisor__SandboxStats *reply, void *closure_data)
{
    struct ask ask = *(struct ask *)closure_data;
    free(closure_data);
    ask.on_stats(reply, ask.arg);
}

static void got_identity(const Uds__Supervisor__Identity *reply, void *closure_data)
{
    struct ask ask = *(struct ask *)closure_data;
    free(closure_data);
    ask.on_identity(reply, ask.arg);
}

#define ASK_TIMEOUT_MS 5000

static int ask_start(void *arg,
                     uint32_t sandbox_id,
                     void (*done)(uint32_t status, const char *detail, void *done_arg),
                     void *done_arg)
{
    struct control *control = arg;
    Uds__Supervisor__SandboxRef ref = UDS__SUPERVISOR__SANDBOX_REF__INIT;
    struct ask *ask = ask_new(control, done_arg);
    if (ask == NULL)
        return -ENOMEM;
    ask->on_start = done;
    ref.id = sandbox_id;
    uds_pb_stub_next_timeout(control->stub, ASK_TIMEOUT_MS);
    uds__supervisor__supervisor__start(uds_pb_stub_service(control->stub), &ref, started, ask);
    return 0;
}

static int ask_stats(void *arg,
                     uint32_t sandbox_id,
                     void (*done)(const Uds__Supervisor__SandboxStats *stats, void *done_arg),
                     void *done_arg)
{
    struct control *control = arg;
    Uds__Supervisor__SandboxRef ref = UDS__SUPERVISOR__SANDBOX_REF__INIT;
    struct ask *ask = ask_new(control, done_arg);
    if (ask == NULL)
        return -ENOMEM;
    ask->on_stats = done;
    ref.id = sandbox_id;
    uds_pb_stub_next_timeout(control->stub, ASK_TIMEOUT_MS);
    uds__supervisor__supervisor__stats(uds_pb_stub_service(control->stub), &ref, got_stats, ask);
    return 0;
}

static int ask_attest(void *arg,
                      int pidfd,
                      uint32_t facts,
                      void (*done)(const Uds__Supervisor__Identity *identity, void *done_arg),
                      void *done_arg)
{
    struct control *control = arg;
    Uds__Supervisor__AttestRequest request = UDS__SUPERVISOR__ATTEST_REQUEST__INIT;
    struct ask *ask = ask_new(control, done_arg);
    if (ask == NULL)
        return -ENOMEM;
    ask->on_identity = done;
    request.facts = facts;
    uds_pb_stub_next_timeout(control->stub, ASK_TIMEOUT_MS);
    uds_pb_stub_next_fds(control->stub, &pidfd, 1);
    uds__supervisor__supervisor__attest(uds_pb_stub_service(control->stub), &request, got_identity,
                                        ask);
    return 0;
}

static const struct supervisor_ops supervisor_ops = {
    .start = ask_start,
    .stats = ask_stats,
    .attest = ask_attest,
};

static void on_close(uds_conn *conn, int error, void *arg)
{
    (void)conn;
    (void)error;
    struct control *control = arg;
    event_base_loopbreak(control->router->base);
}

int control_new(struct control **ret, struct router *router, int fd)
{
    static const Uds__Supervisor__Router_Service service = UDS__SUPERVISOR__ROUTER__INIT(on_);
    const struct uds_conn_callbacks callbacks = {.on_close = on_close};
    struct control *control = calloc(1, sizeof(*control));
    int r = -ENOMEM;
    if (control != NULL)
        r = uds_conn_new(&control->conn, fd, NULL);
    if (r < 0) {
        close(fd);
        free(control);
        return r;
    }
    control->service = service;
    control->router = router;
    r = uds_rpc_new(&control->rpc, control->conn, &callbacks, control);
    if (r == 0)
        r = uds_pb_serve(&control->server, control->rpc, &control->service.base);
    if (r == 0)
        r = uds_pb_stub_new(&control->stub, control->rpc, NULL, NULL,
                            &uds__supervisor__supervisor__descriptor);
    if (r == 0)
        r = uds_event_attach_rpc(&control->event, control->rpc, router->base);
    if (r < 0) {
        control_free(control);
        return r;
    }
    router->supervisor = &supervisor_ops;
    router->supervisor_arg = control;
    *ret = control;
    return 0;
}

struct control *control_free(struct control *control)
{
    if (control == NULL)
        return NULL;
    control->router->supervisor = NULL;
    uds_pb_stub_free(control->stub);
    uds_pb_server_free(control->server);
    uds_event_detach(control->event);
    uds_rpc_free(control->rpc);
    uds_conn_unref(control->conn);
    free(control);
    return NULL;
}
