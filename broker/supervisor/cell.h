/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CELL_H
#define SUPERVISOR_CELL_H

#include <sbx/admin.h>
#include <sbx/sandbox.h>

#include <sys/resource.h>

#include "member.h"
#include "place.h"
#include "reserve.h"
#include "sockets.h"
#include "stack.h"

struct event;
struct event_base;

/*
 * A declared sandbox in this broker: its life (member), its place, and while it runs its process
 * and its ends of the links. See cell.c.
 */

struct cell;

struct cell_env { /* the same for all cells; borrowed */
    struct event_base *base;
    sbx_cleaner *cleaner;
    sbx_admin *admin; /* through which `uds exec` finds what runs */
    const struct stack *stack;
    const char *const *doors; /* as launch wants them */
    const struct vault *vault;
    struct rlimit nofile;
    /* member's state has changed; @wait_ms until the restart in BACKOFF, else -1. */
    void (*on_changed)(struct cell *cell, int wait_ms, void *arg);
    /* member's told has changed; it was @before. */
    void (*on_told)(struct cell *cell, const struct sbx_notify *before, void *arg);
    /* member's warm has changed; @error: or one more could not be made to wait. */
    void (*on_reserve)(struct cell *cell, const struct sbx_error *error, void *arg);
    /* A connected socket whose other end the sandbox holds. Borrowed: @fd is closed after this. */
    void (*on_link)(struct cell *cell, int fd, void *arg);
    void *arg;
};

struct cell {
    const struct cell_env *env;
    struct member member;
    struct place place;
    struct sockets sockets;
    struct reserve reserve;
    sbx_fdstore *fdstore;     /* NULL = it stores nothing */
    uint64_t told_ms;         /* when on_told was last called, monotonic */
    sbx *sbx;                 /* NULL = neither starts nor runs */
    int redial;               /* our end while it starts or runs, else -1 */
    int link;                 /* our end while it starts, else -1 */
    struct sbx_error failure; /* why the last start that failed did */
    struct event *io, *timer;
};

/*
 * Its directory and sockets are made, nothing runs. 0 or -errno with @error; cell_clear() is right
 * after both.
 */
int cell_make(struct cell *cell,
              const struct cell_env *env,
              uint32_t id,
              const struct stack_sandbox *entry,
              const char *instance,
              struct sbx_error *error);
/*
 * Start it now: it runs when this returns, if one waited (warm), or when on_changed says so. Failure is an end like any other
 * (restart policy), and is returned as well if it is seen here.
 */
int cell_start(struct cell *cell, struct sbx_error *error);
/* The same, and wait for it: somebody wants to be told, and the loop is held up for some milliseconds. */
int cell_start_now(struct cell *cell, struct sbx_error *error);
/* Start it from the loop, soon. */
void cell_start_soon(struct cell *cell);
/* A new router: hand a fresh link through the redial end. */
void cell_relink(struct cell *cell);
/* No restart from now on; TERM, then kill after @grace_ms; 0 = kill at once. */
void cell_stop(struct cell *cell, int grace_ms);
/* What it costs: all generations. */
void cell_get_stats(struct cell *cell, struct sbx_stats *ret);
void cell_clear(struct cell *cell);

#endif
