/* SPDX-License-Identifier: MIT */
/*
 * Stack files as they are written: the tables of the maps that stand in one. Their values are stack-values.c's, the rules
 * stack-rules.c's, what confines a payload stack-confine.c's. uds-stack(5) is the same for people.
 */
#include <errno.h>
#include <sbx/notify.h>
#include <stdlib.h>
#include <string.h>

#include "reserve.h"
#include "stack-rules.h"
#include "stack-values.h"
#include "stack.h"

static const schema_bit_name ns = sbx_ns_name, degrade = sbx_degrade_name;
static const struct schema_word restart_words[] = {{"no", STACK_RESTART_NO},
                                                   {"on-failure", STACK_RESTART_ON_FAILURE},
                                                   {"always", STACK_RESTART_ALWAYS}};
static const struct schema_word stdio_words[] = {{"inherit", STACK_STDIO_INHERIT},
                                                 {"null", STACK_STDIO_NULL}};
static const struct schema_words restart = STACK_TABLE(restart_words),
                                 stdio_kinds = STACK_TABLE(stdio_words);

static const struct schema_range one_to_u32 = {1, UINT32_MAX}, weight = {1, 10000},
                                 pids = {1, 4194304}, inner_id = {0, 65535},
                                 fdstore = {1, SBX_FDSTORE_MAX}, waiting = {1, RESERVE_MAX_EACH};

static const struct schema_field quota_fields[] = {
    STACK_FIELD(struct stack_quota, connections, schema_read_u32, &one_to_u32),
    STACK_FIELD(struct stack_quota, subscriptions, schema_read_u32, &one_to_u32),
    STACK_FIELD(struct stack_quota, pending_calls, schema_read_u32, &one_to_u32),
    STACK_FIELD(struct stack_quota, queued_bytes, stack_read_bytes, NULL),
    STACK_FIELD(struct stack_quota, queued_fds, schema_read_u32, &one_to_u32),
    STACK_FIELD(struct stack_quota, messages_per_second, schema_read_u32, &one_to_u32),
};
static const struct schema_map quota_map = STACK_TABLE(quota_fields);

static const struct schema_field broker_fields[] = {
    STACK_FIELD(struct stack, listen, schema_read_texts, &stack_addresses),
    STACK_FIELD(struct stack, run_dir, schema_read_text, &stack_absolute),
    STACK_FIELD(struct stack, quota, schema_read_map, &quota_map),
};
static const struct schema_map broker_map = STACK_TABLE(broker_fields);

static const struct schema_field limit_fields[] = {
    {"cpu", stack_read_percent, offsetof(struct sbx_limits, cpu_percent), NULL, false},
    STACK_FIELD(struct sbx_limits, cpu_weight, schema_read_u32, &weight),
    {"memory", stack_read_memory, offsetof(struct sbx_limits, memory_bytes), NULL, false},
    STACK_FIELD(struct sbx_limits, pids, schema_read_number, &pids),
    {"cpuset", stack_read_control, 0, "cpuset", false},
    {"memory_high", stack_read_control, 0, "memory-high", false},
    {"swap", stack_read_control, 0, "swap", false},
    {"io_max", stack_read_control, 0, "io-max", false},
    {"io_weight", stack_read_control, 0, "io-weight", false},
};
static const struct schema_map limits_map = STACK_TABLE(limit_fields);

static const struct schema_field clock_fields[] = {
    STACK_FIELD(struct stack_clocks, monotonic, stack_read_offset, NULL),
    STACK_FIELD(struct stack_clocks, boottime, stack_read_offset, NULL),
};
static const struct schema_map clocks_map = STACK_TABLE(clock_fields);

static int read_clocks(struct reader *r, const struct node *node, void *field, const void *arg)
{
    (void)arg;
    ((struct stack_clocks *)field)->line = node->line;
    return schema_read_map(r, node, field, &clocks_map);
}

static const struct schema_field root_fields[] = {
    STACK_FIELD(struct stack_sandbox, jail, schema_read_texts, &stack_jailed),
    STACK_FIELD(struct stack_sandbox, layers, schema_read_texts, &stack_paths),
    STACK_FIELD(struct stack_sandbox, dir, schema_read_text, &stack_absolute),
    STACK_FIELD(struct stack_sandbox, upper, schema_read_text, &stack_upper),
    STACK_FIELD(struct stack_sandbox, chroot, schema_read_bool, NULL),
};
static const struct schema_map root_map = STACK_TABLE(root_fields);

static int read_root(struct reader *r, const struct node *node, void *field, const void *arg)
{
    (void)arg;
    if (node->kind == NODE_SCALAR && strcmp(node->text, "host") == 0)
        return 0;
    if (node->kind != NODE_MAP)
        return schema_fail(r, node,
                           "must be 'host' (read-only), {jail: [PATH, …]} or "
                           "{layers: [DIR, …], upper: tmpfs}");
    int result = schema_read_map(r, node, field, &root_map);
    if (result < 0)
        return result;
    const struct stack_sandbox *entry = field;
    bool layered = entry->layers.n || entry->dir;
    if (!layered && !entry->jail.n)
        return schema_fail(r, node, "names no files; it needs jail, layers or dir");
    if (layered && entry->jail.n)
        return schema_fail(r, node, "is a jail or has layers, not both");
    if (entry->upper && !layered)
        return schema_fail(r, node, "has an upper directory; a jail cannot be written");
    return 0;
}

#define CONFINE(key)                                                                 \
    {                                                                                \
#key, stack_read_##key, offsetof(struct stack_sandbox, confine), NULL, false \
    }

/* How a sandbox is made, whoever says what runs in it. */
#define SANDBOX_FIELDS                                                                             \
    STACK_FIELD(struct stack_sandbox, isolate, schema_read_bits, &ns),                             \
        STACK_FIELD(struct stack_sandbox, net, stack_read_net, NULL),                              \
        {"net_rate", stack_read_rate, offsetof(struct stack_sandbox, net.rate_bytes), NULL,        \
         false},                                                                                   \
        {"time", read_clocks, offsetof(struct stack_sandbox, clocks), NULL, false},                \
        {"root", read_root, 0, NULL, false},                                                       \
        STACK_FIELD(struct stack_sandbox, env, stack_read_env, NULL),                              \
        STACK_FIELD(struct stack_sandbox, secrets, stack_read_secrets, NULL),                      \
        STACK_FIELD(struct stack_sandbox, limits, schema_read_map, &limits_map),                   \
        CONFINE(capabilities), CONFINE(seccomp), CONFINE(landlock),                                \
        STACK_FIELD(struct stack_sandbox, degrade, schema_read_bits, &degrade),                    \
        STACK_FIELD(struct stack_sandbox, uid, schema_read_u32, &inner_id),                        \
        STACK_FIELD(struct stack_sandbox, id_range, schema_read_bool, NULL),                       \
        {"timeout", stack_read_duration, offsetof(struct stack_sandbox, timeout_ms), NULL, false}, \
        STACK_FIELD(struct stack_sandbox, warm, schema_read_u32, &waiting)

static const struct schema_field template_fields[] = {SANDBOX_FIELDS};
static const struct schema_map template_map = STACK_TABLE(template_fields);

static const struct schema_field sandbox_fields[] = {
    {"command", stack_read_command, offsetof(struct stack_sandbox, command), NULL, true},
    SANDBOX_FIELDS,
    STACK_FIELD(struct stack_sandbox, listen, stack_read_listen, NULL),
    STACK_VERB(struct stack_sandbox, serve),
    STACK_VERB(struct stack_sandbox, call),
    STACK_VERB(struct stack_sandbox, publish),
    STACK_VERB(struct stack_sandbox, subscribe),
    STACK_FIELD(struct stack_sandbox, fds, stack_read_fds, NULL),
    STACK_FIELD(struct stack_sandbox, restart, schema_read_choice, &restart),
    STACK_FIELD(struct stack_sandbox, stdio, schema_read_choice, &stdio_kinds),
    STACK_FIELD(struct stack_sandbox, notify, schema_read_bool, NULL),
    {"ready_timeout", stack_read_duration, offsetof(struct stack_sandbox, ready_ms), NULL, false},
    {"watchdog", stack_read_duration, offsetof(struct stack_sandbox, watchdog_ms), NULL, false},
    STACK_FIELD(struct stack_sandbox, fdstore, schema_read_u32, &fdstore),
};
static const struct schema_map sandbox_map = STACK_TABLE(sandbox_fields);

/* What several would need at once, and only one can have; and how many wait, @all of them above. */
static int check_warm(struct reader *r,
                      const struct node *node,
                      const struct stack_sandbox *entry,
                      unsigned *all)
{
    const struct node *said = document_find(node, "warm"), *warm = said ? said : node;

    *all += entry->warm;
    if (!entry->warm)
        return 0;
    size_t mark = schema_enter(r, ".warm");
    if (entry->upper && strcmp(entry->upper, "tmpfs") != 0)
        return schema_fail(r, warm,
                           "does not go with an upper directory: one sandbox at a time writes "
                           "there; use upper: tmpfs, or a sandbox without warm");
    if (entry->net.kind == SBX_NET_VETH || entry->net.kind == SBX_NET_PASTA)
        return schema_fail(r, warm,
                           "does not go with this net: its address and ports are one sandbox's at "
                           "a time; use another, or a sandbox without warm");
    if (*all > RESERVE_MAX_ALL)
        return schema_fail(r, warm, "with those above %u sandboxes would wait; at most %u may",
                           *all, RESERVE_MAX_ALL);
    schema_leave(r, mark);
    return 0;
}

/* What one entry says together; @all: how many wait of those above. */
static int finish_entry(struct reader *r,
                        const struct node *node,
                        struct stack_sandbox *sandbox,
                        unsigned *all)
{
    if (sandbox->clocks.line)
        sandbox->isolate |= SBX_NS_TIME;
    if (sandbox->net.kind == SBX_NET_HOST || sandbox->net.kind == SBX_NET_NETNS)
        sandbox->isolate &= ~(uint32_t)SBX_NS_NET;
    const struct node *silent = document_find(node, "notify");
    bool tells = sandbox->ready_ms || sandbox->watchdog_ms || sandbox->fdstore;

    if (tells && silent && !sandbox->notify) {
        schema_enter(r, ".notify");
        return schema_fail(r, silent,
                           "is false, but ready_timeout, watchdog and fdstore are nothing without "
                           "it; leave it out, or them");
    }
    sandbox->notify |= tells;
    if (sandbox->notify && !sandbox->ready_ms)
        sandbox->ready_ms = STACK_READY_MS;
    return check_warm(r, node, sandbox, all);
}

static int read_entry(struct reader *r,
                      const struct node *key,
                      const struct node *node,
                      struct stack_sandbox *sandbox,
                      const struct schema_map *map)
{
    const char *wrong = stack_check_sandbox_name(key->text);

    if (wrong)
        return schema_fail(r, key, "'%.64s' %s", key->text, wrong);
    sandbox->name = strdup(key->text);
    if (!sandbox->name)
        return schema_fail_memory(r);
    sandbox->line = key->line;
    sandbox->isolate = SBX_NS_ALL;
    sandbox->limits = (struct sbx_limits)SBX_LIMITS_INIT;
    sandbox->uid = UINT32_MAX;
    sandbox->timeout_ms = -1;
    sandbox->warm = map == &template_map ? 1 : 0;
    return schema_read_map(r, node, sandbox, map);
}

/* What runs is called as its entry is, so an entry of the other kind may not have its name. */
static int check_other_kind(struct reader *r,
                            const struct node *key,
                            const struct stack *stack,
                            const struct schema_map *map)
{
    bool templates = map == &template_map;
    const struct stack_sandbox *others = templates ? stack->sandboxes : stack->templates;
    size_t n = templates ? stack->nsandboxes : stack->ntemplates;

    for (size_t i = 0; i < n; i++)
        if (strcmp(others[i].name, key->text) == 0)
            return schema_fail(r, key,
                               "the %s in line %u has this name: nobody could tell what runs of "
                               "the one from the other; call one of them otherwise",
                               templates ? "sandbox" : "template", others[i].line);
    return 0;
}

/* Into a list that stack_free() clears, whatever it holds. */
static int read_entries(struct reader *r,
                        const struct node *node,
                        const struct schema_map *map,
                        struct stack *stack)
{
    struct stack_sandbox **list = map == &template_map ? &stack->templates : &stack->sandboxes;
    size_t *n = map == &template_map ? &stack->ntemplates : &stack->nsandboxes;

    if (node->kind != NODE_MAP)
        return schema_fail(r, node, "must be a map: NAME: {%s}",
                           map == &sandbox_map ? "command: [...], …" : "warm: 4, …");
    if (node->n > STACK_SANDBOXES_MAX)
        return schema_fail(r, node, "more than %u sandboxes", STACK_SANDBOXES_MAX);
    *list = calloc(node->n + 1, sizeof(struct stack_sandbox));
    if (!*list)
        return schema_fail_memory(r);
    for (size_t i = 0; i < node->n; i++) {
        struct stack_sandbox *sandbox = &(*list)[(*n)++];
        size_t mark = schema_enter(r, ".%.64s", node->keys[i]->text);
        int result = read_entry(r, node->keys[i], node->items[i], sandbox, map);

        if (result == 0)
            result = check_other_kind(r, node->keys[i], stack, map);
        if (result == 0)
            result = finish_entry(r, node->items[i], sandbox, &stack->waiting);
        if (result < 0)
            return result;
        schema_leave(r, mark);
    }
    return 0;
}

static int read_sandboxes(struct reader *r, const struct node *node, void *field, const void *arg)
{
    (void)arg;
    return read_entries(r, node, &sandbox_map, field);
}

static int read_templates(struct reader *r, const struct node *node, void *field, const void *arg)
{
    (void)arg;
    return read_entries(r, node, &template_map, field);
}

static const struct schema_field stack_fields[] = {
    {"broker", schema_read_map, 0, &broker_map, false},
    {"sandboxes", read_sandboxes, 0, NULL, false},
    {"templates", read_templates, 0, NULL, false},
    {"policy", stack_read_policy, 0, NULL, false},
};
static const struct schema_map stack_map = STACK_TABLE(stack_fields);

int stack_read_document(struct stack *stack, const struct node *root, struct sbx_error *error)
{
    struct reader r = {.file = stack->file, .error = error};
    int result = schema_read_map(&r, root, stack, &stack_map);

    return result < 0 ? result : stack_check_names(&r, stack, root);
}
