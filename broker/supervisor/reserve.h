/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_RESERVE_H
#define SUPERVISOR_RESERVE_H

#include <sbx/admin.h>

struct event;
struct event_base;

#define RESERVE_MAX_EACH 64u
#define RESERVE_MAX_ALL  256u

/*
 * Sandboxes of one entry that wait for their payload (`warm:`), and when they are made. See reserve.c. All zero: none.
 */
struct reserve {
    sbx_pool *pool;             /* NULL = nobody is to wait */
    struct event *timer, *made; /* made: of the one that is being made */
    int backoff_ms;             /* after a failure; 0 = the last one was made */
    uint64_t since_ms;          /* one is missing, and none was made since; 0 = it is full */
    /* More or fewer wait now; @error says why one could not be made, else NULL. */
    void (*on_changed)(void *arg, const struct sbx_error *error);
    void (*on_failed)(void *arg, const struct sbx_error *error); /* each time; may be NULL */
    void *arg;
};

struct reserve_options {
    struct event_base *base;
    sbx_cleaner *cleaner;
    sbx_admin *admin; /* shows those that wait */
    sbx_plan *plan;   /* of a spec that waits; kept */
    size_t size;      /* 1 to RESERVE_MAX_EACH */
};

/* Nobody waits yet. 0 or -errno with @error; reserve_clear() is right after both. */
int reserve_make(struct reserve *reserve,
                 const struct reserve_options *options,
                 struct sbx_error *error);
/*
 * One has started or ended: when it is calm, or has not been for long, make what is missing.
 * @busy: what runs may be about to end
 */
void reserve_fill_soon(struct reserve *reserve, bool busy);
/* Somebody waits for one: it is made now, a back-off or not. */
void reserve_hurry(struct reserve *reserve);
/* One is going to be taken, perhaps the one that is being made. */
void reserve_unwatch(struct reserve *reserve);
size_t reserve_count(const struct reserve *reserve);
/* Those that wait end. */
void reserve_clear(struct reserve *reserve);

#endif
