/* SPDX-License-Identifier: MIT */
#ifndef BENCH_BARS_H
#define BENCH_BARS_H

#include <stdbool.h>
#include <stddef.h>

#include "plan.h"

/*
 * What libuds promises about its own speed: ratios to floors and to peers, both sides in one run. A bar is met when all
 * of the ratio's interval is on the right side of it, missed when all of it is on the wrong one, and open in between:
 * then more pairs are needed.
 */
struct bar {
    const char *what;
    const char *workload;
    const char *ours, *theirs; /* media; the ratio is ours to theirs, of several the fastest */
    size_t size, batch;
    bool cpus[CPUS_COUNT];
    bool at_least; /* the ratio must be at least @must, otherwise at most */
    double must, aim;
    /* 0: as for most; where connections need a while to find their way it is longer, and not counted. */
    unsigned rounds; /* at most: a row is over when it is decided */
    uint64_t run_ns, warm_ns;
};

enum bar_verdict {
    BAR_MISSED,
    BAR_OPEN,
    BAR_MET,
    BAR_AIM_MET,
    BAR_NOT_RUN, /* somebody was left out */
};

/* One contest for each bar and place; contest i belongs to bar @ret_bars[i]. 0 or -ENOMEM. */
int bars_plan(struct plan *plan, const struct options *options, const struct bar ***ret_bars);

/* The contender that is ours, in a contest of bars_plan(). */
const struct contender *bar_contender(const struct contest *contest);
enum bar_verdict bar_judge(const struct bar *bar, const struct contest *contest);
const char *bar_verdict_name(enum bar_verdict verdict);

#endif
