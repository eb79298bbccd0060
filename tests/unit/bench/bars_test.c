/* SPDX-License-Identifier: MIT */

/* A bar is met or missed by all of the interval, never by its middle. */

#include <criterion/criterion.h>
#include <stdlib.h>

#include "bars.h"
#include "guard.h"

static enum bar_verdict judge(const struct bar *bar, double low, double high)
{
    struct contest *contest = calloc(1, sizeof(*contest));
    enum bar_verdict verdict;

    contest->count = 2;
    contest->contenders[1].ratio = (struct interval){.low = low, .high = high};
    verdict = bar_judge(bar, contest);
    free(contest);
    return verdict;
}

Test(bar_judge, looks_at_the_upper_end_where_less_is_better)
{
    UDS_TEST_GUARD;
    const struct bar bar = {.must = 1.10, .aim = 1.05};

    cr_assert_eq(judge(&bar, 1.00, 1.05), BAR_AIM_MET);
    cr_assert_eq(judge(&bar, 1.00, 1.10), BAR_MET);
    cr_assert_eq(judge(&bar, 1.00, 1.11), BAR_OPEN);
    cr_assert_eq(judge(&bar, 1.11, 1.20), BAR_MISSED);
}

Test(bar_judge, looks_at_the_lower_end_where_more_is_better)
{
    UDS_TEST_GUARD;
    const struct bar bar = {.at_least = true, .must = 2, .aim = 6};

    cr_assert_eq(judge(&bar, 6.0, 9.0), BAR_AIM_MET);
    cr_assert_eq(judge(&bar, 2.0, 9.0), BAR_MET);
    cr_assert_eq(judge(&bar, 1.9, 9.0), BAR_OPEN);
    cr_assert_eq(judge(&bar, 1.0, 1.9), BAR_MISSED);
}

Test(bar_judge, does_not_judge_when_somebody_was_left_out)
{
    UDS_TEST_GUARD;
    const struct bar bar = {.must = 1.10, .aim = 1.05};
    struct contest *contest = calloc(1, sizeof(*contest));

    contest->count = 2;
    contest->contenders[0].left_out[0] = 'x';
    cr_assert_eq(bar_judge(&bar, contest), BAR_NOT_RUN);
    free(contest);
}
