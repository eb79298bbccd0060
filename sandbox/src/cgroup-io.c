/* SPDX-License-Identifier: MIT */
/*
 * What limits have in common on both backends: weights of I/O, which mean nothing unless a scheduler looks at them, the
 * list of devices, CPUs that are not ours to give, and memory that cannot be had back.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cgroup-internal.h"
#include "cpus.h"
#include "device.h"
#include "error.h"

bool sbxi_cgroup_has_bfq(const struct sbxi_cgroup_layout *layout, const struct sbx_limits *limits)
{
    if (limits->io_weight && !sbxi_device_any_has_bfq(layout->root))
        return false;
    for (uint32_t i = 0; i < limits->nio; i++) {
        const struct sbx_io_limit *io = &limits->io[i];
        if (io->weight && !sbxi_device_has_bfq(layout->root, io->major, io->minor))
            return false;
    }
    return true;
}

uint64_t sbxi_weight_to_bfq(uint32_t weight)
{
    return weight <= 100 ? weight : 100 + (weight - 100) / 11;
}

uint32_t sbxi_weight_from_bfq(uint64_t weight)
{
    return (uint32_t)(weight <= 100 ? weight : 100 + (weight - 100) * 11);
}

struct sbx_io_limit *sbxi_limits_io(struct sbx_limits *limits, uint32_t major, uint32_t minor)
{
    uint32_t i = 0;
    while (i < limits->nio && (limits->io[i].major != major || limits->io[i].minor != minor))
        i++;
    if (i == SBX_IO_DEVICES)
        return NULL;
    if (i == limits->nio)
        limits->io[limits->nio++] = (struct sbx_io_limit){.major = major, .minor = minor};
    return &limits->io[i];
}

int sbxi_cgroup_check_cpus(const struct sbxi_hierarchy *h,
                           const char *list,
                           const char *available,
                           const char *backend,
                           struct sbx_error *error)
{
    struct sbxi_cpus wanted, all;
    if (sbxi_cpus_parse(list, &wanted) < 0)
        return sbxi_error(error, EINVAL, "cgroup: cpuset %s: is not a list of CPUs, as 0-1,3",
                          list);
    if (sbxi_cpus_parse(available, &all) < 0 || sbxi_cpus_contain(&all, &wanted))
        return 0;
    return sbxi_error(error, EINVAL,
                      "cgroup: cpuset %s (%s, below %s%s): not all of these CPUs are to be had "
                      "there; there are %.*s",
                      list, backend, h->mount, strcmp(h->own, "/") ? h->own : "",
                      (int)strcspn(available, "\n"), available);
}

int sbxi_cgroup_memory_busy(struct sbx_error *error, uint64_t limit, uint64_t used)
{
    return sbxi_error(error, EBUSY,
                      "cgroup: memory limit of %llu KiB: %llu KiB are in use and cannot be "
                      "reclaimed; choose a higher limit, or end something in it first",
                      (unsigned long long)limit / 1024, (unsigned long long)used / 1024);
}
