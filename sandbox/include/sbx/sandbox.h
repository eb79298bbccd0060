/* SPDX-License-Identifier: MIT */
#ifndef SBX_SANDBOX_H
#define SBX_SANDBOX_H

#include <sbx/cleaner.h>
#include <sbx/limits.h>
#include <sbx/net.h>
#include <sbx/plan.h>
#include <sbx/spec.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/types.h>

/*
 * A spec (what is wanted) becomes a plan (steps that can be printed) becomes a running, confined process.
 *
 *   sbx_spec ── sbx_plan_new() ──▶ sbx_plan ── sbx_start() ──▶ sbx (running) ── sbx_process() … ──▶ sbx_result
 *                 checks all,         print = --dry-run          cleaner knows everything that exists
 *                 touches nothing
 *
 * The first process of a sandbox is a small static program, uds-sandbox-init, exec'd right after clone3: it never
 * held the launcher's memory. It acts out the plan, starts the payload and stays as PID 1.
 *
 * Unless a comment says otherwise: pointers are not NULL, nothing changes owner, there are no errors, blocking:
 * never, threads: a sandbox belongs to one at a time, with its cleaner, since: 0.1.
 */

UDS_BEGIN_DECLS

typedef struct sbx sbx;

enum sbx_outcome {
    SBX_EXITED = 1, /* value = exit code */
    SBX_SIGNALED,   /* value = signal */
    SBX_OOM, /* killed for memory; value = the limit in bytes, 0 if it was not the sandbox's own */
    SBX_TIMEOUT,      /* value = timeout in ms */
    SBX_STOPPED,      /* we were asked to stop it */
    SBX_SETUP_FAILED, /* value = errno; the payload never ran; error has the words */
    SBX_NOT_READY,    /* value = the time that it had for READY=1, in ms */
    SBX_WATCHDOG, /* value = for how long it did not say WATCHDOG=1, in ms; 0 = it said WATCHDOG=trigger */
};

struct sbx_result {
    size_t
        size; /* sizeof(struct sbx_result), as SBX_RESULT_INIT sets it; anything else is -EINVAL */
    enum sbx_outcome outcome;
    uint64_t value;
    char oom_level[256];    /* SBX_OOM: the cgroup whose limit it was, "/" = the machine's memory */
    struct sbx_stats stats; /* read before the cgroup is removed */
    struct sbx_error error;
    /*
     * Where the memory limit is RLIMIT_DATA: requests of 1 MiB and more that were over it, and the bytes of the first; 0, 0 =
     * none, or not known (before Linux 5.5, or where a seccomp listener is there already)
     */
    uint64_t memory_refused, memory_refused_bytes;
};
#define SBX_RESULT_INIT UDS_INIT_1(sbx_result, .stats.size = sizeof(struct sbx_stats))

/* What was asked and what the kernel granted. */
struct sbx_report {
    size_t
        size; /* sizeof(struct sbx_report), as SBX_REPORT_INIT sets it; anything else is -EINVAL */
    uint32_t degraded; /* enum sbx_degrade bits that were used */
    uint32_t uid_first,
        uid_count;  /* host ids that the sandbox's ids map to; count 0 = no user namespace */
    uid_t host_uid; /* the payload's uid as the host sees it */
    gid_t host_gid;
    pid_t init_pid;        /* PID 1 of the sandbox, host's numbering */
    uint64_t ns_inode[8];  /* order of the sbx_ns bits: user mnt pid net ipc uts cgroup time */
    char cgroup[512];      /* path below each hierarchy's mount, "" = none */
    char backend[16];      /* "v2", "hybrid", "v1", "none" */
    bool memory_is_rlimit; /* memory limit is RLIMIT_DATA, of each process */
    bool pids_is_rlimit;   /* pids limit is RLIMIT_NPROC */
    bool guarded;  /* landlock_no_reopen in force and the setter system calls refused by seccomp */
    uint64_t caps; /* the payload's capabilities, by bit */
    enum sbx_seccomp seccomp; /* the profile in force */
    unsigned filters;         /* programs loaded, those of @filters among them */
    int landlock_abi;         /* the kernel's, where the payload has a domain; else 0 */
    struct sbx_net_report net;
};
#define SBX_REPORT_INIT UDS_INIT_0(sbx_report)

/**
 * sbx_start() - make everything and start the payload
 * @ret:     written on success only
 * @cleaner: NULL: the sandbox starts one of its own, which takes longer than all the rest
 * @error:   may be NULL
 *
 * Returns when the payload's execve has succeeded or set-up has failed.
 *
 * Ownership: the caller frees @ret; the plan's fds are borrowed until it returns, @cleaner for the life of @ret.
 * Errors: -errno of the step that failed, with @error; @error->exec tells a payload that cannot be executed. Nothing
 *   is left then.
 * Blocking: yes, a few ms, bounded by a time-out.
 * Threads: any, several at once. Started by root, with a range of ids, the process is not dumpable for some of that time and
 *   is then made what it was before, since the kernel does not say by whom it was changed: a program that wants to be not
 *   dumpable says so (PR_SET_DUMPABLE) before it starts the first sandbox, not in another thread meanwhile.
 */
UDS_EXPORT UDS_NODISCARD int
sbx_start(sbx **ret, const sbx_plan *plan, sbx_cleaner *cleaner, struct sbx_error *error);
/**
 * sbx_start_begin() - the same for a loop that serves others
 * @ret:     written on success only
 * @cleaner: as for sbx_start()
 * @error:   may be NULL
 *
 * Returns when what takes longest, the work of its first process, goes on by itself. sbx_process() brings it to its end:
 * then sbx_is_starting() is false, or the outcome is SBX_SETUP_FAILED. What of sbx_get_report() is about ids, pids and
 * the cgroup is known at once; of namespaces one may be 0 till then, or ours, which it has not left yet. While it starts
 * sbx_stop(), sbx_kill() and sbx_free() may end it; limits, freezing, signals and sessions are for what runs.
 *
 * Ownership: as of sbx_start().
 * Errors: as of sbx_start(), of what comes before its first process; -EINVAL the plan is of bubblewrap's kind.
 * Blocking: a millisecond or so.
 */
UDS_EXPORT UDS_NODISCARD int
sbx_start_begin(sbx **ret, const sbx_plan *plan, sbx_cleaner *cleaner, struct sbx_error *error);
/** sbx_is_starting() - has sbx_process() still to find that its payload runs, or that it cannot? */
UDS_EXPORT bool sbx_is_starting(const sbx *s);
/**
 * sbx_free() - kill what still runs, remove everything
 *
 * NULL is fine. Returns NULL.
 *
 * Blocking: as the end in sbx_process().
 */
UDS_EXPORT sbx *sbx_free(sbx *s);

/**
 * sbx_get_fd() - for a loop: when it polls readable, or sbx_get_timeout() is over, call sbx_process()
 *
 * The fd stays the sandbox's.
 */
UDS_EXPORT int sbx_get_fd(const sbx *s);
/** sbx_get_timeout() - ms until sbx_process() wants to be called; 0 at once, -1 never */
UDS_EXPORT int sbx_get_timeout(const sbx *s);
/**
 * sbx_process() - do what there is to do
 *
 * Returns 1 when the sandbox has ended and all of it is removed: @ret_result is filled (again and again, if asked);
 * 0 it runs.
 *
 * Errors: -EINVAL @ret_result is of another size.
 * Blocking: no, but for the removal at the end, which waits until what was killed is gone (well below a second).
 */
UDS_EXPORT int sbx_process(sbx *s, struct sbx_result *ret_result);
/**
 * sbx_wait() - the blocking form of sbx_process()
 *
 * Returns 1 when it has ended.
 *
 * Errors: as sbx_process(); -errno of poll(2).   Blocking: until it has ended.
 */
UDS_EXPORT int sbx_wait(sbx *s, struct sbx_result *ret_result);

/**
 * sbx_take_terminal() - the other end of the payload's terminal, if spec.terminal asked for one
 *
 * What is written to it was typed, what is read was printed, TIOCSWINSZ tells of a new size. Non-blocking. It can be
 * read to its end (EIO) after the sandbox has ended.
 *
 * Ownership: the caller's, who closes it; the payload then gets SIGHUP.   Errors: -ENOENT there is none, or it was
 *   taken.
 */
UDS_EXPORT int sbx_take_terminal(sbx *s);
/**
 * sbx_get_masked() - the @i-th path that is masked in it, or NULL after the last; borrowed from @s
 *
 * One that was not there is among them.
 */
UDS_EXPORT const char *sbx_get_masked(const sbx *s, size_t i);
/**
 * sbx_get_report() - what was granted; complete once sbx_start() has returned
 *
 * Errors: -EINVAL @ret is of another size.
 */
UDS_EXPORT int sbx_get_report(const sbx *s, struct sbx_report *ret);
/**
 * sbx_get_stats() - the counters now, or the last there were
 *
 * @ret->known is false without a cgroup.
 *
 * Errors: -EINVAL @ret is of another size.   Blocking: file system calls.
 */
UDS_EXPORT int sbx_get_stats(sbx *s, struct sbx_stats *ret);
/**
 * sbx_set_limits() - change limits of a running sandbox
 * @limits: what it does not name stays
 * @error:  may be NULL
 *
 * They are in force when it returns.
 *
 * Errors: -EINVAL @limits is of another size; -ESRCH it has ended; -EOPNOTSUPP it has no cgroup, or the backend lacks
 *   the control, or could not bound what it holds (memory on v1, if it was started with SBX_COUNT_LITTLE and without such a
 *   limit); -EBUSY it uses more memory than the new limit and cannot give it back; -errno of the kernel.
 * Blocking: file system calls.
 */
UDS_EXPORT int sbx_set_limits(sbx *s, const struct sbx_limits *limits, struct sbx_error *error);
/**
 * sbx_get_limits() - the limits as the kernel has them, SBX_UNLIMITED where there is none
 *
 * Errors: -EINVAL @ret is of another size; -ESRCH it has ended; -EOPNOTSUPP it has no cgroup.
 * Blocking: file system calls.
 */
UDS_EXPORT int sbx_get_limits(sbx *s, struct sbx_limits *ret);
/**
 * sbx_freeze() - stop all of its processes where they are, or let them go on
 *
 * It may be killed while frozen.
 *
 * Errors: -ESRCH it has ended; -EOPNOTSUPP it has no cgroup; -ETIMEDOUT a process sits in the kernel (then it is
 *   thawed again).
 * Blocking: until all are stopped, 2 s at most.
 */
UDS_EXPORT int sbx_freeze(sbx *s, bool frozen);
/**
 * sbx_signal() - send a signal to the payload, through PID 1
 *
 * Errors: -EINVAL no such signal; -ESRCH it has ended; -EAGAIN PID 1 does not listen.
 */
UDS_EXPORT int sbx_signal(sbx *s, int signo);
/**
 * sbx_stop() - TERM, and after @grace_ms a kill of the cgroup or pid namespace; the outcome is SBX_STOPPED
 *
 * Only asks: drive the loop.
 *
 * Errors: -ESRCH it has ended.
 */
UDS_EXPORT int sbx_stop(sbx *s, int grace_ms);
/**
 * sbx_kill() - kill everything in it now; the outcome is SBX_STOPPED
 *
 * What is left of it is removed by sbx_process().
 *
 * Errors: -ESRCH it has ended.   Blocking: until PID 1 is gone, well below a second.
 */
UDS_EXPORT int sbx_kill(sbx *s);

UDS_END_DECLS

#endif
