/* SPDX-License-Identifier: MIT */
#ifndef UDSI_RPC_RPC_H
#define UDSI_RPC_RPC_H

#include <stdbool.h>
#include <stdint.h>

#include <uds/error.h>
#include <uds/rpc.h>

#include "rpc/answer.h"
#include "rpc/deadline.h"
#include "rpc/hash.h"

#define UDSI_FIELD_SUBSCRIPTION \
    0x8001 /* u64, broker → server: the serve subscription that a REQUEST goes to */

/* A call that we made and wait for. */
struct udsi_pending {
    struct udsi_deadline deadline; /* first: the heap hands out this */
    uint64_t id;
    uds_rpc_reply_fn on_reply;
    void *arg;
    UT_hash_handle hh;
};

/*
 * I1  conn is NULL exactly from uds_rpc_free() on
 * I2  every entry of pending with a deadline is in deadlines, and nothing else is
 * I3  every entry of calls points back to us; a call that is in no rpc has call->rpc == NULL
 */
struct uds_rpc {
    unsigned refs; /* the owner's and one for each function that runs callbacks */
    uds_conn *conn;
    bool closed;
    int close_error;
    uint64_t next_id;
    struct udsi_pending *pending;
    struct udsi_deadlines deadlines;
    uds_rpc_call *calls;
    size_t max_calls;
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

/* call.c: what comes in. Both borrow @msg. */
void udsi_call_receive(uds_rpc *rpc, uds_msg *msg);
void udsi_call_cancel(uds_rpc *rpc, uint64_t id);

/* call.c: the connection is over or the rpc goes away: answers to these calls will be discarded. */
void udsi_call_detach_all(uds_rpc *rpc);

#endif
