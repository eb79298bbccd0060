/* SPDX-License-Identifier: MIT */
#include "run-report.h"

#include <stdlib.h>
#include <string.h>

#include "confine-options.h"
#include "controls.h"
#include "json.h"
#include "net-report.h"
#include "stats.h"
#include "status.h"
#include "table.h"
#include "verbs.h"

static const char *const namespaces[8] = {"user", "mnt", "pid",    "net",
                                          "ipc",  "uts", "cgroup", "time"};

static const char *outcome_name(enum sbx_outcome outcome)
{
    static const char *const names[] = {"",        "exited",  "signaled",  "oom",     "timeout",
                                        "stopped", "refused", "not-ready", "watchdog"};
    return (size_t)outcome < sizeof names / sizeof names[0] ? names[outcome] : "";
}

static void json_number(struct json *json, const char *key, uint64_t value)
{
    json_key(json, key);
    json_uint(json, value);
}

static void json_report(struct json *json,
                        const sbx *s,
                        const struct sbx_report *report,
                        const struct sbx_limits *limits)
{
    json_key(json, "report");
    json_open(json, '{');
    json_key(json, "backend");
    json_string(json, report->backend);
    json_key(json, "cgroup");
    json_string(json, report->cgroup);
    json_number(json, "host_uid", report->host_uid);
    json_number(json, "host_gid", report->host_gid);
    json_number(json, "uid_count", report->uid_count);
    json_key(json, "memory_is_rlimit");
    json_bool(json, report->memory_is_rlimit);
    json_key(json, "pids_is_rlimit");
    json_bool(json, report->pids_is_rlimit);
    json_key(json, "limits"); /* as the kernel has them */
    cli_json_limits(json, limits);
    cli_json_confinement(json, report);
    cli_json_net(json, &report->net);
    json_key(json, "namespaces");
    json_open(json, '{');
    for (size_t i = 0; i < 8; i++)
        json_number(json, namespaces[i], report->ns_inode[i]);
    json_close(json, '}');
    json_key(json, "masked");
    json_open(json, '[');
    for (size_t i = 0; sbx_get_masked(s, i); i++)
        json_string(json, sbx_get_masked(s, i));
    json_close(json, ']');
    json_key(json, "degraded");
    json_open(json, '[');
    for (uint32_t bit = 1; bit <= SBX_DEGRADE_LAYER_IDS; bit <<= 1)
        if (report->degraded & bit)
            json_string(json, sbx_degrade_name(bit));
    json_close(json, ']');
    json_close(json, '}');
}

static void say_landlock(const char *name, int abi)
{
    if (abi > 0)
        cli_error("%s: started without all of landlock; this kernel has ABI %d", name, abi);
    else
        cli_error("%s: started without landlock", name);
}

/* What was asked for and takes a cgroup: each is said as if it alone were missing. */
static uint32_t gone_with_cgroup(const struct sbx_limits *limits)
{
    uint32_t gone = SBX_DEGRADE_STATS;
    if (limits->cpu_percent || limits->cpu_weight)
        gone |= SBX_DEGRADE_CPU;
    if (limits->cpus[0])
        gone |= SBX_DEGRADE_CPUSET;
    if (limits->memory_high_bytes)
        gone |= SBX_DEGRADE_MEMORY_HIGH;
    if (limits->nio || limits->io_weight)
        gone |= SBX_DEGRADE_IO;
    return gone;
}

/* Permitted or not asked for: it is said either way, and what it means. */
static void say_omissions(const struct run_options *o, const struct sbx_report *report)
{
    const struct sbx_limits *limits = &o->spec.limits;
    uint32_t degraded = report->degraded;
    if (degraded & SBX_DEGRADE_CGROUP) {
        cli_error(
            "%s: started without cgroup%s%s%s", o->spec.name,
            limits->memory_bytes ? "; the memory limit is RLIMIT_DATA" : "",
            limits->swap_named ? "; swap is not limited" : "",
            limits->pids
                ? "; the pids limit is RLIMIT_NPROC, and nobody counts the forks that it refuses"
                : "");
        degraded |= gone_with_cgroup(limits);
    }
    if (degraded & SBX_DEGRADE_CPU)
        cli_error("%s: started without cpu limit", o->spec.name);
    if (degraded & SBX_DEGRADE_CPUSET)
        cli_error("%s: started without cpuset; it may run on any CPU", o->spec.name);
    if (degraded & SBX_DEGRADE_MEMORY_HIGH)
        cli_error("%s: started without memory-high", o->spec.name);
    if (degraded & SBX_DEGRADE_IO)
        cli_error("%s: started without io-max and io-weight", o->spec.name);
    if (degraded & SBX_DEGRADE_BUFFERED_WRITES)
        cli_error("%s: started without buffered-writes; io-max holds for reads and O_DIRECT",
                  o->spec.name);
    if (degraded & SBX_DEGRADE_ID_RANGE)
        cli_error("%s: started without id-range; on the host it has your id%s", o->spec.name,
                  o->spec.upper ? ", and cannot change other users' files of its layers" : "");
    if (degraded & SBX_DEGRADE_LAYER_IDS)
        cli_error("%s: started without layer-ids; files of its layers are nobody's", o->spec.name);
    if (degraded & SBX_DEGRADE_LANDLOCK)
        say_landlock(o->spec.name, report->landlock_abi);
    if (((degraded & SBX_DEGRADE_STATS) || o->spec.no_cgroup) && o->stats)
        cli_error("%s: started without stats; it has no cgroup to count in", o->spec.name);
}

static void json_error(struct json *json, const struct sbx_error *error, int r)
{
    json_key(json, "outcome");
    json_string(json, "refused");
    json_number(json, "value", (uint64_t)-r);
    json_key(json, "error");
    json_string(json, error->text[0] ? error->text : strerror(-r));
    json_key(json, "exec"); /* everything else was there, only the command could not be executed */
    json_bool(json, error->exec);
}

/* Beside the outcome: it was told, and what it did then is its own. */
static void json_memory_limit(struct json *json, const struct sbx_result *result)
{
    json_key(json, "memory_limit");
    json_open(json, '{');
    json_key(json, "by");
    json_string(json, "rlimit");
    json_number(json, "refused", result->memory_refused);
    json_number(json, "refused_bytes", result->memory_refused_bytes);
    json_close(json, '}');
}

static void json_end_of(struct json *json, const struct sbx_result *result)
{
    json_key(json, "outcome");
    json_string(json, outcome_name(result->outcome));
    json_number(json, "value", result->value);
    if (result->outcome == SBX_OOM) {
        json_key(json, "oom_level");
        json_string(json, result->oom_level);
    }
    if (result->memory_refused)
        json_memory_limit(json, result);
    json_key(json, "stats");
    cli_json_stats(json, &result->stats);
}

/* ---- --json-status-fd: a line each, and each in one write ---- */

struct line {
    struct json json;
    char *text;
    size_t size;
};

static bool line_begin(struct line *line)
{
    *line = (struct line){0};
    line->json.out = open_memstream(&line->text, &line->size);
    if (line->json.out != NULL)
        json_open(&line->json, '{');
    return line->json.out != NULL;
}

static void line_end(struct line *line, int fd)
{
    json_close(&line->json, '}');
    json_end(&line->json);
    if (fclose(line->json.out) == 0)
        (void)status_write(fd, line->text); /* nobody listens any more: that ends nothing */
    free(line->text);
}

/* ---- --report: for people ---- */

static void say_namespaces(const struct sbx_report *report)
{
    (void)fprintf(stderr, "  namespaces   ");
    for (size_t i = 0; i < 8; i++)
        if (report->ns_inode[i])
            (void)fprintf(stderr, "%s %llu%s", namespaces[i],
                          (unsigned long long)report->ns_inode[i], i < 7 ? ", " : "");
    (void)fputc('\n', stderr);
}

static void say_limits(const struct run_options *o,
                       const struct sbx_report *report,
                       const struct sbx_limits *limits)
{
    char value[256];
    const char *control;
    (void)fprintf(stderr, "  cgroup       %s%s%s\n", report->backend, report->cgroup[0] ? " " : "",
                  report->cgroup);
    for (size_t i = 0; sbx_limits_get(limits, i, &control, value, sizeof value); i++)
        if (!cli_is_usual_limit(control, value) ||
            (strcmp(control, "cpuset") == 0 && o->spec.limits.cpus[0]))
            (void)fprintf(
                stderr, "  %-12s %s%s\n", control, value,
                report->memory_is_rlimit && strcmp(control, "memory") == 0 ? ", by RLIMIT_DATA"
                : report->pids_is_rlimit && strcmp(control, "pids") == 0   ? ", by RLIMIT_NPROC"
                                                                           : "");
}

static void say_report(const struct run_options *o,
                       const sbx *s,
                       const struct sbx_report *report,
                       const struct sbx_limits *limits)
{
    cli_error("%s: started, and granted", o->spec.name);
    (void)fprintf(stderr, "  init         pid %d on the host\n", (int)report->init_pid);
    (void)fprintf(stderr, "  ids          %u:%u on the host%s\n", report->host_uid,
                  report->host_gid,
                  report->uid_count > 1    ? ", of a range of its own"
                  : report->uid_count == 1 ? ", your own"
                                           : "");
    say_namespaces(report);
    say_limits(o, report, limits);
    cli_say_net(&report->net, stderr);
    cli_say_confinement(report, stderr);
    (void)fprintf(stderr, "  masked      ");
    for (size_t i = 0; sbx_get_masked(s, i); i++)
        (void)fprintf(stderr, " %s", sbx_get_masked(s, i));
    (void)fprintf(stderr, "%s\n  left out    ", sbx_get_masked(s, 0) ? "" : " nothing");
    for (uint32_t bit = 1; bit <= SBX_DEGRADE_LAYER_IDS; bit <<= 1)
        if (report->degraded & bit)
            (void)fprintf(stderr, " %s", sbx_degrade_name(bit));
    (void)fprintf(stderr, "%s\n", report->degraded ? "" : " nothing");
}

/* ---- at each moment of its life ---- */

void run_report_refused(const struct run_options *o, const struct sbx_error *error, int r)
{
    struct json json = {.out = stderr};
    struct line line;
    if (o->life.status >= 0 && line_begin(&line)) {
        json_error(&line.json, error, r);
        line_end(&line, o->life.status);
    }
    if (!o->json)
        return;
    json_open(&json, '{');
    json_key(&json, "name");
    json_string(&json, o->spec.name);
    json_error(&json, error, r);
    json_key(&json, "stats");
    json_null(&json);
    json_key(&json, "report");
    json_null(&json);
    json_close(&json, '}');
    json_end(&json);
}

void run_report_started(const struct run_options *o,
                        const sbx *s,
                        const struct sbx_report *report,
                        const struct sbx_limits *limits)
{
    struct line line;
    say_omissions(o, report);
    if (o->life.report)
        say_report(o, s, report, limits);
    if (o->life.status >= 0 && line_begin(&line)) {
        json_report(&line.json, s, report, limits);
        line_end(&line, o->life.status);
    }
}

void run_report_told(const struct run_options *o, const struct run_notify *notify)
{
    struct line line;
    if (o->life.status >= 0 && line_begin(&line)) {
        run_notify_json(&line.json, o, notify);
        line_end(&line, o->life.status);
    }
}

void run_report_ended(const struct run_options *o,
                      const sbx *s,
                      const struct sbx_report *report,
                      const struct sbx_limits *limits,
                      const struct run_notify *notify,
                      const struct sbx_result *result,
                      int code)
{
    struct json json = {.out = stderr};
    struct line line;
    if (o->life.status >= 0 && line_begin(&line)) {
        json_number(&line.json, "exit-code", (uint64_t)code);
        json_end_of(&line.json, result);
        run_notify_json(&line.json, o, notify);
        line_end(&line, o->life.status);
    }
    if (o->json) {
        json_open(&json, '{');
        json_key(&json, "name");
        json_string(&json, o->spec.name);
        json_end_of(&json, result);
        run_notify_json(&json, o, notify);
        json_report(&json, s, report, limits);
        json_close(&json, '}');
        json_end(&json);
    } else if (o->stats && result->stats.known) {
        cli_print_stats(&result->stats, stderr);
    }
}
