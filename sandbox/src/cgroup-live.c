/* SPDX-License-Identifier: MIT */
/*
 * A cgroup in which somebody lives: limits changed and read back, everybody stopped and let go.
 *
 * A change is all or nothing: what was in force is read first and written again if one of the new limits is refused. A
 * sandbox without a directory in the v1 hierarchy of a new limit gets it now; while its processes are moved there they
 * are frozen, so that none forks behind our back.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cgroup-internal.h"
#include "cgtree.h"
#include "cleanup.h"
#include "demand.h"
#include "error.h"

enum {
    FREEZE_MS = 2000
};

int sbxi_cgroup_freeze(sbxi_cgroup *cg, bool frozen)
{
    const struct sbxi_member *m = sbxi_cgroup_switch(cg);
    return m ? sbxi_cgtree_freeze(m->fd, frozen, FREEZE_MS) : -EOPNOTSUPP;
}

int sbxi_cgroup_is_frozen(const sbxi_cgroup *cg)
{
    const struct sbxi_member *m = sbxi_cgroup_switch(cg);
    return m ? sbxi_cgtree_is_frozen(m->fd) : 0;
}

void sbxi_cgroup_get_limits(const sbxi_cgroup *cg, struct sbx_limits *ret)
{
    struct sbx_limits limits = SBX_LIMITS_INIT;
    for (size_t i = 0; i < cg->n; i++)
        cg->layout.backend->read(cg->members[i].h, cg->members[i].fd, &limits);
    *ret = limits;
}

static bool has_member(const sbxi_cgroup *cg, const struct sbxi_hierarchy *h)
{
    for (size_t i = 0; i < cg->n; i++)
        if (cg->members[i].h == h)
            return true;
    return false;
}

/* One hierarchy of v1 in which it has no place yet, but some of @controllers are; NULL. On v2 there is one place for all. */
static const struct sbxi_hierarchy *find_missing(const sbxi_cgroup *cg, uint32_t controllers)
{
    for (size_t i = 0; i < cg->layout.n; i++) {
        const struct sbxi_hierarchy *h = &cg->layout.hierarchies[i];
        if (!h->v2 && (h->controllers & controllers) && !has_member(cg, h))
            return h;
    }
    return NULL;
}

bool sbxi_cgroup_has_places(const sbxi_cgroup *cg, const struct sbx_limits *limits)
{
    return !find_missing(cg, sbxi_demand_controllers(sbxi_demand_of(limits)));
}

/* Everybody who lives in @from to @to, both directories of v1 or v2 hierarchies. */
static int move_all(int from, int to)
{
    char line[32];
    _cleanup_close_ int procs = openat(from, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    FILE *opened = procs < 0 ? NULL : fdopen(procs, "re");
    _cleanup_fclose_ FILE *file = opened;
    if (!file)
        return -errno;
    sbxi_take_fd(&procs);
    while (fgets(line, sizeof line, file)) {
        int r = sbxi_control_write_u64(to, "cgroup.procs", strtoull(line, NULL, 10));
        if (r < 0 && r != -ESRCH)
            return r;
    }
    return 0;
}

static int join_late(sbxi_cgroup *cg,
                     const struct sbxi_hierarchy *h,
                     const struct sbx_limits *limits,
                     struct sbx_error *error)
{
    if (cg->opened)
        return sbxi_error(
            error, EOPNOTSUPP,
            "cgroup: %s has no place below %s, and only its owner can make one, which does not "
            "answer; start it with such a limit, even max",
            strrchr(cg->members[0].path, '/') + 1, h->mount);
    int was_frozen = sbxi_cgroup_is_frozen(cg);
    int r = sbxi_cgroup_add_member(cg, h, error);
    if (r < 0)
        return r;
    const struct sbxi_member *m = &cg->members[cg->n - 1];
    r = cg->layout.backend->limit(&cg->layout, h, m->fd, true, limits, error);
    if (r >= 0 && !was_frozen && (r = sbxi_cgroup_freeze(cg, true)) < 0)
        sbxi_error(error, -r, "cgroup: cannot be frozen to be moved: %s", strerror(-r));
    if (r >= 0 && (r = move_all(cg->members[0].fd, m->fd)) < 0) {
        if (r == -EINVAL && (h->controllers & SBXI_CTL_CPU)) /* see sbxi_cgroup_may_enter() */
            sbxi_error(error, EINVAL,
                       "cgroup: cpu: the %s backend takes no process of a real-time priority, and "
                       "one in it has one; start it by `chrt --other 0`",
                       cg->layout.backend->name);
        else
            sbxi_control_error(error, -r, cg->layout.backend->name, h, "cgroup.procs",
                               "its processes");
    }
    if (r < 0) {
        _cleanup_close_ int above = openat(m->fd, "..", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
        move_all(m->fd, above);
        sbxi_cgroup_drop_member(cg);
    }
    if (!was_frozen)
        sbxi_cgroup_freeze(cg, false);
    return r;
}

static int write_all(sbxi_cgroup *cg, const struct sbx_limits *limits, struct sbx_error *error)
{
    int r = 0;
    for (size_t i = 0; i < cg->n && r >= 0; i++)
        r = cg->layout.backend->limit(&cg->layout, cg->members[i].h, cg->members[i].fd, false,
                                      limits, error);
    return r;
}

/* What takes back @limits: of the @old ones those that they name, and no rates for a device that had none. */
static struct sbx_limits undo_of(const struct sbx_limits *limits, const struct sbx_limits *old)
{
    struct sbx_limits undo = *old;
    sbxi_demand_drop(&undo, ~sbxi_demand_of(limits));
    for (uint32_t i = 0; i < limits->nio; i++) {
        const struct sbx_io_limit *new = &limits->io[i];
        struct sbx_io_limit *io = sbxi_limits_io(&undo, new->major, new->minor);
        if (!io)
            continue;
        io->rbps = new->rbps && !io->rbps ? SBX_UNLIMITED : io->rbps;
        io->wbps = new->wbps && !io->wbps ? SBX_UNLIMITED : io->wbps;
        io->riops = new->riops && !io->riops ? SBX_UNLIMITED : io->riops;
        io->wiops = new->wiops && !io->wiops ? SBX_UNLIMITED : io->wiops;
    }
    return undo;
}

int sbxi_cgroup_set_limits(sbxi_cgroup *cg,
                           const struct sbx_limits *limits,
                           struct sbx_error *error)
{
    const struct sbxi_cgroup_backend *backend = cg->layout.backend;
    struct sbx_limits wanted = *limits, old;
    uint32_t none = 0;
    int r = sbxi_cgroup_check_demand(&cg->layout, &wanted, 0, &none, error);
    uint32_t controllers = sbxi_demand_controllers(sbxi_demand_of(&wanted));
    sbxi_cgroup_get_limits(cg, &old);
    for (size_t i = 0; i < cg->n && r >= 0; i++)
        r = backend->prepare(&cg->layout, cg->members[i].h, controllers, cg->cleaner, error);
    if (r < 0)
        return r;
    struct sbx_limits undo = undo_of(&wanted, &old);
    r = write_all(cg, &wanted, error);
    for (const struct sbxi_hierarchy *h; r >= 0 && (h = find_missing(cg, controllers));)
        r = join_late(cg, h, &wanted, error);
    if (r >= 0)
        r = sbxi_cgroup_weigh_scope(cg, &wanted, error);
    if (r < 0)
        write_all(cg, &undo, NULL);
    return r;
}
