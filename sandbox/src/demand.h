/* SPDX-License-Identifier: MIT */
#ifndef SBXI_DEMAND_H
#define SBXI_DEMAND_H

#include <sbx/sandbox.h>
#include <stdint.h>

/* What limits demand of a backend, control by control: each can be lacking, and its omission permitted, on its own. */

enum sbxi_demand { /* bits, in the order in which a lack is told */
    SBXI_WANT_CPU = 1u << 0,
    SBXI_WANT_CPU_WEIGHT = 1u << 1,
    SBXI_WANT_CPUSET = 1u << 2,
    SBXI_WANT_MEMORY = 1u << 3,
    SBXI_WANT_MEMORY_HIGH = 1u << 4,
    SBXI_WANT_SWAP = 1u << 5,
    SBXI_WANT_PIDS = 1u << 6,
    SBXI_WANT_IO_MAX = 1u << 7,
    SBXI_WANT_BUFFERED_WRITES = 1u << 8, /* a rate of writes is meant for all writes */
    SBXI_WANT_IO_WEIGHT = 1u << 9,
};

uint32_t sbxi_demand_of(const struct sbx_limits *limits);
/* enum sbxi_controller bits. */
uint32_t sbxi_demand_controllers(uint32_t demand);
/* One bit: as users know it; the controller that it needs; what permits its omission, 0 = nothing but "cgroup". */
const char *sbxi_demand_name(uint32_t bit);
const char *sbxi_demand_controller_name(uint32_t bit);
uint32_t sbxi_demand_degrade(uint32_t bit);
/* -EINVAL, with @error: they are of another size, and nothing else of them may be read. */
int sbxi_limits_check(const struct sbx_limits *limits, struct sbx_error *error);
/* Forgets these controls of @limits. */
void sbxi_demand_drop(struct sbx_limits *limits, uint32_t demand);

#endif
