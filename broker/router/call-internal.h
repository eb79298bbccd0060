/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_CALL_INTERNAL_H
#define ROUTER_CALL_INTERNAL_H

#include <stdbool.h>

#include "call.h"

/* Between call.c, request.c, held.c, reply.c, stream.c and call-state.c. */

struct head;
struct sandbox;

#define CALL_REQUEST_FIELDS                                                          \
    (1u << UDS_FIELD_SUBJECT | 1u << UDS_FIELD_METHOD | 1u << UDS_FIELD_TIMEOUT_MS | \
     1u << UDS_FIELD_HEADER | 1u << UDS_FIELD_WINDOW)
#define CALL_NO_STREAMS "whoever serves this knows no streaming replies"

#define CALL_WINDOW_MAX (1u << 20)

/** call_new() - a call of @caller under its own id and ours, in no state yet. NULL without memory. */
struct call *call_new(struct peer *caller, uint64_t caller_id, uint64_t id);
/** call_detach() - out of the state that it is in: no server, no line. */
void call_detach(struct call *call);
/** call_park() - HELD or LOST: it waits so long at most. */
void call_park(struct call *call, enum call_state state, uint64_t patience_usec);
/** call_end() - out of everything, freed. */
void call_end(struct call *call);
/** call_fail() - end it with a status of ours. */
void call_fail(
    struct call *call, uint32_t status, uint64_t value, const char *detail, const char *rule);
/** call_explain() - end it with how the sandbox that served it ended. */
void call_explain(struct call *call);
/** call_arm() - set the timer to the nearer of the caller's deadline and our patience. */
void call_arm(struct call *call);

/** call_find_server() - who shall have it; NULL nobody. @ret_unable: somebody, if only it knew streams. */
struct sub *
call_find_server(struct router *router, const char *subject, bool streaming, bool *ret_unable);
/** call_send() - to a server: SENT, or failed. */
void call_send(struct call *call, struct sub *sub, const struct head *head, uds_msg *msg);
/** call_hold() - until @sandbox serves: HELD, or failed. */
void call_hold(struct call *call, struct sandbox *sandbox, uds_msg *msg);

/** call_answered_by() - the call that @peer answers; NULL if there is none: it was cancelled, timed out, or answered before. */
struct call *call_answered_by(struct peer *peer, uint64_t id);
/** call_charge_message() - a message that is held stands on the caller's account. 0, -EDQUOT unless @force. */
int call_charge_message(struct call *call, const uds_msg *msg, bool force);

#endif
