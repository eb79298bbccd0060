/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_PEER_H
#define ROUTER_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/queue.h>

#include <uds/conn.h>
#include <uds/event.h>
#include <uds/snapshot.h>

#include "backlog.h"
#include "fdpolicy.h"
#include "head.h"
#include "identity.h"
#include "policy.h"
#include "quota.h"
#include "sandbox.h"
#include "table.h"

struct call;
struct pending;
struct router;
struct sub;
struct waiting;

/* The last decision about one verb; subjects come in runs. */
struct peer_decision {
    uint32_t generation; /* of the policy; 0 = none */
    struct policy_decision decision;
    char subject[SUBJECT_MAX + 1];
};

/* A link: a connection, who is at its end, and everything that this made us hold. */
struct peer {
    struct router *router;
    uint64_t id;
    uds_conn *conn;
    uds_event *event;
    struct identity identity;
    struct account *account;
    struct charge charge;                           /* of the connection */
    struct charge unfinished_bytes, unfinished_fds; /* of a frame that is partly here */
    bool dead;            /* waits to be freed; nothing refers to it any more */
    bool doomed;          /* will be kicked at the end of the turn */
    uint32_t listener_id; /* 0: a launch link */
    pid_t pid;            /* attested, for listings; 0 unknown */
    struct counters counters;

    struct table subs, calls; /* by the peer's own ids */
    TAILQ_HEAD(, sub) sub_list;
    TAILQ_HEAD(, call) made, answering; /* calls of this peer, calls that it answers */

    struct backlog backlog;
    size_t
        queue_limit; /* bytes for what others send it; the rest of the queue is for our answers */
    STAILQ_HEAD(, waiting) waiting; /* forwards behind a message whose fds may not go out yet */
    uint64_t fds_out_unread; /* fds handed to the kernel since its queue was last seen empty */
    struct event *retry;     /* while something waits */

    struct pending *pending; /* NULL unless a message of this peer waits: for a copy or a turn */
    bool tired;              /* for a turn */
    TAILQ_ENTRY(peer) by_tired;

    bool stranger; /* has not greeted */
    uint64_t greeting_until;
    TAILQ_ENTRY(peer) by_greeting;

    uint32_t fds_generation, fds_send, fds_receive;
    struct peer_decision *decisions; /* [publish, call] */

    STAILQ_ENTRY(peer) next_dead, next_doomed;
    LIST_ENTRY(peer) by_account;
};

/** peer_new() - consumes @fd and @identity. -EDQUOT too many connections, -errno of uds_conn_new(). */
int peer_new(struct router *router,
             int fd,
             struct identity *identity,
             uint32_t listener_id,
             struct peer **ret);
/** peer_lose() - it is gone: its calls and subscriptions end now, it is freed at the end of the turn. */
void peer_lose(struct peer *peer);
/** peer_kick() - GOODBYE with a status, then lose it. */
void peer_kick(struct peer *peer, uint32_t status, const char *reason);
/** peer_doom() - kick it at the end of the turn, because it does not read our answers: safe in the middle of a match. */
void peer_doom(struct peer *peer);
/** peer_free() - by the router, of one that is lost or never came to life. */
struct peer *peer_free(struct peer *peer);

/** peer_decide() - may it do @verb on the plain @subject? Counts and tells denials. */
struct policy_decision peer_decide(struct peer *peer, enum policy_verb verb, const char *subject);
/** peer_count_denial() - for decisions that are made elsewhere. */
void peer_count_denial(struct peer *peer);
/** peer_total() - the counters of its sandbox over all links; NULL for host peers. */
struct counters *peer_total(struct peer *peer);
/** peer_receiver() - what the fd policy must know of it as a receiver. */
struct fdpolicy_receiver peer_receiver(struct peer *peer);
uint32_t peer_fds_send(struct peer *peer);

/** peer_dispatch() - handle one message of the peer; consumes @msg. @copies NULL: none of its fds is a copy of ours. */
void peer_dispatch(struct peer *peer, uds_msg *msg, const struct fdpolicy_copies *copies);
void peer_serialise(struct peer *peer, uds_snapshot *s);
int peer_restore(struct router *router, uds_snapshot *s);

#endif
