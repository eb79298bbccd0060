/* SPDX-License-Identifier: MIT */
/*
 * Cell: one declared sandbox as the loop drives it.
 *
 * The member says in which state it is; the cell does what that state needs: it starts the process,
 * which works by itself until its payload runs, watches its end, waits out the back-off. Two socket
 * pairs are made for each start. The link's far end becomes UDS_BROKER inside, its near end goes to
 * the router when the payload runs, and neither stays here. The redial pair's near end stays: when a
 * new router comes, a fresh link goes through it as one record of one byte and one descriptor,
 * without waiting. It is shut down for reading: the supervisor reads no byte of a sandbox, and a
 * sandbox cannot park descriptors in a queue that nobody empties.
 *
 * Invariants: sbx, io and redial exist exactly in RUNNING and, outside of cell_start(), in STARTING,
 * link in the latter alone; the timer is pending exactly in BACKOFF or after cell_start_soon().
 */
#include "cell.h"

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include <uds/fdset.h>

#include "clock.h"
#include "launch.h"

#define TELL_MS   50
#define WANTED_MS 1000

static void add_timer(struct event *event, int ms)
{
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

    event_add(event, ms < 0 ? NULL : &tv);
    if (ms < 0)
        event_remove_timer(event); /* which event_add(…, NULL) leaves as it was */
}

static void close_fd(int *fd)
{
    uds_fd_close(*fd); /* the payload may have sent what waits in it */
    *fd = -1;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct sbx_error error = {0};

    (void)fd;
    (void)what;
    (void)cell_start(arg, &error); /* a failure has been told by on_changed */
}

static void on_reserve(void *arg, const struct sbx_error *error)
{
    struct cell *cell = arg;

    cell->member.warm = (uint32_t)reserve_count(&cell->reserve);
    cell->env->on_reserve(cell, error, cell->env->arg);
}

/* They are confined and rooted as the entry says; what differs from life to life they are told when one begins. */
static int make_reserve(struct cell *cell, struct sbx_error *error)
{
    const struct launch launch = {
        .stack = cell->env->stack,
        .entry = cell->member.entry,
        .place = cell->place.dir,
        .doors = cell->env->doors,
        .vault = cell->env->vault,
        .link = -1,
        .redial = -1,
        .fdstore = cell->fdstore,
        .nofile = cell->env->nofile,
        .waits = true,
    };
    struct reserve_options options = {
        .base = cell->env->base,
        .cleaner = cell->env->cleaner,
        .admin = cell->env->admin,
        .size = cell->member.entry->warm,
    };
    int r = launch_plan(&options.plan, &launch, error);

    cell->reserve.on_changed = on_reserve;
    cell->reserve.arg = cell;
    if (r == 0)
        r = reserve_make(&cell->reserve, &options, error);
    sbx_plan_free(options.plan);
    return r;
}

int cell_make(struct cell *cell,
              const struct cell_env *env,
              uint32_t id,
              const struct stack_sandbox *entry,
              const char *instance,
              struct sbx_error *error)
{
    int r;

    *cell = (struct cell){.env = env, .redial = -1, .link = -1};
    member_init(&cell->member, id, entry);
    cell->timer = evtimer_new(env->base, on_timer, cell);
    if (!cell->timer) {
        error->err = ENOMEM;
        snprintf(error->text, sizeof(error->text), "sandbox %s: out of memory", entry->name);
        return -ENOMEM;
    }
    r = entry->fdstore ? sbx_fdstore_new(&cell->fdstore, entry->fdstore) : 0;
    if (r < 0)
        snprintf(error->text, sizeof(error->text), "fdstore: %s", strerror(-r));
    if (r == 0)
        r = sockets_open(&cell->sockets, entry, env->cleaner, error);
    if (r == 0)
        r = place_make(&cell->place, instance, entry->name, env->cleaner, error);
    if (r == 0 && entry->warm)
        r = make_reserve(cell, error);
    if (r < 0)
        launch_name_sandbox(entry, error);
    return r;
}

/* ---- end ---- */

/* One that comes and goes without an answer is not started more often than this. */
static void on_wanted(void *arg)
{
    struct cell *cell = arg;
    uint64_t since_ms = clock_ms(CLOCK_MONOTONIC) - cell->member.started_ms;

    add_timer(cell->timer, since_ms < WANTED_MS ? (int)(WANTED_MS - since_ms) : 0);
}

/* For good, or until somebody wants it. */
static void settle(struct cell *cell)
{
    sbx_fdstore_clear(cell->fdstore);
    if (cell->member.state == MEMBER_FAILED || cell->member.stopping) {
        reserve_clear(&cell->reserve);
        cell->member.warm = 0;
    }
    if (cell->member.state == MEMBER_FAILED ||
        (!cell->member.stopping &&
         sockets_watch(&cell->sockets, cell->env->base, on_wanted, cell) < 0))
        sockets_close(&cell->sockets); /* nobody will ever answer: say so to who connects */
}

static void ended(struct cell *cell, const struct sbx_result *result)
{
    int wait_ms;

    if (cell->io) {
        event_free(cell->io);
        cell->io = NULL;
    }
    close_fd(&cell->redial);
    close_fd(&cell->link);
    if (result->outcome == SBX_SETUP_FAILED)
        cell->failure = result->error;
    wait_ms = member_ended(&cell->member, result, clock_ms(CLOCK_MONOTONIC));
    cell->sbx = sbx_free(cell->sbx);
    if (wait_ms >= 0)
        add_timer(cell->timer, wait_ms);
    else
        settle(cell);
    reserve_fill_soon(&cell->reserve, false); /* and what is left of this one goes */
    cell->env->on_changed(cell, wait_ms, cell->env->arg);
}

/*
 * What the payload tells goes on at most every TELL_MS, so that it costs us and the router little; what was refused and that
 * it is ready, at once. Returns ms until there is more to tell, -1 = nothing.
 */
static int follow(struct cell *cell, bool at_once)
{
    struct sbx_notify now, before = cell->member.told;
    uint64_t now_ms = clock_ms(CLOCK_MONOTONIC);

    sbx_get_notify(cell->sbx, &now);
    if (now.changes == before.changes)
        return -1;
    if (!at_once && now.ready == before.ready && now.refused == before.refused &&
        now_ms - cell->told_ms < TELL_MS)
        return TELL_MS;
    member_told(&cell->member, &now);
    cell->told_ms = now_ms;
    cell->env->on_told(cell, &before, cell->env->arg);
    return -1;
}

/* Its payload runs. */
static void up(struct cell *cell)
{
    struct sbx_report report = SBX_REPORT_INIT;

    sbx_get_report(cell->sbx, &report);
    sbx_admin_add(cell->env->admin, cell->sbx);
    member_running(&cell->member, &report, clock_ms(CLOCK_MONOTONIC), clock_ms(CLOCK_REALTIME));
    cell->env->on_changed(cell, -1, cell->env->arg);
    cell->env->on_link(cell, cell->link, cell->env->arg);
    close_fd(&cell->link);
    reserve_fill_soon(&cell->reserve, true);
}

static void on_io(evutil_socket_t fd, short what, void *arg)
{
    struct cell *cell = arg;
    struct sbx_result result = SBX_RESULT_INIT;
    int r = sbx_process(cell->sbx, &result), more_ms = follow(cell, r != 0), wait_ms;

    (void)fd;
    (void)what;
    if (r == 0 && cell->member.state == MEMBER_STARTING && !sbx_is_starting(cell->sbx))
        up(cell);
    if (r == 0) {
        wait_ms = sbx_get_timeout(cell->sbx);
        add_timer(cell->io, more_ms >= 0 && (wait_ms < 0 || wait_ms > more_ms) ? more_ms : wait_ms);
        return;
    }
    if (r < 0) {
        /* We have lost sight of it: sbx_free() in ended() kills whatever there is. */
        result = (struct sbx_result){
            .size = sizeof(struct sbx_result), .outcome = SBX_SETUP_FAILED, .value = (uint64_t)-r};
        snprintf(result.error.text, sizeof(result.error.text), "lost: %s", strerror(-r));
    }
    ended(cell, &result);
}

/* ---- start ---- */

/* link[0], redial[0] are ours, link[1], redial[1] the sandbox's. All -1 on failure. */
static int make_pairs(int link[2], int redial[2])
{
    link[0] = link[1] = redial[0] = redial[1] = -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link) < 0)
        return -errno;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, redial) < 0) {
        int r = -errno;

        close_fd(&link[0]);
        close_fd(&link[1]);
        return r;
    }
    (void)shutdown(redial[0], SHUT_RD);
    return 0;
}

/* The sockets, then what its former life has stored. */
static size_t gather_fds(struct cell *cell, struct sbx_named_fd *ret)
{
    size_t n = cell->sockets.n;

    if (n > 0)
        memcpy(ret, cell->sockets.fds, n * sizeof(*ret));
    return n + (cell->fdstore ? sbx_fdstore_list(cell->fdstore, ret + n) : 0);
}

static int start_cold(struct cell *cell, const struct launch *launch, struct sbx_error *error)
{
    sbx_plan *plan = NULL;
    int r = launch_plan(&plan, launch, error);

    if (r == 0)
        r = sbx_start_begin(&cell->sbx, plan, cell->env->cleaner, error);
    sbx_plan_free(plan);
    return r;
}

static int start_warm(struct cell *cell, const struct launch *launch, struct sbx_error *error)
{
    struct sbx_adoption adoption;
    struct sbx_named_fd links[2];
    int r;

    launch_adoption(&adoption, links, launch);
    reserve_unwatch(&cell->reserve);
    r = sbx_pool_start(&cell->sbx, cell->reserve.pool, &adoption, error);
    cell->member.warm = (uint32_t)reserve_count(&cell->reserve);
    return r;
}

static int run(struct cell *cell, int link, int redial, struct sbx_error *error)
{
    struct sbx_named_fd fds[STACK_LISTEN_MAX + SBX_FDSTORE_MAX];
    const struct launch launch = {
        .stack = cell->env->stack,
        .entry = cell->member.entry,
        .place = cell->place.dir,
        .doors = cell->env->doors,
        .vault = cell->env->vault,
        .link = link,
        .redial = redial,
        .fds = fds,
        .nfds = gather_fds(cell, fds),
        .fdstore = cell->fdstore,
        .nofile = cell->env->nofile,
    };
    int r = place_unlock(&cell->place, error);

    if (r == 0) /* what is made anew is made while the loop goes on */
        r = reserve_count(&cell->reserve) > 0 ? start_warm(cell, &launch, error)
                                              : start_cold(cell, &launch, error);
    return r;
}

static int watch(struct cell *cell, struct sbx_error *error)
{
    cell->io = event_new(cell->env->base, sbx_get_fd(cell->sbx), EV_READ | EV_PERSIST, on_io, cell);
    if (!cell->io) {
        error->err = ENOMEM;
        snprintf(error->text, sizeof(error->text), "out of memory");
        return -ENOMEM;
    }
    add_timer(cell->io, sbx_get_timeout(cell->sbx));
    return 0;
}

/* What was made when it fails goes away in ended(). */
static int bring_up(struct cell *cell, struct sbx_error *error)
{
    struct sbx_report report = SBX_REPORT_INIT;
    int link[2], redial[2];
    int r = make_pairs(link, redial);

    if (r < 0) {
        error->err = -r;
        snprintf(error->text, sizeof(error->text), "socketpair: %s", strerror(-r));
        return r;
    }
    cell->link = link[0];
    cell->redial = redial[0];
    r = run(cell, link[1], redial[1], error);
    close_fd(&link[1]);
    close_fd(&redial[1]);
    if (r == 0) {
        sbx_get_report(cell->sbx, &report);
        r = place_lock(&cell->place, report.host_uid, report.host_gid, error);
    }
    return r == 0 ? watch(cell, error) : r;
}

int cell_start(struct cell *cell, struct sbx_error *error)
{
    int r;

    event_del(cell->timer);
    sockets_unwatch(&cell->sockets);
    member_starting(&cell->member);
    cell->env->on_changed(cell, -1, cell->env->arg);
    r = bring_up(cell, error);
    if (r < 0) {
        struct sbx_result result = {.size = sizeof(struct sbx_result),
                                    .outcome = SBX_SETUP_FAILED,
                                    .value = (uint64_t)-r,
                                    .error = *error};

        ended(cell, &result);
        return r;
    }
    if (!sbx_is_starting(cell->sbx))
        up(cell);
    return 0;
}

int cell_start_now(struct cell *cell, struct sbx_error *error)
{
    int r = cell_start(cell, error);

    while (r == 0 && cell->member.state == MEMBER_STARTING) {
        struct pollfd fd = {.fd = sbx_get_fd(cell->sbx), .events = POLLIN};

        (void)poll(&fd, 1, sbx_get_timeout(cell->sbx));
        on_io(fd.fd, EV_READ, cell);
        if (cell->member.state != MEMBER_STARTING && cell->member.state != MEMBER_RUNNING) {
            *error = cell->failure;
            r = -(int)cell->member.value;
        }
    }
    return r;
}

void cell_start_soon(struct cell *cell)
{
    add_timer(cell->timer, 0);
}

/* ---- while it runs ---- */

void cell_relink(struct cell *cell)
{
    int link[2];

    if (cell->member.state != MEMBER_RUNNING ||
        cell->redial < 0 || /* one that starts has none yet */
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, link) < 0)
        return;
    /*
     * A sandbox that does not empty its redial end gets no link; its socket in /run/uds still
     * works.
     */
    if (uds_fd_send(cell->redial, link[1]) == 0)
        cell->env->on_link(cell, link[0], cell->env->arg);
    uds_fd_close(link[0]);
    close(link[1]);
}

void cell_stop(struct cell *cell, int grace_ms)
{
    cell->member.stopping = true;
    reserve_clear(&cell->reserve);
    cell->member.warm = 0;
    event_del(cell->timer);
    sockets_unwatch(&cell->sockets);
    if (cell->member.state == MEMBER_BACKOFF)
        member_give_up(&cell->member);
    if (!cell->sbx)
        return;
    if (grace_ms > 0)
        (void)sbx_stop(cell->sbx, grace_ms);
    else
        (void)sbx_kill(cell->sbx);
    add_timer(cell->io, sbx_get_timeout(cell->sbx));
}

void cell_get_stats(struct cell *cell, struct sbx_stats *ret)
{
    struct sbx_stats now = SBX_STATS_INIT;
    bool runs = cell->sbx && sbx_get_stats(cell->sbx, &now) == 0;

    member_total(&cell->member, runs ? &now : NULL, ret);
}

void cell_clear(struct cell *cell)
{
    if (cell->io)
        event_free(cell->io);
    if (cell->timer)
        event_free(cell->timer);
    cell->io = cell->timer = NULL;
    close_fd(&cell->redial);
    close_fd(&cell->link);
    cell->sbx = sbx_free(cell->sbx);
    reserve_clear(&cell->reserve);
    cell->fdstore = sbx_fdstore_free(cell->fdstore);
    sockets_close(&cell->sockets);
    place_clear(&cell->place);
}
