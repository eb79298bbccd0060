/* SPDX-License-Identifier: MIT */
/* How often a router may ask. */
#include <criterion/criterion.h>

#include "control.h"
#include "guard.h"

Test(control, a_bucket_gives_its_burst_and_then_its_rate)
{
    UDS_TEST_GUARD;
    struct control_bucket b = {.rate = 10, .burst = 3, .tokens = 3000, .filled_ms = 1000};

    for (int i = 0; i < 3; i++)
        cr_expect(control_bucket_take(&b, 1000));
    cr_expect_not(control_bucket_take(&b, 1000));
    cr_expect_not(control_bucket_take(&b, 1099));
    cr_expect(control_bucket_take(&b, 1100));
    cr_expect_not(control_bucket_take(&b, 1100));
}

Test(control, a_bucket_holds_no_more_than_its_burst_however_long_it_rests)
{
    UDS_TEST_GUARD;
    struct control_bucket b = {.rate = 1000, .burst = 2, .tokens = 0, .filled_ms = 0};

    cr_expect(control_bucket_take(&b, 1ull << 40));
    cr_expect(control_bucket_take(&b, 1ull << 40));
    cr_expect_not(control_bucket_take(&b, 1ull << 40));
}
