/* SPDX-License-Identifier: MIT */
/*
 * Calls. A request goes to exactly one server and ends exactly once: by the server's reply, or by a status of ours.
 *
 *            ┌─ a server is there ───────────────▶ SENT ── reply, deadline ──▶ ended
 *   request ─┤                                      │ server gone
 *            ├─ one is on its way ─▶ HELD ──▶ SENT  └─▶ LOST ── cause known, or patience over ──▶ ended
 *            └─ none ─▶ ended (no responders)
 *
 * A server's death is never guessed at: if it was a sandbox, the call waits (2 s at most) for the supervisor to say what
 * happened.
 *
 * Invariants: caller is never NULL; in caller->calls and caller->made always; SENT: in callee->answering; HELD, LOST: in
 * router->parked.
 *
 * Here a call begins, changes its state and ends. Requests come in request.c, those that wait for a sandbox are held in
 * held.c; replies are in reply.c, replies in parts in stream.c, the way into the next process in call-state.c.
 */
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include <uds/error.h>

#include "call-internal.h"
#include "peer.h"
#include "router.h"
#include "sandbox.h"
#include "send.h"
#include "sub.h"
#include "waiting.h"

#define CAUSE_USEC 2000000u /* for the supervisor's word about a dead one */

static void on_timer(evutil_socket_t fd, short what, void *arg);

void call_arm(struct call *call)
{
    uint64_t until = call->deadline_usec, now = router_now_usec();
    if (call->state != CALL_SENT && (until == 0 || call->patience_usec < until))
        until = call->patience_usec;
    if (until == 0) {
        event_del(&call->timer);
        return;
    }
    uint64_t left = until > now ? until - now : 0;
    struct timeval tv = {(time_t)(left / 1000000), (suseconds_t)(left % 1000000)};
    event_add(&call->timer, &tv);
}

/* Makes a call of nobody's yet. */
struct call *call_new(struct peer *caller, uint64_t caller_id, uint64_t id)
{
    struct call *call = calloc(1, sizeof(*call));
    if (call == NULL)
        return NULL;
    call->router = caller->router;
    call->id = id;
    call->caller = caller;
    call->caller_id = caller_id;
    if (table_put(&caller->calls, caller_id, call) < 0) {
        free(call);
        return NULL;
    }
    if (table_put(&call->router->calls, id, call) < 0) {
        table_take(&caller->calls, caller_id);
        free(call);
        return NULL;
    }
    TAILQ_INSERT_TAIL(&caller->made, call, by_caller);
    event_assign(&call->timer, call->router->base, -1, 0, on_timer, call);
    return call;
}

void call_detach(struct call *call)
{
    if (call->callee != NULL)
        TAILQ_REMOVE(&call->callee->answering, call, by_callee);
    else if (call->patience_usec != 0)
        TAILQ_REMOVE(&call->router->parked, call, by_router);
    if (call->sub != NULL)
        call->sub->pending--;
    if (call->state == CALL_HELD && call->patience_usec != 0) {
        struct sandbox *sandbox = sandbox_get(call->router, call->sandbox_id);
        if (sandbox != NULL && sandbox->held > 0)
            sandbox->held--;
    }
    call->callee = NULL;
    call->sub = NULL;
    call->patience_usec = 0;
    call->msg = uds_msg_unref(call->msg);
    charge_release(&call->held_bytes);
    charge_release(&call->held_fds);
}

void call_end(struct call *call)
{
    call_detach(call);
    event_del(&call->timer);
    TAILQ_REMOVE(&call->caller->made, call, by_caller);
    table_take(&call->caller->calls, call->caller_id);
    table_take(&call->router->calls, call->id);
    charge_release(&call->charge);
    free(call);
}

/* Ends the call with a status of ours. */
void call_fail(
    struct call *call, uint32_t status, uint64_t value, const char *detail, const char *rule)
{
    struct peer *caller = call->caller;
    uint64_t id = call->caller_id;
    if (call->streaming)
        waiting_drop_parts(caller, id);
    call_end(call);
    peer_reply(caller, id, status, value, detail, rule);
}

void call_explain(struct call *call)
{
    char detail[512];
    uint64_t value = 0;
    struct sandbox *sandbox = sandbox_get(call->router, call->sandbox_id);
    uint32_t status = sandbox_explain_end(sandbox, &value, detail, sizeof(detail));
    call_fail(call, status, value, detail, NULL);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct call *call = arg;
    char detail[256];
    struct sandbox *sandbox = sandbox_get(call->router, call->sandbox_id);
    const char *name = sandbox != NULL ? sandbox->info->name : "the callee";
    uint64_t now = router_now_usec();
    if (call->state == CALL_LOST && now >= call->patience_usec) {
        snprintf(detail, sizeof(detail), "%s: its connection ended and nobody knows why", name);
        call_fail(call, UDS_STATUS_CALLEE_LOST, 0, detail, NULL);
    } else if (call->deadline_usec != 0 && now >= call->deadline_usec) {
        if (call->state == CALL_SENT)
            peer_cancel(call->callee, call->id);
        call_fail(call, UDS_STATUS_DEADLINE, 0, "the time that the caller gave is over", NULL);
    } else if (call->state == CALL_HELD && now >= call->patience_usec) {
        snprintf(detail, sizeof(detail), "%s: is %s and does not serve yet", name,
                 sandbox != NULL ? sandbox_state_name(sandbox->info->state) : "gone");
        call_fail(call, UDS_STATUS_UNAVAILABLE, 0, detail, NULL);
    } else {
        call_arm(call); /* the clock of the loop is coarser than ours */
    }
}

void call_park(struct call *call, enum call_state state, uint64_t patience_usec)
{
    call->state = state;
    call->patience_usec = router_now_usec() + patience_usec;
    TAILQ_INSERT_TAIL(&call->router->parked, call, by_router);
    call_arm(call);
}

void call_on_cancel(struct peer *peer, uds_msg *msg)
{
    struct call *call = table_get(&peer->calls, uds_msg_get_id(msg));
    if (call == NULL)
        return; /* it crossed the reply */
    if (call->state == CALL_SENT)
        peer_cancel(call->callee, call->id);
    if (call->streaming)
        waiting_drop_parts(peer, call->caller_id);
    call_end(call);
}

/* The callee's link is gone. */
static void call_callee_lost(struct call *call, struct peer *callee)
{
    char detail[160];
    const struct identity *identity = &callee->identity;
    struct sandbox *sandbox =
        identity->is_sandbox ? sandbox_get(call->router, identity->sandbox_id) : NULL;
    if (sandbox == NULL) {
        snprintf(detail, sizeof(detail), "%s: its connection ended", identity->name);
        call_fail(call, UDS_STATUS_CALLEE_LOST, 0, detail, NULL);
        return;
    }
    call_detach(call);
    call->sandbox_id = identity->sandbox_id;
    call->generation = identity->generation;
    call_park(call, CALL_LOST, CAUSE_USEC);
    if (sandbox_knows_end(sandbox, call->generation))
        call_explain(call);
}

void call_peer_lost(struct peer *peer)
{
    struct call *call;
    while ((call = TAILQ_FIRST(&peer->made)) != NULL) {
        if (call->state == CALL_SENT)
            peer_cancel(call->callee, call->id);
        call_end(call);
    }
    while ((call = TAILQ_FIRST(&peer->answering)) != NULL)
        call_callee_lost(call, peer);
}

void call_sub_ended(struct sub *sub)
{
    struct call *call;
    if (sub->pending == 0)
        return;
    TAILQ_FOREACH(call, &sub->peer->answering, by_callee)
    {
        if (call->sub == sub)
            call->sub = NULL;
    }
}

void call_free_all(struct router *router)
{
    struct call *call;
    for (size_t pos = 0; (call = table_next(&router->calls, &pos)) != NULL;)
        call_end(call);
}
