/* SPDX-License-Identifier: MIT */
/* Sandboxes by the library, in this process: one plan and one cleaner for many starts, as a server has them. */
#include <errno.h>
#include <sbx/warm.h>
#include <stdio.h>
#include <stdlib.h>

#include "media.h"

#define PROGRAM "/bin/true"

struct launcher {
    sbx_plan *plan;
    sbx_cleaner *cleaner;
    sbx_pool *pool; /* of one; NULL: started when it is needed */
    struct sbx_error error;
};

static int open_launcher(struct link *link)
{
    link->state = calloc(1, sizeof(struct launcher));
    return link->state ? 0 : link_fail(link, -ENOMEM, "memory");
}

/* In the driver: the cleaner belongs to the process that starts sandboxes. */
static int prepare(struct link *link, struct sbx_spec *spec)
{
    static const char *const argv[] = {PROGRAM, NULL};
    struct launcher *launcher = link->state;
    int r;

    if (link->side != SIDE_DRIVER)
        return 0;
    spec->name = "bench";
    spec->argv = argv;
    r = sbx_plan_new(&launcher->plan, spec, &launcher->error);
    if (r == 0)
        r = sbx_cleaner_new(&launcher->cleaner, NULL, &launcher->error);
    return r < 0 ? link_fail(link, -ENODEV, launcher->error.text) : 0;
}

static int attach_bare(struct link *link)
{
    struct sbx_spec spec = SBX_SPEC_INIT;

    spec.isolate &= ~(uint32_t)SBX_NS_NET;
    spec.no_cgroup = true;
    return prepare(link, &spec);
}

static int attach_net(struct link *link)
{
    struct sbx_spec spec = SBX_SPEC_INIT;

    spec.no_cgroup = true;
    return prepare(link, &spec);
}

static int attach_all(struct link *link)
{
    struct sbx_spec spec = SBX_SPEC_INIT;

    spec.limits.memory_bytes = 64 << 20;
    spec.limits.pids = 8;
    spec.limits.cpu_percent = 50;
    return prepare(link, &spec);
}

static int attach_warm(struct link *link)
{
    struct sbx_spec spec = SBX_SPEC_INIT;
    struct launcher *launcher = link->state;
    int r;

    spec.waits = true;
    spec.limits.memory_bytes = 64 << 20;
    spec.limits.pids = 8;
    spec.limits.cpu_percent = 50;
    r = prepare(link, &spec);
    if (r == 0 && link->side == SIDE_DRIVER)
        r = sbx_pool_new(&launcher->pool, launcher->plan, launcher->cleaner, 1, &launcher->error);
    return r < 0 ? link_fail(link, -ENODEV, launcher->error.text) : 0;
}

static int start(struct launcher *launcher, sbx **ret)
{
    static const char *const argv[] = {PROGRAM, NULL};
    struct sbx_adoption what = SBX_ADOPTION_INIT;

    what.exec.argv = argv;
    return launcher->pool ? sbx_pool_start(ret, launcher->pool, &what, &launcher->error)
                          : sbx_start(ret, launcher->plan, launcher->cleaner, &launcher->error);
}

/* What happens when there is time for it. */
static void fill(struct link *link, struct meter *meter)
{
    struct launcher *launcher = link->state;

    if (!launcher->pool)
        return;
    while (sbx_pool_fill(launcher->pool, NULL) > 0)
        ;
    meter_skip(meter);
}

static int start_once(struct link *link)
{
    struct launcher *launcher = link->state;
    struct sbx_result result = SBX_RESULT_INIT;
    sbx *s;
    int r = start(launcher, &s);

    if (r < 0)
        return link_fail(link, r, launcher->error.text);
    r = sbx_wait(s, &result);
    sbx_free(s);
    if (r < 0)
        return link_fail(link, r, "sbx_wait");
    return result.outcome == SBX_EXITED && result.value == 0
               ? 0
               : link_fail(link, -EPROTO, PROGRAM " did not exit with 0, and");
}

static int drive(struct link *link, struct meter *meter)
{
    int r = start_once(link) < 0 ? -ENODEV : 0; /* what does not even begin is left out */

    meter_start(meter);
    fill(link, meter);
    while (r == 0) {
        r = start_once(link);
        if (r == 0 && !meter_tick(meter, 1))
            break;
        fill(link, meter);
    }
    return r;
}

static int serve(struct link *link)
{
    (void)link;
    return 0;
}

static void close_launcher(struct link *link)
{
    struct launcher *launcher = link->state;

    if (launcher) {
        sbx_pool_free(launcher->pool);
        sbx_plan_free(launcher->plan);
        sbx_cleaner_free(launcher->cleaner);
    }
    free(launcher);
    link->state = NULL;
}

#define LAUNCHER(variable, title, words, attacher) \
    const struct medium variable = {               \
        .name = (title),                           \
        .summary = (words),                        \
        .traits = MEDIUM_STARTS,                   \
        .open = open_launcher,                     \
        .attach = (attacher),                      \
        .close = close_launcher,                   \
        .drive = drive,                            \
        .serve = serve,                            \
    }

LAUNCHER(medium_sandbox_bare,
         "sandbox-bare",
         "libuds-sandbox in this process, without cgroup and network namespace",
         attach_bare);
LAUNCHER(medium_sandbox_net, "sandbox-net", "the same with a network namespace", attach_net);
LAUNCHER(medium_sandbox,
         "sandbox",
         "the same with a cgroup too, and limits of memory, processes and CPU",
         attach_all);
LAUNCHER(medium_sandbox_warm,
         "sandbox-warm",
         "the same from a pool of one that waits; that it is filled again and the used one's "
         "cgroups go is not timed",
         attach_warm);
