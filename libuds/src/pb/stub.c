/* SPDX-License-Identifier: MIT */
/*
 * What the generated stub functions call: a ProtobufCService whose invoke() sends a request.
 *
 *   generated function ──▶ stub_invoke(): packed, queued ──▶ on_reply(): unpacked ──▶ closure, call freed
 *                               └─ could not be queued: closure(NULL) at once, before the function returns
 *
 *   1. every call that entered stub_invoke() leaves through its closure exactly once;
 *   2. a call is in the stub's list while the rpc or client below knows it;
 *   3. @outcome is the reply of the innermost closure that runs, and an empty one outside closures;
 *   4. the memory of a stub lives until the last of its closures has returned, also when that closure freed the stub.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uds/error.h>
#include <uds/pb.h>

#include "clock.h"

struct call {
    uds_pb_stub *stub;
    struct call *next, **link;
    const ProtobufCMessageDescriptor *output;
    ProtobufCClosure closure;
    void *closure_data;
    uint64_t id;
};

struct uds_pb_stub {
    ProtobufCService service; /* first: the generated functions get its address */
    unsigned refs;
    bool freed;
    uds_rpc *rpc;
    uds_client *client;
    char *subject;
    struct call *calls;
    const struct uds_rpc_reply *outcome;
    int next_timeout_ms;
    size_t next_nfds; /* UDS_FDS_MAX + 1: more than can be */
    int next_fds[UDS_FDS_MAX];
};

static const struct uds_rpc_reply no_outcome = {.detail = "", .rule = ""};

static void stub_unref(uds_pb_stub *stub)
{
    if (--stub->refs > 0)
        return;
    free(stub->subject);
    free(stub);
}

static void call_link(struct call *call, uds_pb_stub *stub)
{
    call->stub = stub;
    call->next = stub->calls;
    call->link = &stub->calls;
    if (call->next)
        call->next->link = &call->next;
    stub->calls = call;
}

static void call_free(struct call *call)
{
    if (call->link) {
        *call->link = call->next;
        if (call->next)
            call->next->link = call->link;
    }
    free(call);
}

/* The one place where closures run. */
static void run_closure(uds_pb_stub *stub,
                        const struct uds_rpc_reply *outcome,
                        const ProtobufCMessage *message,
                        ProtobufCClosure closure,
                        void *closure_data)
{
    const struct uds_rpc_reply *outer = stub->outcome;

    stub->refs++;
    stub->outcome = outcome;
    closure(message, closure_data);
    stub->outcome = outer;
    stub_unref(stub);
}

static void on_reply(const struct uds_rpc_reply *reply, void *arg)
{
    struct call *call = arg;
    uds_pb_stub *stub = call->stub;
    const ProtobufCMessageDescriptor *output = call->output;
    ProtobufCClosure closure = call->closure;
    void *closure_data = call->closure_data;
    struct uds_rpc_reply outcome = *reply;
    ProtobufCMessage *message = NULL;

    call_free(call);
    if (outcome.status == UDS_STATUS_OK) {
        const void *body = "";
        size_t len = 0;
        int r;

        if (outcome.msg)
            body = uds_msg_peek_body(outcome.msg, &len);
        r = uds_pb_unpack(output, body, len, &message);
        if (r < 0) {
            outcome.status = UDS_STATUS_INTERNAL;
            outcome.detail = r == -ENOMEM ? "no memory for the reply"
                                          : "the reply is not a valid message of its type";
        }
    }
    run_closure(stub, &outcome, message, closure, closure_data);
    if (message)
        protobuf_c_message_free_unpacked(message, NULL);
}

static uint32_t status_of(int error)
{
    switch (error) {
    case -EMSGSIZE:
    case -E2BIG:
        return UDS_STATUS_TOO_LARGE;
    case -ENOBUFS:
        return UDS_STATUS_QUOTA;
    case -ENOTCONN:
        return UDS_STATUS_CALLEE_LOST;
    case -ECANCELED:
        return UDS_STATUS_CANCELLED;
    default:
        return UDS_STATUS_INTERNAL;
    }
}

static int
submit(uds_pb_stub *stub, struct call *call, unsigned method_index, const ProtobufCMessage *input)
{
    const ProtobufCServiceDescriptor *desc = stub->service.descriptor;
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
    char *method = NULL;
    uint8_t *body;
    int r;

    if (stub->freed)
        return -ECANCELED; /* from a closure that the free runs */
    if (stub->next_nfds > UDS_FDS_MAX)
        return -E2BIG;
    if (asprintf(&method, "%s/%s", desc->name, desc->methods[method_index].name) < 0)
        return -ENOMEM;
    request.body_len = protobuf_c_message_get_packed_size(input);
    body = malloc(request.body_len ? request.body_len : 1);
    if (!body) {
        free(method);
        return -ENOMEM;
    }
    protobuf_c_message_pack(input, body);

    request.subject = stub->subject;
    request.method = method;
    request.body = body;
    request.fds = stub->next_fds;
    request.nfds = stub->next_nfds;
    request.timeout_ms = stub->next_timeout_ms;
    if (stub->rpc)
        r = uds_rpc_request(stub->rpc, &request, on_reply, call, &call->id);
    else
        r = uds_client_request(stub->client, &request, on_reply, call, &call->id);
    free(body);
    free(method);
    return r;
}

static void stub_invoke(ProtobufCService *service,
                        unsigned method_index,
                        const ProtobufCMessage *input,
                        ProtobufCClosure closure,
                        void *closure_data)
{
    uds_pb_stub *stub = (uds_pb_stub *)service;
    struct call *call = calloc(1, sizeof(*call));
    int r = -ENOMEM;

    if (call) {
        call->output = service->descriptor->methods[method_index].output;
        call->closure = closure;
        call->closure_data = closure_data;
        r = submit(stub, call, method_index, input);
    }
    stub->next_timeout_ms = -1;
    stub->next_nfds = 0;
    if (r == 0) {
        call_link(call, stub);
    } else {
        struct uds_rpc_reply outcome = {.status = status_of(r), .detail = strerror(-r), .rule = ""};

        free(call);
        run_closure(stub, &outcome, NULL, closure, closure_data);
    }
}

int uds_pb_stub_new(uds_pb_stub **ret,
                    uds_rpc *rpc,
                    uds_client *client,
                    const char *subject,
                    const ProtobufCServiceDescriptor *desc)
{
    uds_pb_stub *stub;

    if (!rpc == !client || (client && !subject))
        return -EINVAL;
    stub = calloc(1, sizeof(*stub));
    if (!stub)
        return -ENOMEM;
    stub->refs = 1;
    stub->rpc = rpc;
    stub->client = client;
    stub->service.descriptor = desc;
    stub->service.invoke = stub_invoke;
    stub->outcome = &no_outcome;
    stub->next_timeout_ms = -1;
    if (subject && !(stub->subject = strdup(subject))) {
        free(stub);
        return -ENOMEM;
    }
    *ret = stub;
    return 0;
}

uds_pb_stub *uds_pb_stub_free(uds_pb_stub *stub)
{
    if (!stub || stub->freed)
        return NULL;
    stub->freed = true;
    while (stub->calls) {
        struct call *call = stub->calls;
        int r = stub->rpc ? uds_rpc_cancel(stub->rpc, call->id)
                          : uds_client_cancel(stub->client, call->id);

        if (r < 0 && call == stub->calls) {
            /* Unknown below, which breaks invariant 2: end it here rather than never. */
            struct uds_rpc_reply outcome = {
                .status = UDS_STATUS_CANCELLED, .detail = "", .rule = ""};

            on_reply(&outcome, call);
        }
    }
    stub_unref(stub);
    return NULL;
}

ProtobufCService *uds_pb_stub_service(uds_pb_stub *stub)
{
    return &stub->service;
}

void uds_pb_stub_next_timeout(uds_pb_stub *stub, int timeout_ms)
{
    stub->next_timeout_ms = timeout_ms;
}

void uds_pb_stub_next_fds(uds_pb_stub *stub, const int *fds, size_t nfds)
{
    stub->next_nfds = nfds > UDS_FDS_MAX ? UDS_FDS_MAX + 1u : nfds;
    if (nfds > 0 && nfds <= UDS_FDS_MAX)
        memcpy(stub->next_fds, fds, nfds * sizeof(*fds));
}

uint32_t uds_pb_stub_get_status(const uds_pb_stub *stub)
{
    return stub->outcome->status;
}

uint64_t uds_pb_stub_get_value(const uds_pb_stub *stub)
{
    return stub->outcome->value;
}

const char *uds_pb_stub_get_detail(const uds_pb_stub *stub)
{
    return stub->outcome->detail;
}

const char *uds_pb_stub_get_rule(const uds_pb_stub *stub)
{
    return stub->outcome->rule;
}

int uds_pb_stub_take_fd(uds_pb_stub *stub, size_t index)
{
    return stub->outcome->msg ? uds_msg_take_fd(stub->outcome->msg, index) : -ENOENT;
}

static int sooner(int a_ms, int b_ms)
{
    if (a_ms < 0)
        return b_ms;
    return b_ms < 0 || a_ms < b_ms ? a_ms : b_ms;
}

/* One turn of a direct connection: everything that can be done now, then at most one poll. */
static int drive_rpc(uds_pb_stub *stub, int timeout_ms)
{
    uds_conn *conn = uds_rpc_get_conn(stub->rpc);
    struct pollfd pfd;
    int r;

    r = uds_conn_process(conn);
    if (r < 0)
        return r;
    if (!stub->freed)
        uds_rpc_process_timeouts(stub->rpc);
    if (r > 0 || !stub->calls)
        return 0;

    timeout_ms = sooner(timeout_ms, uds_rpc_get_timeout(stub->rpc));
    timeout_ms = sooner(timeout_ms, uds_conn_get_timeout(conn));
    pfd = (struct pollfd){.fd = uds_conn_get_fd(conn), .events = uds_conn_get_events(conn)};
    if (poll(&pfd, 1, timeout_ms) < 0 && errno != EINTR)
        return -errno;
    return 0;
}

int uds_pb_stub_wait(uds_pb_stub *stub, int timeout_ms)
{
    int64_t deadline_ms = timeout_ms < 0 ? INT64_MAX : (int64_t)udsi_now_ms() + timeout_ms;
    int r = 0;

    stub->refs++;
    while (stub->calls) {
        int left_ms = -1;

        if (timeout_ms >= 0) {
            int64_t left = deadline_ms - (int64_t)udsi_now_ms();

            left_ms = left > 0 ? (int)left : 0;
        }
        r = stub->rpc ? drive_rpc(stub, left_ms) : uds_client_wait(stub->client, left_ms);
        if (r < 0)
            break;
        r = 0;
        if (left_ms == 0 && stub->calls) {
            r = -ETIMEDOUT;
            break;
        }
    }
    stub_unref(stub);
    return r;
}
