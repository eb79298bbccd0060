/* SPDX-License-Identifier: MIT */
/*
 * --notify, --ready-timeout, --watchdog. `uds run` stays in the foreground, so who waits for readiness is whoever started
 * it: a service manager is told what the command tells, with us as the main process.
 */
#include "notify-options.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "options.h"
#include "verbs.h"

#define LINES_MAX 10u /* of refusals: the command chooses how many there are */

int run_notify_option(struct run_options *o, const char *name, const char *value)
{
    o->spec.notify = true;
    if (value == NULL)
        return CLI_OK;
    int *ms = strcmp(name, "watchdog") == 0 ? &o->spec.watchdog_ms : &o->spec.ready_ms;
    if (parse_duration(value, ms) < 0 || *ms <= 0)
        return cli_usage("--%s %s: is not a duration above 0, as 10s or 500ms", name, value);
    return CLI_OK;
}

static void
say_refusals(const struct run_options *o, const struct sbx_notify *now, struct run_notify *notify)
{
    uint32_t more = now->refused - notify->told.refused;
    if (more == 0 || notify->lines >= LINES_MAX)
        return;
    char others[48] = "";
    if (more > 1)
        snprintf(others, sizeof others, " (and %u more of that message)", (unsigned)more - 1);
    notify->lines++;
    cli_error("%s: notify: refused: %s%s%s", o->spec.name, now->why, others,
              notify->lines == LINES_MAX ? " (more are not shown)" : "");
}

static void tell_manager(const struct sbx_notify *now, const struct sbx_notify *before)
{
    char text[512];
    struct timespec at;
    int n = snprintf(text, sizeof text, "%s%s", now->ready && !before->ready ? "READY=1\n" : "",
                     now->stopping && !before->stopping ? "STOPPING=1\n" : "");
    if (now->reloading && !before->reloading) {
        (void)clock_gettime(CLOCK_MONOTONIC, &at);
        n += snprintf(text + n, sizeof text - (size_t)n, "RELOADING=1\nMONOTONIC_USEC=%lld\n",
                      (long long)at.tv_sec * 1000000 + at.tv_nsec / 1000);
    } else if (before->reloading && !now->reloading) {
        n += snprintf(text + n, sizeof text - (size_t)n, "READY=1\n");
    }
    if (now->err != before->err)
        n += snprintf(text + n, sizeof text - (size_t)n, "ERRNO=%d\n", now->err);
    if (strcmp(now->status, before->status) != 0)
        n += snprintf(text + n, sizeof text - (size_t)n, "STATUS=%s\n", now->status);
    if (n > 0)
        (void)sbx_notify_send(text);
}

bool run_notify_follow(const struct run_options *o, const sbx *s, struct run_notify *notify)
{
    struct sbx_notify now;
    sbx_get_notify(s, &now);
    if (now.changes == notify->told.changes)
        return false;
    bool news = now.ready != notify->told.ready || now.stopping != notify->told.stopping;
    say_refusals(o, &now, notify);
    tell_manager(&now, &notify->told);
    notify->told = now;
    return news;
}

void run_notify_json(struct json *json,
                     const struct run_options *o,
                     const struct run_notify *notify)
{
    if (!o->spec.notify)
        return;
    json_key(json, "notify");
    json_open(json, '{');
    json_key(json, "ready");
    json_bool(json, notify->told.ready);
    json_key(json, "stopping");
    json_bool(json, notify->told.stopping);
    json_key(json, "status");
    json_string(json, notify->told.status);
    json_key(json, "errno");
    json_uint(json, (uint64_t)notify->told.err);
    json_key(json, "refused");
    json_uint(json, notify->told.refused);
    json_close(json, '}');
}
