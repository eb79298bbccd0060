/* SPDX-License-Identifier: MIT */
/*
 * A running sandbox as its owner's loop sees it: one fd, one timeout, one call. Events of init are the only thing that
 * comes from the sandbox's side, and nothing in them is believed beyond "it ended, with this status".
 */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "admin.h"
#include "birth.h"
#include "cleanup.h"
#include "clock.h"
#include "demand.h"
#include "error.h"
#include "kernel.h"
#include "running.h"
#include "without.h"

enum {
    LAST_WORDS = 1000, /* of who has said that it ended, and goes on */
    INIT_ENDS_MS = 1000,
    DIES_MS = 10, /* who is killed and not frozen */
    OOM_LOOK_MS = 200,
    OOM_STEP_MS = 2
};

/* Without a pid namespace and a cgroup only init knows who belongs to it: it ends them when it finds itself alone. */
static void let_init_end(sbx *s)
{
    struct pollfd gone = {.fd = s->init_fd, .events = POLLIN};
    shutdown(s->control, SHUT_WR);
    poll(&gone, 1, INIT_ENDS_MS);
}

/* PID 1 takes the namespace with it; what is not in it dies by cgroup. */
static void kill_all(sbx *s)
{
    struct pollfd gone = {.fd = s->init_fd, .events = POLLIN};
    siginfo_t info = {0};
    if (s->init_pid) {
        if (!s->own_pids && !s->cgroup)
            let_init_end(s);
        pidfd_send_signal(s->init_fd, SIGKILL, NULL, 0);
        if (s->cgroup && (s->frozen || poll(&gone, 1, DIES_MS) == 0) &&
            sbxi_cgroup_is_frozen(s->cgroup) > 0)
            sbxi_cgroup_freeze(s->cgroup, false); /* v1's frozen do not even die */
        while (waitid((idtype_t)P_PIDFD, (id_t)s->init_fd, &info, WEXITED) < 0 && errno == EINTR)
            continue; /* ECHILD: the caller ignores SIGCHLD or has reaped it */
        s->init_status = info.si_code == CLD_EXITED && !s->direct ? 0 : info.si_status;
        s->init_exited = info.si_code == CLD_EXITED;
        if (s->cleaner)
            sbx_cleaner_remove_process(s->cleaner, s->init_pid);
        s->init_pid = 0;
        if (s->own_pids) /* the kernel has waited for them all; whoever else is in the cgroup goes with it */
            return;
    }
    if (s->cgroup)
        sbxi_cgroup_kill(s->cgroup);
}

static void read_stats(sbx *s, bool brief)
{
    struct sbx_stats stats = SBX_STATS_INIT;
    if (!s->cgroup || sbxi_cgroup_get_stats(s->cgroup, brief, &stats) < 0)
        return;
    stats.pids -= stats.pids > 0; /* PID 1 is not the payload's */
    stats.pids_peak -= stats.pids_peak > 0;
    s->stats = stats;
}

/* Each file is some microseconds of a start: what nobody will look at is not read. */
static void read_last_stats(sbx *s)
{
    bool little = s->counting == SBX_COUNT_LITTLE;
    if (!little || sbxi_was_killed(s))
        read_stats(s, s->counting != SBX_COUNT_ALL);
    if (little)
        s->stats.known = false;
    if (s->stats.known || !s->ended)
        return;
    s->stats.cpu_usec = s->last.cpu_usec;
    if (!s->stats.memory_peak_bytes)
        s->stats.memory_peak_bytes = s->last.peak_kib * 1024;
}

/* The payload has ended, or we are no longer interested; PID 1 goes when the last process does. */
static void let_go(sbx *s)
{
    struct pollfd gone = {.fd = s->init_fd, .events = POLLIN};
    if (s->init_pid && poll(&gone, 1, 0) > 0)
        kill_all(s); /* reaps it */
    s->init_pid = 0;
}

/* Nobody lives in it any more. What is left is known to the cleaner. */
static void remove_all(sbx *s)
{
    struct sbxi_corpse corpse = {.cgroup = s->cgroup,
                                 .ids = s->ids_taken,
                                 .first = s->report.uid_first,
                                 .shells = s->shells};
    if (s->remains) {
        sbxi_remains_put(s->remains, corpse);
    } else {
        if (!SBXI_WITHOUT("removal"))
            sbxi_cgroup_free(s->cgroup);
        SBXI_BOUNDARY("launcher");
        if (s->ids_taken)
            sbx_cleaner_release_ids(s->cleaner, s->report.uid_first);
        sbxi_shells_close(&s->shells, s->cleaner);
    }
    s->cgroup = NULL;
    s->ids_taken = false;
    s->shells = (struct sbxi_shells)SBXI_SHELLS_NONE;
}

void sbxi_teardown(sbx *s)
{
    SBXI_BOUNDARY("launcher");
    if (s->detached && s->epoll >= 0 && s->end == SBXI_BY_ITSELF)
        let_go(s);
    else
        kill_all(s);
    sbxi_network_end(s);
    SBXI_BOUNDARY("launcher");
    read_last_stats(s);
    if (!s->finished)
        sbxi_result_fill(s);
    s->oom_until = 0;
    s->result.stats = s->stats;
    remove_all(s);
    SBXI_BOUNDARY("launcher");
    s->own_cleaner = sbx_cleaner_free(s->own_cleaner);
    s->cleaner = NULL;
    s->starting = false;
    s->finished = true;
}

int sbx_get_fd(const sbx *s)
{
    return s->epoll;
}

bool sbx_is_starting(const sbx *s)
{
    return s->starting;
}

int sbx_get_timeout(const sbx *s)
{
    uint64_t now = sbxi_now_ms(), at = s->starting ? s->setup_until : s->timeout_at;
    if (s->finished)
        return 0;
    if (s->kill_at && (!at || s->kill_at < at))
        at = s->kill_at;
    uint64_t late = s->frozen ? 0 : sbxi_notified_deadline(&s->notify);
    if (late && (!at || late < at))
        at = late;
    if (s->oom_until)
        return OOM_STEP_MS;
    if (!at)
        return -1;
    return at <= now ? 0 : at - now > 3600000 ? 3600000 : (int)(at - now);
}

/* v1 tells that the OOM killer comes, in ours or in a cgroup above; the counter, a moment later, that it was in ours. */
static bool was_oom(sbx *s, uint64_t now)
{
    uint64_t times;
    struct sbx_stats stats = SBX_STATS_INIT;
    if (s->oom_event >= 0 && read(s->oom_event, &times, sizeof times) == (ssize_t)sizeof times)
        s->oom_until = now + OOM_LOOK_MS;
    if (!s->oom_until)
        return false;
    if (now >= s->oom_until)
        s->oom_until = 0;
    sbxi_cgroup_get_stats(s->cgroup, true, &stats);
    s->oom = stats.oom_kills > 0;
    return s->oom;
}

/* What it has told was read first: who could not speak because we did not listen is not late. */
static bool is_late(sbx *s, uint64_t now)
{
    enum sbxi_late late = s->frozen ? SBXI_IN_TIME : sbxi_notified_is_late(&s->notify, now);
    if (late == SBXI_IN_TIME || s->end != SBXI_BY_ITSELF)
        return false;
    s->end = late == SBXI_NOT_READY ? SBXI_BY_READY_TIMEOUT : SBXI_BY_WATCHDOG;
    return true;
}

static bool is_over(sbx *s)
{
    struct sbxi_event event;
    uint64_t now = sbxi_now_ms();
    struct pollfd gone = {.fd = s->init_fd, .events = POLLIN};
    int r;
    bool over =
        poll(&gone, 1, 0) > 0; /* before the last look at the socket: what it said lies there */
    while ((r = s->direct ? 0 : sbxi_event_receive(s->control, &event, &s->terminal)) == 1)
        if (event.type == SBXI_ENDED && !s->ended) {
            s->last = event;
            s->ended = true;
        }
    bool heard = sbxi_notified_receive(&s->notify, now);
    if (s->ended || over || r < 0 || was_oom(s, now))
        return heard || ++s->last_words > LAST_WORDS;
    if (heard && is_late(s, now))
        return true;
    if (s->timeout_at && now >= s->timeout_at && s->end == SBXI_BY_ITSELF) {
        s->end = SBXI_BY_TIMEOUT;
        if (s->grace_ms <= 0 || sbx_signal(s, SIGTERM) < 0)
            return true;
        s->timeout_at = 0;
        s->kill_at = now + (uint64_t)s->grace_ms;
    }
    return (s->timeout_at && now >= s->timeout_at) || (s->kill_at && now >= s->kill_at);
}

void sbxi_setup_failed(sbx *s, int r, const struct sbx_error *error)
{
    sbxi_teardown(s);
    if (s->end != SBXI_BY_ITSELF)
        return;
    s->result.outcome = SBX_SETUP_FAILED;
    s->result.value = (uint64_t)-r;
    s->result.error = *error;
}

/* Its set-up is over, one way or the other. */
static void proceed(sbx *s)
{
    struct sbx_error error = {0};
    int r = sbxi_start_proceed(s, &error);
    if (r < 0)
        sbxi_setup_failed(s, r, &error);
    else if (r == 1 && s->kill_at && sbxi_now_ms() >= s->kill_at)
        sbxi_teardown(s);
}

int sbx_process(sbx *s, struct sbx_result *ret_result)
{
    if (ret_result->size != sizeof *ret_result)
        return -EINVAL;
    if (s->starting) {
        proceed(s);
        if (!s->finished)
            return 0;
    }
    if (!s->finished) {
        if (!is_over(s))
            return 0;
        sbxi_teardown(s);
    }
    *ret_result = s->result;
    return 1;
}

int sbx_wait(sbx *s, struct sbx_result *ret_result)
{
    for (;;) {
        struct pollfd fd = {.fd = s->epoll, .events = POLLIN};
        int r = sbx_process(s, ret_result);
        if (r != 0)
            return r;
        if (poll(&fd, 1, sbx_get_timeout(s)) < 0 && errno != EINTR)
            return -errno;
    }
}

int sbx_get_report(const sbx *s, struct sbx_report *ret)
{
    if (ret->size != sizeof *ret)
        return -EINVAL;
    *ret = s->report;
    return 0;
}

void sbx_get_notify(const sbx *s, struct sbx_notify *ret)
{
    *ret = s->notify.told;
}

int sbx_get_stats(sbx *s, struct sbx_stats *ret)
{
    if (ret->size != sizeof *ret)
        return -EINVAL;
    if (!s->finished)
        read_stats(s, false);
    *ret = s->stats;
    return 0;
}

static int is_changeable(const sbx *s)
{
    return s->finished || s->ended ? -ESRCH : !s->cgroup ? -EOPNOTSUPP : 0;
}

/* v1 counts memory where it is taken: what a payload holds would stay outside of a limit in a place that is made later. */
static int check_memory(const sbx *s, const struct sbx_limits *limits, struct sbx_error *error)
{
    const struct sbx_limits memory = {.memory_bytes = limits->memory_bytes,
                                      .swap_bytes = limits->swap_bytes,
                                      .swap_named = limits->swap_named};
    if (s->waiting || sbxi_cgroup_has_places(s->cgroup, &memory))
        return 0;
    return sbxi_error(error, EOPNOTSUPP,
                      "cgroup: %s: the %s backend cannot bound what a process held before it was "
                      "counted; start it "
                      "counted: with a name, with --stats, or with --memory max",
                      limits->memory_bytes ? "memory" : "swap", sbxi_cgroup_get_backend(s->cgroup));
}

int sbx_set_limits(sbx *s, const struct sbx_limits *limits, struct sbx_error *error)
{
    int r = sbxi_limits_check(limits, error);
    if (r < 0)
        return r;
    struct sbx_limits own = *limits;
    r = is_changeable(s);
    if (r < 0)
        return sbxi_error(
            error, -r, "cgroup: limits: %s",
            r == -ESRCH ? "the sandbox has ended"
                        : "the sandbox has no cgroup; start it (or its broker) as root or below a "
                          "delegated one, or leave the limit out");
    if ((r = check_memory(s, limits, error)) < 0)
        return r;
    if (own.pids && own.pids != SBX_UNLIMITED)
        own.pids++; /* PID 1 is ours */
    r = sbxi_cgroup_set_limits(s->cgroup, &own, error);
    if (r >= 0 && limits->memory_bytes)
        s->memory_limit = limits->memory_bytes == SBX_UNLIMITED ? 0 : limits->memory_bytes;
    return r;
}

int sbx_get_limits(sbx *s, struct sbx_limits *ret)
{
    int r = ret->size != sizeof *ret ? -EINVAL : is_changeable(s);
    if (r < 0)
        return r;
    sbxi_cgroup_get_limits(s->cgroup, ret);
    ret->pids -= ret->pids && ret->pids != SBX_UNLIMITED;
    return 0;
}

int sbx_freeze(sbx *s, bool frozen)
{
    int r = is_changeable(s);
    if (r == 0)
        r = sbxi_cgroup_freeze(s->cgroup, frozen);
    if (r < 0)
        return r;
    if (s->frozen && !frozen)
        sbxi_notified_thaw(&s->notify, s->frozen_ms, sbxi_now_ms());
    if (!s->frozen && frozen)
        s->frozen_ms = sbxi_now_ms();
    s->frozen = frozen;
    return 0;
}

int sbx_take_terminal(sbx *s)
{
    return s->terminal < 0 ? -ENOENT : sbxi_take_fd(&s->terminal);
}

int sbx_signal(sbx *s, int signo)
{
    struct sbxi_command command = {.type = SBXI_SIGNAL, .value = (uint32_t)signo};
    if (signo < 1 || signo >= NSIG)
        return -EINVAL;
    if (s->finished || s->ended)
        return -ESRCH;
    if (s->direct)
        return pidfd_send_signal(s->init_fd, signo, NULL, 0) < 0 ? -errno : 0;
    ssize_t n = send(s->control, &command, sizeof command, MSG_DONTWAIT | MSG_NOSIGNAL);
    return n == (ssize_t)sizeof command ? 0 : errno == EPIPE ? -ESRCH : -errno;
}

int sbx_stop(sbx *s, int grace_ms)
{
    int r = sbx_signal(s, SIGTERM);
    if (s->finished)
        return r;
    s->end = SBXI_BY_STOP;
    s->kill_at = sbxi_now_ms() + (uint64_t)(grace_ms > 0 ? grace_ms : 0);
    return 0;
}

int sbx_kill(sbx *s)
{
    if (s->finished)
        return -ESRCH;
    s->end = SBXI_BY_STOP;
    kill_all(s);
    return 0;
}

sbx *sbx_free(sbx *s)
{
    if (!s)
        return NULL;
    sbxi_admin_forget(s);
    if (!s->finished)
        sbxi_teardown(s);
    if (!s->init_pid) /* else it could not be killed: what it runs on stays */
        s->birth = sbxi_birth_over(s->birth);
    sbxi_closep(&s->notify.channel);
    s->plan = sbx_plan_free(s->plan);
    sbxi_closep(&s->epoll);
    sbxi_closep(&s->oom_event);
    sbxi_closep(&s->terminal);
    sbxi_closep(&s->ns[0]);
    sbxi_closep(&s->ns[1]);
    sbxi_closep(&s->init_fd);
    sbxi_closep(&s->control);
    sbxi_closep(&s->adopt);
    s->remains = sbxi_remains_unref(s->remains);
    free(s);
    return NULL;
}
