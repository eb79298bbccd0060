/* SPDX-License-Identifier: MIT */
#ifndef BENCH_PLAN_H
#define BENCH_PLAN_H

#include <stddef.h>

#include "contest.h"
#include "options.h"

/* The contests that a command line asks for, in the order in which they are run and printed. */
struct plan {
    struct contest **contests;
    size_t count;
};

#define BATCH_DEFAULT 64

/* A new contest without contenders, the plan's; NULL: out of memory. */
struct contest *
plan_add(struct plan *plan, const struct workload *workload, enum cpus cpus, size_t size);
void plan_deinit(struct plan *plan);

/* All contests of a comparison. One way, each cell has two: message by message, and in batches. 0 or -ENOMEM. */
int plan_comparison(struct plan *plan, const struct options *options);

/* Is this contest about batches? */
bool plan_is_batched(const struct contest *contest);

#endif
