/* SPDX-License-Identifier: MIT */
/* Pools of sandboxes that wait for their payload, and what is left of those that were used. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>
#include <sys/wait.h>

#include "cleaner.h"
#include "guard.h"
#include "running.h"
#include "template.h"

/* A pool of what waits, which needs its plan no more when it is made. */
struct scene {
    sbx_cleaner *cleaner;
    sbx_pool *pool;
};

static struct scene pool_of(size_t size)
{
    struct sbx_spec spec = make_spec();
    struct sbx_error error = {0};
    struct scene scene;
    sbx_plan *plan = plan_of(&spec);
    cr_assert_eq(sbx_cleaner_new(&scene.cleaner, NULL, &error), 0, "%s", error.text);
    cr_assert_eq(sbx_pool_new(&scene.pool, plan, scene.cleaner, size, &error), 0, "%s", error.text);
    sbx_plan_free(plan);
    return scene;
}

static void scene_end(const struct scene *scene)
{
    sbx_pool_free(scene->pool);
    sbx_cleaner_free(scene->cleaner);
}

Test(pool, hands_each_out_once_and_goes_cold_when_it_is_empty)
{
    UDS_TEST_GUARD;
    const struct scene scene = pool_of(3);
    struct sbx_adoption what = shell("true");
    struct sbx_error error = {0};
    struct sbx_result result = SBX_RESULT_INIT;
    pid_t seen[4];
    cr_assert_eq(sbx_pool_fill(scene.pool, &error), 1);
    cr_assert_eq(sbx_pool_fill(scene.pool, &error), 1);
    cr_assert_eq(sbx_pool_fill(scene.pool, &error), 0);
    cr_assert_eq(sbx_pool_count(scene.pool), 3);
    for (int i = 0; i < 4; i++) {
        struct sbx_report report = SBX_REPORT_INIT;
        sbx *s = NULL;
        cr_assert_eq(sbx_pool_start(&s, scene.pool, &what, &error), 0, "%s", error.text);
        sbx_get_report(s, &report);
        seen[i] = report.init_pid;
        for (int k = 0; k < i; k++)
            cr_assert_neq(seen[i], seen[k]);
        cr_assert_eq(sbx_wait(s, &result), 1);
        cr_assert_eq(result.outcome, SBX_EXITED);
        sbx_free(s);
    }
    cr_assert_eq(sbx_pool_count(scene.pool), 0);
    scene_end(&scene);
}

/* Until @count wait. How many times there was nothing to do but to wait. */
static int step_until(sbx_pool *pool, size_t count)
{
    struct sbx_error error = {0};
    int waits = 0, r = 1;
    while (r == 1 && sbx_pool_count(pool) < count) {
        struct pollfd made = {.fd = -1, .events = POLLIN};
        r = sbx_pool_step(pool, &made.fd, &error);
        cr_assert_geq(r, 0, "%s", error.text);
        if (made.fd >= 0) {
            cr_assert_eq(poll(&made, 1, 10000), 1);
            waits++;
        }
    }
    return waits;
}

Test(pool, is_filled_in_steps_that_wait_for_nobody)
{
    UDS_TEST_GUARD;
    const struct scene scene = pool_of(2);
    struct sbx_adoption what = shell("true");
    struct sbx_error error = {0};
    struct sbx_result result = SBX_RESULT_INIT;
    sbx *s = NULL;
    int fd = -1;
    cr_expect_eq(step_until(scene.pool, 2), 2, "the first process of each has worked by itself");
    cr_expect_eq(sbx_pool_step(scene.pool, &fd, &error), 0);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(sbx_pool_start(&s, scene.pool, &what, &error), 0, "%s", error.text);
        cr_assert_eq(sbx_wait(s, &result), 1);
        sbx_free(s);
    }
    fd = -1;
    while (fd < 0) /* one is begun, what is left of two goes while it works */
        cr_assert_eq(sbx_pool_step(scene.pool, &fd, &error), 1, "%s", error.text);
    cr_expect_eq(sbx_pool_count(scene.pool), 0);
    cr_assert_eq(sbx_pool_start(&s, scene.pool, &what, &error), 0, "the one that comes: %s",
                 error.text);
    cr_assert_eq(sbx_wait(s, &result), 1);
    cr_expect_eq(result.outcome, SBX_EXITED);
    sbx_free(s);
    cr_assert_eq(sbx_pool_step(scene.pool, &fd, &error), 1,
                 "one is on its way when the pool is freed");
    scene_end(&scene);
}

Test(pool, one_that_dies_on_its_way_is_an_error_and_the_next_is_made)
{
    UDS_TEST_GUARD;
    const struct scene scene = pool_of(1);
    struct sbx_error error = {0};
    struct pollfd made = {.fd = -1, .events = POLLIN};
    cr_assert_eq(sbx_pool_step(scene.pool, &made.fd, &error), 1, "%s", error.text);
    cr_assert_eq(shutdown(made.fd, SHUT_RDWR), 0); /* as if it had hung up on us */
    cr_expect_eq(sbx_pool_step(scene.pool, &made.fd, &error), -ECHILD);
    cr_expect(strstr(error.text, "its first process died"), "%s", error.text);
    cr_expect_eq(sbx_pool_count(scene.pool), 0);
    cr_expect_eq(step_until(scene.pool, 1), 1);
    cr_expect_eq(sbx_pool_count(scene.pool), 1);
    scene_end(&scene);
}

Test(pool, one_that_was_killed_while_it_waited_costs_a_cold_start)
{
    UDS_TEST_GUARD;
    const struct scene scene = pool_of(2);
    struct sbx_adoption what = shell("true");
    struct sbx_error error = {0};
    struct sbx_result result = SBX_RESULT_INIT;
    sbx *s = NULL;
    while (sbx_pool_fill(scene.pool, &error) == 1)
        continue;
    /* The children of ours that are inits; the cleaner is one too. */
    char path[64], children[256], *next = children;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, children, sizeof children - 1);
    close(fd);
    children[n > 0 ? n : 0] = '\0';
    for (long pid = strtol(next, &next, 10); pid > 0; pid = strtol(next, &next, 10))
        if (pid != sbx_cleaner_get_pid(scene.cleaner)) {
            siginfo_t info;
            cr_assert_eq(kill((pid_t)pid, SIGKILL), 0);
            cr_assert_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
        }
    cr_assert_eq(sbx_pool_start(&s, scene.pool, &what, &error), 0, "%s", error.text);
    cr_assert_eq(sbx_wait(s, &result), 1);
    cr_assert_eq(result.outcome, SBX_EXITED);
    sbx_free(s);
    cr_assert_eq(sbx_pool_fill(scene.pool, &error), 1, "the dead are missing");
    cr_assert_eq(sbx_pool_count(scene.pool), 1);
    scene_end(&scene);
}

Test(pool, changes_limits_before_the_payload_runs)
{
    UDS_TEST_GUARD;
    const struct scene scene = pool_of(1);
    struct sbx_adoption what = shell("true");
    struct sbx_limits limits = {.size = sizeof limits, .pids = 12}, now = SBX_LIMITS_INIT;
    struct sbx_error error = {0};
    struct sbx_report report = SBX_REPORT_INIT;
    sbx *s = NULL;
    cr_assert_eq(sbx_pool_fill(scene.pool, &error), 0, "%s", error.text);
    what.limits = &limits;
    int r = sbx_pool_start(&s, scene.pool, &what, &error);
    if (r == 0) {
        sbx_get_report(s, &report);
        cr_assert_eq(sbx_get_limits(s, &now), 0);
        cr_assert_eq(now.pids, 12);
    } else {
        cr_assert_eq(r, -EOPNOTSUPP, "%s", error.text); /* no cgroup here */
    }
    sbx_free(s);
    scene_end(&scene);
}

static bool hangs_up(int fd, int timeout_ms)
{
    struct pollfd end = {.fd = fd};
    return poll(&end, 1, timeout_ms) == 1;
}

/* What a pool keeps of one that has ended, closed. The other end of it. */
static int close_shell(sbx_cleaner *cleaner)
{
    int pipe[2];
    struct sbxi_shells shells = SBXI_SHELLS_NONE;
    cr_assert_eq(pipe2(pipe, O_CLOEXEC), 0);
    shells.fds[0] = pipe[1];
    sbxi_shells_close(&shells, cleaner);
    cr_assert_eq(shells.fds[0], -1);
    return pipe[0];
}

Test(shells, are_closed_by_the_cleaner_unless_it_lags_behind)
{
    UDS_TEST_GUARD;
    enum {
        MANY = 64
    };
    struct sbx_error error = {0};
    sbx_cleaner *cleaner;
    siginfo_t info;
    int ends[MANY], late = 0;
    cr_assert_eq(sbx_cleaner_new(&cleaner, NULL, &error), 0, "%s", error.text);
    pid_t pid = sbx_cleaner_get_pid(cleaner);
    int end = close_shell(cleaner);
    cr_assert(hangs_up(end, 10000));
    close(end);
    cr_assert_eq(kill(pid, SIGSTOP), 0);
    cr_assert_eq(waitid(P_PID, (id_t)pid, &info, WSTOPPED), 0);
    for (int i = 0; i < MANY; i++) {
        ends[i] = close_shell(cleaner);
        late += !hangs_up(ends[i], 0);
    }
    cr_expect(!hangs_up(ends[0], 0), "it is the cleaner that closes");
    cr_expect(hangs_up(ends[MANY - 1], 0), "too many wait for it");
    cr_expect(late >= 8 && late <= 32, "%d", late);
    cr_assert_eq(kill(pid, SIGCONT), 0);
    for (int i = 0; i < MANY; i++) {
        cr_expect(hangs_up(ends[i], 10000), "%d", i);
        close(ends[i]);
    }
    cr_assert_eq(kill(pid, SIGKILL), 0);
    cr_assert_eq(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    end = close_shell(cleaner);
    cr_expect(hangs_up(end, 0), "nobody else is there to do it");
    close(end);
    sbx_cleaner_free(cleaner);
}

/* Of a program without descriptor 2 the cleaner has one all the same: its first of its own would be that, and all above closed. */
Test(shells, are_all_that_the_cleaner_closes_where_there_is_no_stderr)
{
    UDS_TEST_GUARD;
    struct sbx_error error = {0};
    sbx_cleaner *cleaner;
    siginfo_t info;
    int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10);
    close(STDERR_FILENO);
    cr_assert_eq(sbx_cleaner_new(&cleaner, NULL, &error), 0, "%s", error.text);
    int end = close_shell(cleaner);
    cr_assert(hangs_up(end, 10000));
    close(end);
    cr_assert_eq(kill(sbx_cleaner_get_pid(cleaner), SIGSTOP), 0);
    cr_assert_eq(waitid(P_PID, (id_t)sbx_cleaner_get_pid(cleaner), &info, WSTOPPED), 0);
    end = close_shell(cleaner);
    cr_expect(!hangs_up(end, 0), "it listens still, and holds what comes");
    cr_assert_eq(kill(sbx_cleaner_get_pid(cleaner), SIGCONT), 0);
    cr_expect(hangs_up(end, 10000));
    close(end);
    sbx_cleaner_free(cleaner);
    dup2(saved, STDERR_FILENO);
    close(saved);
}

/* Stopped, or long busy with what it closes: it is not waited for for ever, and what it has not removed we do. */
Test(shells, do_not_keep_anything_from_being_removed_in_the_end)
{
    UDS_TEST_GUARD;
    char directory[] = "/tmp/shells-XXXXXX";
    struct sbx_error error = {0};
    sbx_cleaner *cleaner;
    siginfo_t info;
    cr_assert_not_null(mkdtemp(directory));
    cr_assert_eq(sbx_cleaner_new(&cleaner, NULL, &error), 0, "%s", error.text);
    cr_assert_eq(sbx_cleaner_add_path(cleaner, directory), 0);
    int end = close_shell(cleaner);
    cr_assert(hangs_up(end, 10000), "by now it is uds-cleaner");
    close(end);
    cr_assert_eq(kill(sbx_cleaner_get_pid(cleaner), SIGSTOP), 0);
    cr_assert_eq(waitid(P_PID, (id_t)sbx_cleaner_get_pid(cleaner), &info, WSTOPPED), 0);
    sbx_cleaner_free(cleaner);
    cr_expect_eq(access(directory, F_OK), -1);
    rmdir(directory);
}
