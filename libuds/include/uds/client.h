/* SPDX-License-Identifier: MIT */
#ifndef UDS_CLIENT_H
#define UDS_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uds/addr.h>
#include <uds/rpc.h>
#include <uds/version.h>

/*
 * A client of the broker: publish, subscribe, request, serve. It reconnects by itself (back-off 10 ms … 2 s, or through
 * the redial socket of a sandbox), subscribes again, and tells the application about every interruption.
 *
 * Loop contract as for uds_conn. get_fd may change after a reconnect: re-read it after every process(), or set on_rearm.
 */

UDS_BEGIN_DECLS

typedef struct uds_client uds_client;

enum uds_client_event {
    UDS_CLIENT_CONNECTED = 1, /* also after each reconnect; subscriptions have been sent again */
    UDS_CLIENT_DISCONNECTED =
        2, /* @error says why; calls in flight have ended with CALLEE_LOST; messages in between are lost */
    UDS_CLIENT_NOTICE = 3, /* the broker's NOTICE: drops, denied (re)subscriptions */
};

struct uds_client_callbacks {
    /* @error: -errno of a disconnect, else 0. @detail never NULL. @notice: the NOTICE message, else NULL; borrowed. May be NULL. */
    void (*on_event)(uds_client *client,
                     enum uds_client_event event,
                     int error,
                     const char *detail,
                     uds_msg *notice,
                     void *arg);
    void (*on_rearm)(uds_client *client, void *arg); /* loop glue; may be NULL */
};

struct uds_delivery {
    const char *subject;
    const char *sender; /* broker-attested: "sandbox:NAME", "uid:N" */
    uint64_t sequence;  /* per subscription; a gap = deliveries that were dropped */
    uint64_t dropped;   /* so far on this subscription */
    uds_msg *msg;       /* body, fds and headers; borrowed */
};

typedef void (*uds_delivery_fn)(uds_client *client, const struct uds_delivery *delivery, void *arg);
/* Result of a confirmed publish or of a subscribe: status OK when the broker has accepted it. */
typedef void (*uds_ack_fn)(
    uds_client *client, uint32_t status, const char *detail, const char *rule, void *arg);

/**
 * uds_client_new() - connect to a broker
 * @addr:       NULL = uds_addr_default(); in a sandbox also $UDS_BROKER_REDIAL ("fd:N") is honoured
 * @timeout_ms: for the first connection: 0 = fail at once if nobody listens; > 0 retry that long; -1 forever
 * Errors: as uds_conn_connect(). Blocking: up to @timeout_ms. Threads: one at a time. Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_client_new(uds_client **ret,
                                            const struct uds_addr *addr,
                                            const struct uds_conn_options *options,
                                            int timeout_ms);
/** uds_client_free() - ends calls with CANCELLED, closes. NULL is fine. Returns NULL. Since: 0.1. */
UDS_EXPORT uds_client *uds_client_free(uds_client *client);
UDS_EXPORT void uds_client_set_callbacks(uds_client *client,
                                         const struct uds_client_callbacks *callbacks,
                                         void *arg);

/* While there is no connection: the redial end if there is one, else -1: wait for the timeout. */
UDS_EXPORT int uds_client_get_fd(const uds_client *client);
UDS_EXPORT short uds_client_get_events(const uds_client *client);
UDS_EXPORT int uds_client_get_timeout(const uds_client *client);
/** uds_client_process() - 1 more to do, 0 wait in poll. A lost connection is no error here: it is an event, and is redialled; a lost fd: link without
 *  a redial end is final: an event, then -ECONNRESET, get_fd -1 and timeout -1. Since: 0.1. */
UDS_EXPORT int uds_client_process(uds_client *client);
/** uds_client_wait() - poll and process once, for programs without a loop: 1 something was done, 0 @timeout_ms passed, -errno. Since: 0.1. */
UDS_EXPORT int uds_client_wait(uds_client *client, int timeout_ms);
/** uds_client_flush() - push queued messages out, waiting up to @timeout_ms (callbacks may run). 0, -ETIMEDOUT, -ENOTCONN. Since: 0.1. */
UDS_EXPORT int uds_client_flush(uds_client *client, int timeout_ms);

/**
 * uds_client_subscribe() - receive what is published on a subject
 * @subject: dot-separated tokens; '*' one token, '>' the rest (last token only)
 * @queue:   queue group: each message goes to one member; NULL = none
 * @on_ack:  may be NULL; also runs after re-subscription when the broker refuses
 * @ret_id:  for uds_client_unsubscribe(); may be NULL
 * Errors: -EINVAL malformed subject; as uds_conn_send(). Since: 0.1.
 */
UDS_EXPORT UDS_NODISCARD int uds_client_subscribe(uds_client *client,
                                                  const char *subject,
                                                  const char *queue,
                                                  uds_delivery_fn on_delivery,
                                                  uds_ack_fn on_ack,
                                                  void *arg,
                                                  uint64_t *ret_id);
/** uds_client_serve() - answer requests on a subject; several servers share the load. @handler as in rpc.h. Since: 0.1. */
UDS_EXPORT UDS_NODISCARD int uds_client_serve(uds_client *client,
                                              const char *subject,
                                              uds_rpc_handler_fn handler,
                                              uds_ack_fn on_ack,
                                              void *arg,
                                              uint64_t *ret_id);
UDS_EXPORT int uds_client_unsubscribe(uds_client *client, uint64_t id);

struct uds_publish {
    size_t size;
    const char *subject; /* no wildcards */
    const void *body;
    size_t body_len;
    const int *fds; /* duplicated */
    size_t nfds;
    const char *const *headers; /* NULL or name, value, name, value, …, NULL */
};
#define UDS_PUBLISH_INIT                   \
    {                                      \
        .size = sizeof(struct uds_publish) \
    }
/** uds_client_publish() - @on_ack NULL = fire and forget; else it is called once: OK means every matching subscriber's queue has it. Since: 0.1. */
UDS_EXPORT UDS_NODISCARD int uds_client_publish(uds_client *client,
                                                const struct uds_publish *publish,
                                                uds_ack_fn on_ack,
                                                void *arg);
/** uds_client_publish_wait() - confirmed and blocking. Returns 0 and the broker's answer. @ret_detail: caller's buffer of @size bytes, may be NULL. Since: 0.1. */
UDS_EXPORT UDS_NODISCARD int uds_client_publish_wait(uds_client *client,
                                                     const struct uds_publish *publish,
                                                     int timeout_ms,
                                                     uint32_t *ret_status,
                                                     char *ret_detail,
                                                     size_t size);

/** uds_client_request() / _wait() - call a subject; as uds_rpc_request() and uds_rpc_request_wait(), request->subject required. Since: 0.1. */
UDS_EXPORT UDS_NODISCARD int uds_client_request(uds_client *client,
                                                const struct uds_rpc_request *request,
                                                uds_rpc_reply_fn on_reply,
                                                void *arg,
                                                uint64_t *ret_id);
UDS_EXPORT UDS_NODISCARD int uds_client_request_wait(uds_client *client,
                                                     const struct uds_rpc_request *request,
                                                     struct uds_rpc_reply *ret_reply);
UDS_EXPORT int uds_client_cancel(uds_client *client, uint64_t id);

/** uds_subject_is_valid() - NATS rules: tokens non-empty, printable ASCII without space, 255 bytes at most; wildcards only if @allow_wildcards. Since: 0.1. */
UDS_EXPORT bool uds_subject_is_valid(const char *subject, size_t len, bool allow_wildcards);
/** uds_subject_matches() - does @pattern match @subject? '>' and '*' as first token never match "$…" subjects. Since: 0.1. */
UDS_EXPORT bool uds_subject_matches(const char *pattern, const char *subject);

UDS_END_DECLS

#endif
