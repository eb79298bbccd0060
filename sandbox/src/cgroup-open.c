/* SPDX-License-Identifier: MIT */
/* A cgroup that somebody else has made, by the paths of its directories; and getting into it by oneself. */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/syscall.h>

#include "cgroup-internal.h"
#include "cgtree.h"
#include "cleanup.h"
#include "error.h"

/* The hierarchy that @path lies in, -1: none. */
static int find_hierarchy(const struct sbxi_cgroup_layout *layout, const char *path)
{
    int best = -1;
    size_t length = 0;
    for (size_t i = 0; i < layout->n; i++) {
        size_t len = strlen(layout->hierarchies[i].mount);
        if (len >= length && strncmp(path, layout->hierarchies[i].mount, len) == 0 &&
            path[len] == '/') {
            best = (int)i;
            length = len;
        }
    }
    return best;
}

static int open_member(sbxi_cgroup *cg, const char *path)
{
    int i = find_hierarchy(&cg->layout, path);
    if (i < 0 || cg->n == SBXI_CGROUP_HIERARCHIES)
        return -ESTALE;
    struct sbxi_hierarchy *h = &cg->layout.hierarchies[i];
    struct sbxi_member *m = &cg->members[cg->n];
    const char *below = path + strlen(h->mount);
    snprintf(h->own, sizeof h->own, "%.*s", (int)(strrchr(below, '/') - below), below);
    if (!h->own[0])
        snprintf(h->own, sizeof h->own, "/");
    snprintf(m->path, sizeof m->path, "%s", path);
    m->h = h;
    m->fd = sbxi_cgtree_open(path, cg->layout.fake);
    if (m->fd < 0)
        return m->fd == -ENOENT ? -ESTALE : m->fd;
    cg->n++;
    return 0;
}

int sbxi_cgroup_open(sbxi_cgroup **ret,
                     const struct sbxi_cgroup_layout *layout,
                     const struct sbxi_record *records,
                     size_t n,
                     struct sbx_error *error)
{
    sbxi_cgroup *cg = calloc(1, sizeof *cg);
    if (!cg)
        return sbxi_error(error, ENOMEM, "cgroup: out of memory");
    cg->layout = *layout;
    cg->opened = true;
    int r = n && layout->backend ? 0 : -ESTALE;
    for (size_t i = 0; i < n && r >= 0; i++)
        if ((r = open_member(cg, records[i].path)) < 0)
            sbxi_error(error, -r, "cgroup: %s: %s", records[i].path,
                       r == -ESTALE ? "it was removed by somebody else" : strerror(-r));
    if (r < 0) {
        sbxi_cgroup_close(cg);
        return r;
    }
    *ret = cg;
    return 0;
}

sbxi_cgroup *sbxi_cgroup_close(sbxi_cgroup *cg)
{
    for (size_t i = 0; cg && i < cg->n; i++)
        sbxi_closep(&cg->members[i].fd);
    free(cg);
    return NULL;
}

/*
 * Where real-time priorities are accounted by group (CONFIG_RT_GROUP_SCHED), a cgroup without time for them takes nobody who
 * has one, and a new one has none.
 */
int sbxi_cgroup_may_enter(const sbxi_cgroup *cg, bool child, struct sbx_error *error)
{
    uint64_t time = 1;
    for (size_t i = 0; i < cg->n; i++) {
        const struct sbxi_member *m = &cg->members[i];
        if (m->h->v2 || !(m->h->controllers & SBXI_CTL_CPU))
            continue;
        long policy = syscall(SYS_sched_getscheduler, 0); /* that of musl says ENOSYS */
        if (!child)
            policy &= ~SCHED_RESET_ON_FORK; /* who has that has children without */
        if (policy == SCHED_FIFO || policy == SCHED_RR)
            sbxi_control_get(m->fd, "cpu.rt_runtime_us", &time);
        if (time == 0)
            return sbxi_error(error, EINVAL,
                              "cgroup: cpu: the %s backend takes no process of a real-time "
                              "priority (%s/cpu.rt_runtime_us is 0); "
                              "start it by `chrt --other 0`, or without limits of cpu",
                              cg->layout.backend->name, m->path);
    }
    return 0;
}

int sbxi_cgroup_join(const sbxi_cgroup *cg, struct sbx_error *error)
{
    int may = sbxi_cgroup_may_enter(cg, false, error);
    if (may < 0)
        return may;
    for (size_t i = 0; i < cg->n; i++) {
        const struct sbxi_member *m = &cg->members[i];
        int r = sbxi_control_write(m->fd, "cgroup.procs", "0");
        if (r < 0)
            return sbxi_error(error, -r, "cgroup: %s: cannot be joined: %s%s", m->path,
                              strerror(-r),
                              r == -EBUSY || r == -EOPNOTSUPP
                                  ? "; it has handed controllers down, join a group below it"
                              : r == -EACCES ? "; run as root, or have both ends delegated to you"
                                             : "");
    }
    return 0;
}

int sbxi_cgroup_get_pids(const sbxi_cgroup *cg, pid_t *ret, size_t max)
{
    char line[32];
    int n = 0;
    _cleanup_close_ int procs = openat(cg->members[0].fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    _cleanup_fclose_ FILE *file = procs < 0 ? NULL : fdopen(procs, "re");
    if (!file)
        return -errno;
    sbxi_take_fd(&procs);
    for (; fgets(line, sizeof line, file); n++)
        if ((size_t)n < max)
            ret[n] = (pid_t)strtol(line, NULL, 10);
    return n;
}
