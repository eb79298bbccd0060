/* SPDX-License-Identifier: MIT */
/* See profile.h. `uds run --profile` reads it, so that nothing that starts sandboxes parses YAML. */
#include "profile.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void word(FILE *out, const char *text)
{
    (void)fwrite(text, 1, strlen(text) + 1, out);
}

__attribute__((format(printf, 3, 4))) static void
option(FILE *out, const char *name, const char *format, ...)
{
    va_list args;

    word(out, name);
    va_start(args, format);
    (void)vfprintf(out, format, args);
    va_end(args);
    (void)fputc('\0', out);
}

static void option_text(FILE *out, const char *name, const char *text)
{
    word(out, name);
    word(out, text);
}

static void each_text(FILE *out, const char *name, const struct texts *texts)
{
    for (size_t i = 0; i < texts->n; i++)
        option_text(out, name, texts->v[i]);
}

static void print_net(const struct sbx_net *net, FILE *out)
{
    char address[SBX_NET_ADDRESS_TEXT], peer[SBX_NET_ADDRESS_TEXT];

    if (net->kind != SBX_NET_DEFAULT && !net->address.family) {
        option(out, "--net", "%s%s%s", sbx_net_kind_name(net->kind), net->netns[0] ? ":" : "",
               net->netns);
    } else if (net->kind != SBX_NET_DEFAULT) {
        (void)sbx_net_address_print(&net->address, address);
        (void)sbx_net_address_print(&net->peer, peer);
        peer[strcspn(peer, "/")] = 0;
        option(out, "--net", "%s%s%s,address=%s,peer=%s", sbx_net_kind_name(net->kind),
               net->netns[0] ? ":" : "", net->netns, address, peer);
    }
    if (net->rate_bytes)
        option(out, "--net-rate", "%" PRIu64, net->rate_bytes);
}

static void print_namespaces(const struct stack_sandbox *entry, FILE *out)
{
    static const struct {
        uint32_t bit;
        const char *option;
    } shares[] = {{SBX_NS_USER, "--share-user"},    {SBX_NS_MOUNT, "--share-mount"},
                  {SBX_NS_PID, "--share-pid"},      {SBX_NS_NET, "--share-net"},
                  {SBX_NS_IPC, "--share-ipc"},      {SBX_NS_UTS, "--share-uts"},
                  {SBX_NS_CGROUP, "--share-cgroup"}};

    for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++)
        if (!(entry->isolate & shares[i].bit))
            word(out, shares[i].option);
    if (entry->isolate & SBX_NS_TIME)
        word(out, "--unshare-time");
    if (entry->clocks.line) {
        option(out, "--monotonic", "%" PRId64 "ms", entry->clocks.monotonic / 1000000);
        option(out, "--boottime", "%" PRId64 "ms", entry->clocks.boottime / 1000000);
    }
    print_net(&entry->net, out);
}

static void print_root(const struct stack_sandbox *entry, FILE *out)
{
    each_text(out, "--jail-add", &entry->jail);
    if (entry->dir)
        option_text(out, "--root", entry->dir);
    each_text(out, "--layer", &entry->layers);
    if (entry->upper)
        option_text(out, "--upper", entry->upper);
    if (entry->chroot)
        word(out, "--chroot");
}

/* "K=V": a name has no '='. */
static void print_environment(const struct texts *env, FILE *out)
{
    for (size_t i = 0; i < env->n; i++) {
        const char *equals = strchr(env->v[i], '=');
        option(out, "--setenv", "%.*s", (int)(equals - env->v[i]), env->v[i]);
        word(out, equals + 1);
    }
}

static void print_secrets(const struct stack_secrets *secrets, FILE *out)
{
    for (size_t i = 0; i < secrets->n; i++)
        option(out, "--secret", "%s=%s", secrets->v[i].name, secrets->v[i].source);
}

static void print_limits(const struct sbx_limits *limits, FILE *out)
{
    char name[64], value[256];
    const char *control;

    for (size_t i = 0; sbx_limits_get(limits, i, &control, value, sizeof(value)); i++) {
        (void)snprintf(name, sizeof(name), "--%s", control);
        option_text(out, name, value);
    }
}

static void print_ports(FILE *out, const char *name, const struct stack_ports *ports)
{
    if (ports->named && ports->n == 0)
        option_text(out, name, "none");
    for (size_t i = 0; i < ports->n; i++)
        option(out, name, "%u", ports->v[i]);
}

static void print_confinement(const struct stack_confine *confine, FILE *out)
{
    for (unsigned bit = 0; bit < 64; bit++)
        if (confine->capabilities >> bit & 1 && sbx_cap_name(bit))
            option_text(out, "--cap-add", sbx_cap_name(bit));
    if (confine->seccomp == SBX_SECCOMP_FILE)
        option_text(out, "--seccomp", confine->seccomp_file);
    else if (confine->seccomp != SBX_SECCOMP_DEFAULT)
        option_text(out, "--seccomp", confine->seccomp == SBX_SECCOMP_STRICT ? "strict" : "none");
    each_text(out, "--landlock-ro", &confine->ro);
    each_text(out, "--landlock-rw", &confine->rw);
    print_ports(out, "--landlock-connect", &confine->connect);
    print_ports(out, "--landlock-bind", &confine->bind);
    for (uint32_t bit = 1; bit; bit <<= 1)
        if (confine->scope & bit && sbx_landlock_scope_name(bit))
            option_text(out, "--landlock-scope", sbx_landlock_scope_name(bit));
}

static void print_life(const struct stack_sandbox *entry, FILE *out)
{
    for (uint32_t bit = 1; bit; bit <<= 1)
        if (entry->degrade & bit && sbx_degrade_name(bit))
            option_text(out, "--degrade", sbx_degrade_name(bit));
    if (entry->id_range)
        word(out, "--id-range");
    if (entry->uid != UINT32_MAX) {
        option(out, "--uid", "%" PRIu32, entry->uid);
        option(out, "--gid", "%" PRIu32, entry->uid);
    }
    if (entry->timeout_ms > 0)
        option(out, "--timeout", "%dms", entry->timeout_ms);
    each_text(out, "--listen", &entry->listen);
    if (entry->notify)
        word(out, "--notify");
    if (entry->ready_ms)
        option(out, "--ready-timeout", "%dms", entry->ready_ms);
    if (entry->watchdog_ms)
        option(out, "--watchdog", "%dms", entry->watchdog_ms);
}

static int refuse(const struct stack *stack, struct sbx_error *error, int err, const char *why)
{
    error->err = err;
    (void)snprintf(error->text, sizeof(error->text), "profile: %.300s: %.300s",
                   stack->file ? stack->file : "", why);
    return -err;
}

static const struct stack_sandbox *find(const struct stack *stack, const char *name)
{
    for (size_t i = 0; i < stack->nsandboxes; i++)
        if (name ? strcmp(stack->sandboxes[i].name, name) == 0 : stack->nsandboxes == 1)
            return &stack->sandboxes[i];
    return NULL;
}

int profile_print(const struct stack *stack, const char *name, FILE *out, struct sbx_error *error)
{
    const struct stack_sandbox *entry = find(stack, name);

    if (!entry && name)
        return refuse(stack, error, ENOENT, "it has no sandbox of that name");
    if (!entry)
        return refuse(stack, error, EINVAL,
                      stack->nsandboxes ? "it has several sandboxes: name one by FILE#NAME"
                                        : "it has no sandbox");
    option_text(out, "--name", entry->name);
    print_namespaces(entry, out);
    print_root(entry, out);
    print_environment(&entry->env, out);
    print_secrets(&entry->secrets, out);
    print_limits(&entry->limits, out);
    print_confinement(&entry->confine, out);
    print_life(entry, out);
    word(out, "--");
    for (size_t i = 0; i < entry->command.n; i++)
        word(out, entry->command.v[i]);
    return fflush(out) != 0 || ferror(out) ? refuse(stack, error, EIO, "cannot be written") : 0;
}
