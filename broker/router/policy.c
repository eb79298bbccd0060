/* SPDX-License-Identifier: MIT */
/*
 * Default deny. A request is allowed when at least one matching rule allows it and no matching rule denies it.
 *
 *  1. sandbox rules match sandbox links only; uid, gid and "any" rules match host peers only;
 *  2. a deny beats every allow, wherever it stands;
 *  3. '$SYS' is the broker's: nobody publishes or serves there; calls and subscriptions need a pattern that names it,
 *     or admin;
 *  4. no rules at all (default_owner): who runs the broker and root may do everything. Sandboxes get nothing by that.
 *
 * A denied pattern that only overlaps a deny is accepted and filtered per subject, as NATS does it (policy_filters).
 */
#include "policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <uds/fdset.h>

#include "subject.h"

#define RULE_DEFAULT_DENY  "default deny"
#define RULE_DEFAULT_OWNER "default owner"
#define RULE_SYS           "$SYS is the broker's own"

#define FDS_HOST_DEFAULT   ((uint32_t)(UDS_FD_MEMFD | UDS_FD_FILE_RO | UDS_FD_PIPE))

struct pattern_list {
    size_t count;
    char **patterns;
};

struct rule {
    char *sandbox; /* NULL: not about a sandbox */
    bool has_uid, has_gid, any, deny, admin;
    uid_t uid;
    gid_t gid;
    uint32_t fds_send, fds_receive;
    struct pattern_list verbs[POLICY_VERBS];
    char *label;
};

struct policy {
    size_t count;
    struct rule *rules;
    bool default_owner;
    uid_t owner;
};

static int list_copy(struct pattern_list *list, size_t count, char **patterns)
{
    if (count == 0)
        return 0;
    list->patterns = calloc(count, sizeof(char *));
    if (list->patterns == NULL)
        return -ENOMEM;
    for (; list->count < count; list->count++) {
        list->patterns[list->count] = strdup(patterns[list->count]);
        if (list->patterns[list->count] == NULL)
            return -ENOMEM;
    }
    return 0;
}

static int rule_copy(struct rule *rule, const Uds__Supervisor__Rule *from)
{
    rule->has_uid = from->has_uid;
    rule->uid = from->uid;
    rule->has_gid = from->has_gid;
    rule->gid = from->gid;
    rule->any = from->any;
    rule->deny = from->deny;
    rule->admin = from->admin;
    rule->fds_send = from->fds_send;
    rule->fds_receive = from->fds_receive;
    rule->label = strdup(from->label[0] != '\0' ? from->label : "policy rule");
    if (rule->label == NULL)
        return -ENOMEM;
    if (from->sandbox[0] != '\0' && (rule->sandbox = strdup(from->sandbox)) == NULL)
        return -ENOMEM;
    if (list_copy(&rule->verbs[POLICY_PUBLISH], from->n_publish, from->publish) < 0 ||
        list_copy(&rule->verbs[POLICY_SUBSCRIBE], from->n_subscribe, from->subscribe) < 0 ||
        list_copy(&rule->verbs[POLICY_CALL], from->n_call, from->call) < 0 ||
        list_copy(&rule->verbs[POLICY_SERVE], from->n_serve, from->serve) < 0)
        return -ENOMEM;
    return 0;
}

int policy_new(struct policy **ret, const Uds__Supervisor__Configuration *configuration)
{
    struct policy *policy = calloc(1, sizeof(*policy));
    if (policy == NULL)
        return -ENOMEM;
    policy->default_owner = configuration->default_owner;
    policy->owner = configuration->owner_uid;
    policy->rules = calloc(configuration->n_rules + 1, sizeof(struct rule));
    if (policy->rules == NULL) {
        policy_free(policy);
        return -ENOMEM;
    }
    for (size_t i = 0; i < configuration->n_rules; i++) {
        policy->count = i + 1;
        if (rule_copy(&policy->rules[i], configuration->rules[i]) < 0) {
            policy_free(policy);
            return -ENOMEM;
        }
    }
    *ret = policy;
    return 0;
}

struct policy *policy_free(struct policy *policy)
{
    if (policy == NULL)
        return NULL;
    for (size_t i = 0; i < policy->count; i++) {
        struct rule *rule = &policy->rules[i];
        for (size_t verb = 0; verb < POLICY_VERBS; verb++) {
            for (size_t k = 0; k < rule->verbs[verb].count; k++)
                free(rule->verbs[verb].patterns[k]);
            free(rule->verbs[verb].patterns);
        }
        free(rule->sandbox);
        free(rule->label);
    }
    free(policy->rules);
    free(policy);
    return NULL;
}

static bool rule_is_about(const struct rule *rule, const struct identity *who)
{
    if (who->is_sandbox)
        return rule->sandbox != NULL && strcmp(rule->sandbox, who->name + strlen("sandbox:")) == 0;
    if (rule->sandbox != NULL)
        return false;
    if (rule->any)
        return true;
    if (rule->has_uid)
        return who->uid_known && who->uid == rule->uid;
    return rule->has_gid && identity_in_group(who, rule->gid);
}

static bool owns_broker(const struct policy *policy, const struct identity *who)
{
    return policy->default_owner && !who->is_sandbox && who->uid_known &&
           (who->uid == policy->owner || who->uid == 0);
}

static bool list_covers(const struct pattern_list *list, const char *subject)
{
    for (size_t i = 0; i < list->count; i++) {
        if (subject_covers(list->patterns[i], subject))
            return true;
    }
    return false;
}

static bool list_overlaps(const struct pattern_list *list, const char *subject)
{
    for (size_t i = 0; i < list->count; i++) {
        if (subject_overlaps(list->patterns[i], subject))
            return true;
    }
    return false;
}

/* The last word for @who when no rule has spoken. */
static struct policy_decision by_default(const struct policy *policy, const struct identity *who)
{
    if (owns_broker(policy, who))
        return (struct policy_decision){true, RULE_DEFAULT_OWNER};
    return (struct policy_decision){false, RULE_DEFAULT_DENY};
}

struct policy_decision policy_check(const struct policy *policy,
                                    const struct identity *who,
                                    enum policy_verb verb,
                                    const char *subject)
{
    bool sys = subject_is_sys(subject);
    if (sys && (verb == POLICY_PUBLISH || verb == POLICY_SERVE))
        return (struct policy_decision){false, RULE_SYS};
    struct policy_decision decision = {false, NULL};
    for (size_t i = 0; i < policy->count; i++) {
        const struct rule *rule = &policy->rules[i];
        if (!rule_is_about(rule, who))
            continue;
        bool hit = list_covers(&rule->verbs[verb], subject) || (sys && rule->admin);
        if (hit && rule->deny)
            return (struct policy_decision){false, rule->label};
        if (hit && !decision.allowed)
            decision = (struct policy_decision){true, rule->label};
    }
    return decision.allowed ? decision : by_default(policy, who);
}

bool policy_filters(const struct policy *policy,
                    const struct identity *who,
                    enum policy_verb verb,
                    const char *pattern)
{
    for (size_t i = 0; i < policy->count; i++) {
        const struct rule *rule = &policy->rules[i];
        if (rule->deny && rule_is_about(rule, who) && list_overlaps(&rule->verbs[verb], pattern))
            return true;
    }
    return false;
}

struct policy_decision policy_admin(const struct policy *policy, const struct identity *who)
{
    struct policy_decision decision = {false, NULL};
    for (size_t i = 0; i < policy->count; i++) {
        const struct rule *rule = &policy->rules[i];
        if (!rule->admin || !rule_is_about(rule, who))
            continue;
        if (rule->deny)
            return (struct policy_decision){false, rule->label};
        decision = (struct policy_decision){true, rule->label};
    }
    return decision.allowed ? decision : by_default(policy, who);
}

void policy_fds(const struct policy *policy,
                const struct identity *who,
                uint32_t *ret_send,
                uint32_t *ret_receive)
{
    uint32_t send = 0, receive = 0, no_send = 0, no_receive = 0;
    bool talks = owns_broker(policy, who);
    for (size_t i = 0; i < policy->count; i++) {
        const struct rule *rule = &policy->rules[i];
        if (!rule_is_about(rule, who))
            continue;
        if (rule->deny) {
            no_send |= rule->fds_send;
            no_receive |= rule->fds_receive;
            continue;
        }
        send |= rule->fds_send;
        receive |= rule->fds_receive;
        if (rule->admin || rule->verbs[POLICY_CALL].count > 0)
            talks = true;
    }
    if (send == 0 && receive == 0 && talks && !who->is_sandbox)
        send = receive = FDS_HOST_DEFAULT;
    *ret_send = send & ~no_send;
    *ret_receive = receive & ~no_receive;
}

bool policy_serves(const struct policy *policy, const char *name, const char *subject)
{
    struct identity who;
    identity_sandbox(&who, 1, 0, name);
    return policy_check(policy, &who, POLICY_SERVE, subject).allowed;
}
