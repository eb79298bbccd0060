/* SPDX-License-Identifier: MIT */
/* What a sandbox got, how it ended, and why it could not start, in the terms of the public header. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "blocked.h"
#include "cleanup.h"
#include "error.h"
#include "running.h"

/* One that has joined namespaces has told us. */
void sbxi_report_namespaces(struct sbx_report *report)
{
    static const char *const files[] = {"user", "mnt", "pid",    "net",
                                        "ipc",  "uts", "cgroup", "time"};
    char path[32];
    struct stat st;
    if (report->ns_inode[0])
        return;
    snprintf(path, sizeof path, "/proc/%d/ns", (int)report->init_pid);
    _cleanup_close_ int directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        report->ns_inode[i] = fstatat(directory, files[i], &st, 0) == 0 ? (uint64_t)st.st_ino : 0;
}

/* The host's id of @inside in a user namespace that somebody else has mapped; -1: it has none. */
static uint32_t read_map(pid_t pid, const char *file, uint32_t inside)
{
    char path[64];
    unsigned long first, outside, count;
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file);
    _cleanup_fclose_ FILE *map = fopen(path, "re");
    while (map && fscanf(map, "%lu %lu %lu", &first, &outside, &count) == 3)
        if (inside >= first && inside - first < count)
            return (uint32_t)(outside + inside - first);
    return UINT32_MAX;
}

void sbxi_report_fill(sbx *s, const sbx_plan *plan)
{
    struct sbx_report *report = &s->report;
    report->init_pid = s->init_pid;
    if (plan->range) {
        report->host_uid = report->uid_first + plan->uid;
        report->host_gid = report->uid_first + plan->gid;
    } else if (plan->subids.count) {
        report->uid_first = plan->subids.uid;
        report->uid_count = plan->subids.count;
        report->host_uid = plan->uid ? plan->subids.uid + plan->uid - 1 : geteuid();
        report->host_gid = plan->gid ? plan->subids.gid + plan->gid - 1 : getegid();
    } else if (plan->joined_user && plan->own_ids) {
        report->host_uid = read_map(s->init_pid, "uid_map", plan->uid);
        report->host_gid = read_map(s->init_pid, "gid_map", plan->gid);
    } else if (plan->isolate & SBX_NS_USER) {
        report->uid_first = geteuid();
        report->uid_count = 1;
        report->host_uid = geteuid();
        report->host_gid = getegid();
    } else {
        report->host_uid = plan->uid;
        report->host_gid = plan->gid;
    }
    snprintf(report->backend, sizeof report->backend, "%s",
             s->cgroup ? sbxi_cgroup_get_backend(s->cgroup) : "none");
    snprintf(report->cgroup, sizeof report->cgroup, "%s",
             s->cgroup ? sbxi_cgroup_get_path(s->cgroup) : "");
    report->memory_is_rlimit = !s->cgroup && plan->limits.memory_bytes;
    report->pids_is_rlimit = !s->cgroup && plan->limits.pids;
    report->guarded = plan->guarded && plan->seccomp != SBX_SECCOMP_NONE;
    report->caps = plan->caps;
    report->seccomp = plan->seccomp;
    report->filters = plan->filters;
    report->landlock_abi = plan->landlock_abi;
}

static bool joins_pids(const sbx_plan *plan)
{
    for (size_t i = 0; i < plan->njoins; i++)
        if (plan->joins[i].ns == SBX_NS_PID)
            return true;
    return false;
}

/* Beyond what the step itself knows. */
static const char *step_advice(const sbx_plan *plan, const struct sbxi_plan_step *step, int err)
{
    const char *advice = sbxi_step_advice(step, err), *knob;
    if (step->op == SBXI_PROC && err == EPERM && !plan->joined_user && joins_pids(plan))
        return "the pid namespace belongs to another user namespace: join that one too (--join "
               "user=…)";
    if (*advice || plan->privileged || !(plan->isolate & SBX_NS_USER) || step->op > SBXI_FORK)
        return advice;
    knob = sbxi_blocked_advice("/proc/sys", err);
    return *knob ? knob + strlen("; ") : "";
}

const char *sbx_get_masked(const sbx *s, size_t i)
{
    for (size_t k = 0; s->plan && k < s->plan->nsteps; k++)
        if (s->plan->steps[k].op == SBXI_MASK && i-- == 0)
            return s->plan->steps[k].a;
    return NULL;
}

static const char *child_advice(int err)
{
    if (err == EACCES || err == ENOENT)
        return "; the program must be executable for everybody";
    if (err == ENOEXEC)
        return "; install them together, and restart what was started before";
    return "";
}

/* A file that cannot be found inside may be there on the host. */
static const char *missing_advice(const sbx_plan *plan, const char *file)
{
    if (plan->jail)
        return "add it to the jail, or name an existing program";
    if (access(file, F_OK) == 0)
        return "only the host has it there, and not the sandbox's root, which has its own /tmp and "
               "/run and /dev: name it in a jail, or put it elsewhere";
    return "name an existing program";
}

/* Ours allow it, another's may not. */
static bool is_filtered(const sbx_plan *plan, int err)
{
    bool theirs = plan->seccomp == SBX_SECCOMP_FILE ||
                  plan->filters > (plan->seccomp == SBX_SECCOMP_NONE ? 0 : 1);
    return theirs && (err == EPERM || err == ENOSYS || err == ENOMEM);
}

/* Which of the limits it was the kernel does not say. */
static bool limits_memory(const sbx_plan *plan)
{
    for (size_t i = 0; i < plan->nsteps; i++)
        if (plan->steps[i].op == SBXI_RLIMIT &&
            (plan->steps[i].args[0] == RLIMIT_AS || plan->steps[i].args[0] == RLIMIT_DATA))
            return true;
    return false;
}

int sbxi_report_failure(const sbx_plan *plan,
                        const struct sbxi_event *event,
                        struct sbx_error *error)
{
    char text[512];
    if (event->step == SBXI_STEP_CHILD)
        return sbxi_error(error, event->err, "sandbox %s: %s: %s%s", plan->name, event->detail,
                          strerror(event->err), child_advice(event->err));
    if (event->step >= plan->nsteps)
        return sbxi_error(error, event->err, "sandbox %s: set-up: %s", plan->name,
                          strerror(event->err));
    const struct sbxi_plan_step *step = &plan->steps[event->step];
    const char *advice = step_advice(plan, step, event->err);
    if (step->op == SBXI_EXEC && event->err == ENOENT)
        advice = missing_advice(plan, event->detail);
    else if ((step->op == SBXI_EXEC || step->op == SBXI_RLIMIT) && event->err == ENOMEM &&
             limits_memory(plan))
        advice =
            "its rlimit as or data is too low for a program to start: 4M and more for a small one";
    else if (step->op == SBXI_EXEC && event->err == EACCES && plan->landlock_abi)
        advice = "its permissions or Landlock forbid it: name what it and its libraries lie below";
    else if (step->op == SBXI_EXEC && is_filtered(plan, event->err))
        advice = "the seccomp filter must allow what starts a program: execve, brk, mmap";
    else if (step->op == SBXI_OVERLAY && !(step->flags & SBXI_F_OWNED) && event->err == EINVAL &&
             !event->detail[0] && !plan->privileged) /* of the root: the work directory is ours */
        advice = "without root nothing may be mounted below a layer; name directories without "
                 "mounts in them";
    if (step->op == SBXI_EXEC && event->detail[0])
        snprintf(text, sizeof text, "exec"); /* init names the file that it was about */
    else
        sbxi_step_describe(step, text, sizeof text);
    sbxi_error(error, event->err, "sandbox %s: %s%s%s: %s%s%s", plan->name, text,
               event->detail[0] ? ": " : "", event->detail, strerror(event->err),
               *advice ? "; " : "", advice);
    if (error) {
        error->exec = step->op == SBXI_EXEC;
        error->step = true;
    }
    return -event->err;
}

void sbxi_step_failed(struct sbx_error *error, const char *name, const struct sbxi_event *event)
{
    const struct sbxi_plan_step step = {.op = event->step, .slot = -1, .fd = -1};
    const char *advice = sbxi_step_advice(&step, event->err);
    char text[64] = "exec";
    if (event->step == SBXI_FORK)
        advice = event->err == EMFILE   ? "64 sessions run in it already"
                 : event->err == EAGAIN ? "its limit of processes is reached"
                                        : "";
    if (event->step != SBXI_EXEC)
        snprintf(text, sizeof text, "%s", sbxi_step_what(event->step));
    sbxi_error(error, event->err, "sandbox %s: %s%s%s: %s%s%s", name, text,
               event->detail[0] ? ": " : "", event->detail, strerror(event->err),
               *advice ? "; " : "", advice);
    error->exec = event->step == SBXI_EXEC;
    error->step = true;
}

/* Killed without our doing, and the cgroup counts a kill for memory: that was it. */
static bool is_oom(const sbx *s)
{
    return s->cgroup && s->stats.oom_kills > 0 && sbxi_was_killed(s);
}

static int status_of(const sbx *s)
{
    return s->ended                      ? s->last.status
           : s->direct && s->init_exited ? W_EXITCODE(s->init_status, 0)
           : s->init_status              ? s->init_status
                                         : SIGKILL;
}

bool sbxi_was_killed(const sbx *s)
{
    int status = status_of(s);
    return s->oom || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

void sbxi_result_fill(sbx *s)
{
    struct sbx_result *result = &s->result;
    int status = status_of(s);
    *result = (struct sbx_result)SBX_RESULT_INIT;
    if (s->ended && s->report.memory_is_rlimit) {
        result->memory_refused = s->last.refused;
        result->memory_refused_bytes = s->last.refused_bytes;
    }
    if (s->end == SBXI_BY_STOP) {
        result->outcome = SBX_STOPPED;
    } else if (s->end == SBXI_BY_TIMEOUT) {
        result->outcome = SBX_TIMEOUT;
        result->value = (uint64_t)s->timeout_ms;
    } else if (s->end == SBXI_BY_READY_TIMEOUT) {
        result->outcome = SBX_NOT_READY;
        result->value = s->notify.ready_ms;
    } else if (s->end == SBXI_BY_WATCHDOG) {
        result->outcome = SBX_WATCHDOG;
        result->value = s->notify.watchdog_ms;
    } else if (is_oom(s)) {
        result->outcome = SBX_OOM;
        if (sbxi_cgroup_get_oom_level(s->cgroup, result->oom_level, sizeof result->oom_level))
            result->value = s->memory_limit;
    } else if (WIFSIGNALED(status)) {
        result->outcome = SBX_SIGNALED;
        result->value = (uint64_t)WTERMSIG(status);
    } else {
        result->outcome = SBX_EXITED;
        result->value = (uint64_t)WEXITSTATUS(status);
    }
}
