/* SPDX-License-Identifier: MIT */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

/*
 * A log-linear histogram of ns: every power of two is cut into 128 equal buckets, so a bucket is at most 1/128 of its
 * values wide, and everything below 256 ns is exact. Values from 2^40 ns (18 minutes) on count as the largest.
 *
 * Plain memory without pointers: it may lie in memory that processes share, and zeros are an empty one.
 */

#define HISTOGRAM_SUB_BITS 7
#define HISTOGRAM_TOP_BITS 40
#define HISTOGRAM_BUCKETS  ((HISTOGRAM_TOP_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

struct histogram {
    uint64_t count, max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, uint64_t value);
void histogram_merge(struct histogram *to, const struct histogram *from);

/* The value below which @fraction (0 … 1) of all lie, as if those of one bucket were spread evenly; never above the
 * maximum. 0 when it is empty. */
double histogram_quantile(const struct histogram *histogram, double fraction);

#endif
