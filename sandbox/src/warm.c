/* SPDX-License-Identifier: MIT */
/* Waiting sandboxes, and a pool of them. A payload that is adopted is a session whose end is the sandbox's. */

#include <errno.h>
#include <poll.h>
#include <sbx/warm.h>
#include <stdlib.h>
#include <string.h>

#include "admin.h"
#include "cleanup.h"
#include "clock.h"
#include "error.h"
#include "running.h"

enum {
    EXEC_TIMEOUT_MS = 30000,
    MAX_POOL = 1024
};

struct sbx_pool {
    sbx_plan *plan;
    sbx_cleaner *cleaner;
    size_t size, n;
    sbx **waiting; /* @n of @size; the one that was made last is at the end */
};

/* The session's socket closes at the execve, or says what went wrong before it. */
static int await_exec(sbx *s, sbx_session *session, struct sbx_error *error)
{
    const uint64_t until = sbxi_now_ms() + EXEC_TIMEOUT_MS;
    for (;;) {
        struct pollfd fd = {.fd = sbx_session_get_fd(session), .events = POLLIN};
        struct sbxi_event event;
        uint64_t now = sbxi_now_ms();
        int r = now >= until ? -ETIMEDOUT : sbxi_event_receive(fd.fd, &event, &s->terminal);
        if (r == -EPIPE)
            return 0;
        if (r == 1 && event.type == SBXI_FAILED) {
            sbxi_step_failed(error, s->plan->name, &event);
            return -event.err;
        }
        if (r < 0)
            return sbxi_error(error, -r, "sandbox %s: adopt: its payload: %s", s->plan->name,
                              strerror(-r));
        if (r == 0 && poll(&fd, 1, (int)(until - now)) < 0 && errno != EINTR)
            return -errno;
    }
}

static int adopt(sbx *s, const struct sbx_exec *what, struct sbx_error *error)
{
    sbx_session *session;
    int fds[SBXI_ADMIN_FDS];
    int r = sbxi_session_new(&session, fds, what, s->plan->name, error);
    if (r < 0)
        return r;
    s->waiting = false;
    r = sbxi_session_start(s, fds, error);
    sbxi_session_close_fds(fds);
    if (r == 0)
        r = await_exec(s, session, error);
    sbx_session_free(session);
    if (r == 0 && s->timeout_ms >= 0)
        s->timeout_at = sbxi_now_ms() + (uint64_t)s->timeout_ms;
    return r;
}

int sbx_adopt(sbx *s, const struct sbx_exec *what, struct sbx_error *error)
{
    struct sbx_error none = {0};
    struct sbx_error *words = error ? error : &none;
    if (!s->waiting || s->finished)
        return sbxi_error(error, s->finished ? ESRCH : EINVAL,
                          s->finished ? "sandbox: adopt: it has ended"
                                      : "sandbox: adopt: it has a payload, or had one");
    words->err = 0;
    int r = adopt(s, what, words);
    if (r == 0)
        return 0;
    if (!words->err)
        sbxi_error(words, -r, "sandbox %s: adopt: %s", s->plan->name, strerror(-r));
    sbxi_teardown(s);
    s->result.outcome = SBX_SETUP_FAILED;
    s->result.value = (uint64_t)-r;
    s->result.error = *words;
    return r;
}

/* ---- pools ---- */

int sbx_pool_new(
    sbx_pool **ret, sbx_plan *plan, sbx_cleaner *cleaner, size_t size, struct sbx_error *error)
{
    if (!(plan->style & SBXI_S_WAITS))
        return sbxi_error(error, EINVAL, "sandbox %s: pool: its spec does not say that it waits",
                          plan->name);
    if (size < 1 || size > MAX_POOL)
        return sbxi_error(error, EINVAL, "sandbox %s: pool: use a size of 1 to %d", plan->name,
                          MAX_POOL);
    sbx_pool *pool = calloc(1, sizeof *pool);
    sbx **waiting = calloc(size, sizeof(sbx *));
    if (!pool || !waiting) {
        free(pool);
        free(waiting);
        return sbxi_error(error, ENOMEM, "sandbox %s: pool: no memory", plan->name);
    }
    *pool = (sbx_pool){
        .plan = sbxi_plan_ref(plan), .cleaner = cleaner, .size = size, .waiting = waiting};
    *ret = pool;
    return 0;
}

static bool is_alive(const sbx *s)
{
    struct pollfd gone = {.fd = s->init_fd, .events = POLLIN};
    return poll(&gone, 1, 0) == 0;
}

static void drop_dead(sbx_pool *pool)
{
    size_t n = 0;
    for (size_t i = 0; i < pool->n; i++) {
        if (is_alive(pool->waiting[i]))
            pool->waiting[n++] = pool->waiting[i];
        else
            sbx_free(pool->waiting[i]);
    }
    pool->n = n;
}

int sbx_pool_fill(sbx_pool *pool, struct sbx_error *error)
{
    drop_dead(pool);
    if (pool->n == pool->size)
        return 0;
    int r = sbx_start(&pool->waiting[pool->n], pool->plan, pool->cleaner, error);
    if (r < 0)
        return r;
    pool->n++;
    return pool->n < pool->size;
}

size_t sbx_pool_count(const sbx_pool *pool)
{
    return pool->n;
}

int sbx_pool_start(sbx **ret,
                   sbx_pool *pool,
                   const struct sbx_exec *what,
                   const struct sbx_limits *limits,
                   struct sbx_error *error)
{
    sbx *s = NULL;
    while (!s && pool->n > 0) {
        s = pool->waiting[--pool->n];
        if (!is_alive(s))
            s = sbx_free(s);
    }
    int r = s ? 0 : sbx_start(&s, pool->plan, pool->cleaner, error);
    if (r == 0 && limits)
        r = sbx_set_limits(s, limits, error);
    if (r == 0)
        r = sbx_adopt(s, what, error);
    if (r < 0) {
        sbx_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

sbx_pool *sbx_pool_free(sbx_pool *pool)
{
    if (!pool)
        return NULL;
    while (pool->n > 0)
        sbx_free(pool->waiting[--pool->n]);
    sbx_plan_free(pool->plan);
    free(pool->waiting);
    free(pool);
    return NULL;
}
