/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_SUB_H
#define ROUTER_SUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/queue.h>

#include <uds/msg.h>
#include <uds/snapshot.h>

#include "head.h"
#include "quota.h"
#include "route.h"

struct account;
struct group;
struct peer;
struct router;

#define SUB_MODE_SERVE 1u

/* A subscription: for deliveries, or to serve requests. */
struct sub {
    struct route_entry entry; /* first: what the tree hands back */
    struct peer *peer;
    uint64_t id; /* the peer's */
    bool serve;
    bool filtered; /* a deny cuts into the pattern: each subject is checked again */
    bool dropping; /* the last delivery was dropped, and a NOTICE said so */
    unsigned pending;
    uint64_t turn; /* when it was last chosen */
    uint64_t sequence, delivered, dropped, dropped_told;
    struct group *group; /* NULL: none */
    struct charge charge;
    TAILQ_ENTRY(sub) by_peer;
    char pattern[];
};

void sub_on_subscribe(struct peer *peer, uds_msg *msg);
void sub_on_unsubscribe(struct peer *peer, uds_msg *msg);
void sub_end_all(struct peer *peer);
/** sub_may_have() - the policy's word about one subject, for subscriptions that a deny cuts into. */
bool sub_may_have(struct sub *sub, const char *subject);
/** sub_deliver() - one DELIVER; @head is the common part and is left as it was. As peer_forward(). */
int sub_deliver(struct sub *sub,
                struct account *sender,
                struct head_out *head,
                uds_msg *payload,
                bool with_fds);
/** sub_lost() - a delivery to subscription @id of @peer that was queued did not go out: it counts as dropped. */
void sub_lost(struct peer *peer, uint64_t id);
/** sub_tell_drops() - NOTICE every count of drops that the peer does not know yet. */
void sub_tell_drops(struct peer *peer);
/** sub_revoke() - after a new policy: end what is no longer granted, with a NOTICE. */
void sub_revoke(struct router *router);

/** sub_collect() - the receivers of a subject into router->matched: every single one, one of each queue group. */
void sub_collect(struct router *router, const char *subject);

const char *sub_queue_name(const struct sub *sub);
void sub_serialise(const struct sub *sub, uds_snapshot *s);
int sub_restore(struct router *router, uds_snapshot *s);

#endif
