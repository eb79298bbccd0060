/* SPDX-License-Identifier: MIT */
/* See confine-options.h. */
#include "confine-options.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "input.h"
#include "value.h"
#include "verbs.h"

static int bad(const char *option, const char *value, const char *why)
{
    return cli_usage("--%s %s: %s", option, value, why);
}

/* ALL is what there is, which less one is still all the rest. */
static int set_cap(struct run_options *o, const char *option, const char *text)
{
    unsigned bit = 0;
    bool all = strcasecmp(text, "ALL") == 0;
    if (!all && sbx_cap_parse(text, &bit) < 0)
        return bad(option, text,
                   "is no capability; name one, as net_raw, or ALL, see capabilities(7)");
    uint64_t mask = all ? SBX_CAPS_ALL : UINT64_C(1) << bit;
    o->spec.caps = strcmp(option, "cap-add") == 0 ? o->spec.caps | mask : o->spec.caps & ~mask;
    if (o->spec.caps == UINT64_C(1) << 63)
        o->spec.caps = 0;
    return CLI_OK;
}

static void set_seccomp(struct run_options *o, const char *text)
{
    o->spec.seccomp_file = NULL;
    if (strcmp(text, "default") == 0)
        o->spec.seccomp = SBX_SECCOMP_DEFAULT;
    else if (strcmp(text, "strict") == 0)
        o->spec.seccomp = SBX_SECCOMP_STRICT;
    else if (strcmp(text, "none") == 0)
        o->spec.seccomp = SBX_SECCOMP_NONE;
    else {
        o->spec.seccomp = SBX_SECCOMP_FILE;
        o->spec.seccomp_file = text;
    }
}

static int add_filter(struct run_options *o, const char *option, const char *text)
{
    unsigned long number;
    struct sbx_filter filter;
    if (parse_number(text, 0, INT_MAX, &number) < 0 || fcntl((int)number, F_GETFD) < 0)
        return bad(option, text,
                   "is no open descriptor; open it in the shell, as in `uds run … 9<filter.bpf`");
    char *code = run_own(o, input_read((int)number, INPUT_FILTER, &filter.length));
    if (code == NULL)
        return bad(option, text,
                   errno == EFBIG ? "holds more than the 4096 instructions that the kernel takes"
                                  : strerror(errno));
    if (filter.length == 0 || filter.length % 8 != 0)
        return bad(
            option, text,
            "holds no BPF program: instructions of 8 bytes, as seccomp_export_bpf(3) writes them");
    filter.code = code;
    return list_push(&o->confine.filters, &filter, sizeof filter) ? CLI_OK
                                                                  : cli_no_memory(RUN_REFUSED);
}

static int add_port(struct run_list *ports, bool *limit, const char *option, const char *text)
{
    unsigned long number;
    *limit = true;
    if (strcmp(text, "none") == 0)
        return CLI_OK;
    if (parse_number(text, strcmp(option, "landlock-bind") != 0, 65535, &number) < 0)
        return bad(option, text, "is not a TCP port or none");
    uint16_t port = (uint16_t)number;
    return list_push(ports, &port, sizeof port) ? CLI_OK : cli_no_memory(RUN_REFUSED);
}

static int add_scopes(struct run_options *o, const char *option, const char *list)
{
    char word[32];
    const char *p = list;
    do {
        size_t len = strcspn(p, ",");
        uint32_t bit;
        (void)snprintf(word, sizeof word, "%.*s", (int)(len < sizeof word ? len : 0), p);
        if (sbx_landlock_scope_parse(word, &bit) < 0)
            return bad(option, list, "is not a list of abstract-sockets, signals");
        o->spec.landlock.scope |= bit;
        p += len + (p[len] == ',');
    } while (*p != '\0');
    return CLI_OK;
}

int run_confine_option(struct run_options *o, const char *name, const char *value)
{
    struct confine_options *c = &o->confine;
    struct sbx_landlock *landlock = &o->spec.landlock;
    if (strcmp(name, "cap-add") == 0 || strcmp(name, "cap-drop") == 0)
        return set_cap(o, name, value);
    if (strcmp(name, "seccomp-fd") == 0 || strcmp(name, "add-seccomp-fd") == 0)
        return add_filter(o, name, value);
    if (strcmp(name, "landlock-ro") == 0)
        return run_push_text(&c->ro, value);
    if (strcmp(name, "landlock-rw") == 0)
        return run_push_text(&c->rw, value);
    if (strcmp(name, "landlock-connect") == 0)
        return add_port(&c->connect, &landlock->limit_connect, name, value);
    if (strcmp(name, "landlock-bind") == 0)
        return add_port(&c->bind, &landlock->limit_bind, name, value);
    if (strcmp(name, "landlock-scope") == 0)
        return add_scopes(o, name, value);
    set_seccomp(o, value);
    return CLI_OK;
}

void run_confine_finish(struct run_options *o)
{
    const struct confine_options *c = &o->confine;
    struct sbx_landlock *landlock = &o->spec.landlock;
    o->spec.filters = c->filters.items;
    o->spec.nfilters = c->filters.count;
    landlock->ro = c->ro.items;
    landlock->rw = c->rw.items;
    landlock->connect = c->connect.items;
    landlock->nconnect = c->connect.count;
    landlock->bind = c->bind.items;
    landlock->nbind = c->bind.count;
}

void confine_options_free(struct confine_options *c)
{
    free(c->filters.items);
    free(c->ro.items);
    free(c->rw.items);
    free(c->connect.items);
    free(c->bind.items);
}

static const char *const profiles[] = {[SBX_SECCOMP_DEFAULT] = "default",
                                       [SBX_SECCOMP_NONE] = "none",
                                       [SBX_SECCOMP_STRICT] = "strict",
                                       [SBX_SECCOMP_FILE] = "file"};

void cli_say_confinement(const struct sbx_report *report, FILE *out)
{
    (void)fprintf(out, "  capabilities");
    for (unsigned bit = 0; bit < 64; bit++)
        if ((report->caps >> bit & 1) && sbx_cap_name(bit))
            (void)fprintf(out, " %s", sbx_cap_name(bit));
    (void)fprintf(out, "%s\n  seccomp      %s, %u filter%s in all\n", report->caps ? "" : " none",
                  profiles[report->seccomp], report->filters, report->filters == 1 ? "" : "s");
    if (report->landlock_abi > 0)
        (void)fprintf(out, "  landlock     of ABI %d\n", report->landlock_abi);
}

void cli_json_confinement(struct json *json, const struct sbx_report *report)
{
    json_key(json, "capabilities");
    json_open(json, '[');
    for (unsigned bit = 0; bit < 64; bit++)
        if ((report->caps >> bit & 1) && sbx_cap_name(bit))
            json_string(json, sbx_cap_name(bit));
    json_close(json, ']');
    json_key(json, "seccomp");
    json_string(json, profiles[report->seccomp]);
    json_key(json, "seccomp_filters");
    json_uint(json, report->filters);
    json_key(json, "landlock_abi");
    if (report->landlock_abi)
        json_uint(json, (uint64_t)report->landlock_abi);
    else
        json_null(json);
}
