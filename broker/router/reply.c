/* SPDX-License-Identifier: MIT */
/*
 * Replies on their way back. A reply counts only from the callee and only while the call is SENT, so a forged one and a
 * second one find nothing and are dropped without a word: the call may just have been cancelled.
 *
 * What a server says goes on as it is, marked with its name as SENDER; a status without a SENDER is the broker's own.
 * Its RULE does not go on: rules are ours to name. Nor does a status that says what the kernel or the broker saw: a
 * server cannot have been killed and answer.
 */
#include <errno.h>
#include <stdio.h>

#include <uds/error.h>

#include "call-internal.h"
#include "head.h"
#include "peer.h"
#include "publish.h"
#include "router.h"
#include "send.h"

#define REPLY_FIELDS                                                           \
    (1u << UDS_FIELD_STATUS | 1u << UDS_FIELD_VALUE | 1u << UDS_FIELD_DETAIL | \
     1u << UDS_FIELD_RULE | 1u << UDS_FIELD_HEADER)

struct call *call_answered_by(struct peer *peer, uint64_t id)
{
    struct call *call = table_get(&peer->router->calls, id);
    return call != NULL && call->state == CALL_SENT && call->callee == peer ? call : NULL;
}

void call_reply_refused(
    struct peer *peer, uint64_t id, uint32_t status, const char *detail, const char *rule)
{
    struct call *call = call_answered_by(peer, id);
    if (call == NULL)
        return;
    call_fail(call, status, 0, detail, rule);
    peer_notice(peer, id, status, 0, detail, rule);
}

void call_request_refused(struct peer *peer, uint64_t id, const char *detail)
{
    struct call *call = call_answered_by(peer, id);
    if (call != NULL)
        call_fail(call, UDS_STATUS_FD_REFUSED, 0, detail, NULL);
}

/* What only the broker can know. In a server's mouth it would lend a lie the kernel's word. */
static bool is_ours_to_say(uint32_t status)
{
    return status == UDS_STATUS_NO_RESPONDERS || status == UDS_STATUS_FD_REFUSED ||
           status == UDS_STATUS_SLOW_CONSUMER ||
           (status >= UDS_STATUS_CALLEE_LOST && status <= UDS_STATUS_CALLEE_OOM);
}

static void replace_claim(struct head *head)
{
    if (!is_ours_to_say(head->status))
        return;
    snprintf(head->detail, sizeof(head->detail),
             "the callee answered with %s, which only the broker may say",
             uds_status_name(head->status));
    head->status = UDS_STATUS_INTERNAL;
    head->has_value = false;
}

void call_on_reply(struct peer *peer, uds_msg *msg, const struct fdpolicy_copies *copies)
{
    struct head head;
    struct head_out out;
    const char *problem;
    struct call *call = call_answered_by(peer, uds_msg_get_id(msg));
    if (call == NULL)
        return;
    if (head_parse(msg, REPLY_FIELDS, &head, &problem) < 0) {
        call_reply_refused(peer, call->id, UDS_STATUS_INTERNAL, problem, NULL);
        return;
    }
    struct fdpolicy_receiver receiver = peer_receiver(call->caller);
    if (publish_check_fds(peer, msg, &receiver, copies) == 0)
        return;
    replace_claim(&head);
    head_begin(&out);
    if (head.status != UDS_STATUS_OK)
        head_u32(&out, UDS_FIELD_STATUS, head.status);
    if (head.has_value)
        head_u64(&out, UDS_FIELD_VALUE, head.value);
    head_string(&out, UDS_FIELD_DETAIL, head.detail);
    head_string(&out, UDS_FIELD_SENDER, peer->identity.name);
    head_headers(&out, msg);
    struct peer *caller = call->caller;
    uint64_t caller_id = call->caller_id;
    call_end(call);
    int r = out.overflow ? -EMSGSIZE
                         : peer_forward(caller, peer->account, UDS_MSG_REPLY, caller_id, &out, msg,
                                        uds_msg_get_fd_count(msg) > 0);
    if (r < 0) {
        uint32_t status = send_status(r, &problem);
        peer_reply(caller, caller_id, status, 0, problem, NULL);
    }
}
