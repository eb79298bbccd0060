/* SPDX-License-Identifier: MIT */
#ifndef BENCH_INTERVAL_H
#define BENCH_INTERVAL_H

#include <stddef.h>

/*
 * How far a median can be trusted: the 95% percentile bootstrap. Samples are drawn with replacement as often as there
 * are any, and the median taken; 2.5% of 4000 such medians lie below @low and 2.5% above @high. The draws are the same
 * in every run of the program, so that the same samples always give the same interval.
 */
struct interval {
    double median, low, high;
    size_t count; /* of samples; below 6 the interval is that of all samples */
};

/* @count >= 1. Sorts @samples. */
struct interval interval_of_median(double *samples, size_t count);

#endif
