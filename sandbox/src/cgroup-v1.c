/* SPDX-License-Identifier: MIT */
/*
 * v1 hierarchies for limits and counters. "hybrid": the v2 tree that is mounted beside them (without controllers that
 * matter) kills, freezes, tells emptiness and pressure, and takes the child at clone3. "v1": no such tree, the freezer
 * hierarchy does it.
 *
 * Every directory of a v1 hierarchy has its controls, so there is nothing to prepare. A sandbox gets a directory only where
 * it needs one: each costs a mkdir, a join and an rmdir, 0.1 ms a start. One that does nothing but limit, cpu or cpuset, is
 * for a sandbox with such a limit; those that count too, for one that is counted. CPU time is counted by the v2 tree.
 */

#include "cgroup-internal.h"
#include "demand.h"

static bool has_v2(const struct sbxi_cgroup_layout *layout)
{
    for (size_t i = 0; i < layout->n; i++)
        if (layout->hierarchies[i].v2)
            return true;
    return false;
}

/* Something that kills, without which a sandbox would have to be counted to be in a cgroup at all. */
static bool has_switch(const struct sbxi_cgroup_layout *layout)
{
    for (size_t i = 0; i < layout->n; i++)
        if (layout->hierarchies[i].v2 || layout->hierarchies[i].controllers == SBXI_CTL_FREEZER)
            return true;
    return false;
}

static bool v1_wants(const struct sbxi_cgroup_layout *layout,
                     const struct sbxi_hierarchy *h,
                     uint32_t controllers)
{
    uint32_t counting = SBXI_CTL_MEMORY | SBXI_CTL_PIDS | SBXI_CTL_IO;
    if (h->v2)
        return true;
    if (h->controllers == SBXI_CTL_FREEZER)
        return !has_v2(layout);
    if (!has_v2(layout))
        counting |= SBXI_CTL_CPUACCT;
    if (layout->lasting || (h->controllers & controllers))
        return true;
    /* A cpuset that nobody has filled takes no process: it is a limit only of those who name one. */
    if (layout->below)
        return h->controllers & (counting | SBXI_CTL_CPU);
    return (h->controllers & counting) && (!layout->uncounted || !has_switch(layout));
}

static int v1_prepare(const struct sbxi_cgroup_layout *layout,
                      const struct sbxi_hierarchy *h,
                      uint32_t controllers,
                      sbx_cleaner *cleaner,
                      struct sbx_error *error)
{
    (void)layout, (void)h, (void)controllers, (void)cleaner, (void)error;
    return 0;
}

static uint32_t v1_lacks(const struct sbxi_cgroup_layout *layout,
                         const struct sbx_limits *limits,
                         uint32_t demand,
                         const char **why)
{
    uint32_t lacks = demand & SBXI_WANT_MEMORY_HIGH;
    if (lacks)
        *why = "v1 has no such control, its soft limit is only a hint; use --memory";
    /* blkio sees what a process submits itself. Buffered writes are submitted by the kernel's flusher, for the root. */
    if (demand & SBXI_WANT_BUFFERED_WRITES) {
        if (!lacks)
            *why = "v1 limits reads and O_DIRECT writes, buffered writes go past it";
        lacks |= SBXI_WANT_BUFFERED_WRITES;
    }
    if ((demand & SBXI_WANT_IO_WEIGHT) && !sbxi_cgroup_has_bfq(layout, limits)) {
        if (!lacks)
            *why = "weights act only on a disk whose scheduler is BFQ, and it is not: `echo bfq > "
                   "/sys/block/DISK/queue/scheduler`";
        lacks |= SBXI_WANT_IO_WEIGHT;
    }
    return lacks;
}

const struct sbxi_cgroup_backend sbxi_cgroup_hybrid = {.name = "hybrid",
                                                       .lacks = v1_lacks,
                                                       .wants = v1_wants,
                                                       .prepare = v1_prepare,
                                                       .limit = sbxi_cgroup_v1_limit,
                                                       .read = sbxi_cgroup_v1_read,
                                                       .stats = sbxi_cgroup_hybrid_stats};
const struct sbxi_cgroup_backend sbxi_cgroup_v1 = {.name = "v1",
                                                   .lacks = v1_lacks,
                                                   .wants = v1_wants,
                                                   .prepare = v1_prepare,
                                                   .limit = sbxi_cgroup_v1_limit,
                                                   .read = sbxi_cgroup_v1_read,
                                                   .stats = sbxi_cgroup_v1_stats};
