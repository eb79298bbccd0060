/* SPDX-License-Identifier: MIT */
/*
 * Every step fails once. Whatever step it is, the start is refused with that step's words and nothing is left: no process,
 * no cgroup, no descriptor. The step is broken in the plan, where init finds a number it does not know.
 */

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/prctl.h>

#include "guard.h"
#include "plan.h"

static const char *const argv_true[] = {"/bin/true", NULL};

static struct sbx_spec make_spec(const char *name)
{
    struct sbx_spec spec = SBX_SPEC_INIT;
    spec.argv = argv_true;
    spec.jail = argv_true;
    spec.root = SBX_ROOT_JAIL;
    spec.name = name;
    return spec;
}

static bool has_cgroup(const char *dir, const char *name, int depth)
{
    DIR *d = depth ? opendir(dir) : NULL;
    bool found = false;
    for (struct dirent *e = d ? readdir(d) : NULL; e && !found; e = readdir(d)) {
        char path[4096];
        if (e->d_type != DT_DIR || e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        found = strstr(e->d_name, name) || has_cgroup(path, name, depth - 1);
    }
    if (d)
        closedir(d);
    return found;
}

static void make_name(char ret[48], const char *what)
{
    snprintf(ret, 48, "%s-%d", what, (int)getpid());
}

Test(start, leaves_nothing_whatever_step_fails, .timeout = 110)
{
    UDS_TEST_GUARD;
    char name[48];
    make_name(name, "broken");
    struct sbx_spec spec = make_spec(name);
    struct sbx_error error = {0};
    sbx_cleaner *cleaner = NULL;
    sbx_plan *plan;
    cr_assert_eq(sbx_cleaner_new(&cleaner, NULL, &error), 0, "%s", error.text);
    cr_assert_eq(sbx_plan_new(&plan, &spec, &error), 0, "%s", error.text);
    for (size_t i = 0; i < plan->nsteps; i++) {
        struct sbxi_plan_step *step = &plan->steps[i];
        uint32_t op = step->op;
        sbx *s = NULL;
        if (op == SBXI_FORK || op == SBXI_OPEN)
            continue; /* without a fork the rest is not known to init either; sources are opened here */
        step->op = SBXI_OPS + 1;
        error = (struct sbx_error){0};
        cr_assert_eq(sbx_start(&s, plan, cleaner, &error), -ENOSYS, "step %zu (%u): %s", i, op,
                     error.text);
        cr_assert_null(s);
        cr_assert(strstr(error.text, name), "%s", error.text);
        step->op = op;
    }
    cr_assert(!has_cgroup("/sys/fs/cgroup", name, 8), "a cgroup is left");
    sbx_plan_free(plan);
    sbx_cleaner_free(cleaner);
}

Test(start, one_plan_starts_many_times_with_a_cleaner_of_its_own_or_not)
{
    UDS_TEST_GUARD;
    char name[48];
    make_name(name, "many");
    struct sbx_spec spec = make_spec(name);
    struct sbx_error error = {0};
    sbx_plan *plan;
    cr_assert_eq(sbx_plan_new(&plan, &spec, &error), 0, "%s", error.text);
    for (int i = 0; i < 3; i++) {
        struct sbx_result result = SBX_RESULT_INIT;
        sbx *s = NULL;
        cr_assert_eq(sbx_start(&s, plan, NULL, &error), 0, "%s", error.text);
        cr_assert_eq(sbx_wait(s, &result), 1);
        cr_assert_eq(result.outcome, SBX_EXITED);
        cr_assert_eq(result.value, 0);
        sbx_free(s);
    }
    cr_assert(!has_cgroup("/sys/fs/cgroup", name, 8), "a cgroup is left");
    sbx_plan_free(plan);
}

/* What the library fills, and what it is given, of a size that is not its own. */
static void refuses_other_sizes(sbx *s)
{
    struct sbx_result result = {.size = sizeof result - 8}, wait = result;
    struct sbx_report report = {.size = sizeof report - 8};
    struct sbx_stats stats = {.size = sizeof stats + 8};
    struct sbx_limits limits = {.size = sizeof limits - 8};
    struct sbx_spec spec = make_spec("size");
    struct sbx_error error = {0};
    sbx_plan *plan;
    cr_expect_eq(sbx_process(s, &result), -EINVAL);
    cr_expect_eq(result.outcome, 0, "nothing was written");
    cr_expect_eq(sbx_wait(s, &wait), -EINVAL);
    cr_expect_eq(sbx_get_report(s, &report), -EINVAL);
    cr_expect_eq(sbx_get_stats(s, &stats), -EINVAL);
    cr_expect_eq(sbx_get_limits(s, &limits), -EINVAL);
    cr_expect_eq(sbx_set_limits(s, &limits, &error), -EINVAL);
    spec.limits = limits;
    error = (struct sbx_error){0};
    cr_expect_eq(sbx_plan_new(&plan, &spec, &error), -EINVAL);
    cr_expect(strstr(error.text, "SBX_LIMITS_INIT"), "%s", error.text);
}

Test(start, the_fd_becomes_readable_when_it_ends)
{
    UDS_TEST_GUARD;
    char name[48];
    make_name(name, "poll");
    struct sbx_spec spec = make_spec(name);
    struct sbx_error error = {0};
    struct sbx_result result = SBX_RESULT_INIT;
    sbx_plan *plan;
    sbx *s;
    cr_assert_eq(sbx_plan_new(&plan, &spec, &error), 0, "%s", error.text);
    cr_assert_eq(sbx_start(&s, plan, NULL, &error), 0, "%s", error.text);
    struct pollfd fd = {.fd = sbx_get_fd(s), .events = POLLIN};
    cr_assert_eq(sbx_get_timeout(s), -1);
    cr_assert_eq(poll(&fd, 1, 10000), 1);
    cr_assert_eq(sbx_process(s, &result), 1);
    cr_assert_eq(sbx_process(s, &result), 1, "a result stays");
    refuses_other_sizes(s);
    cr_assert_eq(sbx_signal(s, 15), -ESRCH);
    cr_assert_eq(sbx_kill(s), -ESRCH);
    sbx_free(s);
    sbx_plan_free(plan);
}

/* As a loop does; whether it ever ran. */
static bool process_until_it_ends(sbx *s, struct sbx_result *ret)
{
    bool ran = false;
    for (;;) {
        struct pollfd fd = {.fd = sbx_get_fd(s), .events = POLLIN};
        cr_assert_eq(poll(&fd, 1, sbx_get_timeout(s)), fd.revents ? 1 : 0);
        if (sbx_process(s, ret) == 1)
            return ran;
        ran = ran || !sbx_is_starting(s);
    }
}

Test(start, in_two_halves_tells_by_process_that_it_runs_or_why_not)
{
    UDS_TEST_GUARD;
    static const char *const argv_missing[] = {"/bin/never-there", NULL};
    char name[48];
    make_name(name, "halves");
    struct sbx_error error = {0};
    enum {
        RUNS,
        MISSING,
        STOPPED,
        KILLED,
        FREED,
        ALL
    };
    for (int i = RUNS; i < ALL; i++) {
        struct sbx_spec spec = make_spec(name);
        struct sbx_result result = SBX_RESULT_INIT;
        sbx_plan *plan;
        sbx *s;
        if (i == MISSING) {
            spec.root = SBX_ROOT_HOST_RO;
            spec.jail = NULL;
            spec.argv = argv_missing;
        }
        cr_assert_eq(sbx_plan_new(&plan, &spec, &error), 0, "%s", error.text);
        cr_assert_eq(sbx_start_begin(&s, plan, NULL, &error), 0, "%s", error.text);
        sbx_plan_free(plan);
        cr_assert(sbx_is_starting(s));
        cr_assert_gt(sbx_get_timeout(s), 0, "its set-up has only so long");
        if (i == STOPPED)
            cr_assert_eq(sbx_stop(s, 0), 0);
        if (i == KILLED)
            cr_assert_eq(sbx_kill(s), 0);
        bool ran = i != FREED && process_until_it_ends(s, &result);
        if (i <= MISSING) /* who is stopped may have begun before */
            cr_expect_eq(ran, i == RUNS, "%d", i);
        if (i == MISSING)
            cr_expect(result.error.exec && result.value == ENOENT &&
                          strstr(result.error.text, argv_missing[0]),
                      "%s", result.error.text);
        cr_expect_eq(result.outcome,
                     i == RUNS      ? SBX_EXITED
                     : i == MISSING ? SBX_SETUP_FAILED
                     : i == FREED   ? 0
                                    : SBX_STOPPED,
                     "%d: %d", i, (int)result.outcome);
        sbx_free(s);
        cr_expect(!has_cgroup("/sys/fs/cgroup", name, 8), "a cgroup is left");
    }
}

Test(start, freeing_a_running_sandbox_ends_it)
{
    UDS_TEST_GUARD;
    static const char *const argv[] = {"/bin/sleep", "1000", NULL}, *const jail[] = {"/bin/sleep",
                                                                                     NULL};
    char name[48], byte;
    int life[2];
    make_name(name, "free");
    struct sbx_spec spec = make_spec(name);
    struct sbx_error error = {0};
    sbx_plan *plan;
    sbx *s;
    cr_assert_eq(pipe(life), 0);
    const struct sbx_named_fd fd = {.name = "life", .fd = life[1]};
    spec.argv = argv;
    spec.jail = jail;
    spec.fds = &fd;
    spec.nfds = 1;
    cr_assert_eq(sbx_plan_new(&plan, &spec, &error), 0, "%s", error.text);
    cr_assert_eq(sbx_start(&s, plan, NULL, &error), 0, "%s", error.text);
    close(life[1]);
    sbx_free(s);
    cr_assert_eq(read(life[0], &byte, 1), 0, "the payload still holds it");
    close(life[0]);
    sbx_plan_free(plan);
}

/* Its limits are changed, also one whose hierarchy it had no place in, it is frozen, and killed while it is. */
Test(start, a_running_sandbox_is_changed_frozen_and_killed)
{
    UDS_TEST_GUARD;
    static const char *const argv[] = {"/bin/sleep", "60", NULL};
    static const char *const jail[] = {"/bin/sleep", NULL};
    char name[48];
    make_name(name, "live");
    struct sbx_spec spec = make_spec(name);
    struct sbx_error error = {0};
    struct sbx_limits limits = {.size = sizeof limits,
                                .cpus = "0",
                                .cpu_percent = 30,
                                .pids = 5,
                                .memory_bytes = 32 << 20},
                      now = SBX_LIMITS_INIT,
                      none = {.size = sizeof none, .cpus = "4000", .pids = 6};
    struct sbx_result result = SBX_RESULT_INIT;
    sbx_plan *plan;
    sbx *s = NULL;
    spec.argv = argv;
    spec.jail = jail;
    cr_assert_eq(sbx_plan_new(&plan, &spec, &error), 0, "%s", error.text);
    cr_assert_eq(sbx_start(&s, plan, NULL, &error), 0, "%s", error.text);
    int r = sbx_get_limits(s, &now);
    if (r == -EOPNOTSUPP) { /* no cgroup for us here */
        cr_expect_eq(sbx_set_limits(s, &limits, &error), -EOPNOTSUPP);
        cr_expect_eq(sbx_freeze(s, true), -EOPNOTSUPP);
    } else {
        cr_expect_eq(now.memory_bytes, SBX_UNLIMITED);
        cr_assert_eq(sbx_set_limits(s, &limits, &error), 0, "%s", error.text);
        cr_assert_eq(sbx_get_limits(s, &now), 0);
        cr_expect_str_eq(now.cpus, "0");
        cr_expect_eq(now.cpu_percent, 30);
        cr_expect_eq(now.pids, 5, "without its init");
        cr_expect_eq(now.memory_bytes, 32 << 20);
        cr_expect_eq(sbx_set_limits(s, &none, &error), -EINVAL);
        cr_assert_eq(sbx_get_limits(s, &now), 0);
        cr_expect_eq(now.pids, 5, "all or nothing");
        cr_expect_eq(sbx_freeze(s, true), 0);
    }
    cr_assert_eq(sbx_kill(s), 0);
    cr_assert_eq(sbx_wait(s, &result), 1);
    cr_expect_eq(result.outcome, SBX_STOPPED);
    cr_expect_eq(sbx_set_limits(s, &limits, &error), -ESRCH);
    cr_expect_eq(sbx_freeze(s, true), -ESRCH);
    sbx_free(s);
    sbx_plan_free(plan);
    cr_assert(!has_cgroup("/sys/fs/cgroup", name, 8), "a cgroup is left");
}

Test(start, without_a_cgroup_on_request)
{
    UDS_TEST_GUARD;
    char name[48];
    make_name(name, "none");
    struct sbx_spec spec = make_spec(name);
    struct sbx_error error = {0};
    struct sbx_result result = SBX_RESULT_INIT;
    struct sbx_report report = SBX_REPORT_INIT;
    sbx_plan *plan;
    sbx *s = NULL;
    spec.no_cgroup = true;
    spec.limits.pids = 8;
    cr_assert_eq(sbx_plan_new(&plan, &spec, &error), -EINVAL);
    cr_assert(strstr(error.text, "no-cgroup: pids"), "%s", error.text);
    spec.limits = (struct sbx_limits)SBX_LIMITS_INIT;
    spec.isolate &= ~(uint32_t)SBX_NS_PID;
    cr_assert_eq(sbx_plan_new(&plan, &spec, &error), -EINVAL);
    cr_assert(strstr(error.text, "pid namespace"), "%s", error.text);
    spec.isolate |= SBX_NS_PID;
    cr_assert_eq(sbx_plan_new(&plan, &spec, &error), 0, "%s", error.text);
    cr_assert_eq(sbx_start(&s, plan, NULL, &error), 0, "%s", error.text);
    sbx_get_report(s, &report);
    cr_assert_str_eq(report.backend, "none");
    cr_assert(!has_cgroup("/sys/fs/cgroup", name, 8), "it has a cgroup");
    cr_assert_eq(sbx_freeze(s, true), -EOPNOTSUPP);
    cr_assert_eq(sbx_wait(s, &result), 1);
    cr_assert_eq(result.outcome, SBX_EXITED);
    cr_assert(!result.stats.known);
    sbx_free(s);
    sbx_plan_free(plan);
}

/* A child that has our memory for a while changes its ids: whose memory is that then? (birth.h) */
Test(start, the_launcher_stays_as_dumpable_as_it_was)
{
    UDS_TEST_GUARD;
    char name[48];
    make_name(name, "memory");
    struct sbx_spec spec = make_spec(name);
    struct sbx_error error = {0};
    struct sbx_result result = SBX_RESULT_INIT;
    sbx_plan *plan;
    spec.no_cgroup = true;
    cr_assert_eq(sbx_plan_new(&plan, &spec, &error), 0, "%s", error.text);
    for (int dumpable = 1; dumpable >= 0; dumpable--) {
        sbx *several[3];
        prctl(PR_SET_DUMPABLE, dumpable, 0, 0, 0);
        for (size_t i = 0; i < 3; i++)
            cr_assert_eq(sbx_start(&several[i], plan, NULL, &error), 0, "%s", error.text);
        cr_assert_eq(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), dumpable);
        for (size_t i = 0; i < 3; i++) {
            cr_assert_eq(sbx_wait(several[i], &result), 1);
            cr_assert_eq(result.outcome, SBX_EXITED);
            sbx_free(several[i]);
        }
    }
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    sbx_plan_free(plan);
}

static int hide_memory(const struct sbx_report *report, void *userdata)
{
    (void)report;
    (void)userdata;
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

Test(start, what_the_program_says_of_its_memory_meanwhile_stands)
{
    UDS_TEST_GUARD;
    char name[48];
    make_name(name, "hidden");
    struct sbx_spec spec = make_spec(name);
    struct sbx_error error = {0};
    sbx_plan *plan;
    sbx *s;
    spec.no_cgroup = true;
    spec.host_root = geteuid() == 0;
    spec.on_born = hide_memory;
    cr_assert_eq(sbx_plan_new(&plan, &spec, &error), 0, "%s", error.text);
    cr_assert_eq(sbx_start(&s, plan, NULL, &error), 0, "%s", error.text);
    cr_assert_eq(prctl(PR_GET_DUMPABLE, 0, 0, 0, 0), 0);
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    sbx_free(s);
    sbx_plan_free(plan);
}
