/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_GREETING_H
#define ROUTER_GREETING_H

#include <stdint.h>

#define GREETING_USEC 10000000u

struct peer;
struct router;

/** greeting_expect() - @peer has connected: it is lost unless its HELLO comes in time. Not for links of the supervisor's. */
void greeting_expect(struct peer *peer);
/** greeting_forget() - it has greeted, or is gone. */
void greeting_forget(struct peer *peer);
void greeting_deinit(struct router *router);

#endif
