/* SPDX-License-Identifier: MIT */
/*
 * Turns of the loop, shared out by work instead of by messages. One message may cost as much as thousands: it is matched
 * against every pattern that begins like it and goes to all who want it, and who subscribes and who publishes may be the
 * same peer. So what a message costs beyond the ordinary is added up for its account (all connections of a sandbox or
 * uid), and an account that has had its share waits for the next turn while the others are served.
 *
 *   peer:  none ── a message comes, and the account's share is used up ──▶ tired ── its turn comes ──▶ none
 *
 * The message that found the share used up stands in the peer's line (pending.c), and its connection is not read.
 *
 * Invariants: an account is in router->busy exactly while its steps are not 0, and held by it; a peer is in router->tired
 * exactly while it is marked so. While either list has members, the end of the turn is due.
 */
#include "turn.h"

#include "peer.h"
#include "pending.h"
#include "quota.h"
#include "router.h"

#define ORDINARY 32u    /* steps of a message that nobody counts */
#define SHARE    16384u /* steps of one account in one turn: a few milliseconds at most */

void turn_spend(struct peer *peer, size_t steps)
{
    struct account *account = peer->account;
    if (steps <= ORDINARY)
        return;
    if (account->steps == 0) {
        (void)account_ref(account);
        LIST_INSERT_HEAD(&peer->router->busy, account, by_busy);
        router_end_turn(peer->router);
    }
    account->steps += steps;
}

bool turn_is_over(const struct account *account)
{
    return account->steps >= SHARE;
}

void turn_defer(struct peer *peer, uds_msg *msg)
{
    if (!peer->tired) {
        peer->tired = true;
        TAILQ_INSERT_TAIL(&peer->router->tired, peer, by_tired);
    }
    pending_hold(peer, msg);
}

void turn_forget(struct peer *peer)
{
    if (!peer->tired)
        return;
    peer->tired = false;
    TAILQ_REMOVE(&peer->router->tired, peer, by_tired);
}

void turn_clear(struct router *router)
{
    struct account *account;
    while ((account = LIST_FIRST(&router->busy)) != NULL) {
        LIST_REMOVE(account, by_busy);
        account->steps = 0;
        account_unref(account);
    }
}

void turn_renew(struct router *router)
{
    struct peer *peer, *last = TAILQ_LAST(&router->tired, peer_list), *next;
    turn_clear(router);
    for (peer = TAILQ_FIRST(&router->tired); peer != NULL; peer = next) {
        next = peer != last ? TAILQ_NEXT(peer, by_tired) : NULL;
        if (turn_is_over(peer->account))
            continue; /* a sibling has used it up again */
        turn_forget(peer);
        pending_run(peer);
    }
    if (!TAILQ_EMPTY(&router->tired))
        router_end_turn(router);
}
