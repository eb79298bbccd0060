/* SPDX-License-Identifier: MIT */
/* Report: what happens to sandboxes, in a line for people and in facts for programs. */
#include "report.h"

#include <stdio.h>
#include <string.h>

#include <sys/param.h>

void report_started(const struct status *status, const struct member *m)
{
    const struct sbx_report *report = &m->report;
    char degraded[128], ids[64];

    member_degraded(report->degraded, degraded, sizeof(degraded));
    if (report->uid_count > 1)
        snprintf(ids, sizeof(ids), "host uids %u-%u", report->uid_first,
                 report->uid_first + report->uid_count - 1);
    else
        snprintf(ids, sizeof(ids), "host uid %u", (unsigned)report->host_uid);
    status_say(status, m->entry->name, "started",
               (const struct status_fact[]){{"pid", NULL, (uint64_t)report->init_pid},
                                            {"uid_first", NULL, report->uid_first},
                                            {"uid_count", NULL, report->uid_count},
                                            {"host_uid", NULL, report->host_uid},
                                            {"cgroup", report->cgroup, 0},
                                            {"backend", report->backend, 0},
                                            {"degraded", degraded, 0},
                                            {"restarts", NULL, m->restarts},
                                            {0}},
               "started (pid %d, %s, cgroup %s, degraded: %s)", (int)report->init_pid, ids,
               report->cgroup[0] ? report->cgroup : "none", degraded[0] ? degraded : "nothing");
}

void report_unsealed(const struct status *status, const char *name, const struct sockets *sockets)
{
    for (size_t i = 0; i < sockets->n; i++) {
        const char *address = sbx_listen_get_address(sockets->v[i]);

        if (strncmp(address, "tcp:", 4) == 0 && !sbx_listen_is_sealed(sockets->v[i]))
            status_say(status, name, "warning",
                       (const struct status_fact[]){{"address", address, 0}, {0}},
                       "%s: this kernel lets only root seal it; the sandbox could turn it into a "
                       "connection of its own",
                       address);
    }
}

#define REFUSALS_MAX 10u /* a life: the payload chooses how many there are */

void report_told(const struct status *status,
                 const struct member *m,
                 const struct sbx_notify *before)
{
    const struct sbx_notify *told = &m->told;
    uint32_t more = told->refused - before->refused - 1;
    char others[48] = "";

    if (told->refused != before->refused && more > 0)
        snprintf(others, sizeof(others), " (and %u more of that message)", (unsigned)more);
    if (told->refused != before->refused && before->refused < REFUSALS_MAX)
        status_say(status, m->entry->name, "refused",
                   (const struct status_fact[]){
                       {"refused", NULL, told->refused}, {"why", told->why, 0}, {0}},
                   "notify: refused: %s%s%s", told->why, others,
                   told->refused >= REFUSALS_MAX ? " (more are not shown)" : "");
    if (told->ready && !before->ready)
        status_say(status, m->entry->name, "ready",
                   (const struct status_fact[]){{"status", told->status, 0}, {0}}, "ready%s%s",
                   told->status[0] ? ": " : "", told->status);
}

static const char *cause_name(enum sbx_outcome outcome)
{
    switch (outcome) {
    case SBX_EXITED:
        return "exited";
    case SBX_SIGNALED:
        return "signaled";
    case SBX_OOM:
        return "oom";
    case SBX_TIMEOUT:
        return "timeout";
    case SBX_NOT_READY:
        return "not-ready";
    case SBX_WATCHDOG:
        return "watchdog";
    case SBX_STOPPED:
        return "stopped";
    case SBX_SETUP_FAILED:
        return "setup";
    }
    return "none";
}

void report_ended(const struct status *status, const struct member *m, int wait_ms)
{
    char then[48] = "";

    if (wait_ms >= 0)
        snprintf(then, sizeof(then), ", restarting in %d ms", wait_ms);
    else if (m->state == MEMBER_FAILED)
        snprintf(then, sizeof(then), ", not restarted");
    status_say(status, m->entry->name, "ended",
               (const struct status_fact[]){
                   {"cause", m->memory_limit ? "memory-limit" : cause_name(m->outcome), 0},
                   {"value", NULL, m->value},
                   {"peak_bytes", NULL, m->peak_bytes},
                   {wait_ms >= 0 ? "restart_in_ms" : NULL, NULL, (uint64_t)MAX(wait_ms, 0)},
                   {0}},
               "%s%s", m->detail, then);
}

void report_not_warm(const struct status *status, const char *name, const char *why)
{
    status_say(status, name, "not-warm", (const struct status_fact[]){{"why", why, 0}, {0}},
               "none can be made to wait, so starts are cold for now: %s", why);
}
