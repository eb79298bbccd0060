/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_MEMBER_H
#define SUPERVISOR_MEMBER_H

#include <sbx/notify.h>
#include <sbx/sandbox.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stack.h"
#include "supervisor.pb-c.h"

/*
 * One declared sandbox: where it is in its life, and what its lives so far have cost. See member.c.
 * Pure: no I/O, no clock.
 */

#define MEMBER_BACKOFF_MIN_MS 100u
#define MEMBER_BACKOFF_MAX_MS 10000u
#define MEMBER_DEGRADED_MAX   16     /* kinds of omissions */
#define MEMBER_HEALTHY_MS     10000u /* after so long a run the back-off begins anew */

enum member_state {
    MEMBER_STOPPED = 0,
    MEMBER_STARTING,
    MEMBER_RUNNING,
    MEMBER_BACKOFF, /* ended; will be started again when its time has come */
    MEMBER_FAILED,  /* ended badly and its restart policy says no */
};

struct member {
    uint32_t id; /* > 0; index + 1 in the supervisor's table */
    const struct stack_sandbox *entry;
    enum member_state state;
    bool stopping;       /* an end is wanted: no restart after it */
    uint32_t generation; /* counts starts */
    uint32_t restarts;
    uint32_t backoff_ms; /* what the next restart will wait */
    uint64_t started_ms; /* monotonic */
    uint64_t started_unix_ms;
    struct sbx_report report; /* of the current generation; valid when generation > 0 */
    enum sbx_outcome outcome; /* of the last end; 0 = none yet */
    uint64_t value;           /* limit in bytes, signal, exit code */
    bool memory_limit;        /* RLIMIT_DATA had refused it memory, so @value is that limit */
    uint64_t peak_bytes;      /* of the last end */
    char detail[1100];        /* of the last end, one line */
    struct sbx_notify told;   /* by the current generation */
    uint32_t warm;            /* how many wait for the next generations */
    struct sbx_stats past;    /* of all generations that have ended: sums and peaks */
};

void member_init(struct member *m, uint32_t id, const struct stack_sandbox *entry);

/* STOPPED, BACKOFF, FAILED → STARTING. A new generation. */
void member_starting(struct member *m);
/* STARTING → RUNNING. */
void member_running(struct member *m,
                    const struct sbx_report *report,
                    uint64_t now_ms,
                    uint64_t now_unix_ms);
/* RUNNING: it has told something. */
void member_told(struct member *m, const struct sbx_notify *told);
/* It was started, or will be, and has not said yet that it is ready. */
bool member_is_awaited(const struct member *m);
/*
 * STARTING or RUNNING → STOPPED, BACKOFF or FAILED, by the restart policy.
 * Returns ms to wait before the restart, or -1 when there is none.
 */
int member_ended(struct member *m, const struct sbx_result *result, uint64_t now_ms);
/* BACKOFF → STOPPED: the broker ends before the restart came. */
void member_give_up(struct member *m);

/*
 * May the router ask for its start now? 0, -EALREADY it runs or starts, -EAGAIN back-off, -EPERM it
 * failed for good.
 */
int member_may_start(const struct member *m, bool shutting_down);

/* All generations: the past and @now (NULL when it does not run). */
void member_total(const struct member *m, const struct sbx_stats *now, struct sbx_stats *ret);

/* The row that the router gets; strings are borrowed from @m, @degraded must hold 8 pointers. */
void member_describe(const struct member *m,
                     Uds__Supervisor__Sandbox *ret,
                     char *degraded[MEMBER_DEGRADED_MAX]);

/* "64 MiB", "1536 KiB", "12 bytes". */
const char *member_size(uint64_t bytes, char *buf, size_t size);
/* "cgroup, id-range" or "" for SBX_DEGRADE_* bits. */
const char *member_degraded(uint32_t bits, char *buf, size_t size);

#endif
