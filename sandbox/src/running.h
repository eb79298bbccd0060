/* SPDX-License-Identifier: MIT */
#ifndef SBXI_RUNNING_H
#define SBXI_RUNNING_H

#include <sbx/admin.h>
#include <sbx/sandbox.h>
#include <stdbool.h>
#include <stdint.h>

#include "cgroup.h"
#include "network.h"
#include "notify.h"
#include "plan.h"
#include "remains.h"
#include "steps.h"

/*
 * A sandbox that exists: made by start.c, watched by sandbox.c.
 *
 *   starting ── RUNNING event ──▶ running ── ENDED event, init gone, deadline or kill ──▶ finished
 *      └── FAILED event, init gone, deadline or kill ──────────────────────────────────────────▲
 *
 * Finished means: nothing of it exists any more, @result is final. sbxi_teardown() is the one way there, from any state.
 */
enum sbxi_end {
    SBXI_BY_ITSELF = 0,
    SBXI_BY_STOP,
    SBXI_BY_TIMEOUT,
    SBXI_BY_READY_TIMEOUT,
    SBXI_BY_WATCHDOG
};

struct sbx {
    char name[64];
    sbx_plan *plan; /* referenced: what confines sessions; NULL: no init to ask */
    sbx_cleaner *cleaner, *own_cleaner; /* own: nobody gave us one */
    sbx_admin *admin;                   /* where it can be found; NULL = nowhere */
    struct sbx *admin_next;             /* the one that was added before */
    int64_t admin_number;               /* from 1, never used again */
    uint64_t admin_since;               /* ms */
    sbxi_cgroup *cgroup;                /* NULL: none */
    struct sbxi_birth *birth;           /* NULL: it runs a program, or has memory of its own */
    pid_t init_pid;                     /* 0: none, or reaped */
    int init_fd, control, epoll;        /* pidfd; our end; all of them in one fd to poll */
    int ns[2]; /* user and network namespace of a child that nobody may look into; -1: by /proc */
    int terminal; /* the master of the payload's, -1 = none, or taken */
    struct sbxi_network network;
    int oom_event;      /* v1: somebody may have been killed for memory; -1 = none */
    bool oom;           /* somebody was: all go with it */
    uint64_t oom_until; /* ms: till then look whether it was somebody of ours; 0 = no need */
    enum sbx_counting counting;
    bool starting; /* sbx_process() has still to hear of its first process */
    bool waiting;  /* for sbx_adopt(): the payload's process listens at the other end of @adopt */
    int adopt;     /* -1 = nobody waits */
    bool detached; /* what outlives the payload, or us, lives on */
    bool direct;   /* no init: the child is the payload */
    bool own_pids; /* a pid namespace: who kills PID 1 kills them all */
    bool ids_taken;
    struct sbxi_remains *remains; /* where what is left of it goes; NULL: nowhere, it is removed */
    struct sbxi_shells shells;    /* for those; closed with it otherwise */
    bool ended;                   /* @last is the payload's end */
    bool finished;
    enum sbxi_end end;
    uint64_t setup_until;         /* ms, monotonic: its first process has said how it went */
    uint64_t timeout_at, kill_at; /* ms, monotonic; 0 = never */
    int timeout_ms, grace_ms;
    uint64_t memory_limit;
    struct sbxi_notified notify;
    unsigned last_words;
    uint64_t frozen_ms; /* since when, monotonic */
    bool frozen;        /* by us: the payload's clocks stand still */
    struct sbxi_event last;
    int init_status; /* of waitid: SIGKILL when the kernel took PID 1 itself, else 0; if direct the payload's */
    bool init_exited;       /* direct: that is an exit code, not a signal */
    struct sbx_stats stats; /* the last there were */
    struct sbx_report report;
    struct sbx_result result;
};

/* event.c: one event, made safe to use: 1, 0 = nothing there, -EPIPE = init hung up, -EBADMSG = not an event. A terminal
 * that comes with it fills *@ret_terminal if that is -1. */
int sbxi_event_receive(int control, struct sbxi_event *ret, int *ret_terminal);
/* Kills what lives, reads the last counters, removes everything. */
void sbxi_teardown(sbx *s);
/* The same because of @r, which is its result if nobody has ended it. */
void sbxi_setup_failed(sbx *s, int r, const struct sbx_error *error);

/*
 * start.c: sbx_start() in two halves, @error never NULL. Between them its first process works by itself; when it has said how
 * that went, or has had its time, the second does not wait. Its failure frees @s.
 */
int sbxi_start_begin(sbx **ret,
                     const sbx_plan *plan,
                     sbx_cleaner *cleaner,
                     struct sbx_error *error);
bool sbxi_start_has_answer(const sbx *s);
int sbxi_start_finish(sbx *s, const sbx_plan *plan, struct sbx_error *error);
/* Of sbx_start_begin(): 1 it works still, 0 it runs, -errno with @error; neither waits, nor frees @s. */
int sbxi_start_proceed(sbx *s, struct sbx_error *error);

/* userns.c: id maps of the blocked child @pid. */
int sbxi_map_ids(const sbx_plan *plan, pid_t pid, uint32_t first, struct sbx_error *error);

/* child.c: what the cloned process does until it is uds-sandbox-init. */
struct sbxi_child {
    int *fds;   /* to become 0, 1, 2, … */
    int *spare; /* as many, scratch */
    size_t nfds;
    int program;              /* O_PATH of uds-sandbox-init */
    const char *program_path; /* where it is; NULL: no process inside could change it */
    const int *joins;         /* of cgroups to move into, first thing */
    size_t njoins;
    bool enters;      /* namespaces that exist already: what remains is init's to do */
    bool become_root; /* a range is mapped: be root inside */
    bool ambient;     /* one id is mapped: capabilities survive exec as ambient ones only */
};
_Noreturn void sbxi_child_run(const struct sbxi_child *child);
/* An exec by a uid that is not 0 drops capabilities, except ambient ones: so all become that. 0 or -errno, which is not set. */
int sbxi_raise_ambient(void);

/* start.c: how long what belongs to a start may take, @usual_s at most: who gives the command less waits less for its set-up. */
int sbxi_patience_s(const sbx_plan *plan, int usual_s);

/* clone.c: fills s->init_pid and s->init_fd; of @child the last two members, and no path where none is needed. */
int sbxi_clone(const sbx_plan *plan, sbx *s, struct sbxi_child child, struct sbx_error *error);

/* join.c: as @args say, in the plan's existing namespaces. Fills s->init_pid, s->init_fd and s->ns, and of s->report what
 * namespaces the child has. -errno with @error for those, without for clone3. */
struct clone_args;
int sbxi_join_clone(const sbx_plan *plan,
                    sbx *s,
                    const struct clone_args *args,
                    struct sbxi_child child,
                    struct sbx_error *error);

/* report.c */
void sbxi_report_fill(sbx *s, const sbx_plan *plan);
/* While the process is in them, and before await_running(): the cgroup's and the time's come with its answer. */
void sbxi_report_namespaces(struct sbx_report *report);
/* The words of a failed start. */
int sbxi_report_failure(const sbx_plan *plan,
                        const struct sbxi_event *event,
                        struct sbx_error *error);
void sbxi_result_fill(sbx *s);
/* It has ended, by SIGKILL or for memory: then it may have been the kernel. */
bool sbxi_was_killed(const sbx *s);
/* A session's, that knows the kind of step only. */
void sbxi_step_failed(struct sbx_error *error, const char *name, const struct sbxi_event *event);

#endif
