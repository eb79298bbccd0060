/* SPDX-License-Identifier: MIT */
/*
 * The router's place in the supervisor: filled at the start, told what there is, and filled again
 * when its holder died.
 *
 * A new router gets everything that the old one had from us: the configuration with each sandbox's
 * state, every listening socket, and for each running sandbox a fresh link, whose far end goes
 * through the sandbox's redial socket. What peers had told the old one is lost and told again by
 * their clients. The first death is answered at once; one that dies young again and again waits.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/param.h>

#include "clock.h"
#include "policy.h"
#include "supervisor-internal.h"

#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 10000
#define HEALTHY_MS     10000

/* ---- what the router is told ---- */

void supervisor_tell_changed(struct supervisor *s, const struct cell *cell)
{
    Uds__Supervisor__Sandbox row;
    char *degraded[MEMBER_DEGRADED_MAX];

    if (!s->router)
        return;
    member_describe(&cell->member, &row, degraded);
    router_sandbox_changed(s->router, &row);
}

static void configure_router(struct supervisor *s, Uds__Supervisor__Configuration *c)
{
    Uds__Supervisor__Sandbox *rows = calloc(s->ncells + 1, sizeof(*rows));
    Uds__Supervisor__Sandbox **list = calloc(s->ncells + 1, sizeof(*list));
    char *(*degraded)[MEMBER_DEGRADED_MAX] = calloc(s->ncells + 1, sizeof(*degraded));

    if (rows && list && degraded) {
        for (size_t i = 0; i < s->ncells; i++) {
            member_describe(&s->cells[i].member, &rows[i], degraded[i]);
            list[i] = &rows[i];
        }
        c->sandboxes = list;
        c->n_sandboxes = s->ncells;
        router_configure(s->router, c);
        c->sandboxes = NULL;
        c->n_sandboxes = 0;
    } else {
        router_kill(s->router, "no memory to configure it");
    }
    free(rows);
    free(list);
    free(degraded);
}

static void give_listeners(struct supervisor *s)
{
    Uds__Supervisor__Listener listener = UDS__SUPERVISOR__LISTENER__INIT;

    for (size_t i = 0; i < s->ndoors; i++) {
        listener.id++;
        listener.address = s->doors[i].address;
        router_add_listener(s->router, &listener, uds_listener_get_fd(s->doors[i].listener));
    }
    for (size_t i = 0; i < s->ncells; i++) {
        struct cell *cell = &s->cells[i];

        listener.id++;
        listener.sandbox_id = cell->member.id;
        listener.address = cell->place.socket;
        router_add_listener(s->router, &listener, uds_listener_get_fd(cell->place.listener));
    }
}

/* ---- the router's life ---- */

static void on_router_warning(const char *text, void *arg);
static void on_router_ended(const char *why, void *arg);

int supervisor_start_router(struct supervisor *s, struct sbx_error *error)
{
    const struct router_options options = {
        .program = s->options->router,
        .base = s->base,
        .cleaner = s->cleaner,
        .own_uid = geteuid() == 0,
        .uid = s->router_uid,
        .service = &s->control.service.base,
        .callbacks = {supervisor_on_settled, on_router_warning, on_router_ended},
        .arg = s,
    };
    Uds__Supervisor__Configuration *configuration;
    int r = policy_compile(&configuration, s->stack, geteuid());

    if (r < 0) {
        error->err = -r;
        snprintf(error->text, sizeof(error->text), "policy: out of memory");
        return r;
    }
    r = router_spawn(&s->router, &options, error);
    if (r == 0) {
        s->router_since_ms = clock_ms(CLOCK_MONOTONIC);
        configure_router(s, configuration);
        give_listeners(s);
    }
    uds__supervisor__configuration__free_unpacked(configuration, NULL);
    return r;
}

static void on_router_warning(const char *text, void *arg)
{
    struct supervisor *s = arg;

    status_say(&s->status, "router", "warning", NULL, "%s", text);
}

void supervisor_on_router_timer(int fd, short what, void *arg)
{
    struct supervisor *s = arg;
    struct sbx_error error = {0};

    (void)fd;
    (void)what;
    if (supervisor_start_router(s, &error) < 0) {
        status_say(&s->status, "router", "failed", NULL, "%s", error.text);
        supervisor_add_timer(s->router_timer, BACKOFF_MAX_MS);
        return;
    }
    for (size_t i = 0; i < s->ncells; i++)
        cell_relink(&s->cells[i]);
    status_say(
        &s->status, "router", "started",
        (const struct status_fact[]){{"pid", NULL, (uint64_t)router_get_pid(s->router)}, {0}},
        "started again (pid %d)", (int)router_get_pid(s->router));
}

static void on_router_ended(const char *why, void *arg)
{
    struct supervisor *s = arg;
    int wait_ms = 0;

    s->router = router_free(s->router);
    if (s->phase == PHASE_STOPPING) {
        supervisor_stop(s);
        return;
    }
    if (s->phase != PHASE_UP) {
        s->error->err = ECONNRESET;
        snprintf(s->error->text, sizeof(s->error->text),
                 "router: %.300s: %.300s before the broker was up", s->options->router, why);
        supervisor_give_up(s, -ECONNRESET);
        return;
    }
    /* The first death is answered at once; only one that dies young again and again has to wait. */
    if (clock_ms(CLOCK_MONOTONIC) - s->router_since_ms >= HEALTHY_MS) {
        s->router_backoff_ms = 0;
    } else {
        wait_ms = s->router_backoff_ms;
        s->router_backoff_ms = wait_ms ? MIN(wait_ms * 2, BACKOFF_MAX_MS) : BACKOFF_MIN_MS;
    }
    status_say(&s->status, "router", "ended",
               (const struct status_fact[]){
                   {"cause", why, 0}, {"restart_in_ms", NULL, (uint64_t)wait_ms}, {0}},
               wait_ms ? "%s, starting another in %d ms" : "%s, starting another", why, wait_ms);
    supervisor_add_timer(s->router_timer, wait_ms);
}
