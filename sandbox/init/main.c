/* SPDX-License-Identifier: MIT */
/*
 * uds-sandbox-init: the first process of a sandbox. Static, exec'd straight after clone3 with an empty environment, so
 * it never held the launcher's memory; what it needs comes in one blob (steps.h).
 *
 *   acting ── every step up to FORK ──▶ forked ── payload's execve succeeded ──▶ watching ── payload ended ──▶ exit
 *      └──────── FAILED event, exit ◀────┘
 *
 * Where it waits (SBXI_AWAIT) the payload's process is ready and has not executed anything yet; watching begins then. Watching
 * is watch.c.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/keyctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "init.h"
#include "without.h"

static uint32_t style;

int init_fail(struct init *init, int err, const char *format, ...)
{
    va_list ap;
    if (init->detail[0])
        return -err; /* the innermost words are the exact ones */
    va_start(ap, format);
    vsnprintf(init->detail, sizeof init->detail, format, ap);
    va_end(ap);
    return -err;
}

static void fill_failure(struct sbxi_event *event, const struct init *init, uint32_t step, int r)
{
    memset(event, 0, sizeof *event);
    event->type = SBXI_FAILED;
    event->step = step;
    event->err = -r;
    memcpy(event->detail, init->detail, sizeof event->detail);
}

static int map_blob(struct init *init)
{
    struct stat st;
    if (fstat(SBXI_FD_BLOB, &st) < 0)
        return -errno;
    if (st.st_size < (off_t)sizeof *init->blob || st.st_size > SBXI_MAX_BLOB)
        return -EINVAL;
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, SBXI_FD_BLOB, 0);
    if (map == MAP_FAILED)
        return -errno;
    init->blob = map;
    init->steps = (const struct sbxi_step *)(init->blob + 1);
    close(SBXI_FD_BLOB);
    if (init->blob->magic != SBXI_BLOB_MAGIC)
        return init_fail(init, ENOEXEC, "uds-sandbox-init is of another build than its launcher");
    return init->blob->size == st.st_size ? 0 : -EINVAL;
}

/* Trees that the launcher opened lie behind the passed descriptors, in the order of the slots. */
static int take_trees(struct init *init)
{
    int first = SBXI_FD_PASSED + (int)init->blob->npassed;
    for (size_t i = 0; i < SBXI_MAX_TREES; i++)
        init->tree[i] = -1;
    int next = first;
    for (uint32_t i = 0; i < init->blob->nsteps; i++) {
        const struct sbxi_step *step = &init->steps[i];
        if (step->flags & SBXI_F_GIVEN)
            init->tree[step->slot] = next++;
    }
    init->proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    init->root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return init->root < 0 ? -errno : 0;
}

/* The control socket, where no PID 1 can see the error descriptor close. After the last step that may send: filters follow. */
static void say_running(const struct init *init)
{
    const struct sbxi_event event = {.type = SBXI_RUNNING};
    if (send(init->error_fd, &event, sizeof event, MSG_NOSIGNAL) < 0 && (style & SBXI_S_DIE))
        _exit(1); /* who we should have died with is gone already */
}

/* In the process that will be the payload. */
static _Noreturn void act_payload(struct init *init, const struct sbxi_step *step)
{
    const struct sbxi_step *end = init->steps + init->blob->nsteps;
    struct sbxi_event event;
    int r = 0;
    umask(style & SBXI_S_BWRAP ? init->umask : 022);
    for (; step < end; step++) {
        SBXI_BOUNDARY("payload");
        r = init_act_payload(init, step);
        if (r < 0)
            break;
        if (step->op == SBXI_FDS && (style & SBXI_S_DIRECT))
            say_running(init);
    }
    fill_failure(init->failure ? init->failure : &event, init,
                 step >= end     ? 0
                 : init->session ? step->op
                                 : step->index,
                 r);
    if (!init->failure)
        (void)!write(init->error_fd, &event, sizeof event);
    /* A filter need not allow that either, and _exit() asks for ever. */
    syscall(SYS_exit_group, 127);
    __builtin_trap();
}

static _Noreturn void
run_payload(struct init *init, const struct sbxi_step *step, int error_fd, const sigset_t *mask)
{
    init->error_fd = error_fd; /* the control socket closes with all the others, at SBXI_FDS */
    if (style & SBXI_S_BWRAP) {
        sigprocmask(SIG_SETMASK, mask, NULL);
    } else {
        if (!SBXI_WITHOUT("signals")) /* PID 1's dispositions are the usual ones already */
            init_unblock_signals();
        if (!SBXI_WITHOUT("session"))
            setsid();
    }
    act_payload(init, step);
}

/* Its descriptors lie where a payload's lie, its control socket is the error descriptor too. Landlock, filters and ids are
 * its blob's; capabilities, namespaces and cgroups are ours. */
_Noreturn void init_run_session(void)
{
    struct init init = {.error_fd = SBXI_FD_CONTROL,
                        .root = -1,
                        .proc = -1,
                        .null = -1,
                        .old = -1,
                        .fresh = -1,
                        .scratch = -1,
                        .session = true};
    int r = map_blob(&init);
    if (r >= 0)
        r = take_trees(&init);
    if (r < 0) {
        struct sbxi_event event;
        fill_failure(&event, &init, 0, r);
        init_send(&event);
        _exit(127);
    }
    style = init.blob->style;
    init.seen = style & SBXI_S_SEEN;
    init_unblock_signals();
    setsid();
    act_payload(&init, init.steps);
}

/* What a payload is given, a process that is started later is given by the same steps: init must have it. */
static uint64_t caps_of_step(const struct sbxi_step *step)
{
    if (step->op == SBXI_IDS)
        return 1u << CAP_SETUID | 1u << CAP_SETGID;
    return step->op == SBXI_GRANT ? step->args[0] | 1u << CAP_SETPCAP : 0;
}

/*
 * PID 1 keeps CAP_KILL, for signals to a payload of another id, and what starting more processes takes; by default nothing
 * that could touch a mount or a file. Where nothing was unshared it never had a capability, and may not even ask for its
 * bounds to be dropped; where payloads are given some, each drops its own.
 */
static int shed(struct init *init)
{
    const struct sbxi_step *end = init->steps + init->blob->nsteps;
    uint64_t have = 0, more = 0;
    bool bwrap = style & SBXI_S_BWRAP;
    for (const struct sbxi_step *step = init->steps; step < end && !bwrap; step++)
        more |= caps_of_step(step);
    munmap((void *)(uintptr_t)init->blob, init->blob->size);
    init->blob = NULL;
    for (size_t i = 0; i < SBXI_MAX_TREES; i++)
        init->tree[i] = -1;
    int r = init_get_caps(&have);
    if (r >= 0 && !init->bounded && (have & 1u << CAP_SETPCAP) && !(more & 1u << CAP_SETPCAP))
        r = bwrap ? init_drop_bounds() : init_lock_bounds();
    if (r >= 0)
        r = init_set_caps(have & (more | 1u << CAP_KILL));
    if (r >= 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        r = -errno;
    return r;
}

/* Waits for execve, or for one that is to wait. 0: it runs, or waits. 1: it failed and @event says how. */
static int await_exec(int fd, struct sbxi_event *event)
{
    ssize_t n;
    do
        n = read(fd, event, sizeof *event);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof *event;
}

enum {
    FD_SIGNALS = 4, /* of PID 1, when it watches */
    FD_MORE
};

/*
 * PID 1 keeps its signals, and behind them the two of NOTIFY_SOCKET, who asks it about memory, what it was told to hold, and
 * its *@pipe, if it has one. All else closes: our copies of the payload's descriptors would keep its pipes open after it has
 * closed them.
 */
static int shed_descriptors(struct init *init, const struct sbxi_step *step, int *pipe, int signals)
{
    const struct sbxi_step *end = init->steps + init->blob->nsteps;
    int fds[16] = {signals}, n = 1;
    int notify = init_notify_keep(fds + n);
    n += notify;
    int asks = init_memory_keep(fds + n);
    n += asks;
    for (; step < end && n < 15; step++)
        if (step->op == SBXI_HOLD)
            fds[n++] = init->tree[step->slot];
    if (*pipe >= 0)
        fds[n++] = *pipe;
    for (int i = 0; i < n; i++)
        if ((fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, FD_SIGNALS + n)) < 0)
            return -errno;
    for (int i = 0; i < n; i++)
        if (dup2(fds[i], FD_SIGNALS + i) < 0)
            return -errno;
    close_range((unsigned)(FD_SIGNALS + n), ~0U, 0);
    close_range(0, 2, 0);
    if (notify)
        init_notify_moved(FD_MORE, FD_MORE + 1);
    if (asks)
        init_memory_moved(FD_MORE + notify);
    if (*pipe >= 0)
        *pipe = FD_SIGNALS + n - 1;
    return 0;
}

/* After the descriptors: a lock of fcntl(2) goes with the first that is closed of its file, whichever that is. */
static int take_locks(struct init *init, const struct sbxi_step *step, uint32_t *ret_index)
{
    const struct sbxi_step *end = init->steps + init->blob->nsteps;
    for (; step < end; step++) {
        struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
        if (step->op != SBXI_LOCK_FILE)
            continue;
        *ret_index = step->index;
        int fd = open(init_a(init, step), O_RDONLY | O_CLOEXEC);
        if (fd < 0 || fcntl(fd, F_SETLK, &lock) < 0)
            return -errno;
    }
    return 0;
}

/*
 * The payload's process has our memory, and we are stopped, until it has made its execve or is gone: no copy of our memory is
 * made, and no pipe. All that it does is its process's alone (ids, capabilities, filters, limits, descriptors, directory) but
 * for whether the memory is dumpable, which is as it was at the end. It writes nothing there that we could not keep: what is
 * to be run is in the blob, which goes. Returns twice.
 */
static pid_t bear_sharing(struct init *init, const struct sbxi_step *step, const sigset_t *mask)
{
    static struct sbxi_event failure;
    init->failure = &failure;
    pid_t pid = vfork();
    if (pid == 0)
        run_payload(init, step, -1, mask);
    return pid;
}

/* And where they are to be two from the start (a killer takes all who share a memory), it is a copy with a pipe. */
static pid_t
bear(struct init *init, const struct sbxi_step *step, const sigset_t *mask, int *ret_pipe)
{
    int pipe[2];
    if (style & SBXI_S_SHARES)
        return bear_sharing(init, step, mask);
    if (pipe2(pipe, O_CLOEXEC) < 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0)
        run_payload(init, step, pipe[1], mask);
    *ret_pipe = pipe[0];
    return pid;
}

static bool has_failed(const struct init *init, int pipe, struct sbxi_event *event)
{
    if (pipe >= 0)
        return await_exec(pipe, event) != 0;
    *event = *init->failure;
    return event->type == SBXI_FAILED;
}

static _Noreturn void
start_payload(struct init *init, const struct sbxi_step *step, int signals, const sigset_t *mask)
{
    struct sbxi_event event = {0};
    int pipe = -1;
    pid_t payload = bear(init, step + 1, mask, &pipe);
    if (payload < 0) {
        fill_failure(&event, init, step->index, -errno);
        init_send(&event);
        _exit(1);
    }
    uint32_t index = step->index;
    int r = shed_descriptors(init, step, &pipe, signals);
    if (r >= 0)
        r = take_locks(init, step, &index);
    if (r >= 0)
        r = shed(init);
    if (r >= 0 && (style & SBXI_S_DIE))
        r = init_die_with_parent();
    if (r < 0) {
        fill_failure(&event, init, index, r);
    } else if (!has_failed(init, pipe, &event)) {
        if (pipe >= 0)
            close(pipe);
        event.type = SBXI_RUNNING;
        event.cgroup_ns = init->cgroup_ns;
        event.time_ns = init->time_ns;
        event.net_ns = init->net_ns;
        init_send(&event);
        init_watch(payload, FD_SIGNALS, style);
    }
    if (!(style & SBXI_S_PID1))
        init_end_children(payload);
    init_send(&event);
    _exit(1);
}

/* The error descriptor is the control socket, somewhere out of the payload's numbers; execve closes it. */
static _Noreturn void
become_payload(struct init *init, const struct sbxi_step *step, const sigset_t *mask)
{
    init->error_fd = SBXI_FD_CONTROL;
    fcntl(SBXI_FD_CONTROL, F_SETFD, FD_CLOEXEC);
    sigprocmask(SIG_SETMASK, mask, NULL);
    act_payload(init, step);
}

static int open_signals(sigset_t *ret_mask)
{
    sigset_t set;
    if (!(style & SBXI_S_BWRAP))
        init_reset_signals();
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, ret_mask);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

/* Ours are a session, a keyring and a signal mask of their own; bubblewrap's are the caller's. */
static int settle(struct init *init)
{
    style = init->blob->style;
    init->style_bwrap = style & SBXI_S_BWRAP;
    if (style & SBXI_S_ALONE)
        init_meanwhile_alone();
    if ((!(style & SBXI_S_BWRAP) || (style & SBXI_S_SESSION)) && !SBXI_WITHOUT("session"))
        setsid();
    if (style & SBXI_S_BWRAP)
        return 0;
    /* Leave the caller's; without keys in the kernel there is none. */
    if (!SBXI_WITHOUT("keyring"))
        syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL);
    if (!(style & SBXI_S_PID1) && prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        return -errno;
    return 0;
}

/*
 * bwrap's own name in a sandbox that it made is /proc/self/exe, as seen by the process that calls execve: ours. Who runs
 * that with arguments means the launcher, which is where we were installed from.
 */
static int run_launcher(char **argv)
{
    static const char *const places[] = {"uds", "../../bin/uds"};
    char self[4096], path[4200];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    argv[0] = (char[]){"bwrap"};
    for (size_t i = 0; slash && i < sizeof places / sizeof places[0]; i++) {
        snprintf(path, sizeof path, "%.*s/%s", (int)(slash - self), self, places[i]);
        execve(path, argv, environ);
    }
    dprintf(2, "uds-sandbox-init: it is started by uds; no uds that could run lies beside it\n");
    return 1;
}

int main(int argc, char **argv)
{
    static struct init init = {.error_fd = -1,
                               .root = -1,
                               .proc = -1,
                               .null = -1,
                               .nothing = -1,
                               .old = -1,
                               .fresh = -1,
                               .scratch = -1};
    struct sbxi_event event;
    sigset_t mask;
    uint32_t index = SBXI_STEP_CHILD;
    int signals = -1;

    /* Before all else: #!/proc/self/exe in a payload's script makes it us, for others of its id to look into. */
    prctl(PR_SET_DUMPABLE, SBXI_WITHOUT("dumpable"), 0, 0, 0);
    if (argc > 1)
        return run_launcher(argv);
    if (!SBXI_WITHOUT("close"))
        close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    init.umask = umask(0);
    int r = map_blob(&init);
    if (r >= 0 && (init.blob->style & SBXI_S_JOINS))
        r = init_join(&init);
    if (r >= 0)
        r = take_trees(&init);
    if (r >= 0)
        r = settle(&init);
    if (r >= 0)
        r = signals = open_signals(&mask);
    for (uint32_t i = 0; r >= 0 && i < init.blob->nsteps; i++) {
        index = init.steps[i].index;
        SBXI_BOUNDARY("init");
        if ((r = init_end_old_root(&init, init.steps[i].op)) < 0)
            break;
        /* Nothing of the host's goes further. */
        if (init.steps[i].op == SBXI_FORK && (init.old >= 0 || init_meanwhile_is_on())) {
            r = init_fail(&init, EPERM, "the old root or network is still there");
            break;
        }
        if (init.steps[i].op == SBXI_FORK)
            start_payload(&init, &init.steps[i], signals, &mask);
        if ((style & SBXI_S_DIRECT) && init.steps[i].op > SBXI_FORK)
            become_payload(&init, &init.steps[i], &mask);
        r = init_act_mount(&init, &init.steps[i]);
    }
    fill_failure(&event, &init, index, r < 0 ? r : -EINVAL);
    init_send(&event);
    return 1;
}
