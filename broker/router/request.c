/* SPDX-License-Identifier: MIT */
/*
 * Requests on their way out. Of several servers the one with the fewest open calls gets it, of equals the one whose turn
 * was longest ago; one whose queue is full only if all are.
 */
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
#include "sub.h"
#include "sysevent.h"

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

struct sub *
call_find_server(struct router *router, const char *subject, bool streaming, bool *ret_unable)
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

void call_send(struct call *call, struct sub *sub, const struct head *head, uds_msg *msg)
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
    if (head_parse(msg, CALL_REQUEST_FIELDS, head, &problem) < 0) {
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
    struct sub *sub = call_find_server(router, head.subject, head.has_window, &unable);
    if (unable) {
        peer_reply(peer, id, UDS_STATUS_UNIMPLEMENTED, 0, CALL_NO_STREAMS, NULL);
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
