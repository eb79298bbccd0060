/* SPDX-License-Identifier: MIT */

/* The bootstrap: it holds the median as often as it promises, and says the same of the same samples. */

#include <criterion/criterion.h>
#include <stdint.h>

#include "guard.h"
#include "interval.h"

static uint64_t state;

/* Uniform in [0, 1): xorshift64*, another generator than the one under test. */
static double uniform(void)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (double)((state * 0x2545f4914f6cdd1d) >> 11) / (double)(UINT64_C(1) << 53);
}

Test(interval, has_the_middle_of_an_odd_and_of_an_even_number_of_samples)
{
    UDS_TEST_GUARD;
    double odd[] = {5, 1, 3}, even[] = {4, 1, 3, 2};

    cr_assert_float_eq(interval_of_median(odd, 3).median, 3, 1e-12);
    cr_assert_float_eq(interval_of_median(even, 4).median, 2.5, 1e-12);
}

Test(interval, spans_all_samples_when_there_are_few)
{
    UDS_TEST_GUARD;
    double one[] = {7}, few[] = {3, 1, 2, 9, 4};
    struct interval interval = interval_of_median(one, 1);

    cr_assert_float_eq(interval.low, 7, 1e-12);
    cr_assert_float_eq(interval.high, 7, 1e-12);
    interval = interval_of_median(few, 5);
    cr_assert_float_eq(interval.low, 1, 1e-12);
    cr_assert_float_eq(interval.high, 9, 1e-12);
}

Test(interval, is_a_point_when_all_samples_are_equal)
{
    UDS_TEST_GUARD;
    double samples[20];
    struct interval interval;

    for (int i = 0; i < 20; i++)
        samples[i] = 1.25;
    interval = interval_of_median(samples, 20);
    cr_assert_float_eq(interval.low, 1.25, 1e-12);
    cr_assert_float_eq(interval.high, 1.25, 1e-12);
}

Test(interval, says_the_same_of_the_same_samples_in_any_order)
{
    UDS_TEST_GUARD;
    double forward[15], backward[15];
    struct interval a, b;

    for (int i = 0; i < 15; i++) {
        forward[i] = i * i;
        backward[14 - i] = i * i;
    }
    a = interval_of_median(forward, 15);
    b = interval_of_median(backward, 15);
    cr_assert_float_eq(a.low, b.low, 1e-12);
    cr_assert_float_eq(a.high, b.high, 1e-12);
    cr_assert(a.low < a.median && a.median < a.high);
}

Test(interval, holds_the_true_median_about_95_times_in_100)
{
    UDS_TEST_GUARD;
    int held = 0;

    state = 42;
    for (int trial = 0; trial < 400; trial++) {
        double samples[25];
        struct interval interval;

        for (int i = 0; i < 25; i++)
            samples[i] = uniform() * uniform(); /* skewed, as times are; its median is 0.18668 */
        interval = interval_of_median(samples, 25);
        held += interval.low <= 0.18668 && 0.18668 <= interval.high;
    }
    cr_assert(held >= 360 && held <= 396, "held it %d times of 400", held);
}

Test(interval, shrinks_as_samples_grow)
{
    UDS_TEST_GUARD;
    static double samples[1000];
    double small, large;

    state = 7;
    for (int i = 0; i < 1000; i++)
        samples[i] = uniform();
    small = interval_of_median(samples, 20).high - interval_of_median(samples, 20).low;
    for (int i = 0; i < 1000; i++)
        samples[i] = uniform();
    large = interval_of_median(samples, 1000).high - interval_of_median(samples, 1000).low;
    cr_assert(large < small / 2, "%f and %f", small, large);
}
