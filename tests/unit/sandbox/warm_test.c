/* SPDX-License-Identifier: MIT */
/* Sandboxes that wait for their payload. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/wait.h>

#include "guard.h"
#include "running.h"
#include "template.h"

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
