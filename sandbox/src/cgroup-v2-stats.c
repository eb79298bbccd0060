/* SPDX-License-Identifier: MIT */
/* Counters in the files of v2. memory.events counts this group and all below it. */

#include <stdio.h>
#include <string.h>

#include "cgroup-internal.h"

/* Of a line "8:0 rbytes=1 wbytes=2 rios=3 …". */
static uint64_t field(const char *line, const char *key)
{
    const char *at = strstr(line, key);
    unsigned long long value;
    return at && sscanf(at + strlen(key), "%llu", &value) == 1 ? value : 0;
}

static void io_stats(int fd, struct sbx_stats *stats)
{
    char text[4096], *line, *rest = text;
    unsigned major, minor;
    if (sbxi_control_read(fd, "io.stat", text, sizeof text) < 0)
        return;
    while ((line = strsep(&rest, "\n"))) {
        if (sscanf(line, "%u:%u", &major, &minor) != 2)
            continue;
        struct sbx_io_stats one = {major,
                                   minor,
                                   field(line, " rbytes="),
                                   field(line, " wbytes="),
                                   field(line, " rios="),
                                   field(line, " wios=")};
        stats->io_read_bytes += one.read_bytes;
        stats->io_write_bytes += one.write_bytes;
        stats->io_reads += one.reads;
        stats->io_writes += one.writes;
        struct sbx_io_stats *io = sbxi_cgroup_io_of(stats, major, minor);
        if (io)
            *io = one;
    }
}

void sbxi_cgroup_v2_cpu_stats(int fd, struct sbx_stats *stats)
{
    const struct sbxi_counter counters[] = {{"usage_usec", &stats->cpu_usec},
                                            {"user_usec", &stats->cpu_user_usec},
                                            {"system_usec", &stats->cpu_system_usec},
                                            {"nr_periods", &stats->periods},
                                            {"nr_throttled", &stats->periods_throttled},
                                            {"throttled_usec", &stats->throttled_usec}};
    sbxi_control_get_keys(fd, "cpu.stat", counters, sizeof counters / sizeof counters[0]);
}

void sbxi_cgroup_v2_stats(const struct sbxi_hierarchy *h,
                          int fd,
                          bool brief,
                          struct sbx_stats *stats)
{
    const struct sbxi_counter events[] = {{"high", &stats->memory_high_hits},
                                          {"max", &stats->memory_limit_hits},
                                          {"oom_kill", &stats->oom_kills}};
    (void)h;
    sbxi_cgroup_v2_cpu_stats(fd, stats);
    sbxi_control_get(fd, "memory.peak", &stats->memory_peak_bytes);
    sbxi_control_get_keys(fd, "memory.events", events, sizeof events / sizeof events[0]);
    if (brief)
        return;
    sbxi_control_get(fd, "memory.current", &stats->memory_bytes);
    sbxi_control_get(fd, "memory.swap.current", &stats->swap_bytes);
    sbxi_control_get(fd, "pids.current", &stats->pids);
    sbxi_control_get(fd, "pids.peak", &stats->pids_peak);
    sbxi_control_get_key(fd, "pids.events", "max", &stats->pids_refused);
    io_stats(fd, stats);
    sbxi_cgroup_read_pressure(fd, stats);
}
