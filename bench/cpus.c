/* SPDX-License-Identifier: MIT */
/* See cpus.h. */
#include "cpus.h"

#include <errno.h>
#include <sched.h>

const char *cpus_name(enum cpus cpus)
{
    static const char *const names[CPUS_COUNT] = {"1cpu", "2cpu", "free"};

    return names[cpus];
}

int cpus_allowed(void)
{
    cpu_set_t set;

    return sched_getaffinity(0, sizeof(set), &set) < 0 ? 1 : CPU_COUNT(&set);
}

int cpus_pin(enum cpus cpus, int side)
{
    int wanted = cpus == CPUS_TWO ? side : 0;
    cpu_set_t set, one;

    if (cpus == CPUS_FREE)
        return 0;
    if (sched_getaffinity(0, sizeof(set), &set) < 0)
        return -errno;
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &set) || wanted-- > 0)
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        return sched_setaffinity(0, sizeof(one), &one) < 0 ? -errno : 0;
    }
    return -ENODEV;
}
