/* SPDX-License-Identifier: MIT */
/*
 * Member: one sandbox that the stack declares, over all of its lives.
 *
 *                 ┌────────────── starting() ◀──────────────┐
 *                 ▼                                         │
 *   STOPPED ─▶ STARTING ── running() ──▶ RUNNING         BACKOFF
 *      ▲          │                        │                ▲
 *      │          └──────── ended() ◀──────┘                │
 *      │                      │ restart policy says no, it ended well or on request
 *      ├──────────────────────┤
 *   FAILED ◀── says no, it ended badly ────┴── says yes ────┘
 *
 * "Badly" is everything but exit code 0 and a stop that we asked for. The back-off doubles from 100
 * ms to 10 s and begins anew after a run of 10 s. Only the functions below write state; the clock
 * is handed in, so that tests need none.
 *
 * Invariants: generation counts STARTING, restarts counts STARTING out of BACKOFF; past holds the
 * statistics of ended generations only; outcome is 0 until the first end.
 */
#include "member.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <sys/param.h>

void member_init(struct member *m, uint32_t id, const struct stack_sandbox *entry)
{
    *m = (struct member){.id = id, .entry = entry, .backoff_ms = MEMBER_BACKOFF_MIN_MS};
}

void member_starting(struct member *m)
{
    if (m->state == MEMBER_BACKOFF)
        m->restarts++;
    m->state = MEMBER_STARTING;
    m->generation++;
    m->report = (struct sbx_report)SBX_REPORT_INIT;
    m->told = (struct sbx_notify){0};
}

void member_told(struct member *m, const struct sbx_notify *told)
{
    m->told = *told;
}

bool member_is_awaited(const struct member *m)
{
    bool up =
        m->state == MEMBER_STARTING || m->state == MEMBER_RUNNING || m->state == MEMBER_BACKOFF;

    return m->entry->notify && up && !(m->state == MEMBER_RUNNING && m->told.ready);
}

void member_running(struct member *m,
                    const struct sbx_report *report,
                    uint64_t now_ms,
                    uint64_t now_unix_ms)
{
    m->state = MEMBER_RUNNING;
    m->report = *report;
    m->started_ms = now_ms;
    m->started_unix_ms = now_unix_ms;
}

const char *member_size(uint64_t bytes, char *buf, size_t size)
{
    static const struct {
        unsigned shift;
        const char *unit;
    } units[] = {{30, "GiB"}, {20, "MiB"}, {10, "KiB"}};

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        uint64_t one = 1ull << units[i].shift, whole = bytes >> units[i].shift;
        uint64_t tenths = (bytes & (one - 1)) * 10 / one;

        if (whole == 0)
            continue;
        if (tenths)
            snprintf(buf, size, "%llu.%llu %s", (unsigned long long)whole,
                     (unsigned long long)tenths, units[i].unit);
        else
            snprintf(buf, size, "%llu %s", (unsigned long long)whole, units[i].unit);
        return buf;
    }
    snprintf(buf, size, "%llu bytes", (unsigned long long)bytes);
    return buf;
}

const char *member_degraded(uint32_t bits, char *buf, size_t size)
{
    size_t used = 0;

    buf[0] = 0;
    for (uint32_t bit = 1; bit && bit <= bits && used < size; bit <<= 1)
        if (bits & bit)
            used += (size_t)snprintf(buf + used, size - used, "%s%s", used ? ", " : "",
                                     sbx_degrade_name(bit));
    return buf;
}

/* The last end in one line, e.g. "killed by OOM (limit 64 MiB, peak 64 MiB)". */
static void put_detail(struct member *m, const struct sbx_result *result)
{
    char limit[32], peak[32];
    unsigned long long value = (unsigned long long)result->value;
    size_t size = sizeof(m->detail);

    switch (result->outcome) {
    case SBX_EXITED:
        snprintf(m->detail, size, "exited with code %llu", value);
        break;
    case SBX_SIGNALED:
        snprintf(m->detail, size, "killed by signal %llu (%s)", value,
                 value < 65 ? strsignal((int)value) : "?");
        break;
    case SBX_OOM:
        if (result->value)
            snprintf(m->detail, size, "killed by OOM (limit %s, peak %s)",
                     member_size(result->value, limit, sizeof(limit)),
                     member_size(m->peak_bytes, peak, sizeof(peak)));
        else
            snprintf(m->detail, size, "killed by OOM (of cgroup %.64s, not its own; peak %s)",
                     result->oom_level, member_size(m->peak_bytes, peak, sizeof(peak)));
        break;
    case SBX_TIMEOUT:
        snprintf(m->detail, size, "killed after its timeout of %llu ms", value);
        break;
    case SBX_NOT_READY:
        snprintf(m->detail, size, "killed, it did not say READY=1 within %llu ms", value);
        break;
    case SBX_WATCHDOG:
        if (value == 0)
            snprintf(m->detail, size, "killed by its watchdog, which it triggered");
        else
            snprintf(m->detail, size, "killed by its watchdog, no WATCHDOG=1 for %llu ms", value);
        break;
    case SBX_STOPPED:
        snprintf(m->detail, size, "stopped");
        break;
    case SBX_SETUP_FAILED:
        snprintf(m->detail, size, "could not be started: %s", result->error.text);
        break;
    }
}

/* It could not have been an OOM: the program was told, and ended by itself. */
static void put_memory_limit(struct member *m, const struct sbx_result *result)
{
    char limit[32], asked[32];
    size_t used = strlen(m->detail);

    m->value = m->entry->limits.memory_bytes;
    snprintf(m->detail + used, sizeof(m->detail) - used,
             ": memory-limit (rlimit): %s, %llu requests for more were refused, the first of %s",
             member_size(m->value, limit, sizeof(limit)),
             (unsigned long long)result->memory_refused,
             member_size(result->memory_refused_bytes, asked, sizeof(asked)));
}

/* What it has told itself. */
static void put_errno(struct member *m)
{
    size_t used = strlen(m->detail);

    snprintf(m->detail + used, sizeof(m->detail) - used, ", it said ERRNO=%d: %s", m->told.err,
             strerror(m->told.err));
}

static void add_past(struct sbx_stats *past, const struct sbx_stats *more)
{
    past->known = past->known || more->known;
    past->cpu_usec += more->cpu_usec;
    past->throttled_usec += more->throttled_usec;
    past->memory_peak_bytes = MAX(past->memory_peak_bytes, more->memory_peak_bytes);
    past->oom_kills += more->oom_kills;
    past->pids_peak = MAX(past->pids_peak, more->pids_peak);
    past->pids_refused += more->pids_refused;
    past->io_read_bytes += more->io_read_bytes;
    past->io_write_bytes += more->io_write_bytes;
}

static bool wants_restart(const struct member *m, bool well)
{
    if (m->stopping)
        return false;
    return m->entry->restart == STACK_RESTART_ALWAYS ||
           (m->entry->restart == STACK_RESTART_ON_FAILURE && !well);
}

int member_ended(struct member *m, const struct sbx_result *result, uint64_t now_ms)
{
    bool asked = result->outcome == SBX_STOPPED || m->stopping;
    bool well = asked || (result->outcome == SBX_EXITED && result->value == 0);
    bool healthy = m->state == MEMBER_RUNNING && now_ms - m->started_ms >= MEMBER_HEALTHY_MS;
    uint32_t wait_ms;

    m->outcome = result->outcome;
    m->value = result->value;
    m->memory_limit = !well && result->memory_refused > 0 && result->outcome <= SBX_SIGNALED;
    m->peak_bytes = result->stats.memory_peak_bytes;
    add_past(&m->past, &result->stats);
    put_detail(m, result);
    if (m->memory_limit)
        put_memory_limit(m, result);
    if (!well && m->told.err)
        put_errno(m);
    if (!wants_restart(m, well)) {
        m->state = well ? MEMBER_STOPPED : MEMBER_FAILED;
        return -1;
    }
    if (healthy)
        m->backoff_ms = MEMBER_BACKOFF_MIN_MS;
    wait_ms = m->backoff_ms;
    m->backoff_ms = MIN(m->backoff_ms * 2, MEMBER_BACKOFF_MAX_MS);
    m->state = MEMBER_BACKOFF;
    return (int)wait_ms;
}

void member_give_up(struct member *m)
{
    m->state = MEMBER_STOPPED;
}

int member_may_start(const struct member *m, bool shutting_down)
{
    if (shutting_down || m->stopping)
        return -EPERM;
    switch (m->state) {
    case MEMBER_STOPPED:
        return 0;
    case MEMBER_BACKOFF:
        return -EAGAIN;
    case MEMBER_FAILED:
        return -EPERM;
    case MEMBER_STARTING:
    case MEMBER_RUNNING:
        break;
    }
    return -EALREADY;
}

void member_total(const struct member *m, const struct sbx_stats *now, struct sbx_stats *ret)
{
    struct sbx_stats total = m->past;

    if (now) {
        add_past(&total, now);
        total.known = now->known;
        total.memory_bytes = now->memory_bytes;
        total.pids = now->pids;
    }
    *ret = total;
}

static Uds__Supervisor__Cause cause_of(enum sbx_outcome outcome)
{
    switch (outcome) {
    case SBX_EXITED:
        return UDS__SUPERVISOR__CAUSE__EXITED;
    case SBX_SIGNALED:
        return UDS__SUPERVISOR__CAUSE__SIGNALED;
    case SBX_OOM:
        return UDS__SUPERVISOR__CAUSE__OOM;
    case SBX_TIMEOUT:
        return UDS__SUPERVISOR__CAUSE__TIMEOUT;
    case SBX_NOT_READY:
        return UDS__SUPERVISOR__CAUSE__NOT_READY;
    case SBX_WATCHDOG:
        return UDS__SUPERVISOR__CAUSE__WATCHDOG;
    case SBX_STOPPED:
        return UDS__SUPERVISOR__CAUSE__STOP;
    case SBX_SETUP_FAILED:
        return UDS__SUPERVISOR__CAUSE__SETUP;
    }
    return UDS__SUPERVISOR__CAUSE__NONE;
}

/* The generated struct has char * where nothing is written. */
static char *lend(const char *text)
{
    union {
        const char *in;
        char *out;
    } u = {.in = text};

    return u.out;
}

void member_describe(const struct member *m,
                     Uds__Supervisor__Sandbox *ret,
                     char *degraded[MEMBER_DEGRADED_MAX])
{
    uds__supervisor__sandbox__init(ret);
    ret->id = m->id;
    ret->name = m->entry->name;
    ret->uid_first = m->report.uid_first;
    ret->uid_count = m->report.uid_count;
    ret->host_uid = (uint32_t)m->report.host_uid;
    ret->host_gid = (uint32_t)m->report.host_gid;
    ret->guarded = m->report.guarded;
    ret->memory_is_rlimit = m->report.memory_is_rlimit;
    ret->memory_limit = m->entry->limits.memory_bytes;
    ret->state = (Uds__Supervisor__State)m->state;
    ret->generation = m->generation;
    ret->restarts = m->restarts;
    ret->pid = m->state == MEMBER_RUNNING ? m->report.init_pid : 0;
    ret->started_unix_ms = m->started_unix_ms;
    ret->cgroup = lend(m->report.cgroup);
    ret->degraded = degraded;
    for (uint32_t bit = 1;
         bit && bit <= m->report.degraded && ret->n_degraded < MEMBER_DEGRADED_MAX; bit <<= 1)
        if (m->report.degraded & bit)
            degraded[ret->n_degraded++] = lend(sbx_degrade_name(bit));
    ret->cause = m->memory_limit ? UDS__SUPERVISOR__CAUSE__MEMORY_LIMIT : cause_of(m->outcome);
    ret->value = m->value;
    ret->peak_bytes = m->peak_bytes;
    ret->detail = lend(m->detail);
    ret->notify = m->entry->notify;
    ret->ready = m->told.ready;
    ret->stopping = m->told.stopping;
    ret->status = lend(m->told.status);
    ret->refused = m->told.refused;
    ret->refusal = lend(m->told.why);
    ret->warm = m->warm;
    ret->warm_wanted = m->entry->warm;
}
