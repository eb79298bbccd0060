/* SPDX-License-Identifier: MIT */
/* See interval.h. B. Efron, R. Tibshirani: An Introduction to the Bootstrap, 1993, chapter 13. */
#include "interval.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#define DRAWS     4000
#define COUNT_MIN 6

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;

    return (left > right) - (left < right);
}

static double middle_of(const double *sorted, size_t count)
{
    return count % 2 ? sorted[count / 2] : (sorted[count / 2 - 1] + sorted[count / 2]) / 2;
}

/* splitmix64: any fair generator does, this one is six lines. */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/*
 * The samples are sorted, so a draw is known by how often each was taken: walking along until half of them have passed
 * finds its median without sorting anew.
 */
static double median_of_draw(const double *sorted, size_t count, unsigned *times, uint64_t *state)
{
    size_t seen = 0, lower = 0;
    bool have_lower = false;

    for (size_t i = 0; i < count; i++)
        times[i] = 0;
    for (size_t i = 0; i < count; i++)
        times[draw(state) % count]++;
    for (size_t i = 0; i < count; i++) {
        seen += times[i];
        if (!have_lower && seen >= (count + 1) / 2) {
            lower = i;
            have_lower = true;
        }
        if (seen >= count / 2 + 1)
            return (sorted[lower] + sorted[i]) / 2;
    }
    return sorted[count - 1];
}

struct interval interval_of_median(double *samples, size_t count)
{
    struct interval interval = {.count = count};
    double *medians = malloc(DRAWS * sizeof(*medians));
    unsigned *times = malloc(count * sizeof(*times));
    uint64_t state = 1;

    qsort(samples, count, sizeof(*samples), compare);
    interval.median = middle_of(samples, count);
    interval.low = samples[0];
    interval.high = samples[count - 1];
    if (count >= COUNT_MIN && medians && times) {
        for (size_t i = 0; i < DRAWS; i++)
            medians[i] = median_of_draw(samples, count, times, &state);
        qsort(medians, DRAWS, sizeof(*medians), compare);
        interval.low = medians[DRAWS / 40];
        interval.high = medians[DRAWS - 1 - DRAWS / 40];
    }
    free(medians);
    free(times);
    return interval;
}
