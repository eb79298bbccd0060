/* SPDX-License-Identifier: MIT */
/*
 * Counters in the files of v1.
 *   - statistics of io are of the throttling layer and see direct and read traffic; buffered writes are charged to
 *     the root (there is no writeback accounting on v1).
 *   - memory.oom_control counts oom_kill for this group alone.
 *   - pressure is v2's: the tree beside the v1 hierarchies has it, its controllers or not; and CPU time, so that there
 *     cpuacct, one hierarchy more, need not be entered for it.
 */

#include <stdio.h>
#include <string.h>

#include "cgroup-internal.h"

static void cpuacct_stats(int fd, struct sbx_stats *stats)
{
    uint64_t value = 0;
    sbxi_control_get(fd, "cpuacct.usage", &value);
    stats->cpu_usec = value / 1000;
    value = 0;
    sbxi_control_get(fd, "cpuacct.usage_user", &value);
    stats->cpu_user_usec = value / 1000;
    value = 0;
    sbxi_control_get(fd, "cpuacct.usage_sys", &value);
    stats->cpu_system_usec = value / 1000;
}

static void cpu_stats(int fd, struct sbx_stats *stats)
{
    uint64_t throttled_ns = 0;
    const struct sbxi_counter counters[] = {{"nr_periods", &stats->periods},
                                            {"nr_throttled", &stats->periods_throttled},
                                            {"throttled_time", &throttled_ns}};
    sbxi_control_get_keys(fd, "cpu.stat", counters, sizeof counters / sizeof counters[0]);
    stats->throttled_usec = throttled_ns / 1000;
}

static void memory_stats(int fd, bool brief, struct sbx_stats *stats)
{
    uint64_t sum = 0;
    sbxi_control_get(fd, "memory.max_usage_in_bytes", &stats->memory_peak_bytes);
    sbxi_control_get_key(fd, "memory.oom_control", "oom_kill", &stats->oom_kills);
    if (brief)
        return;
    sbxi_control_get(fd, "memory.usage_in_bytes", &stats->memory_bytes);
    sbxi_control_get(fd, "memory.memsw.usage_in_bytes", &sum);
    stats->swap_bytes = sum > stats->memory_bytes ? sum - stats->memory_bytes : 0;
    sbxi_control_get(fd, "memory.failcnt", &stats->memory_limit_hits);
}

/* "8:0 Read 4096" a line, a device each; "Total" lines are not added again. */
static void io_stats(const char *text, bool operations, struct sbx_stats *stats)
{
    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        if (*line == '\n')
            line++;
        unsigned long long value;
        unsigned major, minor;
        char word[16];
        if (sscanf(line, "%u:%u %15s %llu", &major, &minor, word, &value) != 4)
            continue;
        bool read = strcmp(word, "Read") == 0;
        if (!read && strcmp(word, "Write") != 0)
            continue;
        struct sbx_io_stats *io = sbxi_cgroup_io_of(stats, major, minor);
        if (operations) {
            *(read ? &stats->io_reads : &stats->io_writes) += value;
            if (io)
                *(read ? &io->reads : &io->writes) = value;
        } else {
            *(read ? &stats->io_read_bytes : &stats->io_write_bytes) += value;
            if (io)
                *(read ? &io->read_bytes : &io->write_bytes) = value;
        }
    }
}

static void blkio_stats(int fd, struct sbx_stats *stats)
{
    char text[4096];
    if (sbxi_control_read(fd, "blkio.throttle.io_service_bytes_recursive", text, sizeof text) >= 0)
        io_stats(text, false, stats);
    if (sbxi_control_read(fd, "blkio.throttle.io_serviced_recursive", text, sizeof text) >= 0)
        io_stats(text, true, stats);
}

static void pids_stats(int fd, struct sbx_stats *stats)
{
    sbxi_control_get(fd, "pids.current", &stats->pids);
    sbxi_control_get(fd, "pids.peak", &stats->pids_peak);
    sbxi_control_get_key(fd, "pids.events", "max", &stats->pids_refused);
}

void sbxi_cgroup_hybrid_stats(const struct sbxi_hierarchy *h,
                              int fd,
                              bool brief,
                              struct sbx_stats *stats)
{
    if (h->v2) {
        sbxi_cgroup_v2_cpu_stats(fd, stats);
        if (!brief)
            sbxi_cgroup_read_pressure(fd, stats);
        return;
    }
    if (h->controllers & SBXI_CTL_MEMORY)
        memory_stats(fd, brief, stats);
    if (brief)
        return;
    if (h->controllers & SBXI_CTL_CPU)
        cpu_stats(fd, stats);
    if (h->controllers & SBXI_CTL_PIDS)
        pids_stats(fd, stats);
    if (h->controllers & SBXI_CTL_IO)
        blkio_stats(fd, stats);
}

void sbxi_cgroup_v1_stats(const struct sbxi_hierarchy *h,
                          int fd,
                          bool brief,
                          struct sbx_stats *stats)
{
    if (h->controllers & SBXI_CTL_CPUACCT)
        cpuacct_stats(fd, stats);
    sbxi_cgroup_hybrid_stats(h, fd, brief, stats);
}
