/* SPDX-License-Identifier: MIT */
/*
 * One message to all who want it. The body is shared by all receivers; each gets a head of its own with its sequence.
 *
 * A publish with an id is answered: OK means that the message is in the queue of every receiver that matched, otherwise
 * the status says what the last refused one lacked and VALUE how many were not reached. Without an id a refusal of the
 * message as a whole comes as a NOTICE; drops are the consumer's business then.
 *
 * Descriptors are not copied to several receivers: that multiplies what one sender can make us hold in flight.
 */
#include "publish.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <uds/client.h>
#include <uds/error.h>

#include "call.h"
#include "peer.h"
#include "pending.h"
#include "router.h"
#include "send.h"
#include "sub.h"
#include "sysevent.h"

#define PUBLISH_FIELDS (1u << UDS_FIELD_SUBJECT | 1u << UDS_FIELD_HEADER)
#define RULE_FDS       "fd policy"

/* Tell the sender of @msg (PUBLISH, REQUEST, REPLY or PART) that it does not go on. */
static void publish_refuse(
    struct peer *peer, uds_msg *msg, uint32_t status, const char *detail, const char *rule)
{
    uint64_t id = uds_msg_get_id(msg);
    if (uds_msg_get_type(msg) == UDS_MSG_REQUEST)
        peer_reply(peer, id, status, 0, detail, rule);
    else if (uds_msg_get_type(msg) == UDS_MSG_REPLY)
        call_reply_refused(peer, id, status, detail, rule);
    else if (uds_msg_get_type(msg) == UDS_MSG_PART)
        call_part_refused(peer, id, status, detail, rule);
    else
        peer_ack(peer, id, status, 0, detail, rule);
}

void publish_refuse_copy(struct peer *peer, uds_msg *msg, int error)
{
    char detail[200];
    const char *why = error == -EFBIG    ? "it is too large"
                      : error == -EXDEV  ? "it lies on a filesystem that may not answer"
                      : error == -EDQUOT ? "quota queued_bytes or queued_fds"
                      : error == -ENOSPC ? "it holds too many already (copied_bytes)"
                                         : strerror(-error);
    snprintf(detail, sizeof(detail),
             "the receiver could change this file, so it would get a sealed copy, but: %s", why);
    peer_count_denial(peer);
    publish_refuse(peer, msg, UDS_STATUS_FD_REFUSED, detail, RULE_FDS);
}

int publish_check_fds(struct peer *peer,
                      uds_msg *msg,
                      const struct fdpolicy_receiver *receiver,
                      const struct fdpolicy_copies *copies)
{
    if (uds_msg_get_fd_count(msg) == 0)
        return 1;
    struct fdpolicy_decision decision = fdpolicy_check(msg, peer_fds_send(peer), receiver, copies);
    if (decision.verdict == FDPOLICY_PASS)
        return 1;
    if (decision.verdict == FDPOLICY_REFUSE) {
        peer_count_denial(peer);
        publish_refuse(peer, msg, UDS_STATUS_FD_REFUSED, decision.detail, RULE_FDS);
        return 0;
    }
    int r = pending_copy(peer, msg, decision.index, receiver->sandbox_id, copies);
    if (r < 0)
        publish_refuse_copy(peer, msg, r);
    return 0;
}

/* The message to everybody in router->matched. */
static void deliver_all(struct peer *peer, uds_msg *msg, struct head_out *head)
{
    struct router *router = peer->router;
    uint64_t missed = 0;
    uint32_t status = UDS_STATUS_OK;
    const char *detail = NULL;
    bool with_fds = uds_msg_get_fd_count(msg) > 0;
    for (size_t i = 0; i < router->matched_count; i++) {
        struct sub *sub = router->matched[i];
        int r = sub_deliver(sub, peer->account, head, msg, with_fds);
        if (r < 0) {
            status = send_status(r, &detail);
            missed++;
        }
    }
    if (uds_msg_get_id(msg) != 0)
        peer_ack(peer, uds_msg_get_id(msg), status, missed, detail, NULL);
}

void publish_on_message(struct peer *peer, uds_msg *msg, const struct fdpolicy_copies *copies)
{
    struct router *router = peer->router;
    struct head head;
    struct head_out out;
    const char *problem;
    if (head_parse(msg, PUBLISH_FIELDS, &head, &problem) < 0) {
        publish_refuse(peer, msg, UDS_STATUS_BAD_REQUEST, problem, NULL);
        return;
    }
    if (!uds_subject_is_valid(head.subject, strlen(head.subject), false)) {
        publish_refuse(peer, msg, UDS_STATUS_BAD_REQUEST, "the subject is not valid", NULL);
        return;
    }
    if (!account_spend(peer->account, router_now_usec())) {
        sysevent_rate(router, peer->account);
        publish_refuse(peer, msg, UDS_STATUS_QUOTA, "quota messages_per_second", NULL);
        return;
    }
    struct policy_decision decision = peer_decide(peer, POLICY_PUBLISH, head.subject);
    if (!decision.allowed) {
        publish_refuse(peer, msg, UDS_STATUS_DENIED, "may not publish on this subject",
                       decision.rule);
        return;
    }
    head_begin(&out);
    head_string(&out, UDS_FIELD_SUBJECT, head.subject);
    head_string(&out, UDS_FIELD_SENDER, peer->identity.name);
    head_headers(&out, msg);
    if (out.overflow) {
        publish_refuse(peer, msg, UDS_STATUS_TOO_LARGE, "no room in the head for the sender", NULL);
        return;
    }
    sub_collect(router, head.subject);
    if (uds_msg_get_fd_count(msg) > 0) {
        if (router->matched_count > 1) {
            publish_refuse(peer, msg, UDS_STATUS_FD_REFUSED,
                           "descriptors go to one receiver only, and several match", RULE_FDS);
            return;
        }
        if (router->matched_count == 1) {
            struct fdpolicy_receiver receiver = peer_receiver(router->matched[0]->peer);
            if (publish_check_fds(peer, msg, &receiver, copies) == 0)
                return;
        }
    }
    deliver_all(peer, msg, &out);
}

void publish_own(struct router *router, const char *subject, const void *body, size_t len)
{
    struct head_out head;
    uds_msg *msg;
    sub_collect(router, subject);
    if (router->matched_count == 0 || uds_msg_new(&msg, UDS_MSG_DELIVER, 0, body, len) < 0)
        return;
    head_begin(&head);
    head_string(&head, UDS_FIELD_SUBJECT, subject);
    head_string(&head, UDS_FIELD_SENDER, "broker");
    for (size_t i = 0; i < router->matched_count; i++) {
        (void)sub_deliver(router->matched[i], NULL, &head, msg, false);
    }
    uds_msg_unref(msg);
}
