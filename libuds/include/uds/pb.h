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
 * Client: uds_pb_stub_new() gives a ProtobufCService* for the generated stub functions; options for the next call (deadline, fds) are set
 * on the stub; in the closure the outcome (status, detail, fds) is read from it. Each call runs its closure exactly once; one that
 * cannot even be queued (TOO_LARGE, QUOTA, CALLEE_LOST) runs it before the stub function returns.
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
 * uds_pb_unpack() - scan (depth UDS_PB_DEPTH_MAX, 65536 fields), then unpack
 * @ret: written on success only
 *
 * Ownership: the caller frees @ret by protobuf_c_message_free_unpacked(m, NULL); @data is borrowed.
 * Errors:    as uds_pb_scan(); -EBADMSG also when protobuf-c refuses it; -ENOMEM.   Blocking: never.   Threads: any.   Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_pb_unpack(const ProtobufCMessageDescriptor *desc,
                                           const void *data,
                                           size_t len,
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
 * @server: NULL is fine; allowed inside its methods and its on_ack
 *
 * Calls that wait for a later answer get UNAVAILABLE; their closures must still be called. Returns NULL. Since: 0.1.
 */
UDS_EXPORT uds_pb_server *uds_pb_server_free(uds_pb_server *server);

/*
 * Inside a method, and later until its closure is called. The call is the closure's: never freed by hand. Blocking: never.
 * Threads: the server's.
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
/** uds_pb_call_get_sender() - who asks, as the broker attests it; "" on a direct connection. The call's. Since: 0.1. */
UDS_EXPORT const char *uds_pb_call_get_sender(const uds_pb_call *call);
/** uds_pb_call_get_timeout() - ms that are left; -1 no deadline, 0 it is over. Since: 0.1. */
UDS_EXPORT int uds_pb_call_get_timeout(const uds_pb_call *call);
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

/* Inside a closure: how this call ended. A NULL message in the closure goes with a status other than OK. */

/** uds_pb_stub_get_status() - enum uds_status. Since: 0.1. */
UDS_EXPORT uint32_t uds_pb_stub_get_status(const uds_pb_stub *stub);
/** uds_pb_stub_get_value() - what goes with some statuses: limit, signal, exit code; else 0. Since: 0.1. */
UDS_EXPORT uint64_t uds_pb_stub_get_value(const uds_pb_stub *stub);
/** uds_pb_stub_get_detail() - words for people; "" when there are none; valid during the closure. Since: 0.1. */
UDS_EXPORT const char *uds_pb_stub_get_detail(const uds_pb_stub *stub);
/** uds_pb_stub_get_rule() - what decided a denial; "" when there is none; valid during the closure. Since: 0.1. */
UDS_EXPORT const char *uds_pb_stub_get_rule(const uds_pb_stub *stub);
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
