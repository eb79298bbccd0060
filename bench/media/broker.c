/* SPDX-License-Identifier: MIT */
/*
 * Sandboxes that a broker makes on request: one broker for all starts, with a template of which some wait. From the request
 * to where its end is told; that another is made meanwhile to wait is not timed.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sbx/admin.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/prctl.h>
#include <sys/wait.h>

#include "media.h"

#define PROGRAM "/bin/true"
#define TEMPLATE                                                                                  \
    "templates:\n  bench: {warm: 4, limits: {memory: 64M, pids: 8, cpu: 50%}, degrade: [cgroup, " \
    "cpu, id-range, landlock]}\n"

struct broker {
    char dir[64]; /* "" = not made */
    char stack[96], run[96];
    pid_t pid; /* 0 = none runs */
    struct sbx_error error;
};

static int open_broker(struct link *link)
{
    link->state = calloc(1, sizeof(struct broker));
    return link->state ? 0 : link_fail(link, -ENOMEM, "memory");
}

static int write_stack(struct broker *broker)
{
    int fd = open(broker->stack, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    ssize_t n = fd < 0 ? -1 : write(fd, TEMPLATE, sizeof(TEMPLATE) - 1);

    if (fd >= 0)
        (void)close(fd);
    return n == (ssize_t)sizeof(TEMPLATE) - 1 ? 0 : -EIO;
}

static int spawn_broker(struct link *link)
{
    struct broker *broker = link->state;
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 16);
    char *slash;

    path[n > 0 ? n : 0] = '\0';
    slash = strrchr(path, '/');
    if (!slash)
        return link_fail(link, -ENOENT, "/proc/self/exe");
    (void)strcpy(slash + 1, "uds-broker");
    char *const argv[] = {path,          (char[]){"--run-dir"},
                          broker->run,   (char[]){"--config"},
                          broker->stack, NULL},
                *const env[] = {NULL};
    broker->pid = fork();
    if (broker->pid == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        for (int fd = 0; fd < 3; fd++)
            (void)dup2(null, fd);
        (void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* whoever kills us ends it, too */
        (void)execve(path, argv, env);
        _exit(127);
    }
    return broker->pid < 0 ? link_fail(link, -errno, "fork") : 0;
}

static int note_waiting(const struct sbx_listed *listed, void *userdata)
{
    (void)userdata;
    return listed->waiting;
}

/* Until one waits for the next request. */
static int await_one(struct link *link)
{
    struct broker *broker = link->state;
    const struct timespec pause = {.tv_nsec = 2000000};

    for (int i = 0; i < 5000; i++) {
        if (sbx_list(broker->run, note_waiting, NULL, NULL) == 1)
            return 0;
        if (waitpid(broker->pid, NULL, WNOHANG) == broker->pid) {
            broker->pid = 0;
            break;
        }
        (void)nanosleep(&pause, NULL);
    }
    return link_fail(link, -ENODEV, "uds-broker, with sandboxes that wait");
}

/* In the driver: who has started it may ask it. */
static int attach_broker(struct link *link)
{
    struct broker *broker = link->state;
    int r;

    if (link->side != SIDE_DRIVER)
        return 0;
    (void)strcpy(broker->dir, "/tmp/uds-bench.XXXXXX");
    if (!mkdtemp(broker->dir)) {
        broker->dir[0] = '\0';
        return link_fail(link, -errno, "mkdtemp");
    }
    (void)snprintf(broker->stack, sizeof(broker->stack), "%s/stack.yaml", broker->dir);
    (void)snprintf(broker->run, sizeof(broker->run), "%s/run", broker->dir);
    r = write_stack(broker);
    if (r < 0)
        return link_fail(link, r, "stack.yaml");
    r = spawn_broker(link);
    return r < 0 ? r : await_one(link);
}

static int start_once(struct link *link)
{
    static const char *const argv[] = {PROGRAM, NULL};
    struct broker *broker = link->state;
    struct sbx_adoption what = SBX_ADOPTION_INIT;
    struct sbx_result result = SBX_RESULT_INIT;
    sbx_session *session;
    int r;

    what.exec.argv = argv;
    r = sbx_start_named(&session, broker->run, "bench", &what, &broker->error);
    if (r < 0)
        return link_fail(link, r, broker->error.text);
    r = sbx_session_wait(session, &result);
    sbx_session_free(session);
    if (r < 0)
        return link_fail(link, r, "sbx_session_wait");
    return result.outcome == SBX_EXITED && result.value == 0
               ? 0
               : link_fail(link, -EPROTO, PROGRAM " did not exit with 0, and");
}

static int drive(struct link *link, struct meter *meter)
{
    int r = start_once(link) < 0 ? -ENODEV : await_one(link);

    meter_start(meter);
    while (r == 0) {
        r = start_once(link);
        if (r == 0 && !meter_tick(meter, 1))
            break;
        if (r == 0)
            r = await_one(link);
        meter_skip(meter);
    }
    return r;
}

static int serve(struct link *link)
{
    (void)link;
    return 0;
}

static void close_broker(struct link *link)
{
    static const char *const names[] = {"run/records", "run/ids", "run", "stack.yaml", ""};
    struct broker *broker = link->state;
    char path[PATH_MAX];

    if (broker && broker->pid > 0) {
        (void)kill(broker->pid, SIGTERM);
        while (waitpid(broker->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    for (size_t i = 0; broker && broker->dir[0] && i < sizeof(names) / sizeof(names[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", broker->dir, names[i]);
        (void)remove(path);
    }
    free(broker);
    link->state = NULL;
}

const struct medium medium_broker_warm = {
    .name = "broker-warm",
    .summary = "a request to a broker, of whose template four wait, with the same limits",
    .traits = MEDIUM_STARTS,
    .open = open_broker,
    .attach = attach_broker,
    .close = close_broker,
    .drive = drive,
    .serve = serve,
};
