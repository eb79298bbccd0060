/* SPDX-License-Identifier: MIT */
#include "demand.h"

#include <errno.h>
#include <string.h>

#include "cgroup.h"
#include "error.h"

static const struct {
    uint32_t bit, controller, degrade;
    const char *name, *controller_name;
} controls[] = {
    {SBXI_WANT_CPU, SBXI_CTL_CPU, SBX_DEGRADE_CPU, "cpu", "cpu"},
    {SBXI_WANT_CPU_WEIGHT, SBXI_CTL_CPU, SBX_DEGRADE_CPU, "cpu-weight", "cpu"},
    {SBXI_WANT_CPUSET, SBXI_CTL_CPUSET, SBX_DEGRADE_CPUSET, "cpuset", "cpuset"},
    {SBXI_WANT_MEMORY, SBXI_CTL_MEMORY, 0, "memory", "memory"},
    {SBXI_WANT_MEMORY_HIGH, SBXI_CTL_MEMORY, SBX_DEGRADE_MEMORY_HIGH, "memory-high", "memory"},
    {SBXI_WANT_SWAP, SBXI_CTL_MEMORY, 0, "swap", "memory"},
    {SBXI_WANT_PIDS, SBXI_CTL_PIDS, 0, "pids", "pids"},
    {SBXI_WANT_IO_MAX, SBXI_CTL_IO, SBX_DEGRADE_IO, "io-max", "io"},
    {SBXI_WANT_BUFFERED_WRITES, SBXI_CTL_IO, SBX_DEGRADE_BUFFERED_WRITES, "io-max", "io"},
    {SBXI_WANT_IO_WEIGHT, SBXI_CTL_IO, SBX_DEGRADE_IO, "io-weight", "io"},
};
enum {
    N = sizeof controls / sizeof controls[0]
};

uint32_t sbxi_demand_of(const struct sbx_limits *l)
{
    uint32_t demand =
        (l->cpu_percent ? SBXI_WANT_CPU : 0u) | (l->cpu_weight ? SBXI_WANT_CPU_WEIGHT : 0u) |
        (l->cpus[0] ? SBXI_WANT_CPUSET : 0u) | (l->memory_bytes ? SBXI_WANT_MEMORY : 0u) |
        (l->memory_high_bytes ? SBXI_WANT_MEMORY_HIGH : 0u) |
        (l->swap_named ? SBXI_WANT_SWAP : 0u) | (l->pids ? SBXI_WANT_PIDS : 0u) |
        (l->io_weight ? SBXI_WANT_IO_WEIGHT : 0u);
    for (uint32_t i = 0; i < l->nio && i < SBX_IO_DEVICES; i++) {
        const struct sbx_io_limit *io = &l->io[i];
        bool written =
            (io->wbps && io->wbps != SBX_UNLIMITED) || (io->wiops && io->wiops != SBX_UNLIMITED);
        demand |= io->weight ? SBXI_WANT_IO_WEIGHT : 0u;
        demand |= io->rbps || io->wbps || io->riops || io->wiops ? SBXI_WANT_IO_MAX : 0u;
        demand |= written ? SBXI_WANT_BUFFERED_WRITES : 0u;
    }
    return demand;
}

uint32_t sbxi_demand_controllers(uint32_t demand)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < N; i++)
        bits |= demand & controls[i].bit ? controls[i].controller : 0;
    return bits;
}

static size_t find(uint32_t bit)
{
    size_t i = 0;
    while (i < N - 1 && controls[i].bit != bit)
        i++;
    return i;
}

const char *sbxi_demand_name(uint32_t bit)
{
    return controls[find(bit)].name;
}

const char *sbxi_demand_controller_name(uint32_t bit)
{
    return controls[find(bit)].controller_name;
}

uint32_t sbxi_demand_degrade(uint32_t bit)
{
    return controls[find(bit)].degrade;
}

int sbxi_limits_check(const struct sbx_limits *limits, struct sbx_error *error)
{
    if (limits->size == sizeof *limits)
        return 0;
    return sbxi_error(error, EINVAL,
                      "limits: they are of another version; begin with SBX_LIMITS_INIT");
}

void sbxi_demand_drop(struct sbx_limits *l, uint32_t demand)
{
    if (demand & SBXI_WANT_CPU)
        l->cpu_percent = 0;
    if (demand & SBXI_WANT_CPU_WEIGHT)
        l->cpu_weight = 0;
    if (demand & SBXI_WANT_CPUSET)
        l->cpus[0] = '\0';
    if (demand & SBXI_WANT_MEMORY)
        l->memory_bytes = 0;
    if (demand & SBXI_WANT_MEMORY_HIGH)
        l->memory_high_bytes = 0;
    if (demand & SBXI_WANT_SWAP)
        l->swap_named = false;
    if (demand & SBXI_WANT_PIDS)
        l->pids = 0;
    if (demand & SBXI_WANT_IO_WEIGHT)
        l->io_weight = 0;
    for (uint32_t i = 0; i < l->nio && i < SBX_IO_DEVICES; i++) {
        struct sbx_io_limit *io = &l->io[i];
        if (demand & SBXI_WANT_IO_WEIGHT)
            io->weight = 0;
        if (demand & SBXI_WANT_IO_MAX)
            io->rbps = io->wbps = io->riops = io->wiops = 0;
    }
}
