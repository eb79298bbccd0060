/* SPDX-License-Identifier: MIT */
/* The first process of a sandbox, in the namespaces that the plan says, and why there is none. */

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

#include "birth.h"
#include "blocked.h"
#include "error.h"
#include "kernel.h"
#include "running.h"
#include "without.h"

static const char *advise(int err, bool into_cgroup)
{
    const char *knob = sbxi_blocked_advice("/proc/sys", err);
    if (*knob)
        return knob;
    if (into_cgroup && (err == EACCES || err == EBUSY || err == EOPNOTSUPP))
        return "; its cgroup takes no process from here: start from within the place that was "
               "delegated to you, or name another by --cgroup-parent";
    switch (err) {
    case ENOSPC:
        return "; a limit of namespaces is reached: see sysctl user.max_user_namespaces and "
               "user.max_*_namespaces";
    case EPERM:
        return "; namespaces are forbidden to this user: see the container's seccomp profile";
    case ENOSYS:
        return "; clone3 is hidden from this process: see the container's seccomp profile";
    case EAGAIN:
        return "; a limit of processes is reached";
    default:
        return "";
    }
}

static int clone_error(const sbx_plan *plan, int err, bool into_cgroup, struct sbx_error *error)
{
    return sbxi_error(error, err, "sandbox %s: new namespaces: %s%s", plan->name, strerror(err),
                      advise(err, into_cgroup));
}

/* Has a process inside the host id that owns the program? bubblewrap's finds the launcher by where that is. */
static bool is_within_reach(const sbx_plan *plan, int program)
{
    struct stat st;
    return !plan->range && (plan->isolate & SBX_NS_MOUNT) && !sbxi_plan_is_bwrap(plan) &&
           fstat(program, &st) == 0 && st.st_uid == geteuid();
}

int sbxi_clone(const sbx_plan *plan, sbx *s, struct sbxi_child child, struct sbx_error *error)
{
    static const uint64_t flags[] = {CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWPID,   CLONE_NEWNET,
                                     CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWCGROUP};
    int group = s->cgroup && !SBXI_WITHOUT("join") ? sbxi_cgroup_get_dirfd(s->cgroup) : -1;
    struct clone_args args = {
        .flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
        .pidfd = (uint64_t)(uintptr_t)&s->init_fd,
        .exit_signal = SIGCHLD,
    };
    if (!is_within_reach(plan, child.program))
        child.program_path = NULL;
    child.become_root = plan->range || plan->subids.count;
    child.enters = plan->njoins > 0;
    child.ambient = !plan->privileged && !child.become_root && (plan->isolate & SBX_NS_USER);
    /* The cgroup namespace is init's step, once it is in its cgroups, if there are any. */
    size_t n = sizeof flags / sizeof flags[0] - (sbxi_plan_clones_cgroup_ns(plan) ? 0 : 1);
    for (size_t i = 0; i < n; i++)
        if ((plan->isolate & (1u << i)) && !(flags[i] == CLONE_NEWNET && plan->net_meanwhile))
            args.flags |= flags[i];
    if (group >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (unsigned)group;
    }
    if (child.enters) {
        int r = sbxi_join_clone(plan, s, &args, child, error);
        return r == 0 || error->err ? r : clone_error(plan, -r, group >= 0, error);
    }
    /*
     * Under a limit of memory a child that shares ours would take us with it when that is reached. Rootless, one that changes
     * its ids would leave our other threads' children to root for a moment: nobody but root could write their id maps.
     */
    bool apart = (s->cgroup && !sbxi_cgroup_may_share(s->cgroup)) ||
                 (child.become_root && !plan->privileged);
    if (!apart && sbxi_birth_can_share()) {
        long r = sbxi_birth_clone(&s->birth, &args, &child);
        if (r < 0)
            return clone_error(plan, (int)-r, group >= 0, error);
        s->init_pid = (pid_t)r;
        return 0;
    }
    long pid = sbxi_clone3(&args);
    if (pid < 0)
        return clone_error(plan, errno, group >= 0, error);
    if (pid == 0)
        sbxi_child_run(&child);
    s->init_pid = (pid_t)pid;
    return 0;
}
