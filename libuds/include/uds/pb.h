/* SPDX-License-Identifier: MIT */
#ifndef UDS_PB_H
#define UDS_PB_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uds/client.h>
#include <uds/rpc.h>
#include <uds/version.h>

/*
 * libuds-pb: protobuf-c services over a connection or through the broker. The stubs and the service structs that
 * protoc-c generates are used as they are.
 *
 * Server: fill a generated service struct, uds_pb_serve() it. In a method, uds_pb_call_from(closure_data) is the call:
 * take its fds, push fds onto the reply, or fail it with a status; then call the closure (with NULL after a fail), at once or
 * later. The method's input is valid until the method returns; a method whose pointer is NULL is answered UNIMPLEMENTED.
 * Streams: a caller that said uds_pb_stub_next_stream() takes any number of output messages: the method sends them by
 * uds_pb_call_send(), each with the fds that were pushed before it, and calls the closure at the end (NULL: nothing more to say).
 * Client: uds_pb_stub_new() gives a ProtobufCService* for the generated stub functions; options for the next call (deadline, fds) are set
 * on the stub; in the closure the outcome (status, detail, fds) is read from it. Each call runs its closure exactly once; one that
 * cannot even be queued (TOO_LARGE, QUOTA, CALLEE_LOST) runs it before the stub function returns.
 *
 * Unless a comment says otherwise: pointers are not NULL, nothing changes owner, there are no errors, blocking: never, threads:
 * the one that owns the rpc or the client beneath, since: 0.1.
 */

UDS_BEGIN_DECLS

#define UDS_PB_DEPTH_MAX \
    32u /* nesting accepted before unpack; protobuf-c itself has no limit (measured: 29 KB overflow an 8 MiB stack) */

/**
 * uds_pb_scan() - may these bytes be unpacked as @desc?
 * Walks the encoding without recursion: nesting at most @max_depth (the outermost message is level 1; more than 256 means 256),
 * lengths inside bounds, at most @max_fields fields. Groups are malformed here.
 *
 * Ownership: @data (@len bytes, may be NULL when 0) is borrowed.
 * Errors:    -EBADMSG malformed, -ELOOP too deep, -E2BIG too many fields.   Blocking: never.   Threads: any.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_pb_scan(const ProtobufCMessageDescriptor *desc,
                                         const void *data,
                                         size_t len,
                                         unsigned max_depth,
                                         size_t max_fields);

/**
 * uds_pb_unpack() - uds_pb_unpack_limited() with the default limits
 * @ret: written on success only
 *
 * Ownership: the caller frees @ret by protobuf_c_message_free_unpacked(m, NULL); @data is borrowed.
 * Errors:    as there.   Blocking: never.   Threads: any.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_pb_unpack(const ProtobufCMessageDescriptor *desc,
                                           const void *data,
                                           size_t len,
                                           ProtobufCMessage **ret);

/* What one message of a peer may cost. */
struct uds_pb_limits {
    /* sizeof(struct uds_pb_limits), as UDS_PB_LIMITS_INIT sets it; anything else is -EINVAL */
    size_t size;
    unsigned depth; /* levels of nesting; 0 = UDS_PB_DEPTH_MAX */
    size_t fields;  /* in all levels together; 0 = 65536 */
    /* bytes that unpacking may ask for, temporary ones included; 0 = 64 MiB. A few bytes on the wire can be a hundred
     * unpacked */
    size_t memory;
};
#define UDS_PB_LIMITS_INIT UDS_INIT_0(uds_pb_limits)

/**
 * uds_pb_unpack_limited() - scan, then unpack within a budget of memory
 * @limits: NULL for the defaults
 * @ret:    written on success only
 *
 * Ownership: the caller frees @ret by protobuf_c_message_free_unpacked(m, NULL); @data (@len bytes, may be NULL when 0) is borrowed.
 * Errors:    as uds_pb_scan(); -EBADMSG also when protobuf-c refuses it; -E2BIG also over the budget; -EINVAL the size of @limits;
 *            -ENOMEM.   Blocking: never.   Threads: any.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_pb_unpack_limited(const ProtobufCMessageDescriptor *desc,
                                                   const void *data,
                                                   size_t len,
                                                   const struct uds_pb_limits *limits,
                                                   ProtobufCMessage **ret);

/** uds_pb_is_acyclic() - true if no message type reachable from @desc contains itself. False also when memory is short. Threads: any. Since: 0.1. */
UDS_EXPORT bool uds_pb_is_acyclic(const ProtobufCMessageDescriptor *desc);

/* ---- server ---- */

typedef struct uds_pb_server uds_pb_server;
typedef struct uds_pb_call uds_pb_call;

/**
 * uds_pb_serve() - answer calls to a service on a direct connection
 * uds_pb_serve_subject() - … through the broker
 * @service: generated struct, e.g. FOO__BAR__INIT(...); borrowed, outlives the server. @rpc and @client outlive it too.
 * @subject: copied; the service's name in a stack file's serve: list
 * @on_ack:  told once that the broker lets us serve (OK), and every time it does not (DENIED, QUOTA …), also after a
 *           reconnect; NULL: a refusal is told by the client's on_event as a NOTICE. It may free the server.
 * @arg:     @on_ack's last argument
 *
 * An rpc serves one service: uds_pb_serve() takes its handler.
 *
 * Ownership: the caller frees @ret by uds_pb_server_free(), before @rpc or @client. On failure there is nothing to free.
 * Errors:    -ENOMEM; those of uds_client_serve(). A refusal by the broker is not one of them: it comes later.
 * Blocking:  never.   Threads: the owner of @rpc or @client; methods run inside its process().   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int
uds_pb_serve(uds_pb_server **ret, uds_rpc *rpc, ProtobufCService *service);
UDS_EXPORT UDS_NODISCARD int uds_pb_serve_subject(uds_pb_server **ret,
                                                  uds_client *client,
                                                  const char *subject,
                                                  ProtobufCService *service,
                                                  uds_ack_fn on_ack,
                                                  void *arg);
/**
 * uds_pb_server_free() - stop serving
 * @server: NULL is fine; allowed inside its methods, its on_ack and the callbacks of its calls
 *
 * Calls that wait for a later answer get UNAVAILABLE; their closures must still be called. Returns NULL. Since: 0.1.
 */
UDS_EXPORT uds_pb_server *uds_pb_server_free(uds_pb_server *server);

/**
 * uds_pb_server_set_limits() - what one request may cost; more is answered TOO_LARGE or BAD_REQUEST
 * @limits: copied; NULL for the defaults
 *
 * How many requests are open at once is the rpc's or the client's to limit. Errors: -EINVAL the size. Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_pb_server_set_limits(uds_pb_server *server,
                                                      const struct uds_pb_limits *limits);

/*
 * Inside a method, and later until its closure is called. The call is the closure's: never freed by hand.
 */

/** uds_pb_call_from() - the call that a method was invoked for; @closure_data is the method's own argument. Since: 0.1. */
UDS_EXPORT uds_pb_call *uds_pb_call_from(void *closure_data);
/** uds_pb_call_get_fd_count() - slots for fds in the request; 0 once the server was freed. Since: 0.1. */
UDS_EXPORT size_t uds_pb_call_get_fd_count(const uds_pb_call *call);
/** uds_pb_call_take_fd() - move a descriptor out of the request, as uds_msg_take_fd(). The caller closes it. Since: 0.1. */
UDS_EXPORT UDS_NODISCARD int uds_pb_call_take_fd(uds_pb_call *call, size_t index);
/**
 * uds_pb_call_push_fd() - give a descriptor to the reply
 * @fd: >= 0
 *
 * Ownership: success moves @fd, failure leaves it. Errors: -EINVAL, -ENOSPC UDS_FDS_MAX reached, -ENOMEM. Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_pb_call_push_fd(uds_pb_call *call, int fd);
/**
 * uds_pb_call_add_header() - a header for what is sent next on this call, as uds_rpc_call_add_header()
 *
 * Once the server was freed nothing is sent any more, and this does nothing. Errors: as there. Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int
uds_pb_call_add_header(uds_pb_call *call, const char *name, const char *value);
/** uds_pb_call_peek_msg() - the request as it came, for its headers, borrowed; NULL once the server was freed. Since: 0.1. */
UDS_EXPORT uds_msg *uds_pb_call_peek_msg(uds_pb_call *call);
/** uds_pb_call_get_sender() - who asks, as the broker attests it; "" on a direct connection. The call's. Since: 0.1. */
UDS_EXPORT const char *uds_pb_call_get_sender(const uds_pb_call *call);
/** uds_pb_call_get_timeout() - ms that are left; -1 no deadline, 0 it is over. Since: 0.1. */
UDS_EXPORT int uds_pb_call_get_timeout(const uds_pb_call *call);
/** uds_pb_call_is_cancelled() - the caller took it back, is gone, or the server was freed: an answer is due and discarded. Since: 0.1. */
UDS_EXPORT bool uds_pb_call_is_cancelled(const uds_pb_call *call);

struct uds_pb_call_callbacks {
    /* Once, when it becomes cancelled. The closure is still to be called, and may be here. */
    void (*on_cancel)(uds_pb_call *call, void *arg);
    /* More can be sent, after uds_pb_call_send() has said -EAGAIN. */
    void (*on_credit)(uds_pb_call *call, void *arg);
};
/**
 * uds_pb_call_set_callbacks() - hear what happens to a call until its closure is called
 * @callbacks: copied; each may be NULL; NULL removes them
 * @arg:       their last argument
 *
 * They run inside process(), on_cancel also inside uds_pb_server_free() and uds_rpc_free(). Since: 0.1.
 */
UDS_EXPORT void uds_pb_call_set_callbacks(uds_pb_call *call,
                                          const struct uds_pb_call_callbacks *callbacks,
                                          void *arg);

/** uds_pb_call_is_streaming() - may uds_pb_call_send() be used? Since: 0.1. */
UDS_EXPORT bool uds_pb_call_is_streaming(const uds_pb_call *call);
/** uds_pb_call_get_credit() - how many more messages the caller waits for; 0 also of a cancelled call. Since: 0.1. */
UDS_EXPORT uint32_t uds_pb_call_get_credit(const uds_pb_call *call);
/**
 * uds_pb_call_send() - one message of many, with the fds that were pushed since the last one
 * @message: of the method's output type
 *
 * Ownership: success moves the fds that were pushed; otherwise they stay the call's for the next attempt.
 * Errors:    -EAGAIN not now: on_credit tells when; -ECANCELED nobody wants it any more; -EOPNOTSUPP the caller did not ask for a stream;
 *            -EINVAL another type; as uds_rpc_call_send_part().   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_pb_call_send(uds_pb_call *call, const ProtobufCMessage *message);

/**
 * uds_pb_call_fail() - the reply will be a failure; the closure must still be called, its message is ignored (NULL is fine)
 * @status: enum uds_status; OK becomes INTERNAL
 * @value:  what goes with it, 0 nothing
 * @detail: one line for people, copied; may be NULL
 *
 * fds that were pushed are closed. Since: 0.1.
 */
UDS_EXPORT void
uds_pb_call_fail(uds_pb_call *call, uint32_t status, uint64_t value, const char *detail);

/* ---- client ---- */

typedef struct uds_pb_stub uds_pb_stub;

/**
 * uds_pb_stub_new() - call a service
 * @ret:     written on success only
 * @rpc, @client: one of them, the other NULL; borrowed, outlives the stub
 * @subject: with @client: the service's subject, copied; with @rpc: NULL
 * @desc:    of the service; outlives the stub
 *
 * Ownership: the caller frees @ret by uds_pb_stub_free().   Errors: -EINVAL both or none of @rpc and @client, or a @client without
 * @subject; -ENOMEM.   Blocking: never.   Threads: the owner of @rpc or @client.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_pb_stub_new(uds_pb_stub **ret,
                                             uds_rpc *rpc,
                                             uds_client *client,
                                             const char *subject,
                                             const ProtobufCServiceDescriptor *desc);
/** uds_pb_stub_free() - calls in flight end with CANCELLED (their closures run with NULL). NULL is fine; allowed inside a closure. Returns NULL. Since: 0.1. */
UDS_EXPORT uds_pb_stub *uds_pb_stub_free(uds_pb_stub *stub);
/** uds_pb_stub_service() - what the generated functions want as their first argument; the stub's. Since: 0.1. */
UDS_EXPORT ProtobufCService *uds_pb_stub_service(uds_pb_stub *stub);

/** uds_pb_stub_next_timeout() - a deadline for the next call on the stub alone: ms, -1 none. Since: 0.1. */
UDS_EXPORT void uds_pb_stub_next_timeout(uds_pb_stub *stub, int timeout_ms);
/**
 * uds_pb_stub_next_fds() - descriptors for the next call on the stub alone
 * @fds: @nfds numbers, which stay the caller's; they are duplicated when the call is made. More than UDS_FDS_MAX: that call ends
 *       with TOO_LARGE
 * Since: 0.1.
 */
UDS_EXPORT void uds_pb_stub_next_fds(uds_pb_stub *stub, const int *fds, size_t nfds);

/**
 * uds_pb_stub_next_headers() - headers for the next call on the stub alone
 * @headers: name, value, name, value, …, NULL, as uds_msg_add_header(); NULL none. Borrowed until that call is made; a name that
 *           cannot be, or too much of them, ends it with INTERNAL
 * Since: 0.1.
 */
UDS_EXPORT void uds_pb_stub_next_headers(uds_pb_stub *stub, const char *const *headers);

typedef void (*uds_pb_message_fn)(uds_pb_stub *stub, const ProtobufCMessage *message, void *arg);
/**
 * uds_pb_stub_next_stream() - the next call on the stub alone is answered by many messages
 * @on_message: runs for each, before the closure; the message is borrowed until it returns, its fds are taken by
 *              uds_pb_stub_take_fd(). It may call anything here, uds_pb_stub_free() and uds_pb_stub_cancel() included
 * @arg:        its last argument
 * @window:     how many may be on their way, 0 = UDS_RPC_WINDOW_DEFAULT
 *
 * The closure ends the stream. With status OK its message is NULL unless the method gave a last one. A message that cannot be
 * unpacked ends the stream with INTERNAL. Whoever is called and cannot stream: the call ends with UNIMPLEMENTED. Since: 0.1.
 */
UDS_EXPORT void uds_pb_stub_next_stream(uds_pb_stub *stub,
                                        uds_pb_message_fn on_message,
                                        void *arg,
                                        uint32_t window);
/** uds_pb_stub_get_call() - for uds_pb_stub_cancel(): inside on_message the call that it belongs to, else the one that was made last; 0 if that could not be queued. Since: 0.1. */
UDS_EXPORT uint64_t uds_pb_stub_get_call(const uds_pb_stub *stub);
/** uds_pb_stub_cancel() - take a call back: its closure runs with CANCELLED before this returns. Errors: -ENOENT it has ended. Since: 0.1. */
UDS_EXPORT int uds_pb_stub_cancel(uds_pb_stub *stub, uint64_t id);
/**
 * uds_pb_stub_set_limits() - what one answer may cost; a call with more ends with INTERNAL
 * @limits: copied; NULL for the defaults
 * Errors: -EINVAL the size. Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_pb_stub_set_limits(uds_pb_stub *stub,
                                                    const struct uds_pb_limits *limits);

/* Inside a closure: how this call ended. A NULL message in the closure goes with a status other than OK. */

/** uds_pb_stub_get_status() - enum uds_status. Since: 0.1. */
UDS_EXPORT uint32_t uds_pb_stub_get_status(const uds_pb_stub *stub);
/** uds_pb_stub_get_value() - what goes with some statuses: limit, signal, exit code; else 0. Since: 0.1. */
UDS_EXPORT uint64_t uds_pb_stub_get_value(const uds_pb_stub *stub);
/** uds_pb_stub_get_detail() - words for people; "" when there are none; valid during the closure. Since: 0.1. */
UDS_EXPORT const char *uds_pb_stub_get_detail(const uds_pb_stub *stub);
/** uds_pb_stub_get_rule() - what decided a denial; "" when there is none; valid during the closure. Since: 0.1. */
UDS_EXPORT const char *uds_pb_stub_get_rule(const uds_pb_stub *stub);
/** uds_pb_stub_peek_msg() - the reply as it came, or inside on_message the part, for its headers; borrowed; NULL without one. Since: 0.1. */
UDS_EXPORT uds_msg *uds_pb_stub_peek_msg(uds_pb_stub *stub);
/** uds_pb_stub_take_fd() - move a descriptor out of the reply, as uds_msg_take_fd(); -ENOENT also without a reply. The caller closes it. Since: 0.1. */
UDS_EXPORT UDS_NODISCARD int uds_pb_stub_take_fd(uds_pb_stub *stub, size_t index);
/**
 * uds_pb_stub_wait() - run the connection until no call of this stub is in flight (every callback may run)
 * @timeout_ms: -1 forever
 *
 * Returns 0. Errors: -ETIMEDOUT some are; as uds_conn_process() or uds_client_process(). Blocking: up to @timeout_ms. Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_pb_stub_wait(uds_pb_stub *stub, int timeout_ms);

UDS_END_DECLS

#endif
