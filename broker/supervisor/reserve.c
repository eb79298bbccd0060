/* SPDX-License-Identifier: MIT */
/*
 * Reserve: the pool of an entry, filled when there is time.
 *
 *   full ── one is taken ──▶ missing ── it is calm, or late: one at a turn of the loop ──▶ full
 *                              ▲ └── could not be made ──▶ back-off, 100 ms to 10 s ──┐
 *                              └──────────────────────────────────────────────────────┘
 *
 * A start takes milliseconds in which the loop does nothing else and one CPU is busy, so while some wait it is put off until
 * nothing has started or ended for CALM_MS, or LATE_MS have gone by: who asks for several one after the other gets those that
 * wait, and all of the machine for what runs in them. When none waits and nothing runs one is made EMPTY_MS later: who asks next
 * would wait for it anyway. What is taken when nobody waits is made at once: a reserve makes starts fast, it never makes
 * them fail.
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

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct reserve *reserve = arg;
    struct sbx_error error = {0};
    size_t before = sbx_pool_count(reserve->pool);
    int r = sbx_pool_fill(reserve->pool, &error);
    bool first = reserve->backoff_ms == 0;

    (void)fd;
    (void)what;
    if (r >= 0) {
        reserve->backoff_ms = 0;
        reserve->since_ms = r > 0 ? clock_ms(CLOCK_MONOTONIC) : 0;
    } else {
        reserve->backoff_ms = first ? BACKOFF_MIN_MS : MIN(reserve->backoff_ms * 2, BACKOFF_MAX_MS);
    }
    if (r != 0)
        wait_ms(reserve, r < 0 ? reserve->backoff_ms : PAUSE_MS);
    if (r < 0 && first)
        reserve->on_changed(reserve->arg, &error);
    else if (sbx_pool_count(reserve->pool) != before)
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
    reserve->timer = evtimer_new(options->base, on_timer, reserve);
    if (reserve->timer)
        return 0;
    error->err = ENOMEM;
    snprintf(error->text, sizeof(error->text), "warm: out of memory");
    return -ENOMEM;
}

void reserve_fill_soon(struct reserve *reserve, bool busy)
{
    if (!reserve->pool || reserve->backoff_ms > 0) /* which goes on */
        return;
    if (reserve->since_ms == 0)
        reserve->since_ms = clock_ms(CLOCK_MONOTONIC);
    wait_ms(reserve, next_ms(reserve, busy));
}

size_t reserve_count(const struct reserve *reserve)
{
    return reserve->pool ? sbx_pool_count(reserve->pool) : 0;
}

void reserve_clear(struct reserve *reserve)
{
    if (reserve->timer)
        event_free(reserve->timer);
    reserve->timer = NULL;
    reserve->pool = sbx_pool_free(reserve->pool);
}
