/* SPDX-License-Identifier: MIT */
/*
 * libuds-sandbox in a program that it knows nothing of: four threads start fifty sandboxes while another thread waits for any
 * child there is and a handler of SIGCHLD does the same; descriptors 0 to 2 are closed, the working directory is gone, the
 * umask permits nothing to others and the environment is empty. Each sandbox must end as it should, each child of the
 * program's own be found by the program, and afterwards the process be what it was: descriptors, children, umask, signals.
 *
 * host_test [nobody]: the same as an ordinary user, without what he lacks
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sbx/layer.h>
#include <sbx/warm.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum {
    THREADS = 4,
    EACH = 13,
    OWN_CHILDREN = 20,
    OWN_STATUS = 42,
    PAYLOAD_STATUS = 3,
    FDS_MAX = 1024,
    UMASK = 0077
};

static int out = -1; /* where there is no standard error any more */
static char run_dir[64];
static atomic_uint failures, started, own_found;
static atomic_bool over;
static bool open_before[FDS_MAX];

static void __attribute__((format(printf, 1, 2))) fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vdprintf(out, format, args);
    va_end(args);
    dprintf(out, "\n");
    atomic_fetch_add(&failures, 1);
}

/* ---- the program's own children ---- */

static void count(pid_t pid, int status)
{
    if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == OWN_STATUS)
        atomic_fetch_add(&own_found, 1);
}

static void on_child(int signo)
{
    int status, err = errno;
    (void)signo;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;)
        count(pid, status);
    errno = err;
}

static void *wait_for_any(void *arg)
{
    (void)arg;
    while (!atomic_load(&over)) {
        int status;
        pid_t pid = waitpid(-1, &status, 0);
        count(pid, status);
        if (pid < 0)
            sched_yield();
    }
    return NULL;
}

static void *have_children(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < OWN_CHILDREN; i++) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(OWN_STATUS);
        if (pid < 0)
            fail("fork: %s", strerror(errno));
        while (atomic_load(&started) < i * 2 && atomic_load(&failures) == 0)
            sched_yield();
    }
    return NULL;
}

/* ---- descriptors ---- */

static unsigned look_at_fds(bool note)
{
    unsigned n = 0;
    for (int fd = 0; fd < FDS_MAX; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags < 0)
            continue;
        n++;
        if (note)
            open_before[fd] = true;
        else if (!open_before[fd] && !(flags & FD_CLOEXEC))
            fail("descriptor %d is not close-on-exec", fd);
    }
    return n;
}

/* ---- sandboxes ---- */

static void expect_end(sbx *s, const char *what)
{
    struct sbx_result result = SBX_RESULT_INIT;
    look_at_fds(false);
    if (sbx_wait(s, &result) != 1 || result.outcome != SBX_EXITED || result.value != PAYLOAD_STATUS)
        fail("%s: outcome %d, %llu: %s", what, (int)result.outcome,
             (unsigned long long)result.value, result.error.text);
    sbx_free(s);
    atomic_fetch_add(&started, 1);
}

static void fill(struct sbx_spec *spec, const char *const *command, unsigned kind)
{
    static const char *const jail[] = {"/bin/sh", NULL};
    *spec = (struct sbx_spec)SBX_SPEC_INIT;
    spec->argv = command;
    spec->run_dir = run_dir;
    spec->degrade = SBX_DEGRADE_CGROUP | SBX_DEGRADE_ID_RANGE | SBX_DEGRADE_STATS;
    spec->no_cgroup = kind % 2; /* the one way to clone, and the other */
    if (kind % 3 == 0) {
        spec->root = SBX_ROOT_JAIL; /* ELF is read by a child */
        spec->jail = jail;
    }
}

static void run_one(sbx_cleaner *cleaner, unsigned kind)
{
    const char *const command[] = {"/bin/sh", "-c", "exit 3", NULL};
    struct sbx_error error = {0};
    struct sbx_spec spec;
    sbx_plan *plan;
    sbx *s;
    fill(&spec, command, kind);
    if (sbx_plan_new(&plan, &spec, &error) < 0) {
        fail("plan: %s", error.text);
        return;
    }
    if (sbx_start(&s, plan, cleaner, &error) < 0)
        fail("start: %s", error.text);
    else
        expect_end(s, "a start");
    sbx_plan_free(plan);
}

/* With a name of its own, which a child gives it, and a second process. */
static void run_warm(sbx_cleaner *cleaner)
{
    const char *const command[] = {"/bin/sh", "-c", "[ $(hostname) = other ] && read x; exit 3",
                                   NULL};
    const char *const another[] = {"/bin/sh", "-c", "exit 3", NULL};
    struct sbx_adoption what = SBX_ADOPTION_INIT;
    struct sbx_exec exec = SBX_EXEC_INIT;
    struct sbx_error error = {0};
    struct sbx_result result = SBX_RESULT_INIT;
    struct sbx_spec spec;
    sbx_session *session;
    sbx_plan *plan;
    sbx_pool *pool = NULL;
    sbx *s;
    int hold[2];
    fill(&spec, command, 1);
    spec.waits = true;
    what.exec.argv = command;
    what.hostname = "other";
    exec.argv = another;
    if (pipe2(hold, O_CLOEXEC) < 0 || sbx_plan_new(&plan, &spec, &error) < 0) {
        fail("plan: %s", error.text);
        return;
    }
    what.exec.stdio[0] = hold[0];
    if (sbx_pool_new(&pool, plan, cleaner, 1, &error) < 0 || sbx_pool_fill(pool, &error) < 0 ||
        sbx_pool_start(&s, pool, &what, &error) < 0) {
        fail("pool: %s", error.text);
    } else {
        if (sbx_exec(&session, s, &exec, &error) < 0)
            fail("exec: %s", error.text);
        else if (sbx_session_wait(session, &result) != 1 || result.value != PAYLOAD_STATUS)
            fail("exec: outcome %d, %llu", (int)result.outcome, (unsigned long long)result.value);
        else
            sbx_session_free(session);
        close(hold[1]);
        hold[1] = -1;
        expect_end(s, "a warm start");
    }
    close(hold[0]);
    if (hold[1] >= 0)
        close(hold[1]);
    sbx_pool_free(pool);
    sbx_plan_free(plan);
}

static void *start_many(void *arg)
{
    struct sbx_error error = {0};
    sbx_cleaner *cleaner;
    sigset_t before, after;
    (void)arg;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    if (sbx_cleaner_new(&cleaner, run_dir, &error) < 0) {
        fail("cleaner: %s", error.text);
        return NULL;
    }
    for (unsigned i = 0; i < EACH - 1; i++)
        run_one(cleaner, i);
    run_warm(cleaner);
    sbx_cleaner_free(cleaner);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int signo = 1; signo < NSIG; signo++)
        if (sigismember(&before, signo) != sigismember(&after, signo))
            fail("signal %d is masked otherwise", signo);
    return NULL;
}

/* ---- the process around it ---- */

static void become_strange(void)
{
    char gone[] = "/tmp/uds-host-cwd.XXXXXX";
    const struct sigaction action = {.sa_handler = on_child, .sa_flags = SA_NODEFER};
    if (!mkdtemp(gone) || chdir(gone) < 0 || rmdir(gone) < 0 ||
        sigaction(SIGCHLD, &action, NULL) < 0)
        fail("set-up: %s", strerror(errno));
    clearenv();
    umask(UMASK);
    for (int fd = 0; fd < 3; fd++)
        close(fd);
}

static void expect_unchanged(unsigned fds)
{
    struct sigaction action;
    unsigned now = look_at_fds(false);
    if (now != fds)
        fail("%u descriptors, %u before", now, fds);
    if (umask(UMASK) != UMASK)
        fail("the umask is another");
    if (sigaction(SIGCHLD, NULL, &action) < 0 || action.sa_handler != on_child)
        fail("the handler of SIGCHLD is another");
    if (sigaction(SIGPIPE, NULL, &action) < 0 || action.sa_handler != SIG_DFL)
        fail("SIGPIPE is not as it was");
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 0)
        fail("no_new_privs is set");
    if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 1)
        fail("the process is not dumpable any more");
    if (waitid(P_ALL, 0, &(siginfo_t){0}, WEXITED | WNOHANG | WNOWAIT | __WALL) == 0 ||
        errno != ECHILD)
        fail("a child is left");
    if (atomic_load(&own_found) != OWN_CHILDREN)
        fail("%u of the program's own %d children were found", atomic_load(&own_found),
             OWN_CHILDREN);
    if (atomic_load(&started) != THREADS * EACH)
        fail("%u of %d sandboxes ended well", atomic_load(&started), THREADS * EACH);
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS], thief, parent;
    bool nobody = argc > 1 && strcmp(argv[1], "nobody") == 0;
    char records[96];
    if ((out = fcntl(2, F_DUPFD_CLOEXEC, 200)) < 0)
        return 1;
    if (nobody && (geteuid() != 0 || setgid(65534) < 0 || setuid(65534) < 0)) {
        dprintf(out, "only root can become nobody\n");
        return 77;
    }
    if (nobody && open("/proc/self/exe", O_RDONLY | O_CLOEXEC) < 0) {
        dprintf(out, "nobody cannot reach the build tree\n");
        return 77;
    }
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* cleared by setuid(2) */
    snprintf(run_dir, sizeof run_dir, "/tmp/uds-host.XXXXXX");
    if (!mkdtemp(run_dir))
        return 1;
    become_strange();
    unsigned fds = look_at_fds(true);
    pthread_create(&thief, NULL, wait_for_any, NULL);
    pthread_create(&parent, NULL, have_children, NULL);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, start_many, NULL);
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    pthread_join(parent, NULL);
    while (waitid(P_ALL, 0, &(siginfo_t){0}, WEXITED | WNOWAIT) ==
           0) /* the thief has them all by now, or soon */
        sched_yield();
    atomic_store(&over, true);
    pthread_join(thief, NULL);
    expect_unchanged(fds);
    snprintf(records, sizeof records, "%s/records", run_dir);
    if (rmdir(records) < 0 || rmdir(run_dir) < 0)
        fail("%s: something is left: %s", run_dir, strerror(errno));
    return atomic_load(&failures) ? 1 : 0;
}
