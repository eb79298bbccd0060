/* SPDX-License-Identifier: MIT */
/*
 * What the generated stub functions call: a ProtobufCService whose invoke() sends a request.
 *
 *   generated function ──▶ stub_invoke(): packed, queued ──▶ on_reply(): unpacked ──▶ closure, call freed
 *                               │          └─ on_part(): unpacked ──▶ on_message, any number of times before
 *                               └─ could not be queued: closure(NULL) at once, before the function returns
 *
 *   1. every call that entered stub_invoke() leaves through its closure exactly once;
 *   2. a call is in the stub's list while the rpc or client below knows it;
 *   3. @outcome is the reply of the innermost closure that runs, or the part of the innermost on_message, and an empty one
 *      outside;
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
#include "pb/pack.h"

struct call {
    uds_pb_stub *stub;
    struct call *next, **link;
    const ProtobufCMessageDescriptor *output;
    ProtobufCClosure closure;
    void *closure_data;
    uint64_t id;
    uds_pb_message_fn on_message; /* NULL: one answer */
    void *message_arg;
    const char *broken; /* why we took it back ourselves, NULL: we did not */
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
    uds_pb_message_fn next_on_message;
    void *next_arg;
    uint32_t next_window;
    const char *const *next_headers; /* borrowed */
    uint64_t last, current; /* ids: of the call made last, and of the one whose on_message runs */
    struct uds_pb_limits limits;
    struct udsi_pb_buffer buffer;
    struct udsi_pb_room room;
    struct call *spare; /* the memory of one that has ended, for the next */
    char **names;       /* "package.Service/Method", made when first used */
};

static const struct uds_rpc_reply no_outcome = {.detail = "", .rule = ""};

static void stub_unref(uds_pb_stub *stub)
{
    if (--stub->refs > 0)
        return;
    for (unsigned i = 0; stub->names && i < stub->service.descriptor->n_methods; i++)
        free(stub->names[i]);
    free(stub->names);
    free(stub->buffer.data);
    udsi_pb_room_deinit(&stub->room);
    free(stub->spare);
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

static void call_free(uds_pb_stub *stub, struct call *call)
{
    if (call->link) {
        *call->link = call->next;
        if (call->next)
            call->next->link = call->link;
    }
    if (stub->spare)
        free(call);
    else
        stub->spare = call;
}

static struct call *call_new(uds_pb_stub *stub)
{
    struct call *call = stub->spare;

    if (!call)
        return calloc(1, sizeof(*call));
    stub->spare = NULL;
    memset(call, 0, sizeof(*call));
    return call;
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

static const char *unpack_error(int error)
{
    switch (error) {
    case -ENOMEM:
        return "no memory for the answer";
    case -ELOOP:
        return "the answer is nested too deep";
    case -E2BIG:
        return "the answer has too many fields or would take too much memory";
    default:
        return "the answer is not a valid message of its type";
    }
}

static int cancel(uds_pb_stub *stub, uint64_t id)
{
    return stub->rpc ? uds_rpc_cancel(stub->rpc, id) : uds_client_cancel(stub->client, id);
}

static void on_part(uint64_t id, uds_msg *part, void *arg)
{
    struct call *call = arg;
    uds_pb_stub *stub = call->stub;
    const struct uds_rpc_reply outcome = {.detail = "", .rule = "", .msg = part}, *outer;
    struct udsi_pb_room room = udsi_pb_room_take(&stub->room);
    uint64_t outer_id = stub->current;
    ProtobufCMessage *message = NULL;
    size_t len;
    const void *body = uds_msg_peek_body(part, &len);
    int r = udsi_pb_unpack(&room, call->output, body, len, &stub->limits, &message);

    if (r < 0) {
        udsi_pb_room_give(&stub->room, room);
        call->broken = unpack_error(r);
        (void)cancel(stub, id); /* its closure runs here */
        return;
    }
    stub->refs++;
    outer = stub->outcome;
    stub->outcome = &outcome;
    stub->current = id;
    call->on_message(stub, message, call->message_arg);
    stub->outcome = outer;
    stub->current = outer_id;
    udsi_pb_release(&room, message);
    udsi_pb_room_give(&stub->room, room);
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
    struct udsi_pb_room room = udsi_pb_room_take(&stub->room);
    ProtobufCMessage *message = NULL;
    bool streaming = call->on_message != NULL;
    const void *body = "";
    size_t len = 0;

    if (call->broken)
        outcome = (struct uds_rpc_reply){
            .status = UDS_STATUS_INTERNAL, .detail = call->broken, .rule = ""};
    call_free(stub, call);
    if (outcome.msg)
        body = uds_msg_peek_body(outcome.msg, &len);
    if (outcome.status == UDS_STATUS_OK && (len > 0 || !streaming)) {
        int r = udsi_pb_unpack(&room, output, body, len, &stub->limits, &message);

        if (r < 0) {
            outcome.status = UDS_STATUS_INTERNAL;
            outcome.detail = unpack_error(r);
        }
    }
    stub->refs++;
    run_closure(stub, &outcome, message, closure, closure_data);
    udsi_pb_release(&room, message);
    udsi_pb_room_give(&stub->room, room);
    stub_unref(stub);
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
    case -EOPNOTSUPP:
        return UDS_STATUS_UNIMPLEMENTED;
    default:
        return UDS_STATUS_INTERNAL;
    }
}

/* The method's full name, the stub's; NULL without memory. */
static const char *method_name(uds_pb_stub *stub, unsigned index)
{
    const ProtobufCServiceDescriptor *desc = stub->service.descriptor;

    if (!stub->names)
        stub->names = calloc(desc->n_methods, sizeof(char *));
    if (stub->names && !stub->names[index] &&
        asprintf(&stub->names[index], "%s/%s", desc->name, desc->methods[index].name) < 0)
        stub->names[index] = NULL;
    return stub->names ? stub->names[index] : NULL;
}

static int
submit(uds_pb_stub *stub, struct call *call, unsigned method_index, const ProtobufCMessage *input)
{
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
    int r;

    if (stub->freed)
        return -ECANCELED; /* from a closure that the free runs */
    if (stub->next_nfds > UDS_FDS_MAX)
        return -E2BIG;
    request.method = method_name(stub, method_index);
    request.body = udsi_pb_pack(&stub->buffer, input, &request.body_len);
    if (!request.method || !request.body)
        return -ENOMEM;

    request.subject = stub->subject;
    request.fds = stub->next_fds;
    request.nfds = stub->next_nfds;
    request.timeout_ms = stub->next_timeout_ms;
    request.on_part = call->on_message ? on_part : NULL;
    request.window = stub->next_window;
    request.headers = stub->next_headers;
    if (stub->rpc)
        r = uds_rpc_request(stub->rpc, &request, on_reply, call, &call->id);
    else
        r = uds_client_request(stub->client, &request, on_reply, call, &call->id);
    udsi_pb_settle(&stub->buffer);
    return r;
}

static void stub_invoke(ProtobufCService *service,
                        unsigned method_index,
                        const ProtobufCMessage *input,
                        ProtobufCClosure closure,
                        void *closure_data)
{
    uds_pb_stub *stub = (uds_pb_stub *)service;
    struct call *call = call_new(stub);
    int r = -ENOMEM;

    if (call) {
        call->output = service->descriptor->methods[method_index].output;
        call->closure = closure;
        call->closure_data = closure_data;
        call->on_message = stub->next_on_message;
        call->message_arg = stub->next_arg;
        r = submit(stub, call, method_index, input);
    }
    stub->next_timeout_ms = -1;
    stub->next_nfds = 0;
    stub->next_on_message = NULL;
    stub->next_window = 0;
    stub->next_headers = NULL;
    stub->last = r == 0 ? call->id : 0;
    if (r == 0) {
        call_link(call, stub);
    } else {
        struct uds_rpc_reply outcome = {.status = status_of(r), .detail = strerror(-r), .rule = ""};

        if (call)
            call_free(stub, call);
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
    (void)udsi_pb_limits_set(&stub->limits, NULL);
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
        int r = cancel(stub, call->id);

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

void uds_pb_stub_next_headers(uds_pb_stub *stub, const char *const *headers)
{
    stub->next_headers = headers;
}

void uds_pb_stub_next_stream(uds_pb_stub *stub,
                             uds_pb_message_fn on_message,
                             void *arg,
                             uint32_t window)
{
    stub->next_on_message = on_message;
    stub->next_arg = arg;
    stub->next_window = window;
}

uint64_t uds_pb_stub_get_call(const uds_pb_stub *stub)
{
    return stub->current != 0 ? stub->current : stub->last;
}

int uds_pb_stub_cancel(uds_pb_stub *stub, uint64_t id)
{
    struct call *call = stub->calls;

    while (call && call->id != id)
        call = call->next;
    return call ? cancel(stub, id) : -ENOENT;
}

int uds_pb_stub_set_limits(uds_pb_stub *stub, const struct uds_pb_limits *limits)
{
    return udsi_pb_limits_set(&stub->limits, limits);
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

uds_msg *uds_pb_stub_peek_msg(uds_pb_stub *stub)
{
    return stub->outcome->msg;
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
