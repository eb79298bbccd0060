/* SPDX-License-Identifier: MIT */
/* What statistics have in common on both backends. */

#include <stdio.h>
#include <string.h>

#include "cgroup-internal.h"

struct sbx_io_stats *sbxi_cgroup_io_of(struct sbx_stats *stats, uint32_t major, uint32_t minor)
{
    uint32_t i = 0;
    while (i < stats->nio && (stats->io[i].major != major || stats->io[i].minor != minor))
        i++;
    if (i == SBX_IO_DEVICES)
        return NULL;
    if (i == stats->nio)
        stats->io[stats->nio++] = (struct sbx_io_stats){.major = major, .minor = minor};
    return &stats->io[i];
}

/* "avg10=1.25" by its digits: a locale may have another idea of what stands before the fraction. */
static float average(const char *line, const char *key)
{
    unsigned whole = 0, hundredths = 0;
    const char *at = strstr(line, key);
    if (at)
        (void)sscanf(at + strlen(key), "%u.%2u", &whole, &hundredths);
    return (float)whole + (float)hundredths / 100;
}

static uint64_t total(const char *line)
{
    unsigned long long value = 0;
    const char *at = strstr(line, "total=");
    if (at)
        (void)sscanf(at, "total=%llu", &value);
    return value;
}

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull …" */
static void read_one(int fd, const char *file, struct sbx_pressure *ret)
{
    char text[256];
    if (sbxi_control_read(fd, file, text, sizeof text) < 0 || strncmp(text, "some ", 5) != 0)
        return;
    char *full = strstr(text, "full ");
    *ret = (struct sbx_pressure){.known = true};
    if (full) {
        ret->full_avg10 = average(full, "avg10=");
        ret->full_avg60 = average(full, "avg60=");
        ret->full_usec = total(full);
        *full = '\0';
    }
    ret->some_avg10 = average(text, "avg10=");
    ret->some_avg60 = average(text, "avg60=");
    ret->some_usec = total(text);
}

void sbxi_cgroup_read_pressure(int fd, struct sbx_stats *stats)
{
    read_one(fd, "cpu.pressure", &stats->cpu_pressure);
    read_one(fd, "memory.pressure", &stats->memory_pressure);
    read_one(fd, "io.pressure", &stats->io_pressure);
}
