/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_CALL_INTERNAL_H
#define ROUTER_CALL_INTERNAL_H

#include <stdbool.h>

#include "call.h"

/* Between call.c, reply.c, stream.c and call-state.c. */

#define CALL_WINDOW_MAX (1u << 20)

/** call_new() - a call of @caller under its own id and ours, in no state yet. NULL without memory. */
struct call *call_new(struct peer *caller, uint64_t caller_id, uint64_t id);
/** call_end() - out of everything, freed. */
void call_end(struct call *call);
/** call_fail() - end it with a status of ours. */
void call_fail(
    struct call *call, uint32_t status, uint64_t value, const char *detail, const char *rule);
/** call_arm() - set the timer to the nearer of the caller's deadline and our patience. */
void call_arm(struct call *call);
/** call_answered_by() - the call that @peer answers; NULL if there is none: it was cancelled, timed out, or answered before. */
struct call *call_answered_by(struct peer *peer, uint64_t id);
/** call_charge_message() - a message that is held stands on the caller's account. 0, -EDQUOT unless @force. */
int call_charge_message(struct call *call, const uds_msg *msg, bool force);

#endif
