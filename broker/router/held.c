/* SPDX-License-Identifier: MIT */
/*
 * Calls that wait. While a declared sandbox is starting, its calls are held (5 s at most, no longer than the caller's
 * deadline), and tried again whenever a server comes or a sandbox changes. Those whose server died wait for the cause.
 */
#include <uds/error.h>

#include "call-internal.h"
#include "head.h"
#include "peer.h"
#include "router.h"
#include "sandbox.h"
#include "start.h"
#include "sub.h"
#include "sysevent.h"

#define HOLD_USEC 5000000u /* for a server that is starting */
#define HELD_MAX  256u     /* calls for one sandbox */

/* A message that waits with its call stands on the caller's account. */
int call_charge_message(struct call *call, const uds_msg *msg, bool force)
{
    struct account *account = call->caller->account;
    size_t bytes, fds = uds_msg_get_fd_count(msg);
    uds_msg_peek_body(msg, &bytes);
    bytes += UDS_HEAD_MAX;
    if (force) {
        charge_force(&call->held_bytes, account, QUOTA_QUEUED_BYTES, bytes);
        charge_force(&call->held_fds, account, QUOTA_QUEUED_FDS, fds);
        return 0;
    }
    int r = charge_take(&call->held_bytes, account, QUOTA_QUEUED_BYTES, bytes);
    if (r == 0)
        r = charge_take(&call->held_fds, account, QUOTA_QUEUED_FDS, fds);
    return r;
}

/* One caller may have half of the places that the others leave, so that nobody can take them all. */
static bool may_hold(const struct call *call, const struct sandbox *sandbox)
{
    const struct call *other;
    unsigned own = 0;
    TAILQ_FOREACH(other, &call->router->parked, by_router)
    {
        own += other->state == CALL_HELD && other->sandbox_id == sandbox->info->id &&
               other->caller->account == call->caller->account;
    }
    unsigned others = sandbox->held - own;
    return own < (HELD_MAX - others) / 2;
}

void call_hold(struct call *call, struct sandbox *sandbox, uds_msg *msg)
{
    if (sandbox->held >= HELD_MAX || !may_hold(call, sandbox)) {
        call_fail(call, UDS_STATUS_UNAVAILABLE, HELD_MAX, "too many calls wait for it to start",
                  NULL);
        return;
    }
    if (call_charge_message(call, msg, false) < 0) {
        sysevent_limit(call->router, call->caller->account, QUOTA_QUEUED_BYTES);
        call_fail(call, UDS_STATUS_QUOTA, 0,
                  "quota queued_bytes or queued_fds: the call would wait", NULL);
        return;
    }
    call->sandbox_id = sandbox->info->id;
    call->msg = uds_msg_ref(msg);
    sandbox->held++;
    call_park(call, CALL_HELD, HOLD_USEC);
    if (sandbox->info->state == UDS__SUPERVISOR__STATE__STOPPED)
        start_on_demand(call->router, sandbox);
}

/* One held call again: now there may be a server, or no hope of one. */
static void call_retry(struct call *call)
{
    struct head head;
    const char *problem;
    bool unable;
    uds_msg *msg = uds_msg_ref(call->msg);
    struct sandbox *sandbox = sandbox_get(call->router, call->sandbox_id);
    (void)head_parse(msg, CALL_REQUEST_FIELDS, &head, &problem); /* it was parsed before */
    struct sub *sub = call_find_server(call->router, head.subject, call->streaming, &unable);
    if (unable) {
        call_fail(call, UDS_STATUS_UNIMPLEMENTED, 0, CALL_NO_STREAMS, NULL);
    } else if (sub != NULL) {
        struct fdpolicy_receiver receiver = peer_receiver(sub->peer);
        /* Checked against the sandbox when it was held; another server may have come instead. */
        bool same =
            sub->peer->identity.is_sandbox && sub->peer->identity.sandbox_id == call->sandbox_id;
        struct fdpolicy_decision decision = {.verdict = FDPOLICY_PASS};
        if (!same && uds_msg_get_fd_count(msg) > 0)
            decision = fdpolicy_check(msg, peer_fds_send(call->caller), &receiver, NULL);
        if (decision.verdict == FDPOLICY_PASS)
            call_send(call, sub, &head, msg);
        else
            call_fail(call, UDS_STATUS_FD_REFUSED, 0, decision.detail, "fd policy");
    } else if (sandbox == NULL || sandbox->info->state == UDS__SUPERVISOR__STATE__FAILED) {
        char detail[512] = "the sandbox that serves this is gone";
        uint64_t value = 0;
        if (sandbox != NULL)
            (void)sandbox_explain_end(sandbox, &value, detail, sizeof(detail));
        call_fail(call, UDS_STATUS_UNAVAILABLE, value, detail, NULL);
    }
    uds_msg_unref(msg);
}

void call_retry_parked(struct router *router)
{
    struct call *call = TAILQ_FIRST(&router->parked);
    while (call != NULL) {
        struct call *next = TAILQ_NEXT(call, by_router);
        struct sandbox *sandbox = sandbox_get(router, call->sandbox_id);
        if (call->state == CALL_HELD)
            call_retry(call);
        else if (sandbox != NULL && sandbox_knows_end(sandbox, call->generation))
            call_explain(call);
        call = next;
    }
}

void call_fail_held(struct router *router, uint32_t sandbox_id, const char *detail)
{
    struct call *call = TAILQ_FIRST(&router->parked);
    while (call != NULL) {
        struct call *next = TAILQ_NEXT(call, by_router);
        if (call->state == CALL_HELD && call->sandbox_id == sandbox_id)
            call_fail(call, UDS_STATUS_UNAVAILABLE, 0, detail, NULL);
        call = next;
    }
}
