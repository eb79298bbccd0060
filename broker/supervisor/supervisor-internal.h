/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_SUPERVISOR_INTERNAL_H
#define SUPERVISOR_SUPERVISOR_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/resource.h>

#include "cell.h"
#include "control.h"
#include "door.h"
#include "guests.h"
#include "router.h"
#include "status.h"
#include "supervisor.h"
#include "vault.h"

/*
 * The one object, shared by supervisor.c (the loop, make and unmake) and supervisor-router.c
 * (whoever is the router now).
 */

enum phase {
    PHASE_ROUTER = 0,
    PHASE_STARTING,
    PHASE_UP,
    PHASE_STOPPING,
};

struct supervisor {
    const struct supervisor_options *options;
    const struct stack *stack;
    enum phase phase;
    bool announced;
    bool settled; /* the router has answered to all that the start had to tell */
    struct status status;
    struct sbx_error *error; /* the caller's: why it failed */
    int result;
    int ready_fd;
    struct rlimit nofile; /* as we were started */

    struct event_base *base;
    struct event *sigint, *sigterm, *start_cells, *router_timer;

    char run_dir[400], instance[448];
    sbx_cleaner *cleaner;
    sbx_admin *admin;
    struct event *admin_io;
    struct door *doors;
    size_t ndoors;
    char **door_paths; /* of those that are files, NULL-terminated */
    struct vault vault;
    struct cell_env env;
    struct cell *cells;
    size_t ncells, nstarted; /* started: until UP, so many have had their first start */
    struct guests guests;

    struct control control;
    struct router *router; /* NULL while there is none */
    uint32_t router_uid;
    uint64_t router_since_ms;
    int router_backoff_ms;
};

/* supervisor-router.c */
int supervisor_start_router(struct supervisor *s, struct sbx_error *error);
void supervisor_tell_changed(struct supervisor *s, const struct cell *cell);
void supervisor_on_router_timer(int fd, short what, void *arg);

/* supervisor-announce.c: if everything is up that is waited for; whatever is. */
void supervisor_announce(struct supervisor *s);
void supervisor_announce_now(struct supervisor *s);

/* supervisor-admin.c */
int supervisor_open_admin(struct supervisor *s);
void supervisor_close_admin(struct supervisor *s);

/* supervisor.c */
void supervisor_add_timer(struct event *event, int ms);
void supervisor_on_settled(void *arg);
/* The router is gone and not to be replaced: remember why (first failure), and end. */
void supervisor_give_up(struct supervisor *s, int r);
void supervisor_stop(struct supervisor *s);

#endif
