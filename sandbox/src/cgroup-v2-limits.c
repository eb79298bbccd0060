/* SPDX-License-Identifier: MIT */
/*
 * Limits in the files of v2. Facts that are not obvious:
 *   - memory.swap.max is 0 under a first memory limit that does not say otherwise: swap must not defeat the limit.
 *   - memory.oom.group: a sandbox dies as a whole, not half.
 *   - lowering memory.max below what is in use kills at once. v1 refuses; so do we, after an attempt at reclaim.
 *   - cpuset.cpus takes CPUs that are not to be had and then quietly uses those of the group above.
 *   - there are two weights of I/O, and which one acts is the administrator's choice: io.bfq.weight where BFQ schedules the
 *     disk, io.weight where io.cost.qos of the root says so.
 *   - a partition has no limits of its own (ENODEV).
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "cgroup-internal.h"
#include "demand.h"
#include "error.h"

enum {
    PERIOD_US = 100000,
    RECLAIM_ROUNDS = 5
};
#define BACKEND "v2"

/* Does the root's io.cost.qos, "254:0 enable=1 …", look after this disk? major 0: any. */
static bool has_iocost(const struct sbxi_cgroup_layout *layout, unsigned major, unsigned minor)
{
    char path[320], text[4096], *line, *rest = text;
    snprintf(path, sizeof path, "%s/io.cost.qos", layout->hierarchies[0].mount);
    if (sbxi_control_read(AT_FDCWD, path, text, sizeof text) < 0)
        return false;
    while ((line = strsep(&rest, "\n"))) {
        unsigned ma, mi;
        if (sscanf(line, "%u:%u", &ma, &mi) == 2 && strstr(line, "enable=1") &&
            (!major || (ma == major && mi == minor)))
            return true;
    }
    return false;
}

static bool all_have_iocost(const struct sbxi_cgroup_layout *layout,
                            const struct sbx_limits *limits)
{
    if (limits->io_weight && !has_iocost(layout, 0, 0))
        return false;
    for (uint32_t i = 0; i < limits->nio; i++)
        if (limits->io[i].weight && !has_iocost(layout, limits->io[i].major, limits->io[i].minor))
            return false;
    return true;
}

uint32_t sbxi_cgroup_v2_lacks(const struct sbxi_cgroup_layout *layout,
                              const struct sbx_limits *limits,
                              uint32_t demand,
                              const char **why)
{
    if (!(demand & SBXI_WANT_IO_WEIGHT) || sbxi_cgroup_has_bfq(layout, limits) ||
        all_have_iocost(layout, limits))
        return 0;
    *why = "weights act only on a disk whose scheduler is BFQ or that io.cost.qos looks after, and "
           "it is not: `echo bfq > /sys/block/DISK/queue/scheduler`";
    return SBXI_WANT_IO_WEIGHT;
}

/* ---- memory ---- */

static void amount(char ret[24], uint64_t value)
{
    if (value == SBX_UNLIMITED)
        snprintf(ret, 24, "max");
    else
        snprintf(ret, 24, "%llu", (unsigned long long)value);
}

static int put(const struct sbxi_hierarchy *h,
               int fd,
               const char *file,
               uint64_t value,
               struct sbx_error *error)
{
    char text[24];
    amount(text, value);
    return sbxi_control_put(h, BACKEND, fd, file, text, error);
}

/* Before Linux 5.19 there is no memory.reclaim; but when memory.high is lowered the kernel reclaims down to it at once. */
static void reclaim_by_high(int fd, uint64_t limit)
{
    char high[24];
    if (sbxi_control_read(fd, "memory.high", high, sizeof high) < 0)
        return;
    sbxi_control_write_u64(fd, "memory.high", limit);
    sbxi_control_write(fd, "memory.high", high);
}

/* Whoever lives in it gets a chance before the limit kills. */
static int make_room(int fd, uint64_t limit, struct sbx_error *error)
{
    uint64_t used = 0;
    for (int round = 0; round < RECLAIM_ROUNDS; round++) {
        sbxi_control_get(fd, "memory.current", &used);
        if (used <= limit)
            return 0;
        if (sbxi_control_write_u64(fd, "memory.reclaim", used - limit) == -ENOENT)
            reclaim_by_high(fd, limit);
    }
    sbxi_control_get(fd, "memory.current", &used);
    return used <= limit ? 0 : sbxi_cgroup_memory_busy(error, limit, used);
}

static int limit_swap(const struct sbxi_hierarchy *h,
                      int fd,
                      const struct sbx_limits *limits,
                      bool first,
                      struct sbx_error *error)
{
    if (limits->swap_named && limits->swap_bytes)
        return put(h, fd, "memory.swap.max", limits->swap_bytes, error);
    if (!limits->swap_named && !(first && limits->memory_bytes))
        return 0;
    int r = sbxi_control_write(fd, "memory.swap.max", "0");
    return r < 0 && r != -ENOENT /* no swap, none needed */
               ? sbxi_control_error(error, -r, BACKEND, h, "memory.swap.max", "0")
               : 0;
}

static int limit_memory(const struct sbxi_cgroup_layout *layout,
                        const struct sbxi_hierarchy *h,
                        int fd,
                        const struct sbx_limits *limits,
                        struct sbx_error *error)
{
    uint64_t old = SBX_UNLIMITED;
    int r = 0;
    sbxi_control_get(fd, "memory.max", &old);
    if (limits->memory_high_bytes)
        r = put(h, fd, "memory.high", limits->memory_high_bytes, error);
    if (r >= 0)
        r = limit_swap(h, fd, limits, old == SBX_UNLIMITED, error);
    if (r < 0 || !limits->memory_bytes)
        return r;
    r = make_room(fd, limits->memory_bytes, error);
    if (r >= 0)
        r = put(h, fd, "memory.max", limits->memory_bytes, error);
    if (r < 0 || layout->lasting)
        return r;
    r = sbxi_control_write(fd, "memory.oom.group", "1");
    return r < 0 && r != -ENOENT
               ? sbxi_control_error(error, -r, BACKEND, h, "memory.oom.group", "1")
               : 0;
}

/* ---- cpu ---- */

static int limit_cpu(const struct sbxi_hierarchy *h,
                     int fd,
                     const struct sbx_limits *limits,
                     struct sbx_error *error)
{
    char text[64];
    int r = 0;
    if (limits->cpu_percent == SBX_CPU_UNLIMITED)
        snprintf(text, sizeof text, "max %d", PERIOD_US);
    else
        snprintf(text, sizeof text, "%llu %d",
                 (unsigned long long)limits->cpu_percent * PERIOD_US / 100, PERIOD_US);
    if (limits->cpu_percent)
        r = sbxi_control_put(h, BACKEND, fd, "cpu.max", text, error);
    if (r >= 0 && limits->cpu_weight)
        r = put(h, fd, "cpu.weight", limits->cpu_weight, error);
    return r;
}

static int
limit_cpuset(const struct sbxi_hierarchy *h, int fd, const char *cpus, struct sbx_error *error)
{
    char above[4096] = "";
    if (!cpus[0])
        return 0;
    if (strcmp(cpus, "max") == 0)
        return sbxi_control_put(h, BACKEND, fd, "cpuset.cpus", "\n", error);
    /* The root has no such file in old kernels: then all are to be had. */
    if (sbxi_control_read(fd, "../cpuset.cpus.effective", above, sizeof above) >= 0) {
        int r = sbxi_cgroup_check_cpus(h, cpus, above, BACKEND, error);
        if (r < 0)
            return r;
    }
    return sbxi_control_put(h, BACKEND, fd, "cpuset.cpus", cpus, error);
}

/* ---- io ---- */

static int limit_rates(const struct sbxi_hierarchy *h,
                       int fd,
                       const struct sbx_io_limit *io,
                       struct sbx_error *error)
{
    const struct {
        const char *name;
        uint64_t value;
    } rates[] = {
        {"rbps", io->rbps}, {"wbps", io->wbps}, {"riops", io->riops}, {"wiops", io->wiops}};
    char text[192], value[24];
    int len = snprintf(text, sizeof text, "%u:%u", io->major, io->minor);
    int before = len;
    for (size_t i = 0; i < 4; i++) {
        if (!rates[i].value)
            continue;
        amount(value, rates[i].value);
        len += snprintf(text + len, sizeof text - (size_t)len, " %s=%s", rates[i].name, value);
    }
    return len > before ? sbxi_control_put(h, BACKEND, fd, "io.max", text, error) : 0;
}

static int limit_weight(const struct sbxi_cgroup_layout *layout,
                        const struct sbxi_hierarchy *h,
                        int fd,
                        const struct sbx_limits *limits,
                        struct sbx_error *error)
{
    bool bfq = sbxi_cgroup_has_bfq(layout, limits);
    const char *file = bfq ? "io.bfq.weight" : "io.weight";
    char text[64];
    int r = 0;
    if (limits->io_weight) {
        snprintf(
            text, sizeof text, "default %llu",
            (unsigned long long)(bfq ? sbxi_weight_to_bfq(limits->io_weight) : limits->io_weight));
        r = sbxi_control_put(h, BACKEND, fd, file, text, error);
    }
    for (uint32_t i = 0; i < limits->nio && r >= 0; i++) {
        const struct sbx_io_limit *io = &limits->io[i];
        if (!io->weight)
            continue;
        snprintf(text, sizeof text, "%u:%u %llu", io->major, io->minor,
                 (unsigned long long)(bfq ? sbxi_weight_to_bfq(io->weight) : io->weight));
        r = sbxi_control_put(h, BACKEND, fd, file, text, error);
    }
    return r;
}

int sbxi_cgroup_v2_limit(const struct sbxi_cgroup_layout *layout,
                         const struct sbxi_hierarchy *h,
                         int fd,
                         bool fresh,
                         const struct sbx_limits *limits,
                         struct sbx_error *error)
{
    (void)fresh;
    int r = limit_cpuset(h, fd, limits->cpus, error);
    if (r >= 0)
        r = limit_cpu(h, fd, limits, error);
    if (r >= 0 && (limits->memory_bytes || limits->memory_high_bytes || limits->swap_named))
        r = limit_memory(layout, h, fd, limits, error);
    if (r >= 0 && limits->pids)
        r = put(h, fd, "pids.max", limits->pids, error);
    for (uint32_t i = 0; i < limits->nio && r >= 0; i++)
        r = limit_rates(h, fd, &limits->io[i], error);
    if (r >= 0 && (sbxi_demand_of(limits) & SBXI_WANT_IO_WEIGHT))
        r = limit_weight(layout, h, fd, limits, error);
    return r;
}

/* ---- read back ---- */

static void read_cpu(int fd, struct sbx_limits *limits)
{
    char text[64];
    unsigned long long quota, period;
    uint64_t weight = 0;
    if (sbxi_control_read(fd, "cpu.max", text, sizeof text) >= 0) {
        if (sscanf(text, "%llu %llu", &quota, &period) == 2 && period)
            limits->cpu_percent = (uint32_t)((quota * 100 + period / 2) / period);
        else
            limits->cpu_percent = SBX_CPU_UNLIMITED;
    }
    sbxi_control_get(fd, "cpu.weight", &weight);
    limits->cpu_weight = (uint32_t)weight;
    if (sbxi_control_read(fd, "cpuset.cpus.effective", limits->cpus, sizeof limits->cpus) < 0)
        limits->cpus[0] = '\0';
    limits->cpus[strcspn(limits->cpus, "\n")] = '\0';
}

/* "max" or a number after "key=". */
static uint64_t rate(const char *line, const char *key)
{
    const char *at = strstr(line, key);
    unsigned long long value;
    return at && sscanf(at + strlen(key), "%llu", &value) == 1 ? value : SBX_UNLIMITED;
}

static void read_io(int fd, struct sbx_limits *limits)
{
    char text[4096], *line, *rest = text;
    unsigned major, minor;
    uint64_t weight = 0, bfq = 0;
    if (sbxi_control_read(fd, "io.max", text, sizeof text) < 0)
        return;
    while ((line = strsep(&rest, "\n"))) {
        if (sscanf(line, "%u:%u", &major, &minor) != 2)
            continue;
        struct sbx_io_limit *io = sbxi_limits_io(limits, major, minor);
        if (!io)
            return;
        io->rbps = rate(line, "rbps=");
        io->wbps = rate(line, "wbps=");
        io->riops = rate(line, "riops=");
        io->wiops = rate(line, "wiops=");
    }
    /* Both may be there; the one that was changed is the one that we, or whoever did it, took for the one that acts. */
    sbxi_control_get_key(fd, "io.weight", "default", &weight);
    sbxi_control_get_key(fd, "io.bfq.weight", "default", &bfq);
    limits->io_weight = bfq && bfq != 100 ? sbxi_weight_from_bfq(bfq) : (uint32_t)weight;
    if (!limits->io_weight)
        limits->io_weight = sbxi_weight_from_bfq(bfq);
}

void sbxi_cgroup_v2_read(const struct sbxi_hierarchy *h, int fd, struct sbx_limits *limits)
{
    (void)h;
    read_cpu(fd, limits);
    sbxi_control_get(fd, "memory.max", &limits->memory_bytes);
    sbxi_control_get(fd, "memory.high", &limits->memory_high_bytes);
    limits->swap_named = sbxi_control_read_u64(fd, "memory.swap.max", &limits->swap_bytes) >= 0;
    sbxi_control_get(fd, "pids.max", &limits->pids);
    read_io(fd, limits);
}
