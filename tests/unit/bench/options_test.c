/* SPDX-License-Identifier: MIT */

/* Values of options, as users write them. */

#include <criterion/criterion.h>
#include <errno.h>

#include "guard.h"
#include "media.h"
#include "options.h"

Test(options_parse_size, takes_bytes_and_powers_of_1024)
{
    UDS_TEST_GUARD;
    size_t size = 0;

    cr_assert_eq(options_parse_size("64", &size), 0);
    cr_assert_eq(size, 64);
    cr_assert_eq(options_parse_size("4K", &size), 0);
    cr_assert_eq(size, 4096);
    cr_assert_eq(options_parse_size("16M", &size), 0);
    cr_assert_eq(size, 16u << 20);
}

Test(options_parse_size, refuses_everything_else_and_leaves_the_output)
{
    UDS_TEST_GUARD;
    static const char *const bad[] = {"", "K", "4k", "-1", " 1", "1 ", "1KK", "1.5K", "0x10"};
    static const char *const out[] = {"0", "0K", "17M", "16777217", "99999999999999999999"};
    size_t size = 7;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_eq(options_parse_size(bad[i], &size), -EINVAL, "%s", bad[i]);
    for (size_t i = 0; i < sizeof(out) / sizeof(out[0]); i++)
        cr_assert_eq(options_parse_size(out[i], &size), -ERANGE, "%s", out[i]);
    cr_assert_eq(size, 7);
}

Test(options_parse_sizes, takes_lists_and_refuses_holes)
{
    UDS_TEST_GUARD;
    size_t sizes[3], count = 0;

    cr_assert_eq(options_parse_sizes("1,2K,3", sizes, 3, &count), 0);
    cr_assert_eq(count, 3);
    cr_assert_eq(sizes[1], 2048);
    cr_assert_eq(options_parse_sizes("1,,3", sizes, 3, &count), -EINVAL);
    cr_assert_eq(options_parse_sizes("1,", sizes, 3, &count), -EINVAL);
    cr_assert_eq(options_parse_sizes("1,2,3,4", sizes, 3, &count), -E2BIG);
}

Test(options_parse_media, finds_them_by_name_and_names_the_unknown)
{
    UDS_TEST_GUARD;
    const struct medium *list[2];
    const char *unknown = NULL;
    size_t count = 0;

    cr_assert_eq(options_parse_media("tcp,libuds", list, 2, &count, &unknown), 0);
    cr_assert_eq(count, 2);
    cr_assert_eq(list[0], &medium_tcp);
    cr_assert_eq(list[1], &medium_libuds);
    cr_assert_eq(options_parse_media("tcp,carrier-pigeon", list, 2, &count, &unknown), -ENOENT);
    cr_assert_str_eq(unknown, "carrier-pigeon");
    cr_assert_eq(options_parse_media("tcp,pipe,libuds", list, 2, &count, &unknown), -E2BIG);
}
