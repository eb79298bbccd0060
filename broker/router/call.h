/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_CALL_H
#define ROUTER_CALL_H

#include <event2/event_struct.h>
#include <stdbool.h>
#include <stdint.h>

#include <sys/queue.h>

#include <uds/msg.h>
#include <uds/snapshot.h>

#include "fdpolicy.h"
#include "quota.h"

struct peer;
struct router;
struct sub;

enum call_state {
    CALL_HELD, /* waits for a server that is on its way */
    CALL_SENT, /* a server has it */
    CALL_LOST, /* the server is gone; waits for the supervisor to say why */
};

/* A request that has not been answered. */
struct call {
    struct router *router;
    uint64_t id; /* ours, on the server's side */
    enum call_state state;
    struct peer *caller;
    uint64_t caller_id;     /* the caller's */
    struct peer *callee;    /* SENT */
    struct sub *sub;        /* SENT; NULL once the server has unsubscribed */
    uint32_t sandbox_id;    /* HELD: who is waited for; LOST: who died */
    uint32_t generation;    /* LOST */
    uds_msg *msg;           /* HELD */
    uint64_t deadline_usec; /* the caller's, 0 none */
    uint64_t patience_usec; /* HELD, LOST: ours */
    bool streaming;         /* answered in parts: stream.c */
    uint32_t credit;        /* PARTs that the caller waits for */
    uint32_t told;          /* of these, how many the callee knows of */
    struct event timer;
    struct charge charge;
    struct charge held_bytes, held_fds; /* HELD: the message that waits with it */
    TAILQ_ENTRY(call) by_caller, by_callee, by_router;
};

void call_on_request(struct peer *peer, uds_msg *msg, const struct fdpolicy_copies *copies);
void call_on_reply(struct peer *peer, uds_msg *msg, const struct fdpolicy_copies *copies);
void call_on_cancel(struct peer *peer, uds_msg *msg);
/** call_reply_refused() - the reply of callee @peer to call @id does not go on: the caller hears why, the callee too. */
void call_reply_refused(
    struct peer *peer, uint64_t id, uint32_t status, const char *detail, const char *rule);
/** stream.c: a PART on its way back, and a CREDIT on its way out. */
void call_on_part(struct peer *peer, uds_msg *msg, const struct fdpolicy_copies *copies);
void call_on_credit(struct peer *peer, uds_msg *msg);
/** call_part_refused() - a PART of callee @peer for call @id does not go on: the call ends, both hear why. */
void call_part_refused(
    struct peer *peer, uint64_t id, uint32_t status, const char *detail, const char *rule);
/** call_part_lost() - a PART that was queued for caller @peer did not go out: its call ends. */
void call_part_lost(struct peer *peer, uint64_t caller_id, uint32_t status, const char *detail);
/** call_tell_credit() - @peer can be told of credit again that its calls were given meanwhile. */
void call_tell_credit(struct peer *peer);
/** call_request_refused() - callee @peer, or rather its socket, did not take the request @id because of its descriptors. */
void call_request_refused(struct peer *peer, uint64_t id, const char *detail);
void call_peer_lost(struct peer *peer);
void call_sub_ended(struct sub *sub);
/** call_retry_parked() - a server came, or a sandbox changed: send, fail or explain what waits. */
void call_retry_parked(struct router *router);
/** call_fail_held() - the sandbox that they wait for will not come. */
void call_fail_held(struct router *router, uint32_t sandbox_id, const char *detail);
/** call_free_all() - without a word to anybody, when the router ends. */
void call_free_all(struct router *router);

void call_serialise(const struct call *call, uds_snapshot *s);
int call_restore(struct router *router, uds_snapshot *s);

#endif
