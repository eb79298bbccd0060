/* SPDX-License-Identifier: MIT */
/* See stack-values.h. */
#include "stack-values.h"

#include <errno.h>
#include <sbx/listen.h>
#include <sbx/secret.h>
#include <stdlib.h>
#include <string.h>

#include <sys/socket.h>

#include <uds/addr.h>
#include <uds/client.h>

#include "stack.h"

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

const char *stack_check_sandbox_name(const char *text)
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

const schema_text_check stack_absolute = check_absolute, stack_upper = check_upper;
const schema_text_check stack_sandbox_name = stack_check_sandbox_name;
const struct schema_texts stack_addresses = {check_address, true};
const struct schema_texts stack_subjects = {check_subject, false};
const struct schema_texts stack_paths = {check_absolute, true};
const struct schema_texts stack_jailed = {check_jailed, true};

int stack_read_command(struct reader *r, const struct node *node, void *field, const void *arg)
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
    static const char *const names[] = {"UDS_BROKER",    "UDS_BROKER_REDIAL", "LISTEN_FDS",
                                        "LISTEN_PID",    "LISTEN_FDNAMES",    "NOTIFY_SOCKET",
                                        "WATCHDOG_USEC", "WATCHDOG_PID"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

int stack_read_env(struct reader *r, const struct node *node, void *field, const void *arg)
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

/* Whoever writes the secret itself where it should say where that is, does not read it again in a log. */
int stack_read_secrets(struct reader *r, const struct node *node, void *field, const void *arg)
{
    struct stack_secrets *secrets = field;
    const char *why;

    (void)arg;
    if (node->kind != NODE_MAP)
        return schema_fail(r, node, "must be a map of names and places: {key: file:/PATH}");
    if (node->n > SBX_SECRETS_MAX)
        return schema_fail(r, node, "more than %u secrets", SBX_SECRETS_MAX);
    secrets->v = calloc(node->n + 1, sizeof(*secrets->v));
    if (!secrets->v)
        return schema_fail_memory(r);
    for (size_t i = 0; i < node->n; i++) {
        const struct node *key = node->keys[i], *item = node->items[i];
        struct stack_secret *secret = &secrets->v[secrets->n++];
        size_t mark = schema_enter(r, ".%.64s", key->text);

        if (sbx_secret_check_name(key->text, &why) < 0)
            return schema_fail(r, key, "%s", why);
        if (item->kind != NODE_SCALAR)
            return schema_fail(r, item, "must be one place: file:/PATH or env:VARIABLE");
        if (sbx_secret_check_source(item->text, &why) < 0)
            return schema_fail(r, item, "%s", why);
        *secret = (struct stack_secret){.name = strdup(key->text),
                                        .source = strdup(item->text),
                                        .line = item->line,
                                        .column = item->column};
        if (!secret->name || !secret->source)
            return schema_fail_memory(r);
        schema_leave(r, mark);
    }
    return 0;
}

static bool is_fd_name(const char *name)
{
    return name[0] && strlen(name) <= 255 && !name[strcspn(name, ":=\n")];
}

int stack_read_listen(struct reader *r, const struct node *node, void *field, const void *arg)
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

int stack_read_percent(struct reader *r, const struct node *node, void *field, const void *arg)
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

int stack_read_bytes(struct reader *r, const struct node *node, void *field, const void *arg)
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

int stack_read_memory(struct reader *r, const struct node *node, void *field, const void *arg)
{
    int result = stack_read_bytes(r, node, field, arg);

    if (result == 0 && *(uint64_t *)field < SBX_MEMORY_MIN)
        return schema_fail(r, node, "'%.64s' is too little for any process; at least 1M",
                           node->text);
    return result;
}

/* A control that is written as on a command line; a list repeats it. @arg: its name there; @field: the limits. */
int stack_read_control(struct reader *r, const struct node *node, void *field, const void *arg)
{
    const char *why = "";
    int result = 0;

    if (node->kind == NODE_MAP)
        return schema_fail(r, node, "is a map; must be a value, or a list of values");
    if (node->kind == NODE_SCALAR && sbx_limits_set(field, arg, node->text, &why) < 0)
        return schema_fail(r, node, "'%.64s' %s", node->text, why);
    for (size_t i = 0; node->kind == NODE_LIST && i < node->n && result == 0; i++)
        result = node->items[i]->kind == NODE_SCALAR
                     ? stack_read_control(r, node->items[i], field, arg)
                     : schema_fail(r, node->items[i], "must be a value");
    return result;
}

int stack_read_duration(struct reader *r, const struct node *node, void *field, const void *arg)
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
    for (size_t i = 0; end && errno == 0 && i < sizeof(units) / sizeof(units[0]); i++)
        if (strcmp(end, units[i].unit) == 0 && !__builtin_mul_overflow(n, units[i].ms, &ms) &&
            ms > 0 && ms <= INT32_MAX) {
            *(int *)field = (int)ms;
            return 0;
        }
    return schema_fail(r, node, "'%.64s' is no time; a number with ms, s, m or h, like 30s", text);
}

int stack_read_net(struct reader *r, const struct node *node, void *field, const void *arg)
{
    const char *why = "must be one text";

    (void)arg;
    if (node->kind != NODE_SCALAR || sbx_net_parse(node->text, field, &why) < 0)
        return schema_fail(r, node, "'%.64s' %s", node->text ? node->text : "", why);
    return 0;
}

int stack_read_rate(struct reader *r, const struct node *node, void *field, const void *arg)
{
    int result = stack_read_bytes(r, node, field, arg);

    if (result == 0 && *(uint64_t *)field < SBX_NET_RATE_MIN)
        return schema_fail(r, node, "'%.64s' is too little a second; at least 1K", node->text);
    return result;
}

int stack_read_offset(struct reader *r, const struct node *node, void *field, const void *arg)
{
    (void)arg;
    if (node->kind != NODE_SCALAR || sbx_parse_offset(node->text, field) < 0)
        return schema_fail(r, node,
                           "'%.64s' is no offset of a clock; seconds, or a number with ms, s, m, h "
                           "or d, like -5m or 30d",
                           node->text ? node->text : "");
    return 0;
}
