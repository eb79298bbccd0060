/* SPDX-License-Identifier: MIT */
/* `uds cgroup ls`: all groups as a table, or all about one. */
#include <stdio.h>
#include <stdlib.h>

#include "cgroup.h"
#include "controls.h"
#include "json.h"
#include "stats.h"
#include "table.h"
#include "verbs.h"

enum {
    PIDS_MAX = 4096
};

static const struct table_column columns[] = {
    {"GROUP", "name", false, false},
    {"KIND", "kind", false, false},
    {"PROCESSES", "processes", true, false},
    {"STATE", "state", false, false},
    {"CPU", "cpu_usec", true, false},
    {"MEMORY", "memory_bytes", true, false},
    {"PEAK", "memory_peak_bytes", true, false},
    {"OOM", "oom_kills", true, false},
    {"LIMITS", "limits", false, false},
};

static const char *kind_name(enum sbx_group_kind kind)
{
    return kind == SBX_GROUP_NAMED ? "named" : "sandbox";
}

static const char *state_of(sbx_group *group, int processes)
{
    return sbx_group_is_frozen(group) ? "frozen" : processes > 0 ? "running" : "empty";
}

/* "cpu 50% memory 64M" */
static void describe_limits(sbx_group *group, char *ret, size_t size)
{
    struct sbx_limits limits = SBX_LIMITS_INIT;
    const char *control;
    char value[256];
    size_t len = 0;

    ret[0] = '\0';
    if (sbx_group_get_limits(group, &limits) < 0)
        return;
    for (size_t i = 0; sbx_limits_get(&limits, i, &control, value, sizeof(value)); i++) {
        if (cli_is_usual_limit(control, value) || len + 1 >= size)
            continue;
        int n = snprintf(ret + len, size - len, "%s%s %s", len > 0 ? " " : "", control, value);
        len = n < 0 || (size_t)n >= size - len ? size : len + (size_t)n;
    }
}

/* Who runs holds some: where there is none, nobody counts it. */
static void add_memory(struct table *table, const struct sbx_stats *stats, bool runs)
{
    char text[24];

    if (runs && !stats->memory_bytes && !stats->memory_peak_bytes) {
        for (int i = 0; i < 3; i++)
            table_none(table);
        return;
    }
    table_uint_as(table, stats->memory_bytes,
                  format_bytes(stats->memory_bytes, text, sizeof(text)));
    table_uint_as(table, stats->memory_peak_bytes,
                  format_bytes(stats->memory_peak_bytes, text, sizeof(text)));
    table_uint(table, stats->oom_kills);
}

static void add_row(struct table *table, const struct sbx_group_entry *entry, sbx_group *group)
{
    struct sbx_stats stats = SBX_STATS_INIT;
    char text[24], limits[512];
    int processes = sbx_group_get_pids(group, NULL, 0);

    if (sbx_group_get_stats(group, &stats) < 0)
        return; /* ended while we looked */
    describe_limits(group, limits, sizeof(limits));
    table_row(table);
    table_text(table, entry->name);
    table_text(table, kind_name(entry->kind));
    table_uint(table, processes > 0 ? (uint64_t)processes : 0);
    table_text(table, state_of(group, processes));
    table_uint_as(table, stats.cpu_usec, format_usec(stats.cpu_usec, text, sizeof(text)));
    add_memory(table, &stats, processes > 0);
    table_text(table, limits);
}

/* A group whose cgroups somebody has removed: it is only a name now, and can be deleted. */
static void add_gone(struct table *table, const struct sbx_group_entry *entry)
{
    table_row(table);
    table_text(table, entry->name);
    table_text(table, kind_name(entry->kind));
    table_none(table);
    table_text(table, "gone");
    for (int i = 0; i < 4; i++)
        table_none(table);
    table_text(table, "");
}

static int list(const struct cgroup_options *o)
{
    struct sbx_error error = {0};
    struct sbx_group_entry *entries;
    struct json json = {.out = stdout};
    size_t n;
    int r = sbx_group_list(o->run_dir, &entries, &n, &error);

    if (r < 0)
        return cli_fail(&error, r, CLI_FAILED);
    struct table *table = table_new(columns, sizeof(columns) / sizeof(columns[0]));
    for (size_t i = 0; i < n; i++) {
        sbx_group *group;
        if (sbx_group_open(&group, o->run_dir, entries[i].name, NULL) == 0) {
            add_row(table, &entries[i], group);
            (void)sbx_group_free(group);
        } else if (entries[i].kind == SBX_GROUP_NAMED) {
            add_gone(table, &entries[i]);
        }
    }
    if (o->json) {
        table_print_json(table, &json);
        json_end(&json);
    } else {
        table_print(table, stdout);
    }
    (void)table_free(table);
    free(entries);
    return CLI_OK;
}

static void print_one(sbx_group *group, const pid_t *pids, int n, const struct sbx_stats *stats)
{
    struct sbx_limits limits = SBX_LIMITS_INIT;
    const char *control;
    char value[256];

    (void)printf("%s (%s), %s, cgroup %s (%s)\n", sbx_group_get_name(group),
                 kind_name(sbx_group_get_kind(group)), state_of(group, n),
                 sbx_group_get_path(group), sbx_group_get_backend(group));
    if (sbx_group_get_limits(group, &limits) == 0)
        for (size_t i = 0; sbx_limits_get(&limits, i, &control, value, sizeof(value)); i++)
            (void)printf("limit     %s %s\n", control, value);
    cli_print_stats(stats, stdout);
    (void)fputs("processes", stdout);
    for (int i = 0; i < n && i < PIDS_MAX; i++)
        (void)printf(" %d", (int)pids[i]);
    (void)printf("%s\n", n == 0 ? " none" : "");
}

static void
print_one_json(sbx_group *group, const pid_t *pids, int n, const struct sbx_stats *stats)
{
    struct json json = {.out = stdout};
    struct sbx_limits limits = SBX_LIMITS_INIT;

    json_open(&json, '{');
    json_key(&json, "name");
    json_string(&json, sbx_group_get_name(group));
    json_key(&json, "kind");
    json_string(&json, kind_name(sbx_group_get_kind(group)));
    json_key(&json, "state");
    json_string(&json, state_of(group, n));
    json_key(&json, "cgroup");
    json_string(&json, sbx_group_get_path(group));
    json_key(&json, "backend");
    json_string(&json, sbx_group_get_backend(group));
    json_key(&json, "limits");
    (void)sbx_group_get_limits(group, &limits);
    cli_json_limits(&json, &limits);
    json_key(&json, "stats");
    cli_json_stats(&json, stats);
    json_key(&json, "pids");
    json_open(&json, '[');
    for (int i = 0; i < n && i < PIDS_MAX; i++)
        json_int(&json, pids[i]);
    json_close(&json, ']');
    json_close(&json, '}');
    json_end(&json);
}

int cgroup_ls(const struct cgroup_options *o)
{
    static pid_t pids[PIDS_MAX];
    struct sbx_stats stats = SBX_STATS_INIT;
    sbx_group *group;

    if (o->name == NULL)
        return list(o);
    if (cgroup_open(&group, o) != CLI_OK)
        return CLI_FAILED;
    int n = sbx_group_get_pids(group, pids, PIDS_MAX), r = sbx_group_get_stats(group, &stats);
    if (r < 0 || n < 0)
        cli_error("%s: it ended meanwhile", o->name);
    else if (o->json)
        print_one_json(group, pids, n, &stats);
    else
        print_one(group, pids, n, &stats);
    (void)sbx_group_free(group);
    return r < 0 || n < 0 ? CLI_FAILED : CLI_OK;
}
