/* SPDX-License-Identifier: MIT */
/*
 * Subscriptions. A plain one receives what is published, one with MODE serve receives requests; they live in two trees,
 * so a publish never reaches a server and a request never a listener.
 *
 * Every delivery that was meant for a subscription has a number (SEQUENCE), also those that its slow receiver never got:
 * the gap, the DROPPED count of the next delivery and a NOTICE at the first drop of a run say the same thing.
 *
 * Invariant: a subscription is in its peer's list and table and in exactly one tree, from SUBSCRIBE to sub_end().
 */
#include "sub.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uds/client.h>
#include <uds/error.h>

#include "call.h"
#include "group.h"
#include "peer.h"
#include "router.h"
#include "send.h"
#include "sysevent.h"

#define SUBSCRIBE_FIELDS (1u << UDS_FIELD_SUBJECT | 1u << UDS_FIELD_QUEUE | 1u << UDS_FIELD_MODE)

/* What it counts in the quota: a long pattern is many nodes of the tree, in memory and in every match. */
static uint64_t weight(const char *pattern)
{
    uint64_t dots = 0;
    for (; *pattern != '\0'; pattern++)
        dots += *pattern == '.';
    return 1 + dots / 8;
}

static struct route *tree_of(const struct sub *sub)
{
    return sub->serve ? sub->peer->router->served : sub->peer->router->plain;
}

const char *sub_queue_name(const struct sub *sub)
{
    return sub->group != NULL ? sub->group->name : "";
}

/* Makes a subscription and links it everywhere. The charge is the caller's to take. */
static int sub_link(struct peer *peer,
                    uint64_t id,
                    const char *pattern,
                    const char *queue,
                    bool serve,
                    struct sub **ret)
{
    size_t size = strlen(pattern) + 1;
    struct sub *sub = calloc(1, sizeof(*sub) + size);
    if (sub == NULL)
        return -ENOMEM;
    sub->peer = peer;
    sub->id = id;
    sub->serve = serve;
    memcpy(sub->pattern, pattern, size);
    if (queue[0] != '\0' && (sub->group = group_get(peer->router, queue)) == NULL) {
        free(sub);
        return -ENOMEM;
    }
    int r = table_put(&peer->subs, id, sub);
    if (r == 0) {
        r = route_add(tree_of(sub), pattern, &sub->entry);
        if (r < 0)
            table_take(&peer->subs, id);
    }
    if (r < 0) {
        group_unref(peer->router, sub->group);
        free(sub);
        return r;
    }
    TAILQ_INSERT_TAIL(&peer->sub_list, sub, by_peer);
    *ret = sub;
    return 0;
}

/* Out of the tree and freed. */
static void sub_end(struct sub *sub)
{
    struct peer *peer = sub->peer;
    call_sub_ended(sub);
    route_remove(tree_of(sub), &sub->entry);
    table_take(&peer->subs, sub->id);
    TAILQ_REMOVE(&peer->sub_list, sub, by_peer);
    group_unref(peer->router, sub->group);
    charge_release(&sub->charge);
    free(sub);
}

void sub_end_all(struct peer *peer)
{
    while (!TAILQ_EMPTY(&peer->sub_list))
        sub_end(TAILQ_FIRST(&peer->sub_list));
}

static void set_filter(struct sub *sub)
{
    sub->filtered = policy_filters(sub->peer->router->policy, &sub->peer->identity,
                                   sub->serve ? POLICY_SERVE : POLICY_SUBSCRIBE, sub->pattern);
}

static void after_serve(struct sub *sub)
{
    struct peer *peer = sub->peer;
    struct sandbox *sandbox =
        peer->identity.is_sandbox ? sandbox_get(peer->router, peer->identity.sandbox_id) : NULL;
    if (sandbox != NULL && sandbox->ready_generation != peer->identity.generation) {
        sandbox->ready_generation = peer->identity.generation;
        if (!sandbox->info->notify) /* that one says so itself */
            sysevent_ready(peer->router, sandbox);
    }
    call_retry_parked(peer->router);
}

/* Everything that may be wrong with a SUBSCRIBE; OK or a status with its words. */
static uint32_t check_subscribe(struct peer *peer,
                                uint64_t id,
                                const struct head *head,
                                const char **ret_detail,
                                const char **ret_rule)
{
    bool serve = (head->mode & SUB_MODE_SERVE) != 0;
    *ret_rule = NULL;
    if (id == 0 || (head->mode & ~SUB_MODE_SERVE) != 0) {
        *ret_detail = "a subscription needs an id other than 0 and a mode that exists";
        return UDS_STATUS_BAD_REQUEST;
    }
    if (!uds_subject_is_valid(head->subject, strlen(head->subject), true) ||
        (head->queue[0] != '\0' &&
         !uds_subject_is_valid(head->queue, strlen(head->queue), false))) {
        *ret_detail = "the subject or the queue name is not valid";
        return UDS_STATUS_BAD_REQUEST;
    }
    if (table_get(&peer->subs, id) != NULL) {
        *ret_detail = "a subscription with this id exists";
        return UDS_STATUS_BAD_REQUEST;
    }
    struct policy_decision decision =
        peer_decide(peer, serve ? POLICY_SERVE : POLICY_SUBSCRIBE, head->subject);
    if (!decision.allowed) {
        *ret_detail = serve ? "may not serve this subject" : "may not subscribe to this subject";
        *ret_rule = decision.rule;
        return UDS_STATUS_DENIED;
    }
    return UDS_STATUS_OK;
}

void sub_on_subscribe(struct peer *peer, uds_msg *msg)
{
    struct head head;
    struct charge charge;
    struct sub *sub;
    const char *detail, *rule;
    uint64_t id = uds_msg_get_id(msg);
    if (head_parse(msg, SUBSCRIBE_FIELDS, &head, &detail) < 0) {
        peer_ack(peer, id, UDS_STATUS_BAD_REQUEST, 0, detail, NULL);
        return;
    }
    if (!account_spend(peer->account, router_now_usec())) {
        sysevent_rate(peer->router, peer->account);
        peer_ack(peer, id, UDS_STATUS_QUOTA, peer->router->quota.rate, "quota messages_per_second",
                 NULL);
        return;
    }
    uint32_t status = check_subscribe(peer, id, &head, &detail, &rule);
    if (status != UDS_STATUS_OK) {
        peer_ack(peer, id, status, 0, detail, rule);
        return;
    }
    if (charge_take(&charge, peer->account, QUOTA_SUBSCRIPTIONS, weight(head.subject)) < 0) {
        sysevent_limit(peer->router, peer->account, QUOTA_SUBSCRIPTIONS);
        peer_ack(peer, id, UDS_STATUS_QUOTA, quota_limit(peer->account, QUOTA_SUBSCRIPTIONS),
                 "quota subscriptions", NULL);
        return;
    }
    bool serve = (head.mode & SUB_MODE_SERVE) != 0;
    if (sub_link(peer, id, head.subject, head.queue, serve, &sub) < 0) {
        charge_release(&charge);
        peer_ack(peer, id, UDS_STATUS_UNAVAILABLE, 0, "the broker is out of memory", NULL);
        return;
    }
    sub->charge = charge;
    set_filter(sub);
    peer_ack(peer, id, UDS_STATUS_OK, 0, NULL, NULL);
    if (serve && !peer->dead)
        after_serve(sub);
}

void sub_on_unsubscribe(struct peer *peer, uds_msg *msg)
{
    struct head head;
    const char *detail;
    uint64_t id = uds_msg_get_id(msg);
    if (head_parse(msg, 0, &head, &detail) < 0) {
        peer_ack(peer, id, UDS_STATUS_BAD_REQUEST, 0, detail, NULL);
        return;
    }
    struct sub *sub = table_get(&peer->subs, id);
    if (sub == NULL) {
        peer_ack(peer, id, UDS_STATUS_BAD_REQUEST, 0, "no subscription has this id", NULL);
        return;
    }
    sub_end(sub);
    peer_ack(peer, id, UDS_STATUS_OK, 0, NULL, NULL);
}

bool sub_may_have(struct sub *sub, const char *subject)
{
    if (!sub->filtered)
        return true;
    return policy_check(sub->peer->router->policy, &sub->peer->identity,
                        sub->serve ? POLICY_SERVE : POLICY_SUBSCRIBE, subject)
        .allowed;
}

static void note_drop(struct sub *sub)
{
    sub->dropped++;
    if (sub->dropping || sub->peer->dead)
        return;
    sub->dropping = true;
    sysevent_limit(sub->peer->router, sub->peer->account, QUOTA_QUEUED_BYTES);
    if (peer_tell_drops(sub->peer, sub->id, sub->dropped))
        sub->dropped_told = sub->dropped;
}

int sub_deliver(
    struct sub *sub, struct account *sender, struct head_out *head, uds_msg *payload, bool with_fds)
{
    size_t common = head->len;
    uint64_t told = sub->dropped;
    head_u64(head, UDS_FIELD_SEQUENCE, ++sub->sequence);
    if (sub->dropped != sub->dropped_told || sub->dropping)
        head_u64(head, UDS_FIELD_DROPPED, told);
    int r = head->overflow ? -EMSGSIZE
                           : peer_forward(sub->peer, sender, UDS_MSG_DELIVER, sub->id, head,
                                          payload, with_fds);
    head->len = common;
    head->overflow = false;
    if (r < 0) {
        note_drop(sub);
        return r;
    }
    sub->delivered++;
    sub->dropping = false;
    sub->dropped_told = told;
    return 0;
}

void sub_lost(struct peer *peer, uint64_t id)
{
    struct sub *sub = table_get(&peer->subs, id);
    if (sub == NULL)
        return;
    sub->delivered--;
    note_drop(sub);
}

void sub_tell_drops(struct peer *peer)
{
    struct sub *sub;
    TAILQ_FOREACH(sub, &peer->sub_list, by_peer)
    {
        if (sub->dropped == sub->dropped_told)
            continue;
        if (peer->dead || !peer_tell_drops(peer, sub->id, sub->dropped))
            return; /* the rest when it has made room again */
        sub->dropped_told = sub->dropped;
    }
}

static void revoke_of(struct peer *peer)
{
    struct sub *sub = TAILQ_FIRST(&peer->sub_list);
    while (sub != NULL && !peer->dead) {
        struct sub *next = TAILQ_NEXT(sub, by_peer);
        uint64_t id = sub->id;
        struct policy_decision decision =
            policy_check(peer->router->policy, &peer->identity,
                         sub->serve ? POLICY_SERVE : POLICY_SUBSCRIBE, sub->pattern);
        if (decision.allowed) {
            set_filter(sub);
        } else {
            sub_end(sub);
            peer_notice(peer, id, UDS_STATUS_DENIED, 0, "the policy changed", decision.rule);
        }
        sub = next;
    }
}

void sub_revoke(struct router *router)
{
    struct peer *peer;
    for (size_t pos = 0; (peer = table_next(&router->peers, &pos)) != NULL;)
        revoke_of(peer);
}

static void remember(struct router *router, struct sub *sub)
{
    if (router->matched_count == router->matched_size) {
        size_t size = router->matched_size == 0 ? 64 : router->matched_size * 2;
        struct sub **matched = realloc(router->matched, size * sizeof(struct sub *));
        if (matched == NULL) {
            note_drop(sub); /* not silently */
            return;
        }
        router->matched = matched;
        router->matched_size = size;
    }
    router->matched[router->matched_count++] = sub;
}

/* Of two members the one that keeps up, of two such the one that was not chosen for longer. */
static bool is_better(struct sub *a, struct sub *b)
{
    bool a_full = peer_is_full(a->peer), b_full = peer_is_full(b->peer);
    return a_full != b_full ? b_full : a->turn < b->turn;
}

struct collect {
    struct router *router;
    const char *subject;
};

static void visit(struct route_entry *entry, void *arg)
{
    struct collect *collect = arg;
    struct sub *sub = (struct sub *)entry;
    struct group *group = sub->group;
    if (!sub_may_have(sub, collect->subject))
        return;
    if (group == NULL) {
        remember(collect->router, sub);
    } else if (group->stamp != collect->router->stamp) {
        group->stamp = collect->router->stamp;
        group->best = sub;
        remember(collect->router, sub);
    } else if (is_better(sub, group->best)) {
        group->best = sub;
    }
}

void sub_collect(struct router *router, const char *subject)
{
    struct collect collect = {router, subject};
    router->matched_count = 0;
    router->stamp++;
    router->steps += route_match(router->plain, subject, visit, &collect);
    for (size_t i = 0; i < router->matched_count; i++) {
        struct sub *sub = router->matched[i];
        if (sub->group == NULL)
            continue;
        router->matched[i] = sub->group->best;
        router->matched[i]->turn = ++router->turn;
    }
}

void sub_serialise(const struct sub *sub, uds_snapshot *s)
{
    uds_snapshot_put_u64(s, sub->peer->id);
    uds_snapshot_put_u64(s, sub->id);
    uds_snapshot_put_string(s, sub->pattern);
    uds_snapshot_put_string(s, sub_queue_name(sub));
    uds_snapshot_put_u32(s, sub->serve);
    uds_snapshot_put_u32(s, sub->dropping);
    uds_snapshot_put_u64(s, sub->turn);
    uds_snapshot_put_u64(s, sub->sequence);
    uds_snapshot_put_u64(s, sub->delivered);
    uds_snapshot_put_u64(s, sub->dropped);
    uds_snapshot_put_u64(s, sub->dropped_told);
}

int sub_restore(struct router *router, uds_snapshot *s)
{
    struct sub *sub = NULL;
    struct peer *peer = table_get(&router->peers, uds_snapshot_get_u64(s));
    uint64_t id = uds_snapshot_get_u64(s);
    char *pattern = uds_snapshot_get_string(s), *queue = uds_snapshot_get_string(s);
    bool serve = uds_snapshot_get_u32(s) != 0;
    int r = peer == NULL || pattern == NULL || queue == NULL ? -EBADMSG : 0;
    if (r == 0)
        r = sub_link(peer, id, pattern, queue, serve, &sub);
    free(pattern);
    free(queue);
    if (r < 0)
        return r;
    charge_force(&sub->charge, peer->account, QUOTA_SUBSCRIPTIONS, weight(sub->pattern));
    set_filter(sub);
    sub->dropping = uds_snapshot_get_u32(s) != 0;
    sub->turn = uds_snapshot_get_u64(s);
    sub->sequence = uds_snapshot_get_u64(s);
    sub->delivered = uds_snapshot_get_u64(s);
    sub->dropped = uds_snapshot_get_u64(s);
    sub->dropped_told = uds_snapshot_get_u64(s);
    return uds_snapshot_error(s);
}
