/* SPDX-License-Identifier: MIT */
/* Sandboxes that wait for their payload, and pools of them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sbx/admin.h>
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

static struct sbx_adoption shell(const char *script)
{
    static const char *argv[] = {"/bin/sh", "-c", NULL, NULL};
    struct sbx_adoption what = SBX_ADOPTION_INIT;
    argv[2] = script;
    what.exec.argv = argv;
    return what;
}

/* What @s writes to the other end of @fd, until it ends. */
static struct sbx_result end_of(sbx *s, int fd, char *text, size_t size)
{
    struct sbx_result result = SBX_RESULT_INIT;
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
    struct sbx_adoption what = shell("echo $GREETING $$ $(wc -l </proc/1/comm); pwd; exit 7");
    sbx_plan *plan = plan_of(&spec);
    char text[256];
    int pipe[2];
    sbx *s = NULL;
    cr_assert_eq(sbx_start(&s, plan, NULL, &error), 0, "%s", error.text);
    cr_assert_eq(pipe2(pipe, O_CLOEXEC), 0);
    what.exec.stdio[1] = pipe[1];
    what.exec.chdir = "/usr";
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

/* Where it waits depends on what confines it. */
enum confinement {
    USUAL,
    BY_PATHS,
    WITHOUT_FILTERS,
    CONFINEMENTS
};

static struct sbx_spec make_confined(enum confinement which)
{
    static const char *const ro[] = {"/", NULL}, *const rw[] = {"/dev", NULL};
    struct sbx_spec spec = make_spec();
    if (which == BY_PATHS) {
        spec.landlock.ro = ro;
        spec.landlock.rw = rw;
        spec.degrade |= SBX_DEGRADE_LANDLOCK;
    }
    if (which == WITHOUT_FILTERS)
        spec.seccomp = SBX_SECCOMP_NONE;
    return spec;
}

/* What @script says of itself, started warm or cold. */
static void run_confined(enum confinement which, bool warm, const char *script, char text[4096])
{
    struct sbx_error error = {0};
    struct sbx_spec spec = make_confined(which);
    struct sbx_adoption what = shell(script);
    int pipe[2];
    sbx *s = NULL;
    cr_assert_eq(pipe2(pipe, O_CLOEXEC), 0);
    spec.waits = warm;
    if (!warm) {
        spec.argv = what.exec.argv;
        spec.stdio[1] = pipe[1];
    }
    what.exec.stdio[1] = pipe[1];
    sbx_plan *plan = plan_of(&spec);
    cr_assert_eq(sbx_start(&s, plan, NULL, &error), 0, "%s", error.text);
    if (warm)
        cr_assert_eq(sbx_adopt(s, &what, &error), 0, "%s", error.text);
    close(pipe[1]);
    end_of(s, pipe[0], text, 4096);
    close(pipe[0]);
    sbx_free(s);
    sbx_plan_free(plan);
}

Test(warm, its_payload_is_confined_as_one_that_was_started_cold)
{
    UDS_TEST_GUARD;
    static const char script[] =
        "grep -E '^(Cap...|NoNewPrivs|Seccomp|Seccomp_filters|Uid|Gid|Groups|Sig...):' "
        "/proc/self/status; cat /proc/self/oom_score_adj /proc/self/limits; "
        "umask; ls /proc/self/fd; cut -d' ' -f5,6 /proc/self/stat; "
        "cat /proc/self/cgroup | grep -c uds-; id; hostname; env; : >/tmp/x && echo writes";
    static char cold[4096], warm[4096];
    for (enum confinement which = USUAL; which < CONFINEMENTS; which++) {
        run_confined(which, false, script, cold);
        run_confined(which, true, script, warm);
        /* Host ids differ from start to start, what is seen inside does not. */
        cr_assert_str_eq(cold, warm, "%d", which);
        cr_assert(strstr(warm, which == WITHOUT_FILTERS ? "Seccomp:\t0" : "Seccomp:\t2"), "%s",
                  warm);
        cr_assert(strstr(warm, "hello"), "%s", warm);
    }
}

Test(warm, takes_descriptors_by_name)
{
    UDS_TEST_GUARD;
    static const char *const env[] = {"LISTEN_FDS=7", "OTHER=1", NULL};
    struct sbx_error error = {0};
    struct sbx_adoption what = shell(
        "exec >&3; echo $LISTEN_FDS $LISTEN_FDNAMES $((LISTEN_PID - $$)) $LINK $OTHER; "
        "head -c 6 <&4; ls /proc/$$/fd; :"); /* in a pipe it would see the shell's end of that */
    what.exec.env = env;
    for (enum confinement which = USUAL; which < CONFINEMENTS; which++) {
        struct sbx_spec spec = make_confined(which);
        char text[256];
        int out[2], in[2];
        sbx *s = NULL;
        cr_assert_eq(pipe2(out, O_CLOEXEC), 0);
        cr_assert_eq(pipe2(in, O_CLOEXEC), 0);
        cr_assert_eq(write(in[1], "heard\n", 6), 6);
        const struct sbx_named_fd fds[] = {{"out", out[1]}, {"in", in[0]}}, link = {"LINK", in[1]};
        what.exec.fds = fds;
        what.exec.nfds = 2;
        what.exec.env_fds = &link;
        what.exec.nenv_fds = 1;
        sbx_plan *plan = plan_of(&spec);
        cr_assert_eq(sbx_start(&s, plan, NULL, &error), 0, "%s", error.text);
        cr_assert_eq(sbx_adopt(s, &what, &error), 0, "%s", error.text);
        end_of(s, out[0], text, sizeof text);
        cr_assert_str_eq(text, "2 out:in 0 fd:5 1\nheard\n0\n1\n2\n3\n4\n5\n", "%d: %s", which,
                         text);
        sbx_free(s);
        sbx_plan_free(plan);
        for (int i = 0; i < 2; i++) {
            close(out[i]);
            close(in[i]);
        }
    }
}

Test(warm, takes_a_name)
{
    UDS_TEST_GUARD;
    struct sbx_error error = {0};
    struct sbx_spec spec = make_spec();
    struct sbx_adoption what = shell("hostname");
    char text[256];
    sbx_plan *plan = plan_of(&spec);
    for (int own = 0; own < 2; own++) {
        int pipe[2];
        sbx *s = NULL;
        cr_assert_eq(pipe2(pipe, O_CLOEXEC), 0);
        what.exec.stdio[1] = pipe[1];
        what.name = "somebody";
        what.hostname = own ? "somewhere" : NULL;
        cr_assert_eq(sbx_start(&s, plan, NULL, &error), 0, "%s", error.text);
        cr_assert_eq(sbx_adopt(s, &what, &error), 0, "%s", error.text);
        cr_assert_str_eq(s->name, "somebody");
        close(pipe[1]);
        end_of(s, pipe[0], text, sizeof text);
        cr_assert_str_eq(text, own ? "somewhere\n" : "somebody\n");
        close(pipe[0]);
        sbx_free(s);
    }
    sbx *s = NULL;
    what.name = "not/one";
    cr_assert_eq(sbx_start(&s, plan, NULL, &error), 0, "%s", error.text);
    cr_assert_eq(sbx_adopt(s, &what, &error), -EINVAL);
    cr_assert(strstr(error.text, "name"), "%s", error.text);
    sbx_free(s);
    sbx_plan_free(plan);
}

/* Readiness, and the time for it, are the payload's. */
Test(warm, has_a_notify_socket)
{
    UDS_TEST_GUARD;
    struct sbx_error error = {0};
    struct sbx_spec spec = make_spec();
    struct sbx_adoption what = shell("exec sleep 100");
    struct sbx_result result = SBX_RESULT_INIT;
    sbx *s = NULL;
    spec.notify = true;
    spec.ready_ms = 100;
    sbx_plan *plan = plan_of(&spec);
    cr_assert_eq(sbx_start(&s, plan, NULL, &error), 0, "%s", error.text);
    cr_assert_eq(sbx_get_timeout(s), -1, "nobody is there who could be late");
    cr_assert_eq(sbx_adopt(s, &what, &error), 0, "%s", error.text);
    cr_assert_eq(sbx_wait(s, &result), 1);
    cr_assert_eq(result.outcome, SBX_NOT_READY);
    sbx_free(s);
    sbx_plan_free(plan);
}

Test(warm, has_a_terminal_of_its_own_if_it_is_asked_for)
{
    UDS_TEST_GUARD;
    struct sbx_error error = {0};
    struct sbx_adoption what = shell("tty");
    char text[256];
    what.exec.terminal = true;
    for (enum confinement which = USUAL; which < CONFINEMENTS; which++) {
        struct sbx_spec spec = make_confined(which);
        sbx_plan *plan = plan_of(&spec);
        sbx *s = NULL;
        cr_assert_eq(sbx_start(&s, plan, NULL, &error), 0, "%s", error.text);
        cr_assert_eq(sbx_adopt(s, &what, &error), 0, "%s", error.text);
        int terminal = sbx_take_terminal(s);
        cr_assert_geq(terminal, 0);
        end_of(s, terminal, text, sizeof text);
        cr_assert(strstr(text, "/dev/pts/0"), "%s", text);
        close(terminal);
        sbx_free(s);
        sbx_plan_free(plan);
    }
}

Test(warm, what_cannot_be_run_ends_it_and_says_so)
{
    UDS_TEST_GUARD;
    struct sbx_spec spec = make_spec();
    struct sbx_adoption what = shell("true");
    const char *argv[] = {"/nowhere", NULL};
    struct sbx_error error = {0};
    struct sbx_result result = SBX_RESULT_INIT;
    sbx_session *session;
    sbx_plan *plan = plan_of(&spec);
    sbx *s = NULL;
    cr_assert_eq(sbx_start(&s, plan, NULL, &error), 0, "%s", error.text);
    cr_assert_eq(sbx_exec(&session, s, &what.exec, &error), -EBUSY);
    what.exec.argv = argv;
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
    struct sbx_adoption what = shell("exec sleep 100");
    struct sbx_error error = {0};
    struct sbx_result result = SBX_RESULT_INIT;
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
    struct sbx_adoption what = shell("true");
    struct sbx_error error = {0};
    struct sbx_result result = SBX_RESULT_INIT;
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
        struct sbx_report report = SBX_REPORT_INIT;
        sbx *s = NULL;
        cr_assert_eq(sbx_pool_start(&s, pool, &what, &error), 0, "%s", error.text);
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
    struct sbx_spec spec = make_spec();
    struct sbx_adoption what = shell("true");
    struct sbx_error error = {0};
    struct sbx_result result = SBX_RESULT_INIT;
    sbx_cleaner *cleaner;
    sbx_plan *plan = plan_of(&spec);
    sbx_pool *pool;
    sbx *s = NULL;
    int fd = -1;
    cr_assert_eq(sbx_cleaner_new(&cleaner, NULL, &error), 0, "%s", error.text);
    cr_assert_eq(sbx_pool_new(&pool, plan, cleaner, 2, &error), 0, "%s", error.text);
    sbx_plan_free(plan);
    cr_expect_eq(step_until(pool, 2), 2, "the first process of each has worked by itself");
    cr_expect_eq(sbx_pool_step(pool, &fd, &error), 0);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(sbx_pool_start(&s, pool, &what, &error), 0, "%s", error.text);
        cr_assert_eq(sbx_wait(s, &result), 1);
        sbx_free(s);
    }
    fd = -1;
    while (fd < 0) /* one is begun, what is left of two goes while it works */
        cr_assert_eq(sbx_pool_step(pool, &fd, &error), 1, "%s", error.text);
    cr_expect_eq(sbx_pool_count(pool), 0);
    cr_assert_eq(sbx_pool_start(&s, pool, &what, &error), 0, "the one that comes: %s", error.text);
    cr_assert_eq(sbx_wait(s, &result), 1);
    cr_expect_eq(result.outcome, SBX_EXITED);
    sbx_free(s);
    cr_assert_eq(sbx_pool_step(pool, &fd, &error), 1, "one is on its way when the pool is freed");
    sbx_pool_free(pool);
    sbx_cleaner_free(cleaner);
}

Test(pool, one_that_dies_on_its_way_is_an_error_and_the_next_is_made)
{
    UDS_TEST_GUARD;
    struct sbx_spec spec = make_spec();
    struct sbx_error error = {0};
    sbx_cleaner *cleaner;
    sbx_plan *plan = plan_of(&spec);
    sbx_pool *pool;
    struct pollfd made = {.fd = -1, .events = POLLIN};
    cr_assert_eq(sbx_cleaner_new(&cleaner, NULL, &error), 0, "%s", error.text);
    cr_assert_eq(sbx_pool_new(&pool, plan, cleaner, 1, &error), 0, "%s", error.text);
    sbx_plan_free(plan);
    cr_assert_eq(sbx_pool_step(pool, &made.fd, &error), 1, "%s", error.text);
    cr_assert_eq(shutdown(made.fd, SHUT_RDWR), 0); /* as if it had hung up on us */
    cr_expect_eq(sbx_pool_step(pool, &made.fd, &error), -ECHILD);
    cr_expect(strstr(error.text, "its first process died"), "%s", error.text);
    cr_expect_eq(sbx_pool_count(pool), 0);
    cr_expect_eq(step_until(pool, 1), 1);
    cr_expect_eq(sbx_pool_count(pool), 1);
    sbx_pool_free(pool);
    sbx_cleaner_free(cleaner);
}

Test(pool, one_that_was_killed_while_it_waited_costs_a_cold_start)
{
    UDS_TEST_GUARD;
    struct sbx_spec spec = make_spec();
    struct sbx_adoption what = shell("true");
    struct sbx_error error = {0};
    struct sbx_result result = SBX_RESULT_INIT;
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
    cr_assert_eq(sbx_pool_start(&s, pool, &what, &error), 0, "%s", error.text);
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
    struct sbx_adoption what = shell("true");
    struct sbx_limits limits = {.size = sizeof limits, .pids = 12}, now = SBX_LIMITS_INIT;
    struct sbx_error error = {0};
    struct sbx_report report = SBX_REPORT_INIT;
    sbx_cleaner *cleaner;
    sbx_pool *pool;
    sbx *s = NULL;
    sbx_plan *plan = plan_of(&spec);
    cr_assert_eq(sbx_cleaner_new(&cleaner, NULL, &error), 0, "%s", error.text);
    cr_assert_eq(sbx_pool_new(&pool, plan, cleaner, 1, &error), 0, "%s", error.text);
    cr_assert_eq(sbx_pool_fill(pool, &error), 0, "%s", error.text);
    what.limits = &limits;
    int r = sbx_pool_start(&s, pool, &what, &error);
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
