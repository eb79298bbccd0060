/* SPDX-License-Identifier: MIT */
#ifndef BENCH_CONTEST_H
#define BENCH_CONTEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "interval.h"
#include "run.h"

/*
 * The paired runner. Contenders do the same workload in turn, A B A B … (or A B C A B C …), in short runs; of each round
 * a contender's figure is divided by the reference's. What slows the machine down for a while slows both, so the ratio
 * stands where the figures do not. The result is the median of the ratios and how far it can be trusted.
 */
#define CONTENDERS_MAX 32
#define LIMITS_MAX     2

struct contender {
    const struct medium *medium;
    size_t batch;
    char left_out[RUN_ERROR_MAX]; /* why it does not take part; "" it does */

    /* Of each round: the p50 and p99 of ns, and messages a second. */
    double *p50, *p99, *rate;
    double middle;              /* of p50 */
    struct histogram histogram; /* of all rounds */
    uint64_t messages, elapsed_ns, all_messages;
    struct run_usage usage;
    /* To the reference, after the last round. */
    struct interval ratio; /* of rates for one-way workloads, of p50 otherwise */
    struct interval p99_ratio;
};

struct contest {
    const struct workload *workload;
    enum cpus cpus;
    size_t size;
    unsigned rounds; /* as planned; when it is over, as many as it took */
    uint64_t run_ns, warm_ns;
    /* Over as soon as the interval of the last contender's ratio is on one side of each of these; none: all rounds. */
    double limits[LIMITS_MAX];
    size_t limits_count;
    bool last_against_best; /* the reference is the fastest of those before the last */
    struct contender contenders[CONTENDERS_MAX]; /* otherwise the first that takes part is */
    size_t count;
};

void contest_add(struct contest *contest, const struct medium *medium, size_t batch);

/* The contender that was added last does not take part. */
void contest_leave_out(struct contest *contest, const char *why);

/* The reference, or NULL: nobody takes part. Final when the contest is over. */
const struct contender *contest_reference(const struct contest *contest);

/*
 * A verifying pass of each, then the rounds. Who cannot take part is left out. @progress is called before every round.
 * 0, or -errno with a line in @error: a run went wrong, and no figure of this contest means anything.
 */
int contest_run(struct contest *contest,
                void (*progress)(const struct contest *contest, unsigned round),
                char *error);
void contest_deinit(struct contest *contest);

#endif
