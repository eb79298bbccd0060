/* SPDX-License-Identifier: MIT */
/*
 * A protobuf-c service that answers calls, on a direct connection or as a subject of the broker.
 *
 * Each incoming call becomes one uds_pb_call, which is the closure_data of the generated service struct's method:
 *
 *   request ──▶ unpacked, method runs ──▶ closure ──▶ reply, freed
 *                     │ (at once or any time later)
 *                     └─ server freed: answered UNAVAILABLE; the call stays, as an orphan, until its closure runs
 *
 *   1. a call is in its server's list exactly while it holds the uds_rpc_call;
 *   2. the closure runs once per call, so that a method which keeps it keeps the call alive;
 *   3. fds pushed for the reply are the call's until the reply is sent.
 *
 * Nothing that a peer sends reaches protobuf-c before uds_pb_unpack() has scanned it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <uds/error.h>
#include <uds/pb.h>

#include "pb/pack.h"

struct uds_pb_server {
    ProtobufCService *service;
    uds_rpc *rpc;       /* one of these two, borrowed */
    uds_client *client; /* … */
    uint64_t serving;   /* id at the client */
    uds_ack_fn on_ack;  /* may be NULL */
    void *ack_arg;
    uds_pb_call *calls;
    struct uds_pb_limits limits;
    struct udsi_pb_buffer buffer;
    struct udsi_pb_room room;
    uds_pb_call *spare; /* memory of calls that have ended, for the next ones */
    unsigned nspare;
    unsigned refs; /* the application's, and one while a method runs */
    bool freed;    /* uds_pb_server_free() runs, and tells the calls */
};

struct uds_pb_call {
    uds_pb_server *server; /* NULL for an orphan */
    uds_rpc_call *rpc;     /* NULL for an orphan */
    uds_pb_call *next, **link;
    const ProtobufCMethodDescriptor *method;
    int *fds;
    size_t nfds;
    uint32_t status; /* OK: reply with the closure's message */
    uint64_t value;
    char *detail; /* NULL = none */
    struct uds_pb_call_callbacks callbacks;
    void *arg;
};

static void call_unlink(uds_pb_call *call)
{
    if (!call->server)
        return;
    *call->link = call->next;
    if (call->next)
        call->next->link = call->link;
    call->server = NULL;
}

static void call_link(uds_pb_call *call, uds_pb_server *server)
{
    call->server = server;
    call->next = server->calls;
    call->link = &server->calls;
    if (call->next)
        call->next->link = &call->next;
    server->calls = call;
}

#define SPARE_MAX 16u

static void call_free(uds_pb_call *call)
{
    uds_pb_server *server = call->server;

    call_unlink(call);
    for (size_t i = 0; i < call->nfds; i++)
        close(call->fds[i]);
    free(call->fds);
    free(call->detail);
    if (!server || server->nspare == SPARE_MAX) {
        free(call);
        return;
    }
    call->next = server->spare;
    server->spare = call;
    server->nspare++;
}

static uds_pb_call *call_new(uds_pb_server *server)
{
    uds_pb_call *call = server->spare;

    if (!call)
        return calloc(1, sizeof(*call));
    server->spare = call->next;
    server->nspare--;
    memset(call, 0, sizeof(*call));
    return call;
}

static void server_unref(uds_pb_server *server)
{
    if (--server->refs > 0)
        return;
    while (server->spare) {
        uds_pb_call *call = server->spare;

        server->spare = call->next;
        free(call);
    }
    free(server->buffer.data);
    udsi_pb_room_deinit(&server->room);
    free(server);
}

/* The fds move into the reply on success; otherwise call_free() closes them. NULL: an empty body. */
static void call_send(uds_pb_call *call, uds_pb_server *server, const ProtobufCMessage *message)
{
    size_t len = 0;
    const uint8_t *body = message ? udsi_pb_pack(&server->buffer, message, &len) : NULL;

    if (message && !body) {
        (void)uds_rpc_call_fail(call->rpc, UDS_STATUS_INTERNAL, 0, "no memory for the reply");
        return;
    }
    if (uds_rpc_call_reply(call->rpc, body, len, call->fds, call->nfds) == 0)
        call->nfds = 0;
    udsi_pb_settle(&server->buffer);
}

/* The closure that methods get. */
static void call_finish(const ProtobufCMessage *message, void *closure_data)
{
    uds_pb_call *call = closure_data;
    uds_rpc_call *rpc = call->rpc;

    if (!rpc) {
        /* An orphan: its answer went out when the server was freed. */
    } else if (call->status != UDS_STATUS_OK) {
        (void)uds_rpc_call_fail(rpc, call->status, call->value, call->detail);
    } else if (!message && !uds_rpc_call_is_streaming(rpc)) {
        (void)uds_rpc_call_fail(rpc, UDS_STATUS_INTERNAL, 0, "the method gave no answer");
    } else if (message && message->descriptor != call->method->output) {
        (void)uds_rpc_call_fail(rpc, UDS_STATUS_INTERNAL, 0,
                                "the method answered with another type than its own");
    } else {
        call_send(call, call->server, message);
    }
    call_free(call);
}

/* "package.Service/Method": NULL and the word for it when this service has no such method. */
static const ProtobufCMethodDescriptor *
find_method(const ProtobufCService *service, const char *path, const char **ret_why)
{
    const ProtobufCServiceDescriptor *desc = service->descriptor;
    const ProtobufCMethodDescriptor *method;
    size_t len = strlen(desc->name);

    if (strncmp(path, desc->name, len) != 0 || path[len] != '/') {
        *ret_why = "another service is served here";
        return NULL;
    }
    method = protobuf_c_service_descriptor_get_method_by_name(desc, path + len + 1);
    if (!method) {
        *ret_why = "the service has no such method";
        return NULL;
    }
    return method;
}

/*
 * Generated structs hold one function pointer per method after their base, where protobuf_c_service_invoke_internal()
 * calls them unchecked. A struct that was filled in part has NULLs there.
 */
static bool is_filled(const ProtobufCService *service, unsigned index)
{
    void (*handler)(void);

    if (service->invoke != protobuf_c_service_invoke_internal)
        return true;
    memcpy(&handler, (const char *)service + sizeof(*service) + index * sizeof(handler),
           sizeof(handler));
    return handler != NULL;
}

static const char *unpack_error(int error)
{
    switch (error) {
    case -ELOOP:
        return "the request is nested too deep";
    case -E2BIG:
        return "the request has too many fields or would take too much memory";
    default:
        return "the request is not a valid message of the method's type";
    }
}

static void on_call(uds_rpc_call *rpc, void *arg)
{
    uds_pb_server *server = arg;
    ProtobufCService *service = server->service;
    const ProtobufCMethodDescriptor *method;
    struct udsi_pb_room room;
    ProtobufCMessage *input = NULL;
    const char *why = "";
    const void *body;
    uds_pb_call *call;
    unsigned index;
    size_t len;
    int r;

    method = find_method(service, uds_rpc_call_get_method(rpc), &why);
    if (!method) {
        (void)uds_rpc_call_fail(rpc, UDS_STATUS_UNIMPLEMENTED, 0, why);
        return;
    }
    index = (unsigned)(method - service->descriptor->methods);
    if (!is_filled(service, index)) {
        (void)uds_rpc_call_fail(rpc, UDS_STATUS_UNIMPLEMENTED, 0,
                                "the service does not implement this method");
        return;
    }

    body = uds_msg_peek_body(uds_rpc_call_peek_msg(rpc), &len);
    room = udsi_pb_room_take(&server->room);
    r = udsi_pb_unpack(&room, method->input, body, len, &server->limits, &input);
    call = r < 0 ? NULL : call_new(server);
    if (!call) {
        bool memory = r == 0 || r == -ENOMEM;

        udsi_pb_release(&room, input);
        udsi_pb_room_give(&server->room, room);
        (void)uds_rpc_call_fail(rpc,
                                memory        ? UDS_STATUS_INTERNAL
                                : r == -E2BIG ? UDS_STATUS_TOO_LARGE
                                              : UDS_STATUS_BAD_REQUEST,
                                0, memory ? "no memory for the request" : unpack_error(r));
        return;
    }
    call->rpc = rpc;
    call->method = method;
    call_link(call, server);

    /* The method may free the server, and bring the next call before it returns. */
    server->refs++;
    service->invoke(service, index, input, call_finish, call);
    udsi_pb_release(&room, input);
    udsi_pb_room_give(&server->room, room);
    server_unref(server);
}

static uds_pb_server *server_new(ProtobufCService *service)
{
    uds_pb_server *server = calloc(1, sizeof(*server));

    if (!server)
        return NULL;
    server->refs = 1;
    server->service = service;
    (void)udsi_pb_limits_set(&server->limits, NULL);
    return server;
}

int uds_pb_serve(uds_pb_server **ret, uds_rpc *rpc, ProtobufCService *service)
{
    uds_pb_server *server = server_new(service);

    if (!server)
        return -ENOMEM;
    server->rpc = rpc;
    uds_rpc_set_handler(rpc, on_call, server, 0);
    *ret = server;
    return 0;
}

/* The client has one argument for both its callbacks, and the calls want the server. The application may free it here. */
static void
pass_ack(uds_client *client, uint32_t status, const char *detail, const char *rule, void *arg)
{
    uds_pb_server *server = arg;

    server->on_ack(client, status, detail, rule, server->ack_arg);
}

int uds_pb_serve_subject(uds_pb_server **ret,
                         uds_client *client,
                         const char *subject,
                         ProtobufCService *service,
                         uds_ack_fn on_ack,
                         void *arg)
{
    uds_pb_server *server = server_new(service);
    int r;

    if (!server)
        return -ENOMEM;
    server->client = client;
    server->on_ack = on_ack;
    server->ack_arg = arg;
    r = uds_client_serve(client, subject, on_call, on_ack ? pass_ack : NULL, server,
                         &server->serving);
    if (r < 0) {
        free(server);
        return r;
    }
    *ret = server;
    return 0;
}

uds_pb_server *uds_pb_server_free(uds_pb_server *server)
{
    if (!server || server->freed)
        return NULL;
    server->freed = true;
    if (server->rpc)
        uds_rpc_set_handler(server->rpc, NULL, NULL, 0);
    else
        (void)uds_client_unsubscribe(server->client, server->serving);
    while (server->calls) {
        uds_pb_call *call = server->calls;
        uds_rpc_call *rpc = call->rpc;

        bool known = uds_rpc_call_is_cancelled(rpc);

        call_unlink(call);
        call->rpc = NULL;
        (void)uds_rpc_call_fail(rpc, UDS_STATUS_UNAVAILABLE, 0, "the server stops");
        if (!known && call->callbacks.on_cancel)
            call->callbacks.on_cancel(call, call->arg);
    }
    server_unref(server);
    return NULL;
}

int uds_pb_server_set_limits(uds_pb_server *server, const struct uds_pb_limits *limits)
{
    return udsi_pb_limits_set(&server->limits, limits);
}

uds_pb_call *uds_pb_call_from(void *closure_data)
{
    return closure_data;
}

size_t uds_pb_call_get_fd_count(const uds_pb_call *call)
{
    return call->rpc ? uds_msg_get_fd_count(uds_rpc_call_peek_msg(call->rpc)) : 0;
}

int uds_pb_call_take_fd(uds_pb_call *call, size_t index)
{
    return call->rpc ? uds_msg_take_fd(uds_rpc_call_peek_msg(call->rpc), index) : -ENOENT;
}

int uds_pb_call_push_fd(uds_pb_call *call, int fd)
{
    int *fds;

    if (fd < 0)
        return -EINVAL;
    if (call->nfds == UDS_FDS_MAX)
        return -ENOSPC;
    fds = reallocarray(call->fds, call->nfds + 1, sizeof(*fds));
    if (!fds)
        return -ENOMEM;
    call->fds = fds;
    call->fds[call->nfds++] = fd;
    return 0;
}

int uds_pb_call_add_header(uds_pb_call *call, const char *name, const char *value)
{
    return call->rpc ? uds_rpc_call_add_header(call->rpc, name, value) : 0;
}

uds_msg *uds_pb_call_peek_msg(uds_pb_call *call)
{
    return call->rpc ? uds_rpc_call_peek_msg(call->rpc) : NULL;
}

const char *uds_pb_call_get_sender(const uds_pb_call *call)
{
    return call->rpc ? uds_rpc_call_get_sender(call->rpc) : "";
}

int uds_pb_call_get_timeout(const uds_pb_call *call)
{
    return call->rpc ? uds_rpc_call_get_timeout(call->rpc) : 0;
}

bool uds_pb_call_is_cancelled(const uds_pb_call *call)
{
    return !call->rpc || uds_rpc_call_is_cancelled(call->rpc);
}

static void on_cancel(uds_rpc_call *rpc, void *arg)
{
    uds_pb_call *call = arg;

    (void)rpc;
    if (call->callbacks.on_cancel)
        call->callbacks.on_cancel(call, call->arg);
}

static void on_credit(uds_rpc_call *rpc, void *arg)
{
    uds_pb_call *call = arg;

    (void)rpc;
    if (call->callbacks.on_credit)
        call->callbacks.on_credit(call, call->arg);
}

void uds_pb_call_set_callbacks(uds_pb_call *call,
                               const struct uds_pb_call_callbacks *callbacks,
                               void *arg)
{
    static const struct uds_rpc_call_callbacks below = {.on_cancel = on_cancel,
                                                        .on_credit = on_credit};

    call->callbacks = callbacks ? *callbacks : (struct uds_pb_call_callbacks){0};
    call->arg = arg;
    if (call->rpc)
        uds_rpc_call_set_callbacks(call->rpc, callbacks ? &below : NULL, call);
}

bool uds_pb_call_is_streaming(const uds_pb_call *call)
{
    return call->rpc && uds_rpc_call_is_streaming(call->rpc);
}

uint32_t uds_pb_call_get_credit(const uds_pb_call *call)
{
    return call->rpc ? uds_rpc_call_get_credit(call->rpc) : 0;
}

int uds_pb_call_send(uds_pb_call *call, const ProtobufCMessage *message)
{
    const uint8_t *body;
    size_t len;
    int r;

    if (message->descriptor != call->method->output)
        return -EINVAL;
    if (!call->rpc)
        return -ECANCELED;
    body = udsi_pb_pack(&call->server->buffer, message, &len);
    if (!body)
        return -ENOMEM;
    r = uds_rpc_call_send_part(call->rpc, body, len, call->fds, call->nfds);
    udsi_pb_settle(&call->server->buffer);
    if (r == 0)
        call->nfds = 0;
    return r;
}

void uds_pb_call_fail(uds_pb_call *call, uint32_t status, uint64_t value, const char *detail)
{
    call->status = status != UDS_STATUS_OK ? status : UDS_STATUS_INTERNAL;
    call->value = value;
    free(call->detail);
    call->detail = detail ? strdup(detail) : NULL; /* no memory: the status goes without words */
}
