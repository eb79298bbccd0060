/* SPDX-License-Identifier: MIT */

/* Values of options: what is meant is understood, what is not is refused rather than guessed. */

#include <criterion/criterion.h>
#include <errno.h>

#include "guard.h"
#include "options.h"

Test(parse_duration, knows_its_units)
{
    UDS_TEST_GUARD;
    static const struct {
        const char *text;
        int ms;
    } good[] = {{"0", 0},       {"5", 5000},    {"500ms", 500},  {"10s", 10000},
                {"1.5s", 1500}, {"2m", 120000}, {"1h", 3600000}, {"0.5ms", 1}};

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        int ms = -1;

        cr_expect_eq(parse_duration(good[i].text, &ms), 0, "%s", good[i].text);
        cr_expect_eq(ms, good[i].ms, "%s gave %d", good[i].text, ms);
    }
}

Test(parse_duration, refuses_the_rest_and_leaves_the_output_alone)
{
    UDS_TEST_GUARD;
    static const char *const bad[] = {"",   "s",   "-1s", " 1s", "1 s",
                                      "1d", "1ss", "nan", "inf", "1s "};
    int ms = 77;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_eq(parse_duration(bad[i], &ms), -EINVAL, "%s", bad[i]);
    cr_expect_eq(parse_duration("1000h", &ms), -ERANGE);
    cr_expect_eq(parse_duration("1e300s", &ms), -ERANGE);
    cr_expect_eq(ms, 77);
}

Test(parse_number, stays_inside_its_bounds)
{
    UDS_TEST_GUARD;
    unsigned long n = 77;

    cr_expect_eq(parse_number("0", 1, 10, &n), -ERANGE);
    cr_expect_eq(parse_number("11", 1, 10, &n), -ERANGE);
    cr_expect_eq(parse_number("99999999999999999999999", 1, 10, &n), -ERANGE);
    cr_expect_eq(parse_number("-1", 1, 10, &n), -EINVAL);
    cr_expect_eq(parse_number("1x", 1, 10, &n), -EINVAL);
    cr_expect_eq(parse_number("", 1, 10, &n), -EINVAL);
    cr_expect_eq(n, 77);
    cr_expect_eq(parse_number("10", 1, 10, &n), 0);
    cr_expect_eq(n, 10);
}
