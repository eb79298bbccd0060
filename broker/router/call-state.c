/* SPDX-License-Identifier: MIT */
/* Calls on their way into the next router: both ends are named by id, charges are taken again. */
#include <errno.h>

#include "call-internal.h"
#include "message.h"
#include "peer.h"
#include "router.h"
#include "sandbox.h"
#include "sub.h"

void call_serialise(const struct call *call, uds_snapshot *s)
{
    uds_snapshot_put_u64(s, call->id);
    uds_snapshot_put_u32(s, call->state);
    uds_snapshot_put_u64(s, call->caller->id);
    uds_snapshot_put_u64(s, call->caller_id);
    uds_snapshot_put_u64(s, call->callee != NULL ? call->callee->id : 0);
    uds_snapshot_put_u64(s, call->sub != NULL ? call->sub->id : 0);
    uds_snapshot_put_u32(s, call->sandbox_id);
    uds_snapshot_put_u32(s, call->generation);
    uds_snapshot_put_u64(s, call->deadline_usec);
    uds_snapshot_put_u64(s, call->patience_usec);
    uds_snapshot_put_u32(s, call->streaming);
    uds_snapshot_put_u32(s, call->credit);
    uds_snapshot_put_u32(s, call->told);
    message_serialise(call->msg, s);
}

/* Back into the state that it was in. */
static int reattach(struct call *call, struct peer *callee, uint64_t sub_id, uint64_t patience)
{
    struct sandbox *sandbox = sandbox_get(call->router, call->sandbox_id);
    if (call->state == CALL_SENT) {
        if (callee == NULL)
            return -EBADMSG;
        call->callee = callee;
        TAILQ_INSERT_TAIL(&callee->answering, call, by_callee);
        call->sub = table_get(&callee->subs, sub_id);
        if (call->sub != NULL)
            call->sub->pending++;
    } else {
        if (sandbox == NULL || (call->state == CALL_HELD && call->msg == NULL))
            return -EBADMSG;
        if (call->state == CALL_HELD) {
            (void)call_charge_message(call, call->msg, true);
            sandbox->held++;
        }
        call->patience_usec = patience;
        TAILQ_INSERT_TAIL(&call->router->parked, call, by_router);
    }
    if (call->deadline_usec != 0 || call->state != CALL_SENT)
        call_arm(call);
    return 0;
}

int call_restore(struct router *router, uds_snapshot *s)
{
    uint64_t id = uds_snapshot_get_u64(s);
    uint32_t state = uds_snapshot_get_u32(s);
    struct peer *caller = table_get(&router->peers, uds_snapshot_get_u64(s));
    uint64_t caller_id = uds_snapshot_get_u64(s);
    struct peer *callee = table_get(&router->peers, uds_snapshot_get_u64(s));
    uint64_t sub_id = uds_snapshot_get_u64(s);
    if (caller == NULL || state > CALL_LOST || uds_snapshot_error(s) < 0)
        return -EBADMSG;
    struct call *call = call_new(caller, caller_id, id);
    if (call == NULL)
        return -ENOMEM;
    charge_force(&call->charge, caller->account, QUOTA_PENDING_CALLS, 1);
    call->state = (enum call_state)state;
    call->sandbox_id = uds_snapshot_get_u32(s);
    call->generation = uds_snapshot_get_u32(s);
    call->deadline_usec = uds_snapshot_get_u64(s);
    uint64_t patience = uds_snapshot_get_u64(s);
    call->streaming = uds_snapshot_get_u32(s) != 0;
    call->credit = uds_snapshot_get_u32(s);
    call->told = uds_snapshot_get_u32(s);
    if (call->told > call->credit || call->credit > CALL_WINDOW_MAX)
        return -EBADMSG;
    int r = message_restore(&call->msg, s);
    return r < 0 ? r : reattach(call, callee, sub_id, patience);
}
