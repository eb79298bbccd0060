/* SPDX-License-Identifier: MIT */
/* See histogram.h. */
#include "histogram.h"

#include <stddef.h>

#define SUB_COUNT (1u << HISTOGRAM_SUB_BITS)
#define VALUE_MAX ((UINT64_C(1) << HISTOGRAM_TOP_BITS) - 1)

/*
 * A value with its highest bit at position b >= SUB_BITS keeps its upper SUB_BITS + 1 bits; as the first of them is
 * always 1, they and the number of bits that were cut off make a dense index.
 */
static size_t index_of(uint64_t value)
{
    unsigned top, cut;

    if (value < SUB_COUNT)
        return (size_t)value;
    top = 63 - (unsigned)__builtin_clzll(value);
    cut = top - HISTOGRAM_SUB_BITS;
    return ((size_t)cut << HISTOGRAM_SUB_BITS) + (size_t)(value >> cut);
}

/* The smallest value of a bucket, and how many values share it. */
static uint64_t start_of(size_t index, uint64_t *ret_width)
{
    size_t cut = index < 2 * SUB_COUNT ? 0 : (index >> HISTOGRAM_SUB_BITS) - 1;

    *ret_width = UINT64_C(1) << cut;
    return (uint64_t)(index - (cut << HISTOGRAM_SUB_BITS)) << cut;
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
    if (value > histogram->max)
        histogram->max = value;
    histogram->buckets[index_of(value > VALUE_MAX ? VALUE_MAX : value)]++;
    histogram->count++;
}

void histogram_merge(struct histogram *to, const struct histogram *from)
{
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        to->buckets[i] += from->buckets[i];
    to->count += from->count;
    if (from->max > to->max)
        to->max = from->max;
}

double histogram_quantile(const struct histogram *histogram, double fraction)
{
    double rank = fraction * (double)histogram->count;
    uint64_t before = 0;

    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t here = histogram->buckets[i], width;
        double value;

        if (here == 0 || (double)(before + here) < rank) {
            before += here;
            continue;
        }
        value = (double)start_of(i, &width);
        value += (double)width * (rank - (double)before) / (double)here;
        return value < (double)histogram->max ? value : (double)histogram->max;
    }
    return (double)histogram->max;
}
