/* SPDX-License-Identifier: MIT */
/*
 * A plan becomes a running sandbox. The order is the contract:
 *
 *   ids, cgroup          known to the cleaner before they exist
 *   host paths, blob     opened and written while we are who we are
 *   clone3               the child puts its descriptors in order and waits
 *   id maps, cgroups     joined before a single instruction of init, let alone of the payload
 *   go                   the child becomes uds-sandbox-init, acts, and says RUNNING or FAILED
 *
 * Any failure on the way goes through sbxi_teardown(), after which nothing is left.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "birth.h"
#include "cleaner.h"
#include "cleanup.h"
#include "clock.h"
#include "error.h"
#include "helper.h"
#include "ids.h"
#include "kernel.h"
#include "launch.h"
#include "running.h"
#include "without.h"

enum {
    SETUP_TIMEOUT_S = 30,
    PATIENCE_MIN_S = 5 /* on a busy machine a start takes a second or two */
};

int sbxi_patience_s(const sbx_plan *plan, int usual_s)
{
    int wanted_s = plan->timeout_ms < 0 ? usual_s : plan->timeout_ms / 1000;
    if (wanted_s < PATIENCE_MIN_S)
        wanted_s = PATIENCE_MIN_S;
    return wanted_s < usual_s ? wanted_s : usual_s;
}

/* What is to be run comes to the payload's process by its descriptor 0. */
static int open_adopt(struct launch *launch, sbx *s)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    s->adopt = pair[0];
    launch->fds[0] = launch->adopt = pair[1];
    return 0;
}

/* The child's descriptors in the order of their numbers, trees behind them. */
static int collect_fds(struct launch *launch, sbx *s, struct sbx_error *error)
{
    const sbx_plan *plan = launch->plan;
    size_t most = SBXI_FD_PASSED + plan->npassed + (size_t)plan->ntrees + 1; /* a join's socket */
    int pair[2];
    launch->fds = calloc(most, sizeof *launch->fds);
    launch->spare = calloc(most, sizeof *launch->spare);
    if (!launch->fds || !launch->spare)
        return -ENOMEM;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    s->control = pair[0];
    launch->control = pair[1];
    int r = sbxi_notified_open(&s->notify, plan, &launch->notify);
    if (r < 0)
        return r;
    /* Only where it is wanted: in a sandbox without devices there is none. */
    bool wanted = plan->stdio[0] < 0 || plan->stdio[1] < 0 || plan->stdio[2] < 0;
    if (wanted && (launch->null = open("/dev/null", O_RDWR | O_CLOEXEC)) < 0)
        return sbxi_error(error, errno, "sandbox %s: /dev/null: %s", plan->name, strerror(errno));
    launch->program = sbxi_helper_open("uds-sandbox-init", launch->program_path, error);
    if (launch->program < 0)
        return launch->program;
    for (int i = 0; i < 3; i++)
        launch->fds[i] = plan->stdio[i] < 0 ? launch->null : plan->stdio[i];
    if (s->waiting && (r = open_adopt(launch, s)) < 0)
        return r;
    launch->fds[SBXI_FD_CONTROL] = launch->control;
    memcpy(launch->fds + SBXI_FD_PASSED, plan->passed, plan->npassed * sizeof *launch->fds);
    launch->nfds = SBXI_FD_PASSED + plan->npassed;
    launch->apart = s->cgroup && !sbxi_cgroup_may_share(s->cgroup);
    r = sbxi_launch_open_trees(launch, s, error);
    if (r == 0 && (r = sbxi_launch_write_blob(launch, s->cgroup != NULL)) == 0)
        launch->fds[SBXI_FD_BLOB] = launch->blob;
    return r;
}

static void end_launch(struct launch *launch)
{
    while (launch->ntrees > 0) {
        close(launch->fds[--launch->nfds]);
        launch->ntrees--;
    }
    while (launch->njoins > 0)
        close(launch->joins[--launch->njoins]);
    sbxi_closep(&launch->control);
    sbxi_closep(&launch->adopt);
    sbxi_closep(&launch->notify);
    sbxi_closep(&launch->blob);
    sbxi_closep(&launch->null);
    sbxi_closep(&launch->program);
    sbxi_upper_close(&launch->upper);
    free(launch->fds);
    free(launch->spare);
}

static int clone_child(const struct launch *launch, sbx *s, struct sbx_error *error)
{
    const struct sbxi_child child = {
        .fds = launch->fds,
        .spare = launch->spare,
        .nfds = launch->nfds,
        .program = launch->program,
        .program_path = launch->program_path,
        .joins = launch->joins,
        .njoins = launch->njoins,
    };
    return sbxi_clone(launch->plan, s, child, error);
}

/* What is above our own hard limits: nobody in its user namespace may raise them. What cannot be is said by its own step. */
static void raise_limits(const sbx_plan *plan, pid_t child)
{
    for (size_t i = 0; plan->privileged && i < plan->nsteps; i++) {
        const struct sbxi_plan_step *step = &plan->steps[i];
        struct rlimit limit;
        if (step->op != SBXI_RLIMIT || step->args[2] <= 1 || /* no core file */
            getrlimit((__rlimit_resource_t)step->args[0], &limit) < 0 ||
            limit.rlim_max >= step->args[2])
            continue;
        limit.rlim_max = step->args[2];
        (void)prlimit(child, (__rlimit_resource_t)step->args[0], &limit, NULL);
    }
}

/* Between clone and go: the child waits, and nobody but us knows of it yet. */
static int admit_child(const struct launch *launch, sbx *s, struct sbx_error *error)
{
    const sbx_plan *plan = launch->plan;
    int r = s->cleaner ? sbx_cleaner_add_process(s->cleaner, s->init_pid, s->init_fd) : 0;
    if (r < 0)
        return sbxi_error(error, -r,
                          "sandbox %s: uds-cleaner does not run, or takes no record: %s%s",
                          plan->name, strerror(-r),
                          r == -EACCES || r == -ENOENT
                              ? "; it needs a /dev/null that can be opened, and itself be "
                                "executable"
                              : "");
    SBXI_BOUNDARY("launcher");
    if ((plan->isolate & SBX_NS_USER) && !plan->foreign_maps &&
        (r = sbxi_map_ids(plan, s->init_pid, s->report.uid_first, error)) < 0)
        return r;
    if ((r = sbxi_launch_map_layers(launch, s, error)) < 0)
        return r;
    raise_limits(plan, s->init_pid);
    sbxi_report_fill(s, plan);
    /* init is not dumpable: only who has CAP_SYS_PTRACE sees its namespaces later, and may look while it works. */
    bool later = plan->privileged && !plan->on_born;
    if (!later)
        sbxi_report_namespaces(&s->report);
    if ((r = sbxi_network_start(s, plan, error)) < 0)
        return r;
    SBXI_BOUNDARY("launcher");
    if (plan->on_born && (r = plan->on_born(&s->report, plan->userdata)) < 0)
        return sbxi_error(error, -r, "sandbox %s: telling the caller of its first process: %s",
                          plan->name, strerror(-r));
    if (send(s->control, "", 1, MSG_NOSIGNAL) != 1)
        return -errno;
    if (later)
        sbxi_report_namespaces(&s->report);
    return 0;
}

/* The child has said how it went, or died without a word. */
static int await_running(const sbx_plan *plan, sbx *s, struct sbx_error *error)
{
    uint64_t until = s->setup_until;
    struct sbxi_event event;
    bool about_to_exec = false;
    for (;;) {
        struct pollfd fd = {.fd = s->control, .events = POLLIN};
        uint64_t now = sbxi_now_ms();
        if (now >= until && !s->detached) /* bubblewrap's may wait for a descriptor */
            return sbxi_error(error, ETIMEDOUT, "sandbox %s: set-up: no answer for %d s",
                              plan->name, sbxi_patience_s(plan, SETUP_TIMEOUT_S));
        if (poll(&fd, 1, s->detached ? -1 : (int)(until - now)) < 0 && errno != EINTR)
            return -errno;
        int r = sbxi_event_receive(s->control, &event, &s->terminal);
        if (r == 0)
            continue;
        if (r == 1 && event.type == SBXI_TERMINAL_MADE)
            continue;
        if (r == 1 && event.type == SBXI_FAILED)
            return sbxi_report_failure(plan, &event, error);
        if (r == 1 && event.type == SBXI_RUNNING) {
            if (event.cgroup_ns)
                s->report.ns_inode[6] = event.cgroup_ns;
            if (event.time_ns)
                s->report.ns_inode[7] = event.time_ns;
            if (plan->net_meanwhile) /* till then it was in the launcher's */
                s->report.ns_inode[3] = event.net_ns;
            if (!s->direct)
                return 0;
            about_to_exec = true;
            continue;
        }
        if (r == -EPIPE && about_to_exec) /* the descriptor closed on exec */
            return 0;
        return sbxi_error(error, ECHILD,
                          "sandbox %s: set-up: its first process died; the limits may be too "
                          "small for a process to start",
                          plan->name);
    }
}

/* What was not asked for by name is granted silently, or not: but not to who asserts. */
static int assert_cgroup(const sbx_plan *plan, const struct sbx_error *why, struct sbx_error *error)
{
    return sbxi_error(error, why->err ? why->err : EOPNOTSUPP,
                      "sandbox %s: without a cgroup nothing is counted: %.*s; change that, or run "
                      "it with --no-cgroup, or without --assert",
                      plan->name, (int)strcspn(why->text, ";"), why->text);
}

static int make_cgroup(const sbx_plan *plan, sbx *s, struct sbx_error *error)
{
    struct sbx_error why = {0};
    struct sbxi_cgroup_layout layout;
    struct sbx_limits limits = plan->limits;
    uint32_t degraded = 0;
    if (limits.pids && limits.pids != SBX_UNLIMITED)
        limits.pids++; /* PID 1 is ours */
    if (plan->no_cgroup)
        return 0;
    int r = sbxi_cgroup_probe(&layout, NULL, plan->cgroup_parent, error);
    if (r < 0)
        return r;
    layout.uncounted = plan->counting == SBX_COUNT_LITTLE;
    if (!plan->cgroup_parent)
        sbxi_cgroup_ask_for_scope(&layout, plan->name, &limits, s->cleaner);
    r = sbxi_cgroup_new(&s->cgroup, &layout, plan->name, &limits, s->cleaner, plan->degrade,
                        &degraded, &why);
    if (r == 0 && degraded && plan->assert_all)
        return assert_cgroup(plan, &why, error);
    if (r < 0 && error)
        *error = why;
    s->report.degraded |= degraded;
    return r;
}

static int
take_resources(struct launch *launch, sbx *s, sbx_cleaner *cleaner, struct sbx_error *error)
{
    const sbx_plan *plan = launch->plan;
    int r = sbxi_launch_take_upper(launch, error);
    if (r < 0)
        return r;
    if (s->detached)
        return 0;
    s->cleaner = cleaner;
    if (!cleaner) {
        r = sbx_cleaner_new(&s->own_cleaner, NULL, error);
        if (r < 0)
            return r;
        s->cleaner = s->own_cleaner;
    }
    SBXI_BOUNDARY("launcher");
    if (plan->range) {
        /* What was written has ids already. */
        const struct sbxi_upper *upper = &launch->upper;
        bool known = upper->has_ids && !upper->empty && upper->first != SBXI_UPPER_OWN_IDS;
        r = sbxi_cleaner_take_ids_near(s->cleaner, known ? upper->first : 0, &s->report.uid_first,
                                       error);
        if (r < 0)
            return r;
        s->report.uid_count = SBXI_IDS_COUNT;
        s->ids_taken = true;
    }
    SBXI_BOUNDARY("launcher");
    return make_cgroup(plan, s, error);
}

/* Its control socket: readable when its first process has something to say, or hangs up. */
static int watch_first(sbx *s)
{
    struct epoll_event event = {.events = EPOLLIN};
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (s->direct) /* closed at the other end */
        sbxi_closep(&s->control);
    if (s->epoll < 0 || (!s->direct && epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->control, &event) < 0))
        return -errno;
    return 0;
}

static int watch(sbx *s)
{
    struct epoll_event event = {.events = EPOLLIN};
    int r = s->epoll < 0 ? watch_first(s) : 0;
    if (r < 0)
        return r;
    if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->init_fd, &event) < 0)
        return -errno;
    if (s->notify.channel >= 0 && epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->notify.channel, &event) < 0)
        return -errno;
    if (!s->waiting)
        sbxi_notified_begin(&s->notify, sbxi_now_ms());
    if (s->cgroup && s->memory_limit)
        s->oom_event = sbxi_cgroup_open_oom_event(s->cgroup);
    if (s->oom_event >= 0 && epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->oom_event, &event) < 0)
        return -errno;
    return 0;
}

/* Until the child is on its way. */
static int begin(const sbx_plan *plan, sbx *s, sbx_cleaner *cleaner, struct sbx_error *error)
{
    struct launch launch = {.plan = plan,
                            .control = -1,
                            .adopt = -1,
                            .notify = -1,
                            .blob = -1,
                            .null = -1,
                            .program = -1,
                            .upper = SBXI_UPPER_INIT};
    s->waiting = plan->style & SBXI_S_WAITS;
    if (plan->timeout_ms >= 0 && !s->waiting)
        s->timeout_at = sbxi_now_ms() + (uint64_t)plan->timeout_ms;
    s->timeout_ms = plan->timeout_ms;
    s->grace_ms = plan->grace_ms;
    s->own_pids = plan->isolate & SBX_NS_PID;
    s->counting = plan->counting;
    s->detached = sbxi_plan_is_bwrap(plan);
    s->plan = s->detached ? NULL : sbxi_plan_ref(plan);
    snprintf(s->name, sizeof s->name, "%s", plan->name);
    s->direct = plan->style & SBXI_S_DIRECT;
    s->memory_limit = plan->limits.memory_bytes;
    s->report.degraded = plan->degraded;
    int r = take_resources(&launch, s, cleaner, error);
    SBXI_BOUNDARY("launcher");
    if (r == 0)
        r = collect_fds(&launch, s, error);
    if (r == 0 && s->cgroup && !SBXI_WITHOUT("join"))
        r = sbxi_cgroup_open_join(s->cgroup, launch.joins, &launch.njoins, error);
    if (r == 0)
        r = clone_child(&launch, s, error);
    SBXI_BOUNDARY("launcher");
    if (r == 0)
        r = admit_child(&launch, s, error);
    end_launch(&launch);
    s->setup_until = sbxi_now_ms() + (uint64_t)sbxi_patience_s(plan, SETUP_TIMEOUT_S) * 1000;
    return r;
}

static int finish(const sbx_plan *plan, sbx *s, struct sbx_error *error)
{
    SBXI_BOUNDARY("launcher");
    int r = await_running(plan, s, error);
    if (r == 0)
        s->birth = sbxi_birth_over(s->birth);
    SBXI_BOUNDARY("launcher");
    return r == 0 ? watch(s) : r;
}

static int say_why(const sbx *s, int r, struct sbx_error *error)
{
    if (!error->err)
        sbxi_error(error, -r, "sandbox %s: start: %s", s->name, strerror(-r));
    return r;
}

static int give_up(sbx *s, int r, struct sbx_error *error)
{
    say_why(s, r, error);
    sbx_free(s);
    return r;
}

int sbxi_start_begin(sbx **ret, const sbx_plan *plan, sbx_cleaner *cleaner, struct sbx_error *error)
{
    sbx *s = calloc(1, sizeof *s);
    if (!s)
        return sbxi_error(error, ENOMEM, "sandbox %s: no memory", plan->name);
    error->err = 0;
    s->init_fd = s->control = s->epoll = s->oom_event = s->terminal = s->notify.channel = -1;
    s->ns[0] = s->ns[1] = -1;
    s->adopt = -1;
    s->report = (struct sbx_report)SBX_REPORT_INIT;
    s->result = (struct sbx_result)SBX_RESULT_INIT;
    s->stats = (struct sbx_stats)SBX_STATS_INIT;
    s->shells = (struct sbxi_shells)SBXI_SHELLS_NONE;
    s->network = (struct sbxi_network)SBXI_NETWORK_NONE;
    int r = begin(plan, s, cleaner, error);
    if (r < 0)
        return give_up(s, r, error);
    *ret = s;
    return 0;
}

bool sbxi_start_has_answer(const sbx *s)
{
    struct pollfd answer = {.fd = s->control, .events = POLLIN};
    return sbxi_now_ms() >= s->setup_until || poll(&answer, 1, 0) != 0;
}

int sbxi_start_finish(sbx *s, const sbx_plan *plan, struct sbx_error *error)
{
    error->err = 0;
    int r = finish(plan, s, error);
    return r < 0 ? give_up(s, r, error) : 0;
}

int sbx_start_begin(sbx **ret, const sbx_plan *plan, sbx_cleaner *cleaner, struct sbx_error *error)
{
    struct sbx_error none = {0};
    struct sbx_error *words = error ? error : &none;
    sbx *s;
    if (sbxi_plan_is_bwrap(plan))
        return sbxi_error(words, EINVAL,
                          "sandbox %s: start: one of bubblewrap's kind is started by sbx_start()",
                          plan->name);
    int r = sbxi_start_begin(&s, plan, cleaner, words);
    if (r < 0)
        return r;
    s->starting = true;
    r = watch_first(s);
    if (r < 0)
        return give_up(s, r, words);
    *ret = s;
    return 0;
}

int sbxi_start_proceed(sbx *s, struct sbx_error *error)
{
    if (!sbxi_start_has_answer(s))
        return 1;
    s->starting = false;
    error->err = 0;
    int r = finish(s->plan, s, error);
    return r < 0 ? say_why(s, r, error) : 0;
}

int sbx_start(sbx **ret, const sbx_plan *plan, sbx_cleaner *cleaner, struct sbx_error *error)
{
    struct sbx_error none = {0};
    struct sbx_error *words = error ? error : &none;
    sbx *s;
    int r = sbxi_start_begin(&s, plan, cleaner, words);
    if (r == 0)
        r = sbxi_start_finish(s, plan, words);
    if (r == 0)
        *ret = s;
    return r;
}
