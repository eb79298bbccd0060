/* SPDX-License-Identifier: MIT */
/* Waiting sandboxes, and a pool of them. A payload that is adopted is a session whose end is the sandbox's. */

#include <errno.h>
#include <poll.h>
#include <sbx/admin.h>
#include <stdlib.h>
#include <string.h>

#include "admin.h"
#include "cleanup.h"
#include "clock.h"
#include "error.h"
#include "request.h"
#include "running.h"
#include "waiting.h"

enum {
    EXEC_TIMEOUT_MS = 30000,
    MAX_POOL = 1024
};

struct sbx_pool {
    sbx_plan *plan;
    sbx_cleaner *cleaner;
    sbx_admin *admin; /* NULL = nobody is told */
    size_t size, n;
    struct sbxi_remains *remains;
    sbx **waiting; /* @n of @size; the one that was made last is at the end */
    sbx *coming;   /* its first process works; NULL = none */
};

/* The session's socket closes at the execve, or says what went wrong before it. */
static int await_exec(sbx *s, sbx_session *session, struct sbx_error *error)
{
    const uint64_t until = sbxi_now_ms() + EXEC_TIMEOUT_MS;
    for (;;) {
        struct pollfd fd = {.fd = sbx_session_get_fd(session), .events = POLLIN};
        struct sbxi_event event;
        uint64_t now = sbxi_now_ms();
        if (now >= until)
            return -ETIMEDOUT;
        if (poll(&fd, 1, (int)(until - now)) < 0 && errno != EINTR)
            return -errno;
        int r = sbxi_event_receive(fd.fd, &event, &s->terminal);
        if (r == -EPIPE)
            return 0;
        if (r == 1 && event.type == SBXI_FAILED) {
            sbxi_step_failed(error, s->name, &event);
            return -event.err;
        }
        if (r < 0)
            return sbxi_error(error, -r, "sandbox %s: adopt: its payload: %s", s->name,
                              strerror(-r));
    }
}

/* What is known of it only now, all of it before the payload's first instruction. */
int sbxi_adoption_settle(sbx *s, const struct sbx_adoption *what, struct sbx_error *error)
{
    const char *hostname = what->hostname ? what->hostname : what->name;
    int r = what->name ? sbxi_name_check(what->name, error) : 0;
    if (r == 0 && what->limits)
        r = sbx_set_limits(s, what->limits, error);
    if (r == 0 && hostname && (what->hostname || (s->plan->isolate & SBX_NS_UTS)))
        r = sbxi_hostname_set(s, hostname, error);
    if (r == 0 && what->name)
        snprintf(s->name, sizeof s->name, "%s", what->name);
    return r;
}

int sbxi_adopt(sbx *s, const struct sbxi_parcel *parcel, struct sbx_error *error)
{
    const struct sbxi_command command = {.type = SBXI_START};
    s->waiting = false;
    if (s->frozen)
        return sbxi_error(error, EBUSY, "sandbox %s: adopt: it is frozen; thaw it first", s->name);
    int r = sbxi_send_fds(s->adopt, &command, sizeof command, parcel->fds, parcel->n);
    sbxi_closep(&s->adopt);
    uint64_t now = sbxi_now_ms();
    if (s->timeout_ms >= 0)
        s->timeout_at = now + (uint64_t)s->timeout_ms;
    sbxi_notified_begin(&s->notify, now);
    return r;
}

static int adopt(sbx *s, const struct sbx_adoption *what, struct sbx_error *error)
{
    struct sbxi_parcel parcel;
    sbx_session *session;
    int r = sbxi_adoption_settle(s, what, error);
    if (r < 0)
        return r;
    r = sbxi_session_new(&session, &parcel, &what->exec, s->name, error);
    if (r < 0)
        return r;
    r = sbxi_adopt(s, &parcel, error);
    sbxi_parcel_close(&parcel);
    if (r == 0)
        r = await_exec(s, session, error);
    sbx_session_free(session);
    return r;
}

int sbx_adopt(sbx *s, const struct sbx_adoption *what, struct sbx_error *error)
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
        sbxi_error(words, -r, "sandbox %s: adopt: %s", s->name, strerror(-r));
    sbxi_setup_failed(s, r, words);
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
    struct sbxi_remains *remains = sbxi_remains_new(cleaner);
    if (!pool || !waiting || !remains) {
        free(pool);
        free(waiting);
        free(remains);
        return sbxi_error(error, ENOMEM, "sandbox %s: pool: no memory", plan->name);
    }
    *pool = (sbx_pool){.plan = sbxi_plan_ref(plan),
                       .cleaner = cleaner,
                       .size = size,
                       .remains = remains,
                       .waiting = waiting};
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

/* An upper directory is to be free when its sandbox has ended, and its mount namespace has it. */
static void hold_shells(sbx *s)
{
    for (size_t i = 0; i < s->plan->nsteps; i++)
        if (s->plan->steps[i].op == SBXI_UPPER)
            return;
    sbxi_shells_open(s);
}

/* The one that is coming waits, or could not be made. */
static int arrive(sbx_pool *pool, struct sbx_error *error)
{
    sbx *s = pool->coming;
    pool->coming = NULL;
    int r = sbxi_start_finish(s, pool->plan, error);
    if (r < 0)
        return r;
    if (pool->admin)
        sbx_admin_add(pool->admin, s);
    hold_shells(s);
    pool->waiting[pool->n++] = s;
    return 0;
}

/* Makes room, and begins to fill it. */
static int begin(sbx_pool *pool, struct sbx_error *error)
{
    drop_dead(pool);
    return pool->n == pool->size
               ? 0
               : sbxi_start_begin(&pool->coming, pool->plan, pool->cleaner, error);
}

int sbx_pool_step(sbx_pool *pool, int *ret_fd, struct sbx_error *error)
{
    struct sbx_error none;
    struct sbx_error *words = error ? error : &none;
    int r = 0;
    if (pool->coming && sbxi_start_has_answer(pool->coming))
        r = arrive(pool, words);
    else if (!pool->coming && pool->n < pool->size)
        r = begin(pool, words);
    else if (!sbxi_remains_clear_one(pool->remains) && !pool->coming)
        drop_dead(pool);
    if (r < 0)
        return r;
    if (!pool->coming && pool->n == pool->size && pool->remains->n == 0)
        return 0;
    *ret_fd = pool->coming && pool->remains->n == 0 ? pool->coming->control : -1;
    return 1;
}

int sbx_pool_fill(sbx_pool *pool, struct sbx_error *error)
{
    struct sbx_error none;
    struct sbx_error *words = error ? error : &none;
    int r = 0;
    sbxi_remains_clear(pool->remains);
    if (!pool->coming)
        r = begin(pool, words);
    if (r == 0 && pool->coming)
        r = arrive(pool, words);
    return r < 0 ? r : pool->n < pool->size;
}

void sbx_pool_set_admin(sbx_pool *pool, sbx_admin *admin)
{
    pool->admin = admin;
}

size_t sbx_pool_count(const sbx_pool *pool)
{
    return pool->n;
}

static sbx *take_waiting(sbx_pool *pool)
{
    sbx *s = NULL;
    while (!s && pool->n > 0) {
        s = pool->waiting[--pool->n];
        if (!is_alive(s))
            s = sbx_free(s);
    }
    return s;
}

/* One that waits, or will soon, or one that is made now. */
static int take(sbx **ret, sbx_pool *pool, struct sbx_error *error)
{
    struct sbx_error untold; /* what is wrong is so with the next, too */
    sbx *s = take_waiting(pool);
    if (!s && pool->coming && arrive(pool, &untold) == 0)
        s = take_waiting(pool);
    *ret = s;
    return s ? 0 : sbx_start(ret, pool->plan, pool->cleaner, error);
}

static int hand_out(sbx **ret, sbx_pool *pool, sbx *s, int r)
{
    if (r < 0) {
        sbx_free(s);
        return r;
    }
    s->remains = sbxi_remains_ref(pool->remains);
    if (pool->admin)
        sbx_admin_add(pool->admin, s);
    *ret = s;
    return 0;
}

int sbx_pool_start(sbx **ret,
                   sbx_pool *pool,
                   const struct sbx_adoption *what,
                   struct sbx_error *error)
{
    sbx *s;
    int r = take(&s, pool, error);
    return r < 0 ? r : hand_out(ret, pool, s, sbx_adopt(s, what, error));
}

int sbx_pool_start_request(sbx **ret, sbx_pool *pool, sbx_request *request, struct sbx_error *error)
{
    sbx *s;
    int r = take(&s, pool, error);
    return r < 0 ? r : hand_out(ret, pool, s, sbxi_request_adopt(s, request, error));
}

sbx_pool *sbx_pool_free(sbx_pool *pool)
{
    if (!pool)
        return NULL;
    while (pool->n > 0)
        sbx_free(pool->waiting[--pool->n]);
    sbx_free(pool->coming);
    sbxi_remains_close(pool->remains);
    sbxi_remains_unref(pool->remains);
    sbx_plan_free(pool->plan);
    free(pool->waiting);
    free(pool);
    return NULL;
}
