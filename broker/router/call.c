/* SPDX-License-Identifier: MIT */
/*
 * Calls. A request goes to exactly one server and ends exactly once: by the server's reply, or by a status of ours.
 *
 *            ┌─ a server is there ───────────────▶ SENT ── reply, deadline ──▶ ended
 *   request ─┤                                      │ server gone
 *            ├─ one is on its way ─▶ HELD ──▶ SENT  └─▶ LOST ── cause known, or patience over ──▶ ended
 *            └─ none ─▶ ended (no responders)
 *
 * Of several servers the one with the fewest open calls gets it, of equals the one whose turn was longest ago.
 *
 * A server's death is never guessed at: if it was a sandbox, the call waits (2 s at most) for the supervisor to say what
 * happened. While a declared sandbox is starting, its calls wait (5 s at most, no longer than the caller's deadline).
 *
 * Invariants: caller is never NULL; in caller->calls and caller->made always; SENT: in callee->answering; HELD, LOST: in
 * router->parked.
 *
 * Replies are in reply.c, replies in parts in stream.c, the way into the next process in call-state.c.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uds/client.h>
#include <uds/error.h>

#include "admin.h"
#include "call-internal.h"
#include "head.h"
#include "peer.h"
#include "publish.h"
#include "router.h"
#include "sandbox.h"
#include "send.h"
#include "start.h"
#include "sub.h"
#include "sysevent.h"
#include "waiting.h"

#define REQUEST_FIELDS                                                               \
    (1u << UDS_FIELD_SUBJECT | 1u << UDS_FIELD_METHOD | 1u << UDS_FIELD_TIMEOUT_MS | \
     1u << UDS_FIELD_HEADER | 1u << UDS_FIELD_WINDOW)
#define HOLD_USEC  5000000u /* for a server that is starting */
#define CAUSE_USEC 2000000u /* for the supervisor's word about a dead one */
#define NO_STREAMS "whoever serves this knows no streaming replies"
#define HELD_MAX   256u /* calls for one sandbox */

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

/* Out of the state that it is in: no server, no line. */
static void call_detach(struct call *call)
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

static void call_explain(struct call *call)
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

struct choice {
    const char *subject;
    bool streaming;
    bool unable; /* one was passed over because it knows no streams */
    struct sub *best;
};

static bool knows_streams(const struct peer *peer)
{
    return (uds_conn_get_features(peer->conn) & UDS_FEATURE_STREAMING) != 0;
}

static void choose(struct route_entry *entry, void *arg)
{
    struct choice *choice = arg;
    struct sub *sub = (struct sub *)entry, *best = choice->best;
    if (sub->peer->doomed || !sub_may_have(sub, choice->subject))
        return;
    if (choice->streaming && !knows_streams(sub->peer)) {
        choice->unable = true;
        return;
    }
    if (best != NULL) {
        bool full = peer_is_full(sub->peer), best_full = peer_is_full(best->peer);
        if (full != best_full) {
            if (full)
                return;
        } else if (sub->pending > best->pending ||
                   (sub->pending == best->pending && sub->turn > best->turn)) {
            return;
        }
    }
    choice->best = sub;
}

static struct sub *
find_server(struct router *router, const char *subject, bool streaming, bool *ret_unable)
{
    struct choice choice = {.subject = subject, .streaming = streaming};
    router->steps += route_match(router->served, subject, choose, &choice);
    *ret_unable = choice.unable && choice.best == NULL;
    return choice.best;
}

/* The request as the server gets it. */
static void request_head(struct head_out *out,
                         const struct call *call,
                         const struct sub *sub,
                         const struct head *head,
                         const uds_msg *msg)
{
    head_begin(out);
    head_string(out, UDS_FIELD_SUBJECT, head->subject);
    head_string(out, UDS_FIELD_METHOD, head->method);
    if (call->deadline_usec != 0) {
        uint64_t now = router_now_usec();
        uint64_t left = call->deadline_usec > now ? (call->deadline_usec - now + 999) / 1000 : 0;
        head_u32(out, UDS_FIELD_TIMEOUT_MS, left < UINT32_MAX ? (uint32_t)left : UINT32_MAX);
    }
    if (call->streaming)
        head_u32(out, UDS_FIELD_WINDOW, call->credit);
    head_string(out, UDS_FIELD_SENDER, call->caller->identity.name);
    head_u64(out, HEAD_FIELD_SUBSCRIPTION, sub->id);
    head_headers(out, msg);
}

static void call_send(struct call *call, struct sub *sub, const struct head *head, uds_msg *msg)
{
    struct head_out out;
    const char *detail;
    request_head(&out, call, sub, head, msg);
    if (out.overflow) {
        call_fail(call, UDS_STATUS_TOO_LARGE, 0, "no room in the head for the sender", NULL);
        return;
    }
    int r = peer_forward(sub->peer, call->caller->account, UDS_MSG_REQUEST, call->id, &out, msg,
                         uds_msg_get_fd_count(msg) > 0);
    if (r < 0) {
        uint32_t status = send_status(r, &detail);
        call_fail(call, status, 0, detail, NULL);
        return;
    }
    call_detach(call);
    call->state = CALL_SENT;
    call->told = call->credit;
    call->callee = sub->peer;
    call->sub = sub;
    sub->pending++;
    sub->delivered++;
    sub->turn = ++call->router->turn;
    TAILQ_INSERT_TAIL(&sub->peer->answering, call, by_callee);
    if (call->deadline_usec != 0)
        call_arm(call);
}

static void call_park(struct call *call, enum call_state state, uint64_t patience_usec)
{
    call->state = state;
    call->patience_usec = router_now_usec() + patience_usec;
    TAILQ_INSERT_TAIL(&call->router->parked, call, by_router);
    call_arm(call);
}

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

static void call_hold(struct call *call, struct sandbox *sandbox, uds_msg *msg)
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

/* Policy, rate and form of a request; 1 go on, 0 answered. */
static int admit(struct peer *peer, uds_msg *msg, struct head *head)
{
    const char *problem;
    uint64_t id = uds_msg_get_id(msg);
    if (id == 0 || table_get(&peer->calls, id) != NULL) {
        peer_kick(peer, UDS_STATUS_BAD_REQUEST,
                  "a request needs an id that is not 0 and not in use");
        return 0;
    }
    if (head_parse(msg, REQUEST_FIELDS, head, &problem) < 0) {
        peer_reply(peer, id, UDS_STATUS_BAD_REQUEST, 0, problem, NULL);
        return 0;
    }
    if (!uds_subject_is_valid(head->subject, strlen(head->subject), false)) {
        peer_reply(peer, id, UDS_STATUS_BAD_REQUEST, 0, "the subject is not valid", NULL);
        return 0;
    }
    if (head->has_window && (head->window > CALL_WINDOW_MAX || !knows_streams(peer))) {
        peer_reply(peer, id, UDS_STATUS_BAD_REQUEST, 0,
                   "a WINDOW over 1048576, or without streaming in both HELLOs", NULL);
        return 0;
    }
    if (!account_spend(peer->account, router_now_usec())) {
        sysevent_rate(peer->router, peer->account);
        peer_reply(peer, id, UDS_STATUS_QUOTA, peer->router->quota.rate,
                   "quota messages_per_second", NULL);
        return 0;
    }
    if (strcmp(head->subject, ADMIN_SUBJECT) == 0) {
        admin_on_request(peer, msg, head);
        return 0;
    }
    struct policy_decision decision = peer_decide(peer, POLICY_CALL, head->subject);
    if (!decision.allowed) {
        peer_reply(peer, id, UDS_STATUS_DENIED, 0, "may not call this subject", decision.rule);
        return 0;
    }
    return 1;
}

/* The call object with its charge; NULL: answered. */
static struct call *make(struct peer *peer, uint64_t id, const struct head *head)
{
    struct charge charge;
    if (charge_take(&charge, peer->account, QUOTA_PENDING_CALLS, 1) < 0) {
        sysevent_limit(peer->router, peer->account, QUOTA_PENDING_CALLS);
        peer_reply(peer, id, UDS_STATUS_QUOTA, quota_limit(peer->account, QUOTA_PENDING_CALLS),
                   "quota pending_calls", NULL);
        return NULL;
    }
    struct call *call = call_new(peer, id, ++peer->router->next_call);
    if (call == NULL) {
        charge_release(&charge);
        peer_reply(peer, id, UDS_STATUS_UNAVAILABLE, 0, "the broker is out of memory", NULL);
        return NULL;
    }
    call->charge = charge;
    call->streaming = head->has_window;
    call->credit = head->window;
    if (head->has_timeout)
        call->deadline_usec = router_now_usec() + (uint64_t)head->timeout_ms * 1000;
    return call;
}

void call_on_request(struct peer *peer, uds_msg *msg, const struct fdpolicy_copies *copies)
{
    struct router *router = peer->router;
    struct sandbox *sandbox = NULL;
    struct head head;
    uint64_t id = uds_msg_get_id(msg);
    if (admit(peer, msg, &head) == 0)
        return;
    bool unable;
    struct sub *sub = find_server(router, head.subject, head.has_window, &unable);
    if (unable) {
        peer_reply(peer, id, UDS_STATUS_UNIMPLEMENTED, 0, NO_STREAMS, NULL);
        return;
    }
    if (sub == NULL)
        sandbox = sandbox_find_server(router, head.subject, router_now_usec());
    if (sub == NULL && sandbox == NULL) {
        peer_reply(peer, id, UDS_STATUS_NO_RESPONDERS, 0, "nobody serves this subject", NULL);
        return;
    }
    struct fdpolicy_receiver receiver =
        sub != NULL ? peer_receiver(sub->peer) : sandbox_receiver(router, sandbox);
    if (publish_check_fds(peer, msg, &receiver, copies) == 0)
        return;
    struct call *call = make(peer, id, &head);
    if (call == NULL)
        return;
    if (sub != NULL)
        call_send(call, sub, &head, msg);
    else
        call_hold(call, sandbox, msg);
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

/* One held call again: now there may be a server, or no hope of one. */
static void call_retry(struct call *call)
{
    struct head head;
    const char *problem;
    bool unable;
    uds_msg *msg = uds_msg_ref(call->msg);
    struct sandbox *sandbox = sandbox_get(call->router, call->sandbox_id);
    (void)head_parse(msg, REQUEST_FIELDS, &head, &problem); /* it was parsed before */
    struct sub *sub = find_server(call->router, head.subject, call->streaming, &unable);
    if (unable) {
        call_fail(call, UDS_STATUS_UNIMPLEMENTED, 0, NO_STREAMS, NULL);
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

void call_free_all(struct router *router)
{
    struct call *call;
    for (size_t pos = 0; (call = table_next(&router->calls, &pos)) != NULL;)
        call_end(call);
}
