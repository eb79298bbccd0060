/* SPDX-License-Identifier: MIT */
/*
 * Limits in the files of v1. Facts that are not obvious:
 *   - memory.limit_in_bytes alone is defeated by swap. memory.memsw.limit_in_bytes bounds the sum and must never be the
 *     smaller of the two, so of a higher pair the sum is written first, of a lower one last. Where swap is not accounted,
 *     swappiness 0 keeps the group out of swap.
 *   - a memory limit below what is in use is EBUSY after a round of reclaim; another round often helps.
 *   - buffers of TCP and UDP sockets, of loopback too, are counted apart and by default without a limit.
 *   - cpu.shares 1024 is the weight 100 of v2.
 *   - a quota above the parent's is EINVAL, where v2 has the smaller one win: so the parent's is written, and it does.
 *   - a throttling rate is lifted by 0; there is no word for it.
 */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cgroup-internal.h"
#include "cleanup.h"
#include "error.h"

enum {
    PERIOD_US = 100000,
    SOCKETS_SHARE = 4, /* of the memory limit, on top of it */
    BUSY_ROUNDS = 5,
    BUSY_MS = 10
};
#define BACKEND "hybrid v1"

/* "No limit" is the largest number of pages, whatever their size. */
#define V1_UNLIMITED (UINT64_C(1) << 62)

static int put(const struct sbxi_hierarchy *h,
               int fd,
               const char *file,
               uint64_t value,
               struct sbx_error *error)
{
    if (value == SBX_UNLIMITED)
        return sbxi_control_put(h, BACKEND, fd, file, "-1", error);
    return sbxi_control_put_u64(h, BACKEND, fd, file, value, error);
}

/* ---- cpu ---- */

/* The quota of the cgroup above, in our period; 0 = none. */
static uint64_t quota_above(int fd)
{
    uint64_t quota = 0, period = 0;
    sbxi_control_get(fd, "../cpu.cfs_quota_us", &quota);
    if (!quota || quota >= V1_UNLIMITED) /* -1 is none, as at the root */
        return 0;
    sbxi_control_get(fd, "../cpu.cfs_period_us", &period);
    return period ? quota * PERIOD_US / period : 0;
}

static int limit_quota(
    const struct sbxi_hierarchy *h, int fd, bool fresh, uint32_t percent, struct sbx_error *error)
{
    if (percent == SBX_CPU_UNLIMITED)
        return put(h, fd, "cpu.cfs_quota_us", SBX_UNLIMITED, error);
    uint64_t quota = (uint64_t)percent * PERIOD_US / 100, above = quota_above(fd);
    int r = fresh ? 0 : put(h, fd, "cpu.cfs_period_us", PERIOD_US, error); /* it begins with that */
    return r < 0 ? r
                 : put(h, fd, "cpu.cfs_quota_us", above && above < quota ? above : quota, error);
}

static int limit_cpu(const struct sbxi_hierarchy *h,
                     int fd,
                     bool fresh,
                     const struct sbx_limits *limits,
                     struct sbx_error *error)
{
    int r = limits->cpu_percent ? limit_quota(h, fd, fresh, limits->cpu_percent, error) : 0;
    if (r >= 0 && limits->cpu_weight) {
        uint64_t shares = (uint64_t)limits->cpu_weight * 1024 / 100;
        r = put(h, fd, "cpu.shares", shares < 2 ? 2 : shares, error);
    }
    return r;
}

/* ---- memory ---- */

struct pair {
    uint64_t memory, sum;
};

static int
write_memory(const struct sbxi_hierarchy *h, int fd, uint64_t bytes, struct sbx_error *error)
{
    char text[24] = "-1";
    uint64_t used = 0;
    int r = -EBUSY;
    if (bytes != SBX_UNLIMITED)
        snprintf(text, sizeof text, "%llu", (unsigned long long)bytes);
    for (int round = 0; round < BUSY_ROUNDS && r == -EBUSY; round++) {
        if (round > 0)
            poll(NULL, 0, BUSY_MS);
        r = sbxi_control_write(fd, "memory.limit_in_bytes", text);
    }
    if (r == -EBUSY) {
        sbxi_control_get(fd, "memory.usage_in_bytes", &used);
        return sbxi_cgroup_memory_busy(error, bytes, used);
    }
    return r < 0 ? sbxi_control_error(error, -r, BACKEND, h, "memory.limit_in_bytes", text) : 0;
}

static int
write_sum(const struct sbxi_hierarchy *h, int fd, uint64_t bytes, struct sbx_error *error)
{
    return put(h, fd, "memory.memsw.limit_in_bytes", bytes, error);
}

static uint64_t plus(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return a >= V1_UNLIMITED || b >= V1_UNLIMITED || __builtin_add_overflow(a, b, &sum)
               ? SBX_UNLIMITED
               : sum;
}

/* What the pair becomes when @limits change it from @old: swap stays what it was, and is none under a first limit. */
static struct pair new_pair(const struct sbx_limits *limits, struct pair old)
{
    uint64_t memory = limits->memory_bytes ? limits->memory_bytes : old.memory;
    uint64_t swap = old.memory >= V1_UNLIMITED ? 0
                    : old.sum >= V1_UNLIMITED  ? SBX_UNLIMITED
                                               : old.sum - old.memory;
    if (limits->swap_named)
        swap = limits->swap_bytes;
    return (struct pair){.memory = memory, .sum = plus(memory, swap)};
}

/* What is in force. -ENOENT, -EOPNOTSUPP: swap is not accounted. */
static int read_pair(int fd, bool fresh, struct pair *ret)
{
    *ret = (struct pair){SBX_UNLIMITED, SBX_UNLIMITED};
    if (fresh)
        return faccessat(fd, "memory.memsw.limit_in_bytes", F_OK, 0) < 0 ? -errno : 0;
    sbxi_control_get(fd, "memory.limit_in_bytes", &ret->memory);
    return sbxi_control_read_u64(fd, "memory.memsw.limit_in_bytes", &ret->sum);
}

static int limit_swap_and_memory(const struct sbxi_hierarchy *h,
                                 int fd,
                                 bool fresh,
                                 const struct sbx_limits *limits,
                                 struct sbx_error *error)
{
    struct pair old, new;
    int r = read_pair(fd, fresh, &old);
    if (r == -ENOENT || r == -EOPNOTSUPP) {
        if (limits->swap_named && limits->swap_bytes)
            return sbxi_control_error(error, ENOENT, BACKEND, h, "memory.memsw.limit_in_bytes", "");
        r = write_memory(h, fd, limits->memory_bytes ? limits->memory_bytes : old.memory, error);
        return r < 0 ? r : put(h, fd, "memory.swappiness", 0, error);
    }
    new = new_pair(limits, old);
    if (new.memory >= V1_UNLIMITED &&new.sum < V1_UNLIMITED)
        new.sum = SBX_UNLIMITED;
    bool sum_first = new.sum > old.sum;
    r = sum_first ? write_sum(h, fd, new.sum, error) : 0;
    if (r >= 0 && limits->memory_bytes)
        r = write_memory(h, fd, new.memory, error);
    if (r >= 0 && !sum_first && new.sum != old.sum)
        r = write_sum(h, fd, new.sum, error);
    return r;
}

static int limit_memory(const struct sbxi_hierarchy *h,
                        int fd,
                        bool fresh,
                        const struct sbx_limits *limits,
                        struct sbx_error *error)
{
    uint64_t memory = SBX_UNLIMITED;
    if (!limits->memory_bytes && !limits->swap_named)
        return 0;
    if (!fresh)
        sbxi_control_get(fd, "memory.limit_in_bytes", &memory);
    if (!limits->memory_bytes && memory >= V1_UNLIMITED && limits->swap_bytes != SBX_UNLIMITED)
        return sbxi_error(error, EOPNOTSUPP,
                          "cgroup: swap: the " BACKEND " backend bounds swap only together with "
                          "memory; name --memory too");
    int r = limit_swap_and_memory(h, fd, fresh, limits, error);
    if (r < 0 || !limits->memory_bytes)
        return r;
    uint64_t sockets = limits->memory_bytes == SBX_UNLIMITED ? SBX_UNLIMITED
                                                             : limits->memory_bytes / SOCKETS_SHARE;
    if (faccessat(fd, "memory.kmem.tcp.limit_in_bytes", F_OK, 0) < 0)
        return 0; /* a kernel without */
    return put(h, fd, "memory.kmem.tcp.limit_in_bytes", sockets, error);
}

/* ---- io ---- */

static const struct {
    const char *file;
    size_t offset;
} rates[] = {
    {"blkio.throttle.read_bps_device", offsetof(struct sbx_io_limit, rbps)},
    {"blkio.throttle.write_bps_device", offsetof(struct sbx_io_limit, wbps)},
    {"blkio.throttle.read_iops_device", offsetof(struct sbx_io_limit, riops)},
    {"blkio.throttle.write_iops_device", offsetof(struct sbx_io_limit, wiops)},
};

static uint64_t *rate_of(struct sbx_io_limit *io, size_t i)
{
    return (uint64_t *)(void *)((char *)io + rates[i].offset);
}

static int put_device(const struct sbxi_hierarchy *h,
                      int fd,
                      const char *file,
                      const struct sbx_io_limit *io,
                      uint64_t value,
                      struct sbx_error *error)
{
    char text[64];
    snprintf(text, sizeof text, "%u:%u %llu", io->major, io->minor,
             (unsigned long long)(value == SBX_UNLIMITED ? 0 : value));
    return sbxi_control_put(h, BACKEND, fd, file, text, error);
}

static int limit_io(const struct sbxi_hierarchy *h,
                    int fd,
                    const struct sbx_limits *limits,
                    struct sbx_error *error)
{
    int r = 0;
    if (limits->io_weight)
        r = put(h, fd, "blkio.bfq.weight", sbxi_weight_to_bfq(limits->io_weight), error);
    for (uint32_t d = 0; d < limits->nio && r >= 0; d++) {
        struct sbx_io_limit io = limits->io[d];
        for (size_t i = 0; i < sizeof rates / sizeof rates[0] && r >= 0; i++)
            if (*rate_of(&io, i))
                r = put_device(h, fd, rates[i].file, &io, *rate_of(&io, i), error);
        if (r >= 0 && io.weight)
            r = put_device(h, fd, "blkio.bfq.weight_device", &io, sbxi_weight_to_bfq(io.weight),
                           error);
    }
    return r;
}

/* ---- all of it ---- */

int sbxi_cgroup_v1_limit(const struct sbxi_cgroup_layout *layout,
                         const struct sbxi_hierarchy *h,
                         int fd,
                         bool fresh,
                         const struct sbx_limits *limits,
                         struct sbx_error *error)
{
    (void)layout;
    int r = 0;
    if (h->v2)
        return 0;
    if (h->controllers & SBXI_CTL_CPUSET)
        r = sbxi_cgroup_v1_cpuset(h, fd, limits->cpus, error);
    if (r >= 0 && (h->controllers & SBXI_CTL_CPU))
        r = limit_cpu(h, fd, fresh, limits, error);
    if (r >= 0 && (h->controllers & SBXI_CTL_MEMORY))
        r = limit_memory(h, fd, fresh, limits, error);
    if (r >= 0 && (h->controllers & SBXI_CTL_PIDS) && limits->pids) {
        char text[24] = "max";
        if (limits->pids != SBX_UNLIMITED)
            snprintf(text, sizeof text, "%llu", (unsigned long long)limits->pids);
        r = sbxi_control_put(h, BACKEND, fd, "pids.max", text, error);
    }
    if (r >= 0 && (h->controllers & SBXI_CTL_IO))
        r = limit_io(h, fd, limits, error);
    return r;
}

static uint64_t normal(uint64_t value)
{
    return value >= V1_UNLIMITED ? SBX_UNLIMITED : value;
}

static void read_cpu(int fd, struct sbx_limits *limits)
{
    uint64_t period = 0, shares = 0;
    char quota[32];
    if (sbxi_control_read(fd, "cpu.cfs_quota_us", quota, sizeof quota) >= 0) {
        sbxi_control_get(fd, "cpu.cfs_period_us", &period);
        limits->cpu_percent =
            quota[0] == '-' || !period
                ? SBX_CPU_UNLIMITED
                : (uint32_t)((strtoull(quota, NULL, 10) * 100 + period / 2) / period);
    }
    sbxi_control_get(fd, "cpu.shares", &shares);
    limits->cpu_weight = (uint32_t)((shares * 100 + 512) / 1024);
}

static void read_memory(int fd, struct sbx_limits *limits)
{
    struct pair now = {0, 0};
    sbxi_control_get(fd, "memory.limit_in_bytes", &now.memory);
    limits->memory_bytes = normal(now.memory);
    if (sbxi_control_read_u64(fd, "memory.memsw.limit_in_bytes", &now.sum) < 0)
        return;
    limits->swap_named = true;
    limits->swap_bytes = now.sum >= V1_UNLIMITED ? SBX_UNLIMITED : now.sum - now.memory;
}

static void read_rates(int fd, size_t i, struct sbx_limits *limits)
{
    char text[4096], *line, *rest = text;
    unsigned major, minor;
    unsigned long long value;
    if (sbxi_control_read(fd, rates[i].file, text, sizeof text) < 0)
        return;
    while ((line = strsep(&rest, "\n"))) {
        if (sscanf(line, "%u:%u %llu", &major, &minor, &value) != 3)
            continue;
        struct sbx_io_limit *io = sbxi_limits_io(limits, major, minor);
        if (io)
            *rate_of(io, i) = value;
    }
}

static void read_io(int fd, struct sbx_limits *limits)
{
    uint64_t weight = 0;
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++)
        read_rates(fd, i, limits);
    sbxi_control_get(fd, "blkio.bfq.weight", &weight);
    limits->io_weight = sbxi_weight_from_bfq(weight);
}

void sbxi_cgroup_v1_read(const struct sbxi_hierarchy *h, int fd, struct sbx_limits *limits)
{
    char text[SBX_CPUS_MAX];
    if (h->v2)
        return;
    if (h->controllers & SBXI_CTL_CPU)
        read_cpu(fd, limits);
    if ((h->controllers & SBXI_CTL_CPUSET) &&
        sbxi_control_read(fd, "cpuset.cpus", text, sizeof text) >= 0)
        snprintf(limits->cpus, sizeof limits->cpus, "%.*s", (int)strcspn(text, "\n"), text);
    if (h->controllers & SBXI_CTL_MEMORY)
        read_memory(fd, limits);
    if (h->controllers & SBXI_CTL_PIDS)
        sbxi_control_get(fd, "pids.max", &limits->pids);
    if (h->controllers & SBXI_CTL_IO)
        read_io(fd, limits);
}
