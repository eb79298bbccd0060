/* SPDX-License-Identifier: MIT */
/* See stack-confine.h. */
#include "stack-confine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

int stack_read_capabilities(struct reader *r, const struct node *node, void *field, const void *arg)
{
    struct stack_confine *confine = field;

    (void)arg;
    if (node->kind != NODE_LIST)
        return schema_fail(r, node, "must be a list of capabilities: [net_raw, chown], or [all]");
    for (size_t i = 0; i < node->n; i++) {
        const struct node *item = node->items[i];
        const char *name = item->kind == NODE_SCALAR ? item->text : "";
        unsigned bit = 0;

        if (strcasecmp(name, "all") == 0)
            confine->capabilities = SBX_CAPS_ALL;
        else if (sbx_cap_parse(name, &bit) == 0)
            confine->capabilities |= UINT64_C(1) << bit;
        else
            return schema_fail(
                r, item, "'%.64s' is no capability; as net_raw, or all, see capabilities(7)", name);
    }
    return 0;
}

int stack_read_seccomp(struct reader *r, const struct node *node, void *field, const void *arg)
{
    static const struct {
        const char *name;
        enum sbx_seccomp profile;
    } profiles[] = {{"default", SBX_SECCOMP_DEFAULT},
                    {"strict", SBX_SECCOMP_STRICT},
                    {"none", SBX_SECCOMP_NONE}};
    struct stack_confine *confine = field;
    const char *text = node->kind == NODE_SCALAR ? node->text : "";

    (void)arg;
    for (size_t i = 0; i < COUNT(profiles); i++)
        if (strcmp(profiles[i].name, text) == 0) {
            confine->seccomp = (int)profiles[i].profile;
            return 0;
        }
    if (text[0] != '/')
        return schema_fail(
            r, node,
            "'%.64s' is not default, strict, none, or the absolute path of a file as "
            "uds-seccomp(5) has it",
            text);
    confine->seccomp = SBX_SECCOMP_FILE;
    confine->seccomp_file = strdup(text);
    return confine->seccomp_file ? 0 : schema_fail_memory(r);
}

static int read_ports(struct reader *r, const struct node *node, void *field, const void *arg)
{
    static const struct schema_range ports = {0, 65535};
    struct stack_ports *list = field;

    (void)arg;
    list->named = true;
    if (node->kind != NODE_LIST)
        return schema_fail(r, node, "must be a list of TCP ports, which may be empty: [80, 443]");
    if (node->n > STACK_PORTS_MAX)
        return schema_fail(r, node, "more than %u ports", STACK_PORTS_MAX);
    for (size_t i = 0; i < node->n; i++) {
        uint32_t port;
        int result = schema_read_u32(r, node->items[i], &port, &ports);

        if (result < 0)
            return result;
        list->v[list->n++] = (uint16_t)port;
    }
    return 0;
}

static const char *check_path(const char *text)
{
    return text[0] == '/' ? NULL : "is not an absolute path; name it as the sandbox sees it";
}

static const struct schema_texts paths = {check_path, false};
static const schema_bit_name scopes = sbx_landlock_scope_name;
static const struct schema_field landlock_fields[] = {
    {"ro", schema_read_texts, offsetof(struct stack_confine, ro), &paths, false},
    {"rw", schema_read_texts, offsetof(struct stack_confine, rw), &paths, false},
    {"connect", read_ports, offsetof(struct stack_confine, connect), NULL, false},
    {"bind", read_ports, offsetof(struct stack_confine, bind), NULL, false},
    {"scope", schema_read_bits, offsetof(struct stack_confine, scope), &scopes, false},
};
static const struct schema_map landlock_map = {landlock_fields, COUNT(landlock_fields)};

int stack_read_landlock(struct reader *r, const struct node *node, void *field, const void *arg)
{
    (void)arg;
    return schema_read_map(r, node, field, &landlock_map);
}

void stack_confine_clear(struct stack_confine *confine)
{
    texts_clear(&confine->ro);
    texts_clear(&confine->rw);
    free(confine->seccomp_file);
}

/* sbx takes arrays of const char *. */
static const char *const *constant(const struct texts *texts)
{
    return texts->n ? (const char *const *)(const void *)texts->v : NULL;
}

void stack_confine_apply(const struct stack_confine *confine, struct sbx_spec *spec)
{
    spec->caps = confine->capabilities;
    spec->seccomp = (enum sbx_seccomp)confine->seccomp;
    spec->seccomp_file = confine->seccomp_file;
    spec->landlock = (struct sbx_landlock){
        .ro = constant(&confine->ro),
        .rw = constant(&confine->rw),
        .connect = confine->connect.v,
        .nconnect = confine->connect.n,
        .limit_connect = confine->connect.named,
        .bind = confine->bind.v,
        .nbind = confine->bind.n,
        .limit_bind = confine->bind.named,
        .scope = confine->scope,
    };
}
