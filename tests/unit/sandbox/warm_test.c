/* SPDX-License-Identifier: MIT */
/* Sandboxes that wait for their payload, and pools of them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sbx/warm.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/wait.h>

#include "guard.h"
#include "running.h"

static struct sbx_spec make_spec(void)
{
    static const char *const argv[] = {"/bin/never-run", NULL};
    static const char *const env[] = {"GREETING=hello", NULL};
    static char name[48];
    struct sbx_spec spec = SBX_SPEC_INIT;
    snprintf(name, sizeof name, "warm-%d", (int)getpid());
    spec.name = name;
    spec.argv = argv;
    spec.env = env;
    spec.waits = true;
    spec.degrade = SBX_DEGRADE_CGROUP | SBX_DEGRADE_ID_RANGE;
    return spec;
}

static sbx_plan *plan_of(const struct sbx_spec *spec)
{
    struct sbx_error error = {0};
    sbx_plan *plan;
    cr_assert_eq(sbx_plan_new(&plan, spec, &error), 0, "%s", error.text);
    return plan;
}

static struct sbx_exec shell(const char *script)
{
    static const char *argv[] = {"/bin/sh", "-c", NULL, NULL};
    struct sbx_exec what = SBX_EXEC_INIT;
    argv[2] = script;
    what.argv = argv;
    return what;
}

/* What @s writes to the other end of @fd, until it ends. */
static struct sbx_result end_of(sbx *s, int fd, char *text, size_t size)
{
    struct sbx_result result = {0};
    cr_assert_eq(sbx_wait(s, &result), 1);
    ssize_t n = fd >= 0 ? read(fd, text, size - 1) : 0;
    text[n > 0 ? n : 0] = '\0';
    return result;
}

Test(warm, a_waiting_one_becomes_an_ordinary_sandbox)
{
    UDS_TEST_GUARD;
    struct sbx_spec spec = make_spec();
    struct sbx_error error = {0};
    struct sbx_exec what = shell("echo $GREETING $$ $(wc -l </proc/1/comm); pwd; exit 7");
    sbx_plan *plan = plan_of(&spec);
    char text[256];
    int pipe[2];
    sbx *s = NULL;
    cr_assert_eq(sbx_start(&s, plan, NULL, &error), 0, "%s", error.text);
    cr_assert_eq(pipe2(pipe, O_CLOEXEC), 0);
    what.stdio[1] = pipe[1];
    what.chdir = "/usr";
    cr_assert_eq(sbx_adopt(s, &what, &error), 0, "%s", error.text);
    close(pipe[1]);
    struct sbx_result result = end_of(s, pipe[0], text, sizeof text);
    cr_assert_eq(result.outcome, SBX_EXITED);
    cr_assert_eq(result.value, 7);
    cr_assert_str_eq(text, "hello 2 1\n/usr\n");
    close(pipe[0]);
    sbx_free(s);
    sbx_plan_free(plan);
}

Test(warm, its_payload_is_confined_as_one_that_was_started_cold)
{
    UDS_TEST_GUARD;
    static const char script[] =
        "grep -E '^(Cap...|NoNewPrivs|Seccomp|Uid|Gid|Groups):' /proc/self/status; cat "
        "/proc/self/oom_score_adj; "
        "ulimit -c; umask; ls /proc/self/fd; cat /proc/self/cgroup | grep -c uds-; id";
    struct sbx_error error = {0};
    char texts[2][2048];
    for (int warm = 0; warm < 2; warm++) {
        struct sbx_spec spec = make_spec();
        struct sbx_exec what = shell(script);
        int pipe[2];
        sbx *s = NULL;
        cr_assert_eq(pipe2(pipe, O_CLOEXEC), 0);
        spec.waits = warm;
        if (!warm) {
            spec.argv = what.argv;
            spec.stdio[1] = pipe[1];
        }
        what.stdio[1] = pipe[1];
        sbx_plan *plan = plan_of(&spec);
        cr_assert_eq(sbx_start(&s, plan, NULL, &error), 0, "%s", error.text);
        if (warm)
            cr_assert_eq(sbx_adopt(s, &what, &error), 0, "%s", error.text);
        close(pipe[1]);
        end_of(s, pipe[0], texts[warm], sizeof texts[warm]);
        close(pipe[0]);
        sbx_free(s);
        sbx_plan_free(plan);
    }
    /* Host ids differ from start to start, what is seen inside does not. */
    cr_assert_str_eq(texts[0], texts[1]);
    cr_assert(strstr(texts[1], "Seccomp:\t2"), "%s", texts[1]);
}

Test(warm, what_cannot_be_run_ends_it_and_says_so)
{
    UDS_TEST_GUARD;
    struct sbx_spec spec = make_spec();
    struct sbx_exec what = shell("true");
    const char *argv[] = {"/nowhere", NULL};
    struct sbx_error error = {0};
    struct sbx_result result = {0};
    sbx_session *session;
    sbx_plan *plan = plan_of(&spec);
    sbx *s = NULL;
    cr_assert_eq(sbx_start(&s, plan, NULL, &error), 0, "%s", error.text);
    cr_assert_eq(sbx_exec(&session, s, &what, &error), -EBUSY);
    what.argv = argv;
    cr_assert_eq(sbx_adopt(s, &what, &error), -ENOENT);
    cr_assert(error.exec && strstr(error.text, "/nowhere"), "%s", error.text);
    cr_assert_eq(sbx_adopt(s, &what, &error), -ESRCH, "a used one is used up");
    cr_assert_eq(sbx_wait(s, &result), 1);
    cr_assert_eq(result.outcome, SBX_SETUP_FAILED);
    cr_assert_eq(result.value, ENOENT);
    sbx_free(s);
    sbx_plan_free(plan);
}

Test(warm, its_timeout_begins_with_the_payload)
{
    UDS_TEST_GUARD;
    struct sbx_spec spec = make_spec();
    struct sbx_exec what = shell("exec sleep 100");
    struct sbx_error error = {0};
    struct sbx_result result = {0};
    sbx *s = NULL;
    spec.timeout_ms = 100;
    sbx_plan *plan = plan_of(&spec);
    cr_assert_eq(sbx_start(&s, plan, NULL, &error), 0, "%s", error.text);
    cr_assert_eq(sbx_get_timeout(s), -1);
    cr_assert_eq(sbx_adopt(s, &what, &error), 0, "%s", error.text);
    cr_assert_eq(sbx_wait(s, &result), 1);
    cr_assert_eq(result.outcome, SBX_TIMEOUT);
    sbx_free(s);
    sbx_plan_free(plan);
}

Test(warm, refuses_what_is_the_payloads)
{
    UDS_TEST_GUARD;
    struct sbx_spec spec = make_spec();
    struct sbx_error error = {0};
    const struct sbx_named_fd fd = {"x", 0};
    sbx_plan *plan;
    spec.fds = &fd;
    spec.nfds = 1;
    cr_assert_eq(sbx_plan_new(&plan, &spec, &error), -EINVAL);
    cr_assert(strstr(error.text, "waits"), "%s", error.text);
}

Test(pool, hands_each_out_once_and_goes_cold_when_it_is_empty)
{
    UDS_TEST_GUARD;
    struct sbx_spec spec = make_spec();
    struct sbx_exec what = shell("true");
    struct sbx_error error = {0};
    struct sbx_result result = {0};
    sbx_cleaner *cleaner;
    sbx_plan *plan = plan_of(&spec);
    sbx_pool *pool;
    pid_t seen[4];
    cr_assert_eq(sbx_cleaner_new(&cleaner, NULL, &error), 0, "%s", error.text);
    cr_assert_eq(sbx_pool_new(&pool, plan, cleaner, 3, &error), 0, "%s", error.text);
    sbx_plan_free(plan);
    cr_assert_eq(sbx_pool_fill(pool, &error), 1);
    cr_assert_eq(sbx_pool_fill(pool, &error), 1);
    cr_assert_eq(sbx_pool_fill(pool, &error), 0);
    cr_assert_eq(sbx_pool_count(pool), 3);
    for (int i = 0; i < 4; i++) {
        struct sbx_report report;
        sbx *s = NULL;
        cr_assert_eq(sbx_pool_start(&s, pool, &what, NULL, &error), 0, "%s", error.text);
        sbx_get_report(s, &report);
        seen[i] = report.init_pid;
        for (int k = 0; k < i; k++)
            cr_assert_neq(seen[i], seen[k]);
        cr_assert_eq(sbx_wait(s, &result), 1);
        cr_assert_eq(result.outcome, SBX_EXITED);
        sbx_free(s);
    }
    cr_assert_eq(sbx_pool_count(pool), 0);
    sbx_pool_free(pool);
    sbx_cleaner_free(cleaner);
}

Test(pool, one_that_was_killed_while_it_waited_costs_a_cold_start)
{
    UDS_TEST_GUARD;
    struct sbx_spec spec = make_spec();
    struct sbx_exec what = shell("true");
    struct sbx_error error = {0};
    struct sbx_result result = {0};
    sbx_cleaner *cleaner;
    sbx_plan *plan = plan_of(&spec);
    sbx_pool *pool;
    sbx *s = NULL;
    cr_assert_eq(sbx_cleaner_new(&cleaner, NULL, &error), 0, "%s", error.text);
    cr_assert_eq(sbx_pool_new(&pool, plan, cleaner, 2, &error), 0, "%s", error.text);
    while (sbx_pool_fill(pool, &error) == 1)
        continue;
    /* The children of ours that are inits; the cleaner is one too. */
    char path[64], children[256], *next = children;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, children, sizeof children - 1);
    close(fd);
    children[n > 0 ? n : 0] = '\0';
    for (long pid = strtol(next, &next, 10); pid > 0; pid = strtol(next, &next, 10))
        if (pid != sbx_cleaner_get_pid(cleaner)) {
            siginfo_t info;
            cr_assert_eq(kill((pid_t)pid, SIGKILL), 0);
            cr_assert_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
        }
    cr_assert_eq(sbx_pool_start(&s, pool, &what, NULL, &error), 0, "%s", error.text);
    cr_assert_eq(sbx_wait(s, &result), 1);
    cr_assert_eq(result.outcome, SBX_EXITED);
    sbx_free(s);
    cr_assert_eq(sbx_pool_fill(pool, &error), 1, "the dead are missing");
    cr_assert_eq(sbx_pool_count(pool), 1);
    sbx_pool_free(pool);
    sbx_cleaner_free(cleaner);
    sbx_plan_free(plan);
}

Test(pool, changes_limits_before_the_payload_runs)
{
    UDS_TEST_GUARD;
    struct sbx_spec spec = make_spec();
    struct sbx_exec what = shell("true");
    struct sbx_limits limits = {.pids = 12}, now = {0};
    struct sbx_error error = {0};
    struct sbx_report report;
    sbx_cleaner *cleaner;
    sbx_pool *pool;
    sbx *s = NULL;
    sbx_plan *plan = plan_of(&spec);
    cr_assert_eq(sbx_cleaner_new(&cleaner, NULL, &error), 0, "%s", error.text);
    cr_assert_eq(sbx_pool_new(&pool, plan, cleaner, 1, &error), 0, "%s", error.text);
    cr_assert_eq(sbx_pool_fill(pool, &error), 0, "%s", error.text);
    int r = sbx_pool_start(&s, pool, &what, &limits, &error);
    if (r == 0) {
        sbx_get_report(s, &report);
        cr_assert_eq(sbx_get_limits(s, &now), 0);
        cr_assert_eq(now.pids, 12);
    } else {
        cr_assert_eq(r, -EOPNOTSUPP, "%s", error.text); /* no cgroup here */
    }
    sbx_free(s);
    sbx_pool_free(pool);
    sbx_cleaner_free(cleaner);
    sbx_plan_free(plan);
}
