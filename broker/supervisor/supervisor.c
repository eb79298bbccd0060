/* SPDX-License-Identifier: MIT */
/*
 * Supervisor: the privileged half of the broker. One thread, one libevent loop, one table of
 * declared sandboxes that does not change after the start.
 *
 *   check ─▶ make (cleaner, doors, cells' places) ─▶ ROUTER ── it is configured ──▶ STARTING ── cells run ──▶ UP
 *                                                       │            │                                        │
 *                                                       └── fails ───┴──────────▶ STOPPING ◀──── a signal ────┘
 *
 * The cleaner is started before anything is made and everything is registered with it, so that our
 * death ends all. Until UP any failure is the end, with one line. From UP on nothing but a signal
 * is: cells follow their restart policies, and a router that dies is replaced with a back-off. It
 * gets the configuration, the listening sockets, which we keep, and a fresh link for each cell that
 * runs. Stopping: cells first, so that answers in flight still arrive, then the router, then all
 * names.
 *
 * We parse nothing that a peer has sent. From the router we take what control.c lets through.
 */
#include "supervisor.h"

#include <errno.h>
#include <event2/event.h>
#include <sbx/notify.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/param.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <uds/fdset.h>

#include "check.h"
#include "launch.h"
#include "place.h"
#include "policy.h"
#include "report.h"
#include "supervisor-internal.h"
#include "trust.h"

#define STOP_GRACE_MS   2000
#define ROUTER_GRACE_MS 1000
#define CLOSING_USEC    100 /* for a descriptor that the router or a payload sent */

void supervisor_add_timer(struct event *event, int ms)
{
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

    event_add(event, &tv);
}

void supervisor_give_up(struct supervisor *s, int r)
{
    if (s->result == 0)
        s->result = r;
    supervisor_stop(s);
}

/* ---- what cells tell ---- */

static void on_cell_changed(struct cell *cell, int wait_ms, void *arg)
{
    struct supervisor *s = arg;

    supervisor_tell_changed(s, cell);
    /*
     * When the broker cannot start, the caller's one line is what there is to say, not what follows
     * from it.
     */
    if (cell->member.state == MEMBER_RUNNING)
        report_started(&s->status, &cell->member);
    else if (cell->member.state != MEMBER_STARTING && s->result == 0 &&
             !(s->phase == PHASE_STARTING && cell->member.outcome == SBX_SETUP_FAILED))
        report_ended(&s->status, &cell->member, wait_ms);
    if (s->phase == PHASE_STARTING && cell->member.state != MEMBER_STARTING)
        event_active(s->start_cells, EV_TIMEOUT, 1); /* what a start takes is not for in here */
    if (s->phase == PHASE_STOPPING)
        supervisor_stop(s);
    supervisor_announce(s);
}

static void on_cell_told(struct cell *cell, const struct sbx_notify *before, void *arg)
{
    struct supervisor *s = arg;

    supervisor_tell_changed(s, cell);
    report_told(&s->status, &cell->member, before);
    supervisor_announce(s);
}

static void on_cell_reserve(struct cell *cell, const struct sbx_error *error, void *arg)
{
    struct supervisor *s = arg;

    supervisor_tell_changed(s, cell);
    if (error)
        report_not_warm(&s->status, cell->member.entry->name, error->text);
}

static void on_cell_link(struct cell *cell, int fd, void *arg)
{
    struct supervisor *s = arg;
    Uds__Supervisor__Link link = UDS__SUPERVISOR__LINK__INIT;

    if (!s->router)
        return;
    link.sandbox_id = cell->member.id;
    link.generation = cell->member.generation;
    router_add_link(s->router, &link, fd);
}

/* ---- what the router asks (control.c) ---- */

static struct cell *find_cell(struct supervisor *s, uint32_t id)
{
    return id >= 1 && id <= s->ncells ? &s->cells[id - 1] : NULL;
}

static int answer_stats(uint32_t id, struct sbx_stats *ret, void *arg)
{
    struct cell *cell = find_cell(arg, id);

    if (!cell)
        return -ENOENT;
    cell_get_stats(cell, ret);
    return 0;
}

static int answer_start(uint32_t id, void *arg)
{
    struct supervisor *s = arg;
    struct cell *cell = find_cell(s, id);
    int r;

    if (!cell)
        return -ENOENT;
    if (s->phase < PHASE_UP)
        return -EALREADY; /* its turn comes */
    r = member_may_start(&cell->member, s->phase != PHASE_UP);
    if (r == 0)
        cell_start_soon(cell);
    return r;
}

/* ---- phases ---- */

/*
 * Every call is answered. The first time that is the moment to start the sandboxes, the second time
 * all is up.
 */
void supervisor_on_settled(void *arg)
{
    struct supervisor *s = arg;

    if (s->phase == PHASE_ROUTER) {
        s->phase = PHASE_STARTING;
        event_active(s->start_cells, EV_TIMEOUT, 1); /* starting takes milliseconds: not in here */
    } else if (s->phase == PHASE_UP) {
        s->settled = true;
        supervisor_announce(s);
    }
}

/* One after the other, in the order of the file; the loop goes on meanwhile. */
static void on_start_cells(evutil_socket_t fd, short what, void *arg)
{
    struct supervisor *s = arg;

    (void)fd;
    (void)what;
    while (s->phase == PHASE_STARTING) {
        struct cell *last = s->nstarted ? &s->cells[s->nstarted - 1] : NULL;
        struct sbx_error error = {0};

        if (last && last->member.state == MEMBER_STARTING)
            return;
        if (last && last->member.generation == 1 && last->member.outcome == SBX_SETUP_FAILED) {
            *s->error = last->failure;
            launch_name_sandbox(last->member.entry, s->error);
            supervisor_give_up(s, -(int)last->member.value);
        } else if (s->nstarted < s->ncells) {
            (void)cell_start(&s->cells[s->nstarted++], &error); /* above is seen how that went */
        } else {
            s->phase = PHASE_UP;
        }
    }
    if (s->phase == PHASE_UP && s->ncells == 0)
        supervisor_announce_now(
            s); /* nothing more was said to the router, so no answer will come */
}

/* Bring the end a step nearer; called whenever something has ended while stopping. */
void supervisor_stop(struct supervisor *s)
{
    if (s->phase != PHASE_STOPPING) {
        s->phase = PHASE_STOPPING;
        (void)sbx_notify_send("STOPPING=1");
        event_del(s->router_timer);
        guests_clear(&s->guests);
        for (size_t i = 0; i < s->ncells; i++)
            cell_stop(&s->cells[i], STOP_GRACE_MS);
    }
    for (size_t i = 0; i < s->ncells; i++)
        if (s->cells[i].sbx)
            return;
    if (s->router)
        router_close(s->router, ROUTER_GRACE_MS);
    else
        event_base_loopbreak(s->base);
}

static void on_signal(evutil_socket_t signo, short what, void *arg)
{
    struct supervisor *s = arg;
    const char *name = signo == SIGINT ? "SIGINT" : "SIGTERM";

    (void)what;
    if (s->phase != PHASE_STOPPING) {
        status_say(&s->status, "broker", "stopping", NULL, "stopping (%s)", name);
        supervisor_stop(s);
        return;
    }
    for (size_t i = 0; i < s->ncells; i++)
        cell_stop(&s->cells[i], 0);
    if (s->router)
        router_kill(s->router, "killed");
}

/* ---- make ---- */

/*
 * The cleaner resolves the names that it removes without following a symbolic link, so they hold
 * none.
 */
static int resolve_run_dir(struct supervisor *s)
{
    char real[PATH_MAX];

    if (!realpath(s->run_dir, real) || strlen(real) >= sizeof(s->run_dir)) {
        s->error->err = ENAMETOOLONG;
        snprintf(s->error->text, sizeof(s->error->text), "run directory: path too long");
        return -ENAMETOOLONG;
    }
    strcpy(s->run_dir, real);
    return 0;
}

static int choose_run_dir(struct supervisor *s)
{
    const char *chosen = s->options->run_dir ? s->options->run_dir : s->stack->run_dir;
    int r = 0;

    if (!chosen)
        r = place_default_run_dir(s->run_dir, sizeof(s->run_dir));
    else if ((size_t)snprintf(s->run_dir, sizeof(s->run_dir), "%s", chosen) >= sizeof(s->run_dir))
        r = -ENAMETOOLONG;
    if (r < 0) {
        s->error->err = -r;
        snprintf(s->error->text, sizeof(s->error->text), "run directory: path too long");
        return r;
    }
    r = trust_directory(s->run_dir, s->error);
    return r < 0 ? r : resolve_run_dir(s);
}

static int make_loop(struct supervisor *s)
{
    struct event_base *base = event_base_new();

    s->base = base;
    if (base) {
        s->sigint = evsignal_new(base, SIGINT, on_signal, s);
        s->sigterm = evsignal_new(base, SIGTERM, on_signal, s);
        s->start_cells = event_new(base, -1, 0, on_start_cells, s);
        s->router_timer = evtimer_new(base, supervisor_on_router_timer, s);
    }
    if (!base || !s->sigint || !s->sigterm || !s->start_cells || !s->router_timer ||
        event_add(s->sigint, NULL) < 0 || event_add(s->sigterm, NULL) < 0) {
        s->error->err = ENOMEM;
        snprintf(s->error->text, sizeof(s->error->text), "event loop: cannot be made");
        return -ENOMEM;
    }
    return 0;
}

/* Every peer costs a descriptor here or in the router, which inherits the limit. */
static void raise_nofile(struct supervisor *s)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &s->nofile) < 0)
        s->nofile = (struct rlimit){1024, 4096};
    limit = (struct rlimit){s->nofile.rlim_max, s->nofile.rlim_max};
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int make_doors(struct supervisor *s)
{
    bool strangers = policy_names_strangers(s->stack, geteuid());
    size_t n = s->options->nlisten ? s->options->nlisten : s->stack->listen.n;
    char standard[sizeof(s->run_dir) + 32];
    int r = 0;

    snprintf(standard, sizeof(standard), "unix:%s/broker.sock", s->run_dir);
    s->doors = calloc(n + 1, sizeof(*s->doors));
    if (!s->doors)
        return -ENOMEM;
    for (size_t i = 0; r == 0 && i < MAX(n, (size_t)1); i++) {
        const char *address = n == 0                ? standard
                              : s->options->nlisten ? s->options->listen[i]
                                                    : s->stack->listen.v[i];

        r = door_open(&s->doors[i], address, strangers ? 0666 : 0600, s->cleaner, s->error);
        if (r == 0)
            s->ndoors++;
    }
    return r;
}

/* What an inherited listener is called, only its socket can tell. */
static int name_of(const struct door *door,
                   char name[sizeof(((struct sockaddr_un *)0)->sun_path) + 1])
{
    struct sockaddr_un addr = {0};
    socklen_t len = sizeof(addr);

    if (getsockname(uds_listener_get_fd(door->listener), (struct sockaddr *)&addr, &len) < 0)
        return -errno;
    memcpy(name, addr.sun_path, sizeof(addr.sun_path));
    name[sizeof(addr.sun_path)] = 0;
    return len > offsetof(struct sockaddr_un, sun_path) && !name[0]; /* 1 = abstract */
}

/*
 * An abstract name cannot be hidden from who shares the network; if it also has our uid, nothing
 * tells it from us.
 */
static int refuse_abstract(struct supervisor *s, const struct door *door)
{
    for (size_t i = 0; geteuid() != 0 && i < s->stack->nsandboxes; i++) {
        const struct stack_sandbox *entry = &s->stack->sandboxes[i];

        if (entry->isolate & SBX_NS_NET)
            continue;
        s->error->err = EINVAL;
        snprintf(s->error->text, sizeof(s->error->text),
                 "listen: %.300s: sandbox %s shares the network and, without root, your uid: it "
                 "would be taken for you: listen on a file, or add \"net\" to its isolate",
                 door->address, entry->name);
        return -EINVAL;
    }
    return 0;
}

static int list_door_paths(struct supervisor *s)
{
    size_t n = 0;

    s->door_paths = calloc(s->ndoors + 1, sizeof(*s->door_paths));
    if (!s->door_paths)
        return -ENOMEM;
    for (size_t i = 0; i < s->ndoors; i++) {
        const struct door *door = &s->doors[i];
        char name[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
        int r = name_of(door, name);

        if (r == 1)
            r = refuse_abstract(s, door);
        else if (r == 0 && (door->path || name[0] == '/') &&
                 !(s->door_paths[n++] = strdup(door->path ? door->path : name)))
            r = -ENOMEM;
        if (r < 0)
            return r;
    }
    return 0;
}

static int make_cells(struct supervisor *s)
{
    int r;

    s->env = (struct cell_env){.base = s->base,
                               .cleaner = s->cleaner,
                               .admin = s->admin,
                               .stack = s->stack,
                               .doors = (const char *const *)s->door_paths,
                               .vault = &s->vault,
                               .nofile = s->nofile,
                               .on_changed = on_cell_changed,
                               .on_told = on_cell_told,
                               .on_reserve = on_cell_reserve,
                               .on_link = on_cell_link,
                               .arg = s};
    if (s->stack->nsandboxes == 0)
        return 0;
    s->cells = calloc(s->stack->nsandboxes, sizeof(*s->cells));
    if (!s->cells)
        return -ENOMEM;
    r = place_make_instance(s->run_dir, s->cleaner, s->instance, sizeof(s->instance), s->error);
    if (r < 0) {
        s->instance[0] = 0;
        return r;
    }
    for (size_t i = 0; r == 0 && i < s->stack->nsandboxes; i++) {
        const struct stack_sandbox *entry = &s->stack->sandboxes[i];

        status_fit(&s->status, entry->name);
        s->ncells++;
        r = cell_make(&s->cells[i], &s->env, (uint32_t)i + 1, entry, s->instance, s->error);
        if (r == 0)
            report_unsealed(&s->status, entry->name, &s->cells[i].sockets);
    }
    return r;
}

static int make(struct supervisor *s)
{
    static const struct control_table table = {answer_stats, answer_start};
    uint32_t count;
    int r = vault_open(&s->vault, s->stack, s->error);

    if (r == 0)
        r = check_sandboxes(s->stack, &s->vault, NULL, s->error);
    vault_forget(s->stack);
    if (r == 0)
        r = check_user_namespaces(s->error);
    if (r == 0)
        r = choose_run_dir(s);
    if (r == 0)
        r = make_loop(s);
    if (r < 0)
        return r;
    raise_nofile(s);
    r = uds_fd_limit_closing(CLOSING_USEC);
    if (r < 0)
        return r;
    control_init(&s->control, &table, s);
    r = sbx_cleaner_new(&s->cleaner, s->run_dir, s->error);
    if (r == 0 && geteuid() == 0)
        r = sbx_cleaner_take_ids(s->cleaner, &s->router_uid, &count, s->error);
    if (r == 0)
        r = supervisor_open_admin(s);
    if (r == 0)
        r = make_doors(s);
    if (r == 0)
        r = list_door_paths(s);
    if (r == 0)
        r = make_cells(s);
    if (r == 0)
        r = guests_make(&s->guests, &s->env, &s->status, s->error);
    if (r == 0)
        r = supervisor_start_router(s, s->error);
    return r;
}

static void unmake(struct supervisor *s)
{
    s->router = router_free(s->router);
    guests_clear(&s->guests);
    for (size_t i = 0; i < s->ncells; i++)
        cell_clear(&s->cells[i]);
    if (s->instance[0])
        place_remove_directory(s->instance, s->cleaner);
    for (size_t i = 0; i < s->ndoors; i++)
        door_close(&s->doors[i]);
    supervisor_close_admin(s);
    sbx_cleaner_free(s->cleaner);
    struct event *events[] = {s->sigint, s->sigterm, s->start_cells, s->router_timer};

    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
        if (events[i])
            event_free(events[i]);
    if (s->base)
        event_base_free(s->base);
    free(s->cells);
    free(s->doors);
    for (size_t i = 0; s->door_paths && s->door_paths[i]; i++)
        free(s->door_paths[i]);
    free(s->door_paths);
    vault_close(&s->vault);
    if (s->ready_fd >= 0)
        close(s->ready_fd);
}

int supervisor_run(const struct supervisor_options *options, struct sbx_error *error)
{
    struct supervisor s = {
        .options = options, .stack = options->stack, .error = error, .ready_fd = options->ready_fd};
    int r;

    status_init(&s.status, stderr, options->json);
    status_fit(&s.status, "router");
    r = make(&s);
    if (r == 0) {
        event_base_dispatch(s.base);
        r = s.result;
    } else if (!error->text[0]) {
        error->err = -r;
        snprintf(error->text, sizeof(error->text), "start: %s", strerror(-r));
    }
    unmake(&s);
    if (r == 0)
        status_say(&s.status, "broker", "stopped", NULL, "stopped");
    return r;
}
