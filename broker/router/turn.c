/* SPDX-License-Identifier: MIT */
/*
 * Turns of the loop, shared out by work and by account (all connections of a sandbox or uid): who opens a thousand
 * connections, or sends messages of which each costs as much as thousands, takes no more of a turn than anybody else.
 * What a message costs is a few steps for itself and its descriptors, and one for each node and receiver that it was
 * matched against. An account that has had its share waits for the next turn while the others are served.
 *
 *   peer:  none ── a message comes, and the account's share is used up ──▶ tired ── its turn comes ──▶ none
 *
 * The message that found the share used up stands in the peer's line (pending.c), and its connection is not read. While
 * an account has tired peers, all that its other connections bring waits behind those.
 *
 * Shares begin anew at the end of the turn, if somebody has used enough to call for it, or when libevent's time has gone
 * on (by its coarse clock, some milliseconds): a broker that is not overloaded sets no timer for this.
 *
 * Invariants: a peer is in router->tired exactly while it is marked so, and account->tired counts those of the account.
 * While the list has members, the end of the turn is due.
 */
#include "turn.h"

#include <event2/event.h>

#include "peer.h"
#include "pending.h"
#include "quota.h"
#include "router.h"

#define MESSAGE_STEPS 4u     /* to receive a message, parse it and answer */
#define FD_STEPS      128u   /* to find out what a descriptor is, and to close it */
#define SHARE         16384u /* of one account in one turn: a few milliseconds at most */

/* Another number when either has gone on. */
static uint64_t this_turn(const struct router *router)
{
    struct timeval tv;
    event_base_gettimeofday_cached(router->base, &tv);
    return (uint64_t)tv.tv_sec * 1000000 + (uint64_t)tv.tv_usec + router->turns;
}

static bool has_had_its_share(struct account *account, const struct router *router)
{
    uint64_t turn = this_turn(router);
    if (account->turn != turn) {
        account->turn = turn;
        account->steps = 0;
    }
    return account->steps >= SHARE;
}

void turn_spend(struct peer *peer, size_t fds, uint64_t matching)
{
    peer->account->steps += MESSAGE_STEPS + fds * FD_STEPS + matching;
    if (peer->account->steps >= SHARE / 4)
        router_end_turn(peer->router);
}

bool turn_is_over(const struct peer *peer)
{
    return peer->account->tired > 0 || has_had_its_share(peer->account, peer->router);
}

void turn_defer(struct peer *peer, uds_msg *msg)
{
    if (!peer->tired) {
        peer->tired = true;
        peer->account->tired++;
        TAILQ_INSERT_TAIL(&peer->router->tired, peer, by_tired);
        router_end_turn(peer->router);
    }
    /* It is whole now, and charged as such: not twice, or who is heard last would be cut off for it. */
    charge_release(&peer->unfinished_bytes);
    pending_hold(peer, msg);
}

void turn_forget(struct peer *peer)
{
    if (!peer->tired)
        return;
    peer->tired = false;
    peer->account->tired--;
    TAILQ_REMOVE(&peer->router->tired, peer, by_tired);
}

void turn_renew(struct router *router)
{
    struct peer *peer, *last = TAILQ_LAST(&router->tired, peer_list), *next;
    router->turns++;
    for (peer = TAILQ_FIRST(&router->tired); peer != NULL; peer = next) {
        next = peer != last ? TAILQ_NEXT(peer, by_tired) : NULL;
        if (has_had_its_share(peer->account, router))
            continue; /* siblings have used it up again */
        turn_forget(peer);
        pending_run(peer);
    }
    if (!TAILQ_EMPTY(&router->tired))
        router_end_turn(router);
}
