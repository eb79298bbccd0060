/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_TURN_H
#define ROUTER_TURN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uds/msg.h>

struct peer;
struct router;

/** turn_spend() - a message of @peer with that many @fds has made us do so many steps of @matching and delivering. */
void turn_spend(struct peer *peer, size_t fds, uint64_t matching);
/** turn_is_over() - has the account of @peer had its share of this turn? */
bool turn_is_over(const struct peer *peer);
/** turn_defer() - @peer's message waits for the next turn, and so does what follows it; consumes @msg. */
void turn_defer(struct peer *peer, uds_msg *msg);
/** turn_forget() - @peer is gone. */
void turn_forget(struct peer *peer);
/** turn_renew() - the end of a loop turn: shares are whole again, and who waited goes on in order. */
void turn_renew(struct router *router);

#endif
