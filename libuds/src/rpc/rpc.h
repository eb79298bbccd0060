/* SPDX-License-Identifier: MIT */
#ifndef UDSI_RPC_RPC_H
#define UDSI_RPC_RPC_H

#include <stdbool.h>
#include <stdint.h>

#include <sys/queue.h>

#include <uds/error.h>
#include <uds/rpc.h>

#include "conn/conn.h"
#include "rpc/answer.h"
#include "rpc/deadline.h"
#include "rpc/ids.h"

/* Headers of one answer: beside them there must be room for the status, the value and the detail. */
#define UDSI_HEADERS_MAX (7u << 10)

#define UDSI_FIELD_SUBSCRIPTION \
    0x8001 /* u64, broker → server: the serve subscription that a REQUEST goes to */

/* A call that we made and wait for. */
struct udsi_pending {
    struct udsi_id id; /* first: the table hands out this */
    struct udsi_deadline deadline;
    uds_rpc_reply_fn on_reply;
    void *arg;

    uds_rpc_part_fn on_part; /* NULL: one reply, no stream */
    bool by_hand;            /* the application grants */
    uint32_t window;         /* what it began with */
    uint32_t credit;         /* PARTs that may still come */
    uint32_t owed;           /* PARTs that were handled and not granted again yet */
};

/* An incoming call. */
struct uds_rpc_call {
    struct udsi_id id; /* first, as above */
    uds_rpc *rpc;      /* NULL: nobody waits for the answer any more and it is in no table */
    bool cancelled;
    bool streaming;
    bool wants_credit; /* a part found none: on_credit is due when some comes */
    bool in_line;      /* a part found our send queue full */
    uint32_t credit;
    uint64_t deadline;
    uint64_t subscription;
    uds_msg *msg;
    uds_msg *headers;  /* its head: HEADERs for what is sent next; NULL none */
    size_t bytes, fds; /* as they count against the limits */
    struct uds_rpc_call_callbacks callbacks;
    void *arg;
    char subject[UDSI_NAME_MAX + 1];
    char method[UDSI_NAME_MAX + 1];
    char sender[UDSI_NAME_MAX + 1];
    TAILQ_ENTRY(uds_rpc_call) by_line;
};

/* Memory of calls that have ended, for the next ones: a call after the other needs no allocation. */
#define UDSI_SPARE_MAX 16
struct udsi_spare {
    void *items[UDSI_SPARE_MAX];
    unsigned count;
};

/*
 * I1  conn is NULL exactly from uds_rpc_free() on
 * I2  every entry of pending with a deadline is in deadlines, and nothing else is
 * I3  every entry of calls points back to us; a call that is in no rpc has call->rpc == NULL
 * I4  call_bytes and call_fds are the sums over calls
 * I5  line holds exactly the calls that are in_line, and all of them are in calls
 */
struct uds_rpc {
    unsigned refs; /* the owner's and one for each function that runs callbacks */
    uds_conn *conn;
    bool closed;
    bool peer_finished; /* no answer of its will come any more */
    bool credit_late;   /* a CREDIT found our queue full: said when that has drained */
    int close_error;
    uint64_t next_id;
    struct udsi_ids pending;
    struct udsi_deadlines deadlines;
    struct udsi_ids calls;
    size_t call_bytes, call_fds;
    TAILQ_HEAD(, uds_rpc_call) line;
    struct uds_rpc_limits limits;
    struct udsi_spare spare_pending, spare_calls;
    uds_rpc_handler_fn handler;
    void *handler_arg;
    struct uds_conn_callbacks fallback;
    void *fallback_arg;
};

void udsi_rpc_ref(uds_rpc *rpc);
void udsi_rpc_unref(uds_rpc *rpc);

/* Ids go on over a reconnect, so that the id of an old call never names a new one. */
uint64_t udsi_rpc_get_next_id(const uds_rpc *rpc);
void udsi_rpc_set_next_id(uds_rpc *rpc, uint64_t id);

/* rpc.c: ends a call with a status of our own; @detail is static. Runs its on_reply: last. */
void udsi_rpc_end(uds_rpc *rpc,
                  struct udsi_pending *pending,
                  enum uds_status status,
                  const char *detail);
/* rpc.c: tells the callee that nobody waits any more. If that cannot be queued, its answer is ignored all the same. */
void udsi_rpc_send_cancel(uds_rpc *rpc, uint64_t id);

/* What the send queue takes: a small frame is little else than what it costs to keep it and its message. */
#define UDSI_FRAME_COST 512u
static inline size_t udsi_rpc_queued_memory(const uds_conn *conn)
{
    return conn->out.bytes + conn->out.count * UDSI_FRAME_COST;
}

/* A zeroed @size bytes, or NULL; and back. All of one spare are of one size. */
void *udsi_spare_take(struct udsi_spare *spare, size_t size);
void udsi_spare_give(struct udsi_spare *spare, void *item);

/* call.c: what comes in. Both borrow @msg. */
void udsi_call_receive(uds_rpc *rpc, uds_msg *msg);
void udsi_call_cancel(uds_rpc *rpc, uint64_t id);
/* call.c: every REQUEST ends with this at the latest. */
int udsi_call_refuse(
    uds_conn *conn, uint64_t id, uint32_t status, uint64_t value, const char *detail);
/* call.c: a message for the caller, with the headers that were added. fds are pushed: on failure they stay the application's. */
int udsi_call_send(uds_rpc_call *call,
                   enum uds_msg_type type,
                   const void *body,
                   size_t len,
                   const int *fds,
                   size_t nfds);
/* call.c: the caller wants no answer any more. Runs on_cancel, which may answer: the call may be gone afterwards. */
void udsi_call_drop(uds_rpc_call *call);
/* call.c: the connection is over or the rpc goes away: answers to these calls will be discarded. Runs callbacks. */
void udsi_call_drop_all(uds_rpc *rpc);

/* stream.c: the caller's side. Both may run callbacks: last. */
void udsi_stream_receive_part(uds_rpc *rpc, uds_msg *msg);
/* stream.c: the callee's. */
void udsi_stream_receive_credit(uds_rpc *rpc, uds_msg *msg);
/* stream.c: our send queue has drained. */
void udsi_stream_writable(uds_rpc *rpc);
void udsi_stream_leave_line(uds_rpc_call *call);
/* stream.c: is the feature in use? False as well while the peer's HELLO has not come. */
bool udsi_stream_is_known(const uds_rpc *rpc);

#endif
