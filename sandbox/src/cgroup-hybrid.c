/* SPDX-License-Identifier: MIT */
/*
 * v1 hierarchies for limits and counters. "hybrid": the v2 tree that is mounted beside them (without controllers that
 * matter) kills, tells emptiness and takes the child at clone3. "v1": no such tree, the freezer hierarchy does it.
 *
 * Facts of v1 that are not obvious:
 *   - swap: memory.limit_in_bytes alone is defeated by swap. memory.memsw.limit_in_bytes bounds the sum, must not be
 *     below the memory limit, hence is written second. Where swap is not accounted, swappiness 0 keeps the group out
 *     of swap.
 *   - buffers of TCP and UDP sockets, of loopback too, are counted apart and by default without a limit.
 *   - cpu.shares 1024 is the weight 100 of v2.
 *   - statistics of io are of the throttling layer and see direct and read traffic; buffered writes are charged to
 *     the root (there is no writeback accounting on v1).
 *   - memory.oom_control counts oom_kill for this group alone.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cgroup-internal.h"

enum {
    PERIOD_US = 100000,
    SOCKETS_SHARE = 4 /* of the memory limit, on top of it */
};

static uint32_t v1_needs(const struct sbx_limits *limits)
{
    return (limits->cpu_percent || limits->cpu_weight ? (uint32_t)SBXI_CTL_CPU : 0) |
           (limits->memory_bytes ? (uint32_t)SBXI_CTL_MEMORY : 0) |
           (limits->pids ? (uint32_t)SBXI_CTL_PIDS : 0);
}

static bool has_v2(const struct sbxi_cgroup_layout *layout)
{
    for (size_t i = 0; i < layout->n; i++)
        if (layout->hierarchies[i].v2)
            return true;
    return false;
}

static bool v1_wants(const struct sbxi_cgroup_layout *layout,
                     const struct sbxi_hierarchy *h,
                     const struct sbx_limits *limits)
{
    if (h->v2)
        return true;
    if (h->controllers == SBXI_CTL_FREEZER)
        return !has_v2(layout);
    if (h->controllers == SBXI_CTL_CPU)
        return limits->cpu_percent || limits->cpu_weight;
    return true;
}

static int v1_prepare(const struct sbxi_cgroup_layout *layout,
                      const struct sbxi_hierarchy *h,
                      uint32_t controllers,
                      sbx_cleaner *cleaner,
                      struct sbx_error *error)
{
    (void)layout, (void)h, (void)controllers, (void)cleaner, (void)error;
    return 0; /* every directory of a v1 hierarchy has its controls */
}

static int write_u64(const struct sbxi_hierarchy *h,
                     int fd,
                     const char *file,
                     uint64_t value,
                     struct sbx_error *error)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    int r = sbxi_control_write(fd, file, text);
    return r < 0 ? sbxi_control_error(error, -r, "hybrid v1", h, file, text) : 0;
}

static int limit_cpu(const struct sbxi_hierarchy *h,
                     int fd,
                     const struct sbx_limits *limits,
                     struct sbx_error *error)
{
    int r = 0;
    if (limits->cpu_percent) {
        r = write_u64(h, fd, "cpu.cfs_period_us", PERIOD_US, error);
        if (r >= 0)
            r = write_u64(h, fd, "cpu.cfs_quota_us",
                          (uint64_t)limits->cpu_percent * PERIOD_US / 100, error);
    }
    if (r >= 0 && limits->cpu_weight) {
        uint64_t shares = (uint64_t)limits->cpu_weight * 1024 / 100;
        r = write_u64(h, fd, "cpu.shares", shares < 2 ? 2 : shares, error);
    }
    return r;
}

static int
limit_memory(const struct sbxi_hierarchy *h, int fd, uint64_t bytes, struct sbx_error *error)
{
    int r = write_u64(h, fd, "memory.limit_in_bytes", bytes, error);
    if (r < 0)
        return r;
    r = sbxi_control_write_u64(fd, "memory.kmem.tcp.limit_in_bytes", bytes / SOCKETS_SHARE);
    if (r < 0 && r != -ENOENT)
        return sbxi_control_error(error, -r, "hybrid v1", h, "memory.kmem.tcp.limit_in_bytes", "");
    r = sbxi_control_write_u64(fd, "memory.memsw.limit_in_bytes", bytes);
    if (r == -ENOENT || r == -EOPNOTSUPP)
        return write_u64(h, fd, "memory.swappiness", 0, error);
    return r < 0 ? sbxi_control_error(error, -r, "hybrid v1", h, "memory.memsw.limit_in_bytes", "")
                 : 0;
}

static int v1_limit(const struct sbxi_hierarchy *h,
                    int fd,
                    const struct sbx_limits *limits,
                    struct sbx_error *error)
{
    int r = 0;
    if (h->v2)
        return 0;
    if (h->controllers & SBXI_CTL_CPU)
        r = limit_cpu(h, fd, limits, error);
    if (r >= 0 && (h->controllers & SBXI_CTL_MEMORY) && limits->memory_bytes)
        r = limit_memory(h, fd, limits->memory_bytes, error);
    if (r >= 0 && (h->controllers & SBXI_CTL_PIDS) && limits->pids)
        r = write_u64(h, fd, "pids.max", limits->pids, error);
    return r;
}

/* "8:0 Read 4096" a line, a device each; "Total" lines are not added again. */
static void sum_io(const char *text, struct sbx_stats *stats)
{
    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        if (*line == '\n')
            line++;
        unsigned long long value;
        char operation[16];
        if (sscanf(line, "%*u:%*u %15s %llu", operation, &value) != 2)
            continue;
        if (strcmp(operation, "Read") == 0)
            stats->io_read_bytes += value;
        else if (strcmp(operation, "Write") == 0)
            stats->io_write_bytes += value;
    }
}

static void memory_stats(int fd, struct sbx_stats *stats)
{
    char text[256];
    uint64_t value;
    if (sbxi_control_read_u64(fd, "memory.usage_in_bytes", &value) >= 0)
        stats->memory_bytes = value;
    if (sbxi_control_read_u64(fd, "memory.max_usage_in_bytes", &value) >= 0)
        stats->memory_peak_bytes = value;
    if (sbxi_control_read(fd, "memory.oom_control", text, sizeof text) >= 0 &&
        sbxi_control_key(text, "oom_kill", &value) >= 0)
        stats->oom_kills = value;
}

static void v1_stats(const struct sbxi_hierarchy *h, int fd, struct sbx_stats *stats)
{
    char text[4096];
    uint64_t value;
    if ((h->controllers & SBXI_CTL_CPUACCT) &&
        sbxi_control_read_u64(fd, "cpuacct.usage", &value) >= 0)
        stats->cpu_usec = value / 1000;
    if ((h->controllers & SBXI_CTL_CPU) &&
        sbxi_control_read(fd, "cpu.stat", text, sizeof text) >= 0 &&
        sbxi_control_key(text, "throttled_time", &value) >= 0)
        stats->throttled_usec = value / 1000;
    if (h->controllers & SBXI_CTL_MEMORY)
        memory_stats(fd, stats);
    if (h->controllers & SBXI_CTL_PIDS) {
        if (sbxi_control_read_u64(fd, "pids.current", &value) >= 0)
            stats->pids = value;
        if (sbxi_control_read_u64(fd, "pids.peak", &value) >= 0)
            stats->pids_peak = value;
        if (sbxi_control_read(fd, "pids.events", text, sizeof text) >= 0 &&
            sbxi_control_key(text, "max", &value) >= 0)
            stats->pids_refused = value;
    }
    if ((h->controllers & SBXI_CTL_IO) &&
        sbxi_control_read(fd, "blkio.throttle.io_service_bytes_recursive", text, sizeof text) >= 0)
        sum_io(text, stats);
}

const struct sbxi_cgroup_backend sbxi_cgroup_hybrid = {.name = "hybrid",
                                                       .needs = v1_needs,
                                                       .wants = v1_wants,
                                                       .prepare = v1_prepare,
                                                       .limit = v1_limit,
                                                       .stats = v1_stats};
const struct sbxi_cgroup_backend sbxi_cgroup_v1 = {.name = "v1",
                                                   .needs = v1_needs,
                                                   .wants = v1_wants,
                                                   .prepare = v1_prepare,
                                                   .limit = v1_limit,
                                                   .stats = v1_stats};
