/* SPDX-License-Identifier: MIT */
/*
 * Stack files as they are written: the tables of every map that may stand in one, and the checks
 * that no single value can fail (a sandbox that a rule names, a rule that names two peers).
 * uds-stack(5) is the same for people.
 */
#include <errno.h>
#include <sbx/listen.h>
#include <sbx/notify.h>
#include <stdlib.h>
#include <string.h>

#include <sys/socket.h>

#include <uds/addr.h>
#include <uds/client.h>
#include <uds/fdset.h>

#include "stack.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define WORDS(array)          \
    {                         \
        (array), COUNT(array) \
    }

/* ---- single values ---- */

static const char *check_absolute(const char *text)
{
    return text[0] == '/' ? NULL
                          : "is not an absolute path; it must begin with '/' (nothing is expanded)";
}

static const char *check_subject(const char *text)
{
    return uds_subject_is_valid(text, strlen(text), true)
               ? NULL
               : "is no subject pattern; dot-separated words, '*' for one, '>' for the rest";
}

static const char *check_address(const char *text)
{
    struct uds_addr addr;
    int r = uds_addr_parse(text, &addr);

    if (r == -ENAMETOOLONG)
        return "is too long for a socket address";
    if (r < 0 || addr.sock_type == SOCK_DGRAM)
        return "is no address to listen on; unix:/PATH, unix:@NAME, seqpacket:/PATH or fd:N";
    return addr.kind == UDS_ADDR_PATH && addr.name[0] != '/' ? check_absolute(addr.name) : NULL;
}

static const char *check_sandbox_name(const char *text)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    size_t len = strlen(text);

    return len >= 1 && len <= 48 && strspn(text, letters) == len
               ? NULL
               : "is no name for a sandbox; 1 to 48 letters, digits, '_' and '-'";
}

static const char *check_jailed(const char *text)
{
    return text[0] == '@' ? NULL : check_absolute(text);
}

static const char *check_upper(const char *text)
{
    return strcmp(text, "tmpfs") == 0 ? NULL : check_absolute(text);
}

static const schema_text_check absolute = check_absolute, upper = check_upper;
static const schema_text_check sandbox_name = check_sandbox_name;
static const struct schema_texts addresses = {check_address, true};
static const struct schema_texts subjects = {check_subject, false};
static const struct schema_texts paths = {check_absolute, true}, jailed = {check_jailed, true};

static int read_command(struct reader *r, const struct node *node, void *field, const void *arg)
{
    static const struct schema_texts anything = {NULL, true};
    int result = schema_read_texts(r, node, field, &anything);
    const char *program;

    (void)arg;
    if (result < 0)
        return result;
    program = node->items[0]->text;
    if (program[0] != '/') {
        schema_enter(r, "[0]");
        return schema_fail(r, node->items[0], "'%.100s' %s", program, check_absolute(program));
    }
    return 0;
}

/* What the broker sets itself: whichever of two came first would count. */
static bool is_reserved(const char *name)
{
    return strcmp(name, "UDS_BROKER") == 0 || strcmp(name, "UDS_BROKER_REDIAL") == 0;
}

static int read_env(struct reader *r, const struct node *node, void *field, const void *arg)
{
    struct texts *env = field;

    (void)arg;
    if (node->kind != NODE_MAP)
        return schema_fail(r, node, "must be a map of names and values: {NAME: value}");
    env->line = node->line;
    for (size_t i = 0; i < node->n; i++) {
        const char *name = node->keys[i]->text;
        size_t mark = schema_enter(r, ".%.64s", name);

        if (name[0] == 0 || strchr(name, '='))
            return schema_fail(r, node->keys[i], "is no name for an environment variable");
        if (is_reserved(name))
            return schema_fail(r, node->keys[i], "is set by the broker; remove it");
        if (node->items[i]->kind != NODE_SCALAR)
            return schema_fail(r, node->items[i], "must be one text");
        if (texts_add(env, name, "=", node->items[i]->text) < 0)
            return schema_fail_memory(r);
        schema_leave(r, mark);
    }
    return 0;
}

static bool is_fd_name(const char *name)
{
    return name[0] && strlen(name) <= 255 && !name[strcspn(name, ":=\n")];
}

static int read_listen(struct reader *r, const struct node *node, void *field, const void *arg)
{
    struct texts *listen = field;
    struct sbx_error error = {0};

    (void)arg;
    if (node->kind != NODE_MAP)
        return schema_fail(r, node, "must be a map of names and addresses: {web: tcp:*:80}");
    if (node->n > STACK_LISTEN_MAX)
        return schema_fail(r, node, "more than %u sockets", STACK_LISTEN_MAX);
    listen->line = node->line;
    for (size_t i = 0; i < node->n; i++) {
        const char *name = node->keys[i]->text;
        size_t mark = schema_enter(r, ".%.64s", name);

        if (!is_fd_name(name))
            return schema_fail(r, node->keys[i], "is no name for a socket; no ':' and '='");
        if (node->items[i]->kind != NODE_SCALAR)
            return schema_fail(r, node->items[i], "must be one address");
        if (sbx_listen_check(node->items[i]->text, &error) < 0)
            return schema_fail(r, node->items[i], "%s", error.text);
        if (texts_add(listen, name, "=", node->items[i]->text) < 0)
            return schema_fail_memory(r);
        schema_leave(r, mark);
    }
    return 0;
}

static int read_percent(struct reader *r, const struct node *node, void *field, const void *arg)
{
    uint32_t percent;

    (void)arg;
    if (node->kind != NODE_SCALAR || sbx_parse_percent(node->text, &percent) < 0 || percent == 0)
        return schema_fail(r, node,
                           "'%.64s' is no share of a CPU; like 50%% (half of one) or 200%%",
                           node->text ? node->text : "");
    *(uint32_t *)field = percent;
    return 0;
}

static int read_bytes(struct reader *r, const struct node *node, void *field, const void *arg)
{
    uint64_t bytes;

    (void)arg;
    if (node->kind != NODE_SCALAR || sbx_parse_bytes(node->text, &bytes) < 0 || bytes == 0)
        return schema_fail(r, node,
                           "'%.64s' is no amount of bytes; a number with K, M or G, like 64M",
                           node->text ? node->text : "");
    *(uint64_t *)field = bytes;
    return 0;
}

static int read_memory(struct reader *r, const struct node *node, void *field, const void *arg)
{
    int result = read_bytes(r, node, field, arg);

    if (result == 0 && *(uint64_t *)field < SBX_MEMORY_MIN)
        return schema_fail(r, node, "'%.64s' is too little for any process; at least 1M",
                           node->text);
    return result;
}

/* A control that is written as on a command line; a list repeats it. @arg: its name there; @field: the limits. */
static int read_control(struct reader *r, const struct node *node, void *field, const void *arg)
{
    const char *why = "";
    int result = 0;

    if (node->kind == NODE_MAP)
        return schema_fail(r, node, "is a map; must be a value, or a list of values");
    if (node->kind == NODE_SCALAR && sbx_limits_set(field, arg, node->text, &why) < 0)
        return schema_fail(r, node, "'%.64s' %s", node->text, why);
    for (size_t i = 0; node->kind == NODE_LIST && i < node->n && result == 0; i++)
        result = node->items[i]->kind == NODE_SCALAR
                     ? read_control(r, node->items[i], field, arg)
                     : schema_fail(r, node->items[i], "must be a value");
    return result;
}

static int read_duration(struct reader *r, const struct node *node, void *field, const void *arg)
{
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 3600 * 1000}};
    const char *text = node->text ? node->text : "";
    char *end = NULL;
    unsigned long long n = 0;
    uint64_t ms;

    (void)arg;
    if (text[0] >= '0' && text[0] <= '9') {
        errno = 0;
        n = strtoull(text, &end, 10);
    }
    for (size_t i = 0; end && errno == 0 && i < COUNT(units); i++)
        if (strcmp(end, units[i].unit) == 0 && !__builtin_mul_overflow(n, units[i].ms, &ms) &&
            ms > 0 && ms <= INT32_MAX) {
            *(int *)field = (int)ms;
            return 0;
        }
    return schema_fail(r, node, "'%.64s' is no time; a number with ms, s, m or h, like 30s", text);
}

/* ---- words ---- */

static const struct schema_word ns_words[] = {{"user", SBX_NS_USER},     {"mount", SBX_NS_MOUNT},
                                              {"pid", SBX_NS_PID},       {"net", SBX_NS_NET},
                                              {"ipc", SBX_NS_IPC},       {"uts", SBX_NS_UTS},
                                              {"cgroup", SBX_NS_CGROUP}, {"time", SBX_NS_TIME}};
static const struct schema_word degrade_words[] = {{"cgroup", SBX_DEGRADE_CGROUP},
                                                   {"cpu", SBX_DEGRADE_CPU},
                                                   {"id-range", SBX_DEGRADE_ID_RANGE},
                                                   {"landlock", SBX_DEGRADE_LANDLOCK},
                                                   {"stats", SBX_DEGRADE_STATS},
                                                   {"cpuset", SBX_DEGRADE_CPUSET},
                                                   {"memory-high", SBX_DEGRADE_MEMORY_HIGH},
                                                   {"io", SBX_DEGRADE_IO},
                                                   {"buffered-writes", SBX_DEGRADE_BUFFERED_WRITES},
                                                   {"layer-ids", SBX_DEGRADE_LAYER_IDS}};
static const struct schema_word fd_words[] = {{"memfd", UDS_FD_MEMFD},
                                              {"memfd-open", UDS_FD_MEMFD_OPEN},
                                              {"file-ro", UDS_FD_FILE_RO},
                                              {"file-rw", UDS_FD_FILE_RW},
                                              {"pipe", UDS_FD_PIPE},
                                              {"eventfd", UDS_FD_EVENTFD},
                                              {"socket-stream", UDS_FD_SOCKET_STREAM},
                                              {"socket-dgram", UDS_FD_SOCKET_DGRAM},
                                              {"pidfd", UDS_FD_PIDFD},
                                              {"device", UDS_FD_DEVICE},
                                              {"directory", UDS_FD_DIRECTORY},
                                              {"path", UDS_FD_PATH},
                                              {"socket-unix", UDS_FD_SOCKET_UNIX},
                                              {"namespace", UDS_FD_NAMESPACE},
                                              {"io-uring", UDS_FD_IO_URING},
                                              {"other", UDS_FD_OTHER}};
static const struct schema_word restart_words[] = {{"no", STACK_RESTART_NO},
                                                   {"on-failure", STACK_RESTART_ON_FAILURE},
                                                   {"always", STACK_RESTART_ALWAYS}};
static const struct schema_word stdio_words[] = {{"inherit", STACK_STDIO_INHERIT},
                                                 {"null", STACK_STDIO_NULL}};
static const struct schema_words ns = WORDS(ns_words), degrade = WORDS(degrade_words),
                                 fd_kinds = WORDS(fd_words), restart = WORDS(restart_words),
                                 stdio_kinds = WORDS(stdio_words);

/* ---- maps ---- */

static const struct schema_range one_to_u32 = {1, UINT32_MAX}, weight = {1, 10000},
                                 pids = {1, 4194304}, id = {0, UINT32_MAX - 1},
                                 inner_id = {0, 65535}, fdstore = {1, SBX_FDSTORE_MAX};

#define FIELD(type, member, reader, arg)                    \
    {                                                       \
#member, reader, offsetof(type, member), arg, false \
    }

static const struct schema_field quota_fields[] = {
    FIELD(struct stack_quota, connections, schema_read_u32, &one_to_u32),
    FIELD(struct stack_quota, subscriptions, schema_read_u32, &one_to_u32),
    FIELD(struct stack_quota, pending_calls, schema_read_u32, &one_to_u32),
    FIELD(struct stack_quota, queued_bytes, read_bytes, NULL),
    FIELD(struct stack_quota, queued_fds, schema_read_u32, &one_to_u32),
    FIELD(struct stack_quota, messages_per_second, schema_read_u32, &one_to_u32),
};
static const struct schema_map quota_map = WORDS(quota_fields);

static const struct schema_field broker_fields[] = {
    FIELD(struct stack, listen, schema_read_texts, &addresses),
    FIELD(struct stack, run_dir, schema_read_text, &absolute),
    FIELD(struct stack, quota, schema_read_map, &quota_map),
};
static const struct schema_map broker_map = WORDS(broker_fields);

static const struct schema_field limit_fields[] = {
    {"cpu", read_percent, offsetof(struct sbx_limits, cpu_percent), NULL, false},
    FIELD(struct sbx_limits, cpu_weight, schema_read_u32, &weight),
    {"memory", read_memory, offsetof(struct sbx_limits, memory_bytes), NULL, false},
    FIELD(struct sbx_limits, pids, schema_read_number, &pids),
    {"cpuset", read_control, 0, "cpuset", false},
    {"memory_high", read_control, 0, "memory-high", false},
    {"swap", read_control, 0, "swap", false},
    {"io_max", read_control, 0, "io-max", false},
    {"io_weight", read_control, 0, "io-weight", false},
};
static const struct schema_map limits_map = WORDS(limit_fields);

static const struct schema_field fds_fields[] = {
    FIELD(struct stack_fds, receive, schema_read_bits, &fd_kinds),
    FIELD(struct stack_fds, send, schema_read_bits, &fd_kinds),
};
static const struct schema_map fds_map = WORDS(fds_fields);

static int read_fds(struct reader *r, const struct node *node, void *field, const void *arg)
{
    (void)arg;
    ((struct stack_fds *)field)->line = node->line;
    return schema_read_map(r, node, field, &fds_map);
}

static int read_net(struct reader *r, const struct node *node, void *field, const void *arg)
{
    const char *why = "must be one text";

    (void)arg;
    if (node->kind != NODE_SCALAR || sbx_net_parse(node->text, field, &why) < 0)
        return schema_fail(r, node, "'%.64s' %s", node->text ? node->text : "", why);
    return 0;
}

static int read_rate(struct reader *r, const struct node *node, void *field, const void *arg)
{
    int result = read_bytes(r, node, field, arg);

    if (result == 0 && *(uint64_t *)field < SBX_NET_RATE_MIN)
        return schema_fail(r, node, "'%.64s' is too little a second; at least 1K", node->text);
    return result;
}

static int read_offset(struct reader *r, const struct node *node, void *field, const void *arg)
{
    (void)arg;
    if (node->kind != NODE_SCALAR || sbx_parse_offset(node->text, field) < 0)
        return schema_fail(r, node,
                           "'%.64s' is no offset of a clock; seconds, or a number with ms, s, m, h "
                           "or d, like -5m or 30d",
                           node->text ? node->text : "");
    return 0;
}

static const struct schema_field clock_fields[] = {
    FIELD(struct stack_clocks, monotonic, read_offset, NULL),
    FIELD(struct stack_clocks, boottime, read_offset, NULL),
};
static const struct schema_map clocks_map = WORDS(clock_fields);

static int read_clocks(struct reader *r, const struct node *node, void *field, const void *arg)
{
    (void)arg;
    ((struct stack_clocks *)field)->line = node->line;
    return schema_read_map(r, node, field, &clocks_map);
}

static const struct schema_field root_fields[] = {
    FIELD(struct stack_sandbox, jail, schema_read_texts, &jailed),
    FIELD(struct stack_sandbox, layers, schema_read_texts, &paths),
    FIELD(struct stack_sandbox, dir, schema_read_text, &absolute),
    FIELD(struct stack_sandbox, upper, schema_read_text, &upper),
    FIELD(struct stack_sandbox, chroot, schema_read_bool, NULL),
};
static const struct schema_map root_map = WORDS(root_fields);

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

#define VERB(type, verb)                                                       \
    {                                                                          \
#verb, schema_read_texts, offsetof(type, verbs.verb), &subjects, false \
    }

static const struct schema_field sandbox_fields[] = {
    {"command", read_command, offsetof(struct stack_sandbox, command), NULL, true},
    FIELD(struct stack_sandbox, isolate, schema_read_bits, &ns),
    FIELD(struct stack_sandbox, net, read_net, NULL),
    {"net_rate", read_rate, offsetof(struct stack_sandbox, net.rate_bytes), NULL, false},
    {"time", read_clocks, offsetof(struct stack_sandbox, clocks), NULL, false},
    {"root", read_root, 0, NULL, false},
    FIELD(struct stack_sandbox, env, read_env, NULL),
    FIELD(struct stack_sandbox, listen, read_listen, NULL),
    FIELD(struct stack_sandbox, limits, schema_read_map, &limits_map),
    CONFINE(capabilities),
    CONFINE(seccomp),
    CONFINE(landlock),
    VERB(struct stack_sandbox, serve),
    VERB(struct stack_sandbox, call),
    VERB(struct stack_sandbox, publish),
    VERB(struct stack_sandbox, subscribe),
    FIELD(struct stack_sandbox, fds, read_fds, NULL),
    FIELD(struct stack_sandbox, restart, schema_read_choice, &restart),
    FIELD(struct stack_sandbox, degrade, schema_read_bits, &degrade),
    FIELD(struct stack_sandbox, stdio, schema_read_choice, &stdio_kinds),
    FIELD(struct stack_sandbox, uid, schema_read_u32, &inner_id),
    {"timeout", read_duration, offsetof(struct stack_sandbox, timeout_ms), NULL, false},
    FIELD(struct stack_sandbox, notify, schema_read_bool, NULL),
    {"ready_timeout", read_duration, offsetof(struct stack_sandbox, ready_ms), NULL, false},
    {"watchdog", read_duration, offsetof(struct stack_sandbox, watchdog_ms), NULL, false},
    FIELD(struct stack_sandbox, fdstore, schema_read_u32, &fdstore),
};
static const struct schema_map sandbox_map = WORDS(sandbox_fields);

static const struct schema_field rule_fields[] = {
    FIELD(struct stack_rule, uid, schema_read_u32, &id),
    FIELD(struct stack_rule, gid, schema_read_u32, &id),
    FIELD(struct stack_rule, sandbox, schema_read_text, &sandbox_name),
    FIELD(struct stack_rule, any, schema_read_bool, NULL),
    FIELD(struct stack_rule, deny, schema_read_bool, NULL),
    VERB(struct stack_rule, publish),
    VERB(struct stack_rule, subscribe),
    VERB(struct stack_rule, call),
    VERB(struct stack_rule, serve),
    FIELD(struct stack_rule, admin, schema_read_bool, NULL),
    FIELD(struct stack_rule, fds, read_fds, NULL),
};
static const struct schema_map rule_map = WORDS(rule_fields);

static int read_sandboxes(struct reader *r, const struct node *node, void *field, const void *arg)
{
    struct stack *stack = field;

    (void)arg;
    if (node->kind != NODE_MAP)
        return schema_fail(r, node, "must be a map: NAME: {command: [...], …}");
    if (node->n > STACK_SANDBOXES_MAX)
        return schema_fail(r, node, "more than %u sandboxes", STACK_SANDBOXES_MAX);
    stack->sandboxes = calloc(node->n + 1, sizeof(struct stack_sandbox));
    if (!stack->sandboxes)
        return schema_fail_memory(r);
    for (size_t i = 0; i < node->n; i++) {
        struct stack_sandbox *sandbox = &stack->sandboxes[stack->nsandboxes++];
        size_t mark = schema_enter(r, ".%.64s", node->keys[i]->text);
        const char *wrong = check_sandbox_name(node->keys[i]->text);
        int result;

        if (wrong)
            return schema_fail(r, node->keys[i], "'%.64s' %s", node->keys[i]->text, wrong);
        sandbox->name = strdup(node->keys[i]->text);
        if (!sandbox->name)
            return schema_fail_memory(r);
        sandbox->line = node->keys[i]->line;
        sandbox->isolate = SBX_NS_ALL;
        sandbox->uid = UINT32_MAX;
        sandbox->timeout_ms = -1;
        result = schema_read_map(r, node->items[i], sandbox, &sandbox_map);
        if (result < 0)
            return result;
        if (sandbox->clocks.line)
            sandbox->isolate |= SBX_NS_TIME;
        if (sandbox->net.kind == SBX_NET_HOST || sandbox->net.kind == SBX_NET_NETNS)
            sandbox->isolate &= ~(uint32_t)SBX_NS_NET;
        sandbox->notify |= sandbox->ready_ms || sandbox->watchdog_ms || sandbox->fdstore;
        if (sandbox->notify && !sandbox->ready_ms)
            sandbox->ready_ms = STACK_READY_MS;
        schema_leave(r, mark);
    }
    return 0;
}

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

static int read_policy(struct reader *r, const struct node *node, void *field, const void *arg)
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

static const struct schema_field stack_fields[] = {
    {"broker", schema_read_map, 0, &broker_map, false},
    {"sandboxes", read_sandboxes, 0, NULL, false},
    {"policy", read_policy, 0, NULL, false},
};
static const struct schema_map stack_map = WORDS(stack_fields);

/* A rule may stand before the sandbox that it names, so names are looked up at the end. */
static int check_names(struct reader *r, const struct stack *stack, const struct node *root)
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

int stack_read_document(struct stack *stack, const struct node *root, struct sbx_error *error)
{
    struct reader r = {.file = stack->file, .error = error};
    int result = schema_read_map(&r, root, stack, &stack_map);

    return result < 0 ? result : check_names(&r, stack, root);
}
