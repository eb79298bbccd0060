/* SPDX-License-Identifier: MIT */
/*
 * Reserve: the pool of an entry, filled when there is time.
 *
 *   full ── one is taken ──▶ missing ── it is calm, or late: one at a turn of the loop ──▶ full
 *                              ▲ └── could not be made ──▶ back-off, 100 ms to 10 s ──┐
 *                              └──────────────────────────────────────────────────────┘
 *
 * To make one takes milliseconds of a CPU, of which the loop does two in steps and waits for none. While some wait it is put
 * off until nothing has started or ended for CALM_MS, or LATE_MS have gone by: who asks for several one after the other gets
 * those that wait, and all of the machine for what runs in them. When none waits and nothing runs one is made EMPTY_MS later:
 * who asks next would wait for it anyway. What is taken when nobody waits is made at once: a reserve makes starts fast, it
 * never makes them fail.
 */
#include "reserve.h"

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include <sys/param.h>

#include "clock.h"

#define EMPTY_MS       3
#define CALM_MS        20
#define LATE_MS        200
#define PAUSE_MS       5
#define MADE_S         30
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 10000

static void wait_ms(struct reserve *reserve, int ms)
{
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};

    event_add(reserve->timer, &tv);
}

/* ms until the next is made, if nobody wants anything else until then. */
static int next_ms(const struct reserve *reserve, bool busy)
{
    uint64_t missed_ms = clock_ms(CLOCK_MONOTONIC) - reserve->since_ms;
    int calm_ms = busy || reserve_count(reserve) > 0 ? CALM_MS : EMPTY_MS;

    return missed_ms >= LATE_MS ? 0 : MIN(calm_ms, (int)(LATE_MS - missed_ms));
}

static void tell_failure(struct reserve *reserve, const struct sbx_error *error)
{
    bool first = reserve->backoff_ms == 0;

    reserve->backoff_ms = first ? BACKOFF_MIN_MS : MIN(reserve->backoff_ms * 2, BACKOFF_MAX_MS);
    wait_ms(reserve, reserve->backoff_ms);
    if (first)
        reserve->on_changed(reserve->arg, error);
    if (reserve->on_failed)
        reserve->on_failed(reserve->arg, error);
}

static void step(struct reserve *reserve);

static void on_step(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    step(arg);
}

static void watch(struct reserve *reserve, int fd)
{
    static const struct timeval patience = {.tv_sec = MADE_S};

    if (event_assign(reserve->made, event_get_base(reserve->timer), fd, EV_READ, on_step, reserve) <
            0 ||
        event_add(reserve->made, &patience) < 0)
        wait_ms(reserve, PAUSE_MS);
}

static void step(struct reserve *reserve)
{
    struct sbx_error error = {0};
    size_t before = sbx_pool_count(reserve->pool);
    int fd = -1, r;
    bool more;

    event_del(reserve->made);
    r = sbx_pool_step(reserve->pool, &fd, &error);
    more = sbx_pool_count(reserve->pool) > before;

    if (more) {
        reserve->backoff_ms = 0;
        reserve->since_ms = clock_ms(CLOCK_MONOTONIC);
    }
    if (r < 0) {
        tell_failure(reserve, &error);
    } else if (r == 0) {
        reserve->since_ms = 0;
    } else if (fd < 0) {
        wait_ms(reserve, more ? PAUSE_MS : 0); /* others are served between two steps */
    } else {
        watch(reserve, fd);
    }
    if (sbx_pool_count(reserve->pool) != before)
        reserve->on_changed(reserve->arg, NULL);
}

int reserve_make(struct reserve *reserve,
                 const struct reserve_options *options,
                 struct sbx_error *error)
{
    int r = sbx_pool_new(&reserve->pool, options->plan, options->cleaner, options->size, error);

    if (r < 0)
        return r;
    sbx_pool_set_admin(reserve->pool, options->admin);
    reserve->timer = evtimer_new(options->base, on_step, reserve);
    reserve->made = evtimer_new(options->base, on_step, reserve);
    if (reserve->timer && reserve->made)
        return 0;
    error->err = ENOMEM;
    snprintf(error->text, sizeof(error->text), "warm: out of memory");
    return -ENOMEM;
}

void reserve_fill_soon(struct reserve *reserve, bool busy)
{
    if (!reserve->pool || reserve->backoff_ms > 0) /* which goes on */
        return;
    reserve_unwatch(reserve);
    if (reserve->since_ms == 0)
        reserve->since_ms = clock_ms(CLOCK_MONOTONIC);
    wait_ms(reserve, next_ms(reserve, busy));
}

void reserve_hurry(struct reserve *reserve)
{
    event_del(reserve->made);
    wait_ms(reserve, 0);
}

void reserve_unwatch(struct reserve *reserve)
{
    /* Before it can be closed: a child that has copies would keep it in epoll. */
    event_del(reserve->made);
}

size_t reserve_count(const struct reserve *reserve)
{
    return reserve->pool ? sbx_pool_count(reserve->pool) : 0;
}

void reserve_clear(struct reserve *reserve)
{
    if (reserve->timer)
        event_free(reserve->timer);
    if (reserve->made)
        event_free(reserve->made);
    reserve->timer = reserve->made = NULL;
    reserve->pool = sbx_pool_free(reserve->pool);
}
