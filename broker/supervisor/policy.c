/* SPDX-License-Identifier: MIT */
/*
 * Policy: the stack's permissions → the router's rules.
 *
 * Two sources become one flat list: what a sandbox's own entry grants it (serve, call, publish,
 * subscribe, fds), one rule for each key so that a denial can name the very line; and the rules
 * under "policy:", one each. Labels carry the file's last component only: a denial travels into
 * sandboxes, the host's paths do not.
 *
 * Rules are written with malloc in the shape that protobuf-c unpacks to, so that one generated
 * function frees them.
 */
#include "policy.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uds/fdset.h>

/*
 * What a host peer that may call somebody or is an administrator passes and gets, unless its rule
 * says otherwise.
 */
#define FDS_OF_HOST_PEERS (UDS_FD_MEMFD | UDS_FD_FILE_RO | UDS_FD_PIPE)

static const char *base_name(const char *file)
{
    const char *slash = file ? strrchr(file, '/') : NULL;

    return slash ? slash + 1 : (file ? file : "");
}

static int copy_texts(const struct texts *texts, size_t *ret_n, char ***ret_v)
{
    char **v = calloc(texts->n + 1, sizeof(char *));

    if (!v)
        return -ENOMEM;
    *ret_v = v;
    for (size_t i = 0; i < texts->n; i++) {
        v[i] = strdup(texts->v[i]);
        if (!v[i])
            return -ENOMEM;
        *ret_n = i + 1;
    }
    return 0;
}

/* Append an empty rule; it is the configuration's from now on. */
static Uds__Supervisor__Rule *add_rule(Uds__Supervisor__Configuration *c, const char *sandbox)
{
    Uds__Supervisor__Rule **rules = reallocarray(c->rules, c->n_rules + 1, sizeof(*rules));
    Uds__Supervisor__Rule *rule;

    if (!rules)
        return NULL;
    c->rules = rules;
    rule = malloc(sizeof(*rule));
    if (!rule)
        return NULL;
    uds__supervisor__rule__init(rule);
    rules[c->n_rules++] = rule;
    if (sandbox && !(rule->sandbox = strdup(sandbox))) {
        /* The default is a static empty string: protobuf-c knows it by its address. */
        uds__supervisor__rule__init(rule);
        return NULL;
    }
    return rule;
}

__attribute__((format(printf, 2, 3))) static int
set_label(Uds__Supervisor__Rule *rule, const char *format, ...)
{
    va_list args;
    char *label;
    int n;

    va_start(args, format);
    n = vasprintf(&label, format, args);
    va_end(args);
    if (n < 0)
        return -ENOMEM;
    rule->label = label;
    return 0;
}

/* Copy one verb's patterns into the rule. */
static int set_verbs(Uds__Supervisor__Rule *rule, const struct stack_verbs *verbs)
{
    int r = copy_texts(&verbs->publish, &rule->n_publish, &rule->publish);

    if (r == 0)
        r = copy_texts(&verbs->subscribe, &rule->n_subscribe, &rule->subscribe);
    if (r == 0)
        r = copy_texts(&verbs->call, &rule->n_call, &rule->call);
    if (r == 0)
        r = copy_texts(&verbs->serve, &rule->n_serve, &rule->serve);
    return r;
}

static int add_grant(Uds__Supervisor__Configuration *c,
                     const struct stack *stack,
                     const struct stack_sandbox *sandbox,
                     const char *key,
                     unsigned line,
                     const struct stack_verbs *verbs)
{
    Uds__Supervisor__Rule *rule = add_rule(c, sandbox->name);

    if (!rule || set_label(rule, "sandboxes.%s.%s (%s:%u)", sandbox->name, key,
                           base_name(stack->file), line) < 0)
        return -ENOMEM;
    return verbs ? set_verbs(rule, verbs) : 0;
}

/* What a sandbox's own entry grants it. */
static int add_sandbox(Uds__Supervisor__Configuration *c,
                       const struct stack *stack,
                       const struct stack_sandbox *s)
{
    const struct {
        const char *key;
        const struct texts *texts;
        struct stack_verbs verbs;
    } grants[] = {
        {"publish", &s->verbs.publish, {.publish = s->verbs.publish}},
        {"subscribe", &s->verbs.subscribe, {.subscribe = s->verbs.subscribe}},
        {"call", &s->verbs.call, {.call = s->verbs.call}},
        {"serve", &s->verbs.serve, {.serve = s->verbs.serve}},
    };
    int r = 0;

    for (size_t i = 0; r == 0 && i < sizeof(grants) / sizeof(grants[0]); i++)
        if (grants[i].texts->n)
            r = add_grant(c, stack, s, grants[i].key, grants[i].texts->line, &grants[i].verbs);
    if (r == 0 && s->fds.line) {
        r = add_grant(c, stack, s, "fds", s->fds.line, NULL);
        if (r == 0) {
            c->rules[c->n_rules - 1]->fds_send = s->fds.send;
            c->rules[c->n_rules - 1]->fds_receive = s->fds.receive;
        }
    }
    return r;
}

static void set_fds(Uds__Supervisor__Rule *rule, const struct stack_rule *from)
{
    bool host = !from->sandbox, talks = from->admin || from->verbs.call.n > 0;

    if (from->fds.line) {
        rule->fds_send = from->fds.send;
        rule->fds_receive = from->fds.receive;
    } else if (host && talks && !from->deny) {
        rule->fds_send = rule->fds_receive = FDS_OF_HOST_PEERS;
    }
}

static int add_policy(Uds__Supervisor__Configuration *c, const struct stack *stack, size_t index)
{
    const struct stack_rule *from = &stack->rules[index];
    Uds__Supervisor__Rule *rule = add_rule(c, from->sandbox);

    if (!rule || set_label(rule, "policy rule %zu (%s:%u)", index + 1, base_name(stack->file),
                           from->line) < 0)
        return -ENOMEM;
    rule->has_uid = from->uid != UINT32_MAX;
    rule->uid = rule->has_uid ? from->uid : 0;
    rule->has_gid = from->gid != UINT32_MAX;
    rule->gid = rule->has_gid ? from->gid : 0;
    rule->any = from->any;
    rule->deny = from->deny;
    rule->admin = from->admin;
    set_fds(rule, from);
    return set_verbs(rule, &from->verbs);
}

static int set_quota(Uds__Supervisor__Configuration *c, const struct stack_quota *from)
{
    Uds__Supervisor__Quota *quota = malloc(sizeof(*quota));

    if (!quota)
        return -ENOMEM;
    uds__supervisor__quota__init(quota);
    quota->connections = from->connections;
    quota->subscriptions = from->subscriptions;
    quota->pending_calls = from->pending_calls;
    quota->queued_bytes = from->queued_bytes;
    quota->queued_fds = from->queued_fds;
    quota->messages_per_second = from->messages_per_second;
    c->quota = quota;
    return 0;
}

int policy_compile(Uds__Supervisor__Configuration **ret, const struct stack *stack, uid_t owner)
{
    Uds__Supervisor__Configuration *c = malloc(sizeof(*c));
    int r;

    if (!c)
        return -ENOMEM;
    uds__supervisor__configuration__init(c);
    c->owner_uid = owner;
    c->default_owner = !stack->has_policy;
    r = set_quota(c, &stack->quota);
    for (size_t i = 0; r == 0 && i < stack->nsandboxes; i++)
        r = add_sandbox(c, stack, &stack->sandboxes[i]);
    for (size_t i = 0; r == 0 && i < stack->nrules; i++)
        r = add_policy(c, stack, i);
    if (r < 0) {
        uds__supervisor__configuration__free_unpacked(c, NULL);
        return r;
    }
    *ret = c;
    return 0;
}

bool policy_names_strangers(const struct stack *stack, uid_t owner)
{
    for (size_t i = 0; i < stack->nrules; i++) {
        const struct stack_rule *rule = &stack->rules[i];

        if (rule->deny || rule->sandbox)
            continue;
        if (rule->any || rule->gid != UINT32_MAX || (rule->uid != 0 && rule->uid != owner))
            return true;
    }
    return false;
}
