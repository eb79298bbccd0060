/* SPDX-License-Identifier: MIT */
/* Words and quantities: what is taken, and that everything else is refused. */

#include <criterion/criterion.h>
#include <errno.h>
#include <sbx/sandbox.h>
#include <stdint.h>

#include "guard.h"

Test(parse_bytes, takes_numbers_and_units_of_1024)
{
    UDS_TEST_GUARD;
    static const struct {
        const char *text;
        uint64_t value;
    } good[] = {{"0", 0},
                {"1", 1},
                {"64K", 65536},
                {"64M", 64 << 20},
                {"3G", 3ULL << 30},
                {"2T", 2ULL << 40},
                {"18446744073709551615", UINT64_MAX}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        uint64_t value = 99;
        cr_assert_eq(sbx_parse_bytes(good[i].text, &value), 0, "%s", good[i].text);
        cr_assert_eq(value, good[i].value, "%s", good[i].text);
    }
}

Test(parse_bytes, refuses_signs_spaces_and_other_units)
{
    UDS_TEST_GUARD;
    static const char *const bad[] = {"",   "-1",  "+1",   " 1",   "1 ",   "M",
                                      "1m", "1MB", "1KiB", "0x10", "1.5M", "1P"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        uint64_t value = 99;
        cr_assert_eq(sbx_parse_bytes(bad[i], &value), -EINVAL, "\"%s\"", bad[i]);
        cr_assert_eq(value, 99, "written on failure");
    }
}

Test(parse_bytes, refuses_what_does_not_fit)
{
    UDS_TEST_GUARD;
    uint64_t value = 99;
    cr_assert_eq(sbx_parse_bytes("18446744073709551616", &value), -ERANGE);
    cr_assert_eq(sbx_parse_bytes("17179869184G", &value), -ERANGE);
    cr_assert_eq(sbx_parse_bytes("17179869183G", &value), 0);
}

Test(parse_percent, needs_its_sign_and_a_number_above_zero)
{
    UDS_TEST_GUARD;
    uint32_t value = 99;
    cr_assert_eq(sbx_parse_percent("50%", &value), 0);
    cr_assert_eq(value, 50);
    cr_assert_eq(sbx_parse_percent("250%", &value), 0);
    cr_assert_eq(value, 250);
    cr_assert_eq(sbx_parse_percent("50", &value), -EINVAL);
    cr_assert_eq(sbx_parse_percent("50%%", &value), -EINVAL);
    cr_assert_eq(sbx_parse_percent("%", &value), -EINVAL);
    cr_assert_eq(sbx_parse_percent("0%", &value), -ERANGE);
    cr_assert_eq(sbx_parse_percent("4294967346%", &value), -ERANGE); /* 50 in 32 bits */
    cr_assert_eq(value, 250);
}

Test(parse_words, go_both_ways)
{
    UDS_TEST_GUARD;
    uint32_t bit, seen = 0;
    for (uint32_t ns = 1; ns < SBX_NS_ALL; ns <<= 1) {
        cr_assert_eq(sbx_ns_parse(sbx_ns_name(ns), &bit), 0);
        cr_assert_eq(bit, ns);
        seen |= bit;
    }
    cr_assert_eq(seen, SBX_NS_ALL);
    for (uint32_t word = SBX_DEGRADE_CGROUP; word <= SBX_DEGRADE_BUFFERED_WRITES; word <<= 1) {
        cr_assert_eq(sbx_degrade_parse(sbx_degrade_name(word), &bit), 0);
        cr_assert_eq(bit, word);
    }
    cr_assert_eq(sbx_ns_parse("time", &bit), 0);
    cr_assert_eq(bit & SBX_NS_ALL, 0); /* clocks are shifted only where that is asked for */
    cr_assert_eq(sbx_ns_parse("mnt", &bit), -EINVAL);
    cr_assert_eq(sbx_degrade_parse("everything", &bit), -EINVAL);
    cr_assert_null(sbx_ns_name(0x1000));
}

Test(parse_offset, knows_seconds_units_and_the_past)
{
    UDS_TEST_GUARD;
    int64_t ns = 7;
    cr_assert_eq(sbx_parse_offset("3600", &ns), 0);
    cr_assert_eq(ns, INT64_C(3600000000000));
    cr_assert_eq(sbx_parse_offset("-1.5h", &ns), 0);
    cr_assert_eq(ns, INT64_C(-5400000000000));
    cr_assert_eq(sbx_parse_offset("+30d", &ns), 0);
    cr_assert_eq(ns, INT64_C(2592000000000000));
    cr_assert_eq(sbx_parse_offset("1ms", &ns), 0);
    cr_assert_eq(ns, 1000000);
    ns = 7;
    static const char *const wrong[] = {"", "-", "--1", "nan", " 1", "1 ", "1w", "s", "1s2"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_assert_eq(sbx_parse_offset(wrong[i], &ns), -EINVAL, "%s", wrong[i]);
    cr_assert_eq(sbx_parse_offset("293y", &ns), -EINVAL);
    cr_assert_eq(sbx_parse_offset("106752d", &ns), -ERANGE);
    cr_assert_eq(ns, 7);
}
