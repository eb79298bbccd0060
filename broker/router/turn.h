/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_TURN_H
#define ROUTER_TURN_H

#include <stdbool.h>
#include <stddef.h>

#include <uds/msg.h>

struct account;
struct peer;
struct router;

/** turn_spend() - a message of @peer has made us do @steps of matching and delivering. */
void turn_spend(struct peer *peer, size_t steps);
/** turn_is_over() - has the account had its share of this turn? */
bool turn_is_over(const struct account *account);
/** turn_defer() - @peer's message waits for the next turn, and so does what follows it; consumes @msg. */
void turn_defer(struct peer *peer, uds_msg *msg);
/** turn_forget() - @peer is gone. */
void turn_forget(struct peer *peer);
/** turn_renew() - the end of a loop turn: shares are whole again, and who waited goes on in order. */
void turn_renew(struct router *router);
/** turn_clear() - the router ends. */
void turn_clear(struct router *router);

#endif
