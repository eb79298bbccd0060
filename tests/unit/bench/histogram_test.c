/* SPDX-License-Identifier: MIT */

/* The histogram: what it says is within one bucket of the truth. */

#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>

#include "guard.h"
#include "histogram.h"

static struct histogram *make(void)
{
    return calloc(1, sizeof(struct histogram));
}

Test(histogram, keeps_small_values_exactly)
{
    UDS_TEST_GUARD;
    struct histogram *h = make();

    for (uint64_t v = 0; v < 100; v++)
        histogram_add(h, v);
    cr_assert_float_eq(histogram_quantile(h, 0.5), 50, 1e-9);
    cr_assert_float_eq(histogram_quantile(h, 0.99), 99, 1e-9);
    cr_assert_float_eq(histogram_quantile(h, 1), 99, 1e-9);
    free(h);
}

Test(histogram, is_within_a_128th_of_every_value)
{
    UDS_TEST_GUARD;

    for (uint64_t v = 1; v < UINT64_C(1) << 39; v = v * 3 + 1) {
        struct histogram *h = make();
        double got;

        histogram_add(h, v);
        histogram_add(h, 2 * v + 1); /* so that the maximum does not help */
        got = histogram_quantile(h, 0.5);
        cr_assert(got >= (double)v && got <= (double)v * (1 + 1.0 / 128) + 1, "%llu became %f",
                  (unsigned long long)v, got);
        free(h);
    }
}

Test(histogram, has_buckets_that_follow_each_other_without_gap_or_overlap)
{
    UDS_TEST_GUARD;
    struct histogram *h = make();

    for (uint64_t v = 0; v < 100000; v++)
        histogram_add(h, v);
    for (int percent = 1; percent < 100; percent++)
        cr_assert_float_eq(histogram_quantile(h, percent / 100.0), percent * 1000, 2, "p%d is %f",
                           percent, histogram_quantile(h, percent / 100.0));
    free(h);
}

Test(histogram, counts_what_is_too_large_as_the_largest_and_remembers_the_maximum)
{
    UDS_TEST_GUARD;
    struct histogram *h = make();

    histogram_add(h, UINT64_MAX);
    cr_assert_eq(h->count, 1);
    cr_assert_eq(h->max, UINT64_MAX);
    cr_assert(histogram_quantile(h, 0.5) >= (double)(UINT64_C(1) << 39));
    free(h);
}

Test(histogram, merges_to_what_one_would_have_been)
{
    UDS_TEST_GUARD;
    struct histogram *all = make(), *even = make(), *odd = make();

    for (uint64_t v = 1; v < 5000; v++) {
        histogram_add(all, v * v);
        histogram_add(v % 2 ? odd : even, v * v);
    }
    histogram_merge(even, odd);
    cr_assert_eq(memcmp(all, even, sizeof(*all)), 0);
    free(all);
    free(even);
    free(odd);
}

Test(histogram, is_empty_when_it_is_zero)
{
    UDS_TEST_GUARD;
    struct histogram *h = make();

    cr_assert_float_eq(histogram_quantile(h, 0.5), 0, 1e-9);
    free(h);
}
