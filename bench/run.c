/* SPDX-License-Identifier: MIT */
/*
 * See run.h. The parent makes what both sides inherit, forks them, and waits for both with a deadline. What they find
 * comes back through shared memory. When one of them fails the other may be waiting for it for ever: it is killed, and
 * the first failure is what is reported.
 */
#include "run.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <uds/fdset.h>

#include "clock.h"

#define PATIENCE_MS   10000 /* beyond the run's own time */
#define WARM_MIN_NS   UINT64_C(1000000)
#define GRACE_NS      UINT64_C(200000000) /* for the second side to end when the first has failed */
#define VERIFY_COUNT  64                  /* messages of a verifying pass … */
#define VERIFY_BYTES  (4u << 20)          /* … or as many as these bytes hold */
#define VERIFY_STARTS 2
#define BLOCK_BYTES   (1u << 20) /* one way: a sample is a block of so many bytes … */
#define BLOCK_MAX     256        /* … and of at most so many messages */
#define SMALL_BODY    4096       /* a round trip with more is long beside the cost of the clock */
#define CHILD_FAILED  1

struct side_report {
    struct run_usage usage;
    int failed_with; /* 0 or -errno */
    char error[RUN_ERROR_MAX];
};

struct shared {
    atomic_bool stop;
    struct side_report sides[2];
    uint64_t messages, elapsed_ns, all_messages;
    struct histogram histogram;
};

static const char *const side_names[] = {"driver", "peer"};

static uint64_t ns_of(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_usec * 1000;
}

static struct run_usage usage_now(void)
{
    struct rusage usage;

    (void)getrusage(RUSAGE_SELF, &usage);
    return (struct run_usage){
        .cpu_ns = ns_of(usage.ru_utime) + ns_of(usage.ru_stime),
        .switches = (uint64_t)usage.ru_nvcsw + (uint64_t)usage.ru_nivcsw,
    };
}

/* ---- in the two processes ---- */

static uint32_t block_of(const struct run_spec *spec)
{
    size_t block;

    if (!spec->workload->one_way) {
        bool is_long = spec->size > SMALL_BODY && !(spec->medium->traits & MEDIUM_SPINS);

        return spec->medium->block && !is_long ? spec->medium->block : 1;
    }
    block = BLOCK_BYTES / spec->size;
    return block < 1 ? 1 : block > BLOCK_MAX ? BLOCK_MAX : (uint32_t)block;
}

static uint64_t warm_ns_of(const struct run_spec *spec)
{
    uint64_t usual = spec->run_ns / 8;

    return spec->warm_ns > 0 ? spec->warm_ns : usual > WARM_MIN_NS ? usual : WARM_MIN_NS;
}

static int drive(const struct run_spec *spec, struct link *link, struct shared *shared)
{
    size_t count = VERIFY_BYTES / spec->size;
    struct meter meter = {
        .histogram = &shared->histogram,
        .run_ns = spec->run_ns,
        .warm_ns = warm_ns_of(spec),
        .block = block_of(spec),
    };
    int r;

    if (spec->workload->starts)
        count = VERIFY_STARTS;
    if (spec->verify) {
        meter.block = 1;
        meter.limit = count < 2 ? 2 : count > VERIFY_COUNT ? VERIFY_COUNT : count;
    }
    r = spec->workload->drive(link, &meter);
    shared->messages = meter.messages;
    shared->elapsed_ns = meter.last - meter.begin;
    shared->all_messages = meter.ticks;
    return r;
}

/* The descriptor that goes round: nobody uses it. */
static int make_fd(struct link *link)
{
    int r = uds_memfd_create("uds-bench", &link->fd);

    return r < 0 ? link_fail(link, r, "memfd_create") : 0;
}

static int set_up(const struct run_spec *spec, struct link *link)
{
    size_t reply = spec->workload->reply_size ? spec->workload->reply_size : spec->size;
    bool sends_request = link->side == (link->one_way ? SIDE_PEER : SIDE_DRIVER);
    int r = cpus_pin(spec->cpus, (int)link->side);

    if (r < 0)
        return link_fail(link, r, "pin to a core");
    r = body_source_init(&link->out, sends_request ? spec->size : reply, spec->verify);
    if (r < 0)
        return link_fail(link, r, "memory");
    link->in =
        (struct body_sink){.size = sends_request ? reply : spec->size, .verify = spec->verify};
    if (link->with_fd && link->side == SIDE_DRIVER)
        r = make_fd(link);
    return r < 0 ? r : spec->medium->attach(link);
}

static int
be_side(const struct run_spec *spec, struct link *link, struct shared *shared, enum side side)
{
    struct side_report *report = &shared->sides[side];
    struct run_usage before, after;
    int r;

    link->side = side;
    r = set_up(spec, link);
    before = usage_now();
    if (r == 0)
        r = side == SIDE_DRIVER ? drive(spec, link, shared) : spec->workload->serve(link);
    after = usage_now();
    report->usage.cpu_ns = after.cpu_ns - before.cpu_ns;
    report->usage.switches = after.switches - before.switches;
    if (r == 0 && link->in.wrong)
        r = link_fail(link, -EBADMSG, "a byte that arrived is not the one that was sent");
    report->failed_with = r;
    if (r < 0)
        (void)snprintf(report->error, sizeof(report->error), r == -ENODEV ? "%s" : "%s: %s",
                       link->failed ? link->failed : "it", strerror(-r));
    spec->medium->close(link);
    body_source_deinit(&link->out);
    if (link->fd >= 0)
        (void)close(link->fd);
    return r;
}

static pid_t
start_side(const struct run_spec *spec, struct link *link, struct shared *shared, enum side side)
{
    pid_t parent = getpid(), pid = fork();

    if (pid != 0)
        return pid;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(CHILD_FAILED);
    (void)signal(SIGPIPE, SIG_IGN);
    _exit(be_side(spec, link, shared, side) < 0 ? CHILD_FAILED : 0);
}

/* ---- in the parent ---- */

/* Did this side fail only because the other had gone? */
static bool is_consequence(const struct shared *shared, int side, const int statuses[2])
{
    int error = shared->sides[side].failed_with;

    return statuses[side] == 0 ||
           (WIFEXITED(statuses[side]) && (error == -EPIPE || error == -ECONNRESET));
}

/* Names the side that is to blame. -ENODEV: it cannot do this here, and said so; -EPIPE: something is wrong. */
static int say_who_failed(const struct shared *shared, const int statuses[2], char *error)
{
    int side = is_consequence(shared, SIDE_DRIVER, statuses) && statuses[SIDE_PEER] != 0
                   ? SIDE_PEER
                   : SIDE_DRIVER;
    int status = statuses[side];

    if (WIFSIGNALED(status))
        (void)snprintf(error, RUN_ERROR_MAX, "the %s was killed by signal %d (%s)",
                       side_names[side], WTERMSIG(status), strsignal(WTERMSIG(status)));
    else if (shared->sides[side].failed_with == -ENODEV)
        (void)snprintf(error, RUN_ERROR_MAX, "%s", shared->sides[side].error);
    else
        (void)snprintf(error, RUN_ERROR_MAX, "the %s failed: %.200s", side_names[side],
                       shared->sides[side].error);
    return WIFEXITED(status) && shared->sides[side].failed_with == -ENODEV ? -ENODEV : -EPIPE;
}

static void kill_all(const pid_t pids[2])
{
    for (int side = 0; side < 2; side++)
        if (pids[side] > 0)
            (void)kill(pids[side], SIGKILL);
}

/* Waits for one of those that still run, at most until @deadline. Its side, or -ETIMEDOUT. */
static int wait_for_one(const int pidfds[2], uint64_t deadline)
{
    struct pollfd pfds[2] = {{.fd = pidfds[0], .events = POLLIN},
                             {.fd = pidfds[1], .events = POLLIN}};

    for (;;) {
        uint64_t now = now_ns();
        int r = poll(pfds, 2, now < deadline ? (int)((deadline - now) / 1000000) + 1 : 0);

        if (r > 0)
            return pfds[0].revents ? 0 : 1;
        if (r == 0)
            return -ETIMEDOUT;
        if (errno != EINTR)
            return -errno;
    }
}

static void reap(pid_t *pid, int *pidfd, int *ret_status)
{
    if (waitpid(*pid, ret_status, 0) < 0)
        *ret_status = 0;
    *pid = -1;
    if (*pidfd >= 0)
        (void)close(*pidfd);
    *pidfd = -1;
}

/* Reaps both. When one has failed, the other has a moment to say why, and is killed then. */
static int await(struct shared *shared, pid_t pids[2], uint64_t deadline, char *error)
{
    int pidfds[2] = {pidfd_open(pids[0], 0), pidfd_open(pids[1], 0)}, statuses[2] = {0};
    bool killed = false, late = false;

    while (pids[0] > 0 || pids[1] > 0) {
        int side = killed ? (pids[0] > 0 ? 0 : 1) : wait_for_one(pidfds, deadline), status = 0;

        if (side < 0) {
            late = statuses[0] == 0 && statuses[1] == 0;
            killed = true;
            kill_all(pids);
            continue;
        }
        reap(&pids[side], &pidfds[side], &status);
        if (killed || status == 0)
            continue;
        statuses[side] = status;
        deadline = now_ns() + GRACE_NS;
    }
    if (late)
        (void)snprintf(error, RUN_ERROR_MAX, "no end in sight");
    else if (statuses[0] != 0 || statuses[1] != 0)
        return say_who_failed(shared, statuses, error);
    else
        return 0;
    return -ETIMEDOUT;
}

static int
start_both(const struct run_spec *spec, struct link *link, struct shared *shared, char *error)
{
    pid_t pids[2] = {-1, -1};
    uint64_t deadline;
    int r;

    pids[SIDE_DRIVER] = start_side(spec, link, shared, SIDE_DRIVER);
    if (pids[SIDE_DRIVER] > 0)
        pids[SIDE_PEER] = start_side(spec, link, shared, SIDE_PEER);
    r = pids[SIDE_PEER] < 0 ? -errno : 0;
    /* From here on only the two hold their ends: when one dies, the other's is dead. */
    spec->medium->close(link);
    if (r < 0) {
        (void)snprintf(error, RUN_ERROR_MAX, "fork: %s", strerror(-r));
        kill_all(pids);
        if (pids[SIDE_DRIVER] > 0)
            (void)waitpid(pids[SIDE_DRIVER], NULL, 0);
        return r;
    }
    deadline = now_ns() + spec->run_ns + warm_ns_of(spec) + (uint64_t)PATIENCE_MS * 1000000;
    return await(shared, pids, deadline, error);
}

static void collect(const struct shared *shared, struct run_result *ret)
{
    ret->histogram = shared->histogram;
    ret->messages = shared->messages;
    ret->elapsed_ns = shared->elapsed_ns;
    ret->all_messages = shared->all_messages;
    ret->usage = (struct run_usage){0};
    for (int side = 0; side < 2; side++) {
        ret->usage.cpu_ns += shared->sides[side].usage.cpu_ns;
        ret->usage.switches += shared->sides[side].usage.switches;
    }
}

int run_once(const struct run_spec *spec, struct run_result *ret, char *error)
{
    struct link link = {
        .medium = spec->medium,
        .one_way = spec->workload->one_way,
        .with_fd = spec->workload->with_fd,
        .batch = spec->batch,
        .fd = -1,
        .out = {.size = spec->size},
        .in = {.size = spec->size},
    };
    struct shared *shared;
    int r;

    if (spec->cpus == CPUS_TWO && cpus_allowed() < 2) {
        (void)snprintf(error, RUN_ERROR_MAX, "only one core may be used");
        return -ENODEV;
    }
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        (void)snprintf(error, RUN_ERROR_MAX, "mmap: %s", strerror(errno));
        return -ENOMEM;
    }
    link.stop = &shared->stop;
    r = spec->medium->open(&link);
    if (r < 0) {
        (void)snprintf(error, RUN_ERROR_MAX, "%s: %s", link.failed, strerror(-r));
        spec->medium->close(&link);
    } else {
        r = start_both(spec, &link, shared, error);
    }
    if (r == 0)
        collect(shared, ret);
    (void)munmap(shared, sizeof(*shared));
    return r;
}
