/* SPDX-License-Identifier: MIT */
/*
 * Calls that are answered in parts. A PART goes back as a REPLY does; CREDIT goes the other way. Both sides' numbers are
 * kept here, so that neither has to be believed:
 *
 *   credit   PARTs that the caller waits for: its WINDOW and CREDITs, less what was passed on
 *   told     how many of them the callee knows of; never more than credit
 *
 * A PART beyond told was sent without leave and ends its call. Credit that the callee does not know of yet is told when
 * there is at least as much of it as the callee has left. So each CREDIT that goes out without a PART in between doubles
 * told, and a caller that grants one by one cannot make more than some twenty frames of it; and a callee that sends all
 * the time never waits for more than half of the window. It waits, too, while the callee's queue is full, or a REQUEST
 * with descriptors stands in line for it, which a CREDIT must not overtake.
 *
 * A caller that gives credit and does not read fills its own queue until the quota or the queue is full: then its call
 * ends with QUOTA or SLOW_CONSUMER. The callee's other calls do not notice.
 */
#include <errno.h>

#include <uds/error.h>

#include "call-internal.h"
#include "head.h"
#include "peer.h"
#include "publish.h"
#include "router.h"
#include "send.h"
#include "sysevent.h"

#define PART_FIELDS   (1u << UDS_FIELD_HEADER)
#define CREDIT_FIELDS (1u << UDS_FIELD_WINDOW)

/* Ends a call that a server has: the caller hears why, the server that nobody waits any more. */
static void
stop(struct call *call, uint32_t status, uint64_t value, const char *detail, const char *rule)
{
    struct peer *callee = call->callee;
    uint64_t id = call->id;
    call_fail(call, status, value, detail, rule);
    peer_cancel(callee, id);
}

void call_part_refused(
    struct peer *peer, uint64_t id, uint32_t status, const char *detail, const char *rule)
{
    struct call *call = call_answered_by(peer, id);
    if (call == NULL)
        return;
    stop(call, status, 0, detail, rule);
    peer_notice(peer, id, status, 0, detail, rule);
}

void call_part_lost(struct peer *peer, uint64_t caller_id, uint32_t status, const char *detail)
{
    struct call *call = table_get(&peer->calls, caller_id);
    if (call != NULL && call->state == CALL_SENT)
        stop(call, status, 0, detail, NULL);
    else if (call != NULL)
        call_fail(call, status, 0, detail, NULL);
}

static void tell(struct call *call)
{
    uint32_t news = call->credit - call->told;
    if (call->state != CALL_SENT || news == 0 || news < call->told)
        return;
    if (peer_credit(call->callee, call->id, news))
        call->told = call->credit;
}

void call_on_part(struct peer *peer, uds_msg *msg, const struct fdpolicy_copies *copies)
{
    struct head head;
    struct head_out out;
    const char *problem;
    uint64_t id = uds_msg_get_id(msg);
    struct call *call = call_answered_by(peer, id);
    if (call == NULL)
        return;
    if (call->told == 0) {
        call_part_refused(peer, id, UDS_STATUS_INTERNAL,
                          "the callee sent a part that it had no credit for", NULL);
        return;
    }
    if (head_parse(msg, PART_FIELDS, &head, &problem) < 0) {
        call_part_refused(peer, id, UDS_STATUS_INTERNAL, problem, NULL);
        return;
    }
    struct fdpolicy_receiver receiver = peer_receiver(call->caller);
    if (publish_check_fds(peer, msg, &receiver, copies) == 0)
        return;
    if (!account_spend(peer->account, router_now_usec())) {
        sysevent_rate(peer->router, peer->account);
        call_part_refused(peer, id, UDS_STATUS_QUOTA, "quota messages_per_second of the callee",
                          NULL);
        return;
    }
    head_begin(&out);
    head_string(&out, UDS_FIELD_SENDER, peer->identity.name);
    head_headers(&out, msg);
    int r = out.overflow ? -EMSGSIZE
                         : peer_forward(call->caller, peer->account, UDS_MSG_PART, call->caller_id,
                                        &out, msg, uds_msg_get_fd_count(msg) > 0);
    if (r < 0) {
        uint32_t status = send_status(r, &problem);
        stop(call, status, 0, problem, NULL);
        return;
    }
    call->told--;
    call->credit--;
    tell(call);
}

void call_on_credit(struct peer *peer, uds_msg *msg)
{
    struct head head;
    const char *problem;
    struct call *call = table_get(&peer->calls, uds_msg_get_id(msg));
    if (call == NULL || call->state == CALL_LOST)
        return; /* it crossed the reply, or is about to */
    if (head_parse(msg, CREDIT_FIELDS, &head, &problem) == 0 && call->streaming &&
        head.window > 0 && head.window <= CALL_WINDOW_MAX - call->credit) {
        call->credit += head.window;
        tell(call);
        return;
    }
    problem = "a CREDIT gives nothing, too much, or credit to a call without WINDOW";
    if (call->state == CALL_SENT)
        stop(call, UDS_STATUS_BAD_REQUEST, 0, problem, NULL);
    else
        call_fail(call, UDS_STATUS_BAD_REQUEST, 0, problem, NULL);
}

void call_tell_credit(struct peer *peer)
{
    struct call *call;
    TAILQ_FOREACH(call, &peer->answering, by_callee)
    {
        if (call->streaming)
            tell(call);
    }
}
