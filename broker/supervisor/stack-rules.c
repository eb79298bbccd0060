/* SPDX-License-Identifier: MIT */
/*
 * The rules of a stack file: one by one as tables, and the checks that no single value can fail (a rule that names two
 * peers, a sandbox that nobody declares).
 */
#include "stack-rules.h"

#include <errno.h>
#include <stdlib.h>

#include <uds/fdset.h>

#include "stack-values.h"
#include "stack.h"

/* uds_fd_kind_name() has a word for whatever it does not know. */
static const char *fd_kind_name(uint32_t bit)
{
    return bit <= UDS_FD_OTHER ? uds_fd_kind_name((enum uds_fd_kind)bit) : NULL;
}

static const schema_bit_name fd_kind = fd_kind_name;
static const struct schema_range id = {0, UINT32_MAX - 1};

static const struct schema_field fds_fields[] = {
    STACK_FIELD(struct stack_fds, receive, schema_read_bits, &fd_kind),
    STACK_FIELD(struct stack_fds, send, schema_read_bits, &fd_kind),
};
static const struct schema_map fds_map = STACK_TABLE(fds_fields);

int stack_read_fds(struct reader *r, const struct node *node, void *field, const void *arg)
{
    (void)arg;
    ((struct stack_fds *)field)->line = node->line;
    return schema_read_map(r, node, field, &fds_map);
}

static const struct schema_field rule_fields[] = {
    STACK_FIELD(struct stack_rule, uid, schema_read_u32, &id),
    STACK_FIELD(struct stack_rule, gid, schema_read_u32, &id),
    STACK_FIELD(struct stack_rule, sandbox, schema_read_text, &stack_sandbox_name),
    STACK_FIELD(struct stack_rule, any, schema_read_bool, NULL),
    STACK_FIELD(struct stack_rule, deny, schema_read_bool, NULL),
    STACK_VERB(struct stack_rule, publish),
    STACK_VERB(struct stack_rule, subscribe),
    STACK_VERB(struct stack_rule, call),
    STACK_VERB(struct stack_rule, serve),
    STACK_FIELD(struct stack_rule, admin, schema_read_bool, NULL),
    STACK_FIELD(struct stack_rule, fds, stack_read_fds, NULL),
};
static const struct schema_map rule_map = STACK_TABLE(rule_fields);

/* What the keys of one rule mean together. */
static int check_rule(struct reader *r, const struct node *node, const struct stack_rule *rule)
{
    const struct stack_verbs *v = &rule->verbs;
    int peers = (rule->uid != UINT32_MAX) + (rule->gid != UINT32_MAX) + !!rule->sandbox + rule->any;
    bool has_verb = v->publish.n || v->subscribe.n || v->call.n || v->serve.n || rule->admin;

    if (peers != 1)
        return schema_fail(r, node,
                           "names %s; a rule has exactly one of uid, gid, sandbox or 'any: true'",
                           peers ? "several kinds of peer" : "no peer");
    if (!has_verb && (rule->deny || !rule->fds.line))
        return schema_fail(r, node,
                           "says who but not what; add publish, subscribe, call, serve, admin%s",
                           rule->deny ? "" : " or fds");
    return 0;
}

int stack_read_policy(struct reader *r, const struct node *node, void *field, const void *arg)
{
    struct stack *stack = field;

    (void)arg;
    if (node->kind != NODE_LIST)
        return schema_fail(r, node, "must be a list of rules: - {uid: 0, call: [\">\"]}");
    if (node->n > STACK_RULES_MAX)
        return schema_fail(r, node, "more than %u rules", STACK_RULES_MAX);
    stack->has_policy = true;
    stack->rules = calloc(node->n + 1, sizeof(struct stack_rule));
    if (!stack->rules)
        return schema_fail_memory(r);
    for (size_t i = 0; i < node->n; i++) {
        struct stack_rule *rule = &stack->rules[stack->nrules++];
        size_t mark = schema_enter(r, "[%zu]", i);
        int result;

        rule->line = node->items[i]->line;
        rule->column = node->items[i]->column;
        rule->uid = rule->gid = UINT32_MAX;
        result = schema_read_map(r, node->items[i], rule, &rule_map);
        if (result == 0)
            result = check_rule(r, node->items[i], rule);
        if (result < 0)
            return result;
        schema_leave(r, mark);
    }
    return 0;
}

/* A rule may stand before the sandbox that it names, so names are looked up at the end. */
int stack_check_names(struct reader *r, const struct stack *stack, const struct node *root)
{
    for (size_t i = 0; i < stack->nrules; i++) {
        const struct stack_rule *rule = &stack->rules[i];

        if (rule->sandbox && !stack_find_sandbox(stack, rule->sandbox)) {
            const struct node *rules = document_find(root, "policy");

            schema_enter(r, "policy[%zu].sandbox", i);
            return schema_fail(r, document_find(rules->items[i], "sandbox"),
                               "no sandbox '%.48s' is declared under 'sandboxes'", rule->sandbox);
        }
    }
    return 0;
}
