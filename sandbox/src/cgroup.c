/* SPDX-License-Identifier: MIT */
/*
 * The life of a sandbox's cgroup, the same for every backend:
 *
 *   decided    which directories, or that there will be none (a permitted omission)
 *   registered the cleaner knows the names
 *   made       directories exist
 *   limited    limits are written; nobody is in it yet
 *   inhabited  from clone3(CLONE_INTO_CGROUP) / join on
 *   removed    killed, rmdir'ed, unregistered
 *
 * A cgroup is never used twice: memory charges outlive processes, so its name has our pid and a running number.
 */

#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/stat.h>

#include "cgroup-internal.h"
#include "cgtree.h"
#include "cleaner.h"
#include "cleanup.h"
#include "demand.h"
#include "error.h"

enum {
    KILL_MS = 2000,
    REMOVE_MS = 1000,
    NAMES = 16
};

static const char *own_of(const struct sbxi_hierarchy *h)
{
    return strcmp(h->own, "/") ? h->own : "";
}

static int name_member(struct sbxi_member *m, const struct sbxi_hierarchy *h, const char *name)
{
    m->h = h;
    m->fd = -1;
    int len = snprintf(m->path, sizeof m->path, "%s%s/%s", h->mount, own_of(h), name);
    return len < 0 || (size_t)len >= sizeof m->path ? -ENAMETOOLONG : 0;
}

/* Fills in the members' paths for the next free name and registers them. */
static int register_names(sbxi_cgroup *cg, const char *name, uint32_t controllers)
{
    static atomic_uint running;
    struct sbxi_record records[SBXI_CGROUP_HIERARCHIES];
    char whole[128];
    unsigned number = atomic_fetch_add(&running, 1);
    if (cg->layout.lasting)
        snprintf(whole, sizeof whole, "uds-group-%.64s", name);
    else
        snprintf(whole, sizeof whole, "uds-%.64s-%d-%u", name, (int)getpid(), number);
    cg->n = 0;
    for (size_t i = 0; i < cg->layout.n; i++) {
        const struct sbxi_hierarchy *h = &cg->layout.hierarchies[i];
        if (!cg->layout.backend->wants(&cg->layout, h, controllers))
            continue;
        struct sbxi_member *m = &cg->members[cg->n];
        int r = name_member(m, h, whole);
        if (r >= 0)
            r = sbxi_record_set_path(&records[cg->n], SBXI_RECORD_CGROUP, m->path);
        if (r < 0)
            return r;
        cg->n++;
    }
    if (cg->layout.note)
        return cg->layout.note(records, cg->n, cg->layout.note_arg);
    return cg->cleaner ? sbxi_cleaner_add(cg->cleaner, records, cg->n) : 0;
}

static void unregister_names(sbxi_cgroup *cg)
{
    struct sbxi_record records[SBXI_CGROUP_HIERARCHIES];
    for (size_t i = 0; i < cg->n; i++)
        sbxi_record_set_path(&records[i], SBXI_RECORD_CGROUP, cg->members[i].path);
    if (cg->cleaner)
        sbxi_cleaner_remove(cg->cleaner, records, cg->n);
}

static int make_directory(const struct sbxi_cgroup_layout *layout, struct sbxi_member *m)
{
    char parent[SBXI_RECORD_PATH_MAX];
    snprintf(parent, sizeof parent, "%s%s", m->h->mount, m->h->own);
    _cleanup_close_ int fd = sbxi_cgtree_open(parent, layout->fake);
    if (fd < 0)
        return fd;
    const char *name = strrchr(m->path, '/') + 1;
    if (mkdirat(fd, name, 0755) < 0)
        return -errno;
    m->fd = openat(fd, name, O_DIRECTORY | O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (m->fd < 0)
        return -errno;
    return layout->fill ? layout->fill(m->fd, m->h) : 0;
}

/*
 * Removes what was made, keeps the object. Returns how many directories remain. The kernel knows best whether somebody is
 * still there, and mostly nobody is: only what it refuses is looked at, killed, and gone through.
 */
static int unmake(sbxi_cgroup *cg)
{
    const char *paths[SBXI_CGROUP_HIERARCHIES];
    size_t n = 0;
    for (size_t i = cg->n; i-- > 0 && !cg->layout.fake;) {
        struct sbxi_member *m = &cg->members[i];
        if (m->fd >= 0 && sbxi_cgtree_remove_open(m->fd, strrchr(m->path, '/') + 1) == 0)
            sbxi_closep(&m->fd);
    }
    for (size_t i = 0; i < cg->n; i++)
        if (cg->members[i].fd >= 0)
            paths[n++] = cg->members[i].path;
    if (n > 0)
        sbxi_cgroup_kill(cg);
    for (size_t i = 0; i < cg->n; i++)
        sbxi_closep(&cg->members[i].fd);
    int remain = n > 0 ? sbxi_cgtree_remove_all(paths, n, cg->layout.fake, REMOVE_MS) : 0;
    if (remain == 0)
        unregister_names(cg); /* otherwise the cleaner goes on trying when we end */
    return remain;
}

int sbxi_cgroup_add_member(sbxi_cgroup *cg, const struct sbxi_hierarchy *h, struct sbx_error *error)
{
    struct sbxi_member *m = &cg->members[cg->n];
    struct sbxi_record record;
    int r = name_member(m, h, strrchr(cg->members[0].path, '/') + 1);
    if (r >= 0 && cg->cleaner) {
        r = sbxi_record_set_path(&record, SBXI_RECORD_CGROUP, m->path);
        if (r >= 0)
            r = sbxi_cleaner_add(cg->cleaner, &record, 1);
    }
    if (r >= 0)
        r = make_directory(&cg->layout, m);
    if (r < 0)
        return sbxi_control_error(error, -r, cg->layout.backend->name, h, "", "a new directory");
    cg->n++;
    return 0;
}

void sbxi_cgroup_drop_member(sbxi_cgroup *cg)
{
    struct sbxi_member *m = &cg->members[--cg->n];
    struct sbxi_record record;
    sbxi_closep(&m->fd);
    if (sbxi_cgtree_remove(m->path, cg->layout.fake) == 0 && cg->cleaner &&
        sbxi_record_set_path(&record, SBXI_RECORD_CGROUP, m->path) == 0)
        sbxi_cleaner_remove(cg->cleaner, &record, 1);
}

static int
make_directories(sbxi_cgroup *cg, const char *name, uint32_t controllers, struct sbx_error *error)
{
    for (int attempt = 0;; attempt++) {
        int r = register_names(cg, name, controllers);
        if (r < 0)
            return sbxi_error(error, -r, "cgroup: the cleaner did not take its name: %s",
                              strerror(-r));
        size_t i = 0;
        while (i < cg->n && (r = make_directory(&cg->layout, &cg->members[i])) >= 0)
            i++;
        if (i == cg->n)
            return 0;
        unmake(cg);
        if (r == -EEXIST && cg->layout.lasting)
            return sbxi_error(error, EEXIST, "cgroup: group %s: there is one already", name);
        if (r != -EEXIST || attempt == NAMES)
            return sbxi_control_error(error, r == -ENOENT ? ESTALE : -r, cg->layout.backend->name,
                                      cg->members[i].h, strrchr(cg->members[i].path, '/') + 1,
                                      "mkdir");
    }
}

static int
make(sbxi_cgroup *cg, const char *name, const struct sbx_limits *limits, struct sbx_error *error)
{
    const struct sbxi_cgroup_backend *backend = cg->layout.backend;
    uint32_t controllers = sbxi_demand_controllers(sbxi_demand_of(limits));
    int r = 0;
    cg->apart = cg->layout.below || (controllers & (SBXI_CTL_MEMORY | SBXI_CTL_CPUSET));
    for (size_t i = 0; i < cg->layout.n && r >= 0; i++)
        if (backend->wants(&cg->layout, &cg->layout.hierarchies[i], controllers))
            r = backend->prepare(&cg->layout, &cg->layout.hierarchies[i], controllers, cg->cleaner,
                                 error);
    if (r >= 0)
        r = make_directories(cg, name, controllers, error);
    if (r < 0)
        return r;
    for (size_t i = 0; i < cg->n && r >= 0; i++)
        r = backend->limit(&cg->layout, cg->members[i].h, cg->members[i].fd, true, limits, error);
    if (r >= 0)
        r = sbxi_cgroup_weigh_scope(cg, limits, error);
    if (r < 0)
        unmake(cg);
    else if (!cg->layout.lasting)
        sbxi_cgroup_note_oom(cg);
    return r;
}

int sbxi_cgroup_new(sbxi_cgroup **ret,
                    const struct sbxi_cgroup_layout *layout,
                    const char *name,
                    const struct sbx_limits *limits,
                    sbx_cleaner *cleaner,
                    uint32_t degrade,
                    uint32_t *ret_degraded,
                    struct sbx_error *error)
{
    struct sbx_limits granted = *limits;
    uint32_t degraded = 0;
    /* Of v1 the first mkdir tells; of v2 our own processes are moved before. */
    bool look = layout->backend == &sbxi_cgroup_v2;
    int r = sbxi_cgroup_decide(layout, &granted, look, degrade, &degraded, error);
    if (r > 0) {
        _cleanup_free_ sbxi_cgroup *cg = calloc(1, sizeof *cg);
        if (!cg)
            return sbxi_error(error, ENOMEM, "cgroup: out of memory");
        cg->layout = *layout;
        cg->cleaner = cleaner;
        r = make(cg, name, &granted, error);
        if (r >= 0) {
            *ret = sbxi_take_ptr(&cg);
            *ret_degraded = degraded;
            return 0;
        }
        r = sbxi_cgroup_omit(r, limits, degrade, &degraded);
    }
    if (r < 0)
        return sbxi_cgroup_advise(layout, r, error);
    *ret = NULL;
    *ret_degraded = degraded;
    return 0;
}

static const struct sbxi_member *v2_member(const sbxi_cgroup *cg)
{
    for (size_t i = 0; i < cg->n; i++)
        if (cg->members[i].h->v2)
            return &cg->members[i];
    return NULL;
}

int sbxi_cgroup_get_dirfd(const sbxi_cgroup *cg)
{
    const struct sbxi_member *m = v2_member(cg);
    return m ? m->fd : -1;
}

int sbxi_cgroup_open_join(const sbxi_cgroup *cg,
                          int ret_fds[SBXI_CGROUP_HIERARCHIES],
                          size_t *ret_n,
                          struct sbx_error *error)
{
    size_t n = 0;
    int r = sbxi_cgroup_may_enter(cg, true, error);
    if (r < 0)
        return r;
    for (size_t i = 0; i < cg->n; i++) {
        const struct sbxi_member *m = &cg->members[i];
        if (m->h->v2)
            continue;
        int fd = openat(m->fd, "tasks", O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0) {
            int err = errno;
            while (n > 0)
                close(ret_fds[--n]);
            return sbxi_error(error, err, "cgroup: %s/tasks: cannot be joined: %s", m->path,
                              strerror(err));
        }
        ret_fds[n++] = fd;
    }
    *ret_n = n;
    return 0;
}

const struct sbxi_member *sbxi_cgroup_switch(const sbxi_cgroup *cg)
{
    const struct sbxi_member *found = v2_member(cg);
    for (size_t i = 0; i < cg->n && !found; i++)
        if (cg->members[i].h->controllers == SBXI_CTL_FREEZER)
            found = &cg->members[i];
    return found;
}

int sbxi_cgroup_kill(sbxi_cgroup *cg)
{
    const struct sbxi_member *all = sbxi_cgroup_switch(cg);
    int first = all ? all->fd : -1, fds[SBXI_CGROUP_HIERARCHIES];
    /* A sandbox's processes are born in its v2 directory: when nobody is there, none is left to look for in the others. */
    if (all && all->h->v2 && !cg->layout.lasting && !cg->opened &&
        sbxi_cgtree_is_populated(first) == 0)
        return 0;
    for (size_t i = 0; i < cg->n; i++)
        fds[i] = cg->members[i].fd;
    /* The one that kills all at once; the others then are empty already, or catch who did not get that far. */
    int r = first >= 0 ? sbxi_cgtree_kill_all(&first, 1, KILL_MS) : 0;
    int r2 = sbxi_cgtree_kill_all(fds, cg->n, KILL_MS);
    return r < 0 ? r : r2;
}

bool sbxi_cgroup_exists(const sbxi_cgroup *cg)
{
    return faccessat(cg->members[0].fd, "cgroup.procs", F_OK, 0) == 0;
}

bool sbxi_cgroup_may_share(const sbxi_cgroup *cg)
{
    return !cg->apart;
}

int sbxi_cgroup_get_stats(const sbxi_cgroup *cg, bool brief, struct sbx_stats *ret)
{
    struct sbx_stats stats = SBX_STATS_INIT;
    stats.known = true;
    for (size_t i = 0; i < cg->n; i++)
        cg->layout.backend->stats(cg->members[i].h, cg->members[i].fd, brief, &stats);
    *ret = stats;
    return 0;
}

const char *sbxi_cgroup_get_path(const sbxi_cgroup *cg)
{
    const struct sbxi_member *best = &cg->members[0];
    for (size_t i = 0; i < cg->n; i++)
        if (cg->members[i].h->controllers & SBXI_CTL_MEMORY)
            best = &cg->members[i];
    return best->path + strlen(best->h->mount);
}

const char *sbxi_cgroup_get_backend(const sbxi_cgroup *cg)
{
    return cg->layout.backend->name;
}

sbxi_cgroup *sbxi_cgroup_free(sbxi_cgroup *cg)
{
    if (!cg)
        return NULL;
    unmake(cg);
    free(cg);
    return NULL;
}
