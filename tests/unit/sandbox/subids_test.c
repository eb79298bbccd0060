/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <string.h>

#include "guard.h"
#include "subids.h"

static uint32_t find(const char *text, uint32_t *ret_first)
{
    char copy[256];
    cr_assert_lt(strlen(text), sizeof copy);
    strcpy(copy, text);
    return sbxi_subids_parse(copy, "ann", 1001, ret_first);
}

Test(subids_parse, takes_the_longest_range_of_a_name_or_number)
{
    UDS_TEST_GUARD;
    uint32_t first = 7;
    cr_expect_eq(find("bob:1:9\nann:100000:65536\nann:500000:10\n", &first), 65536);
    cr_expect_eq(first, 100000);
    cr_expect_eq(find("1001:300000:20\nann:200000:10", &first), 20);
    cr_expect_eq(first, 300000);
}

Test(subids_parse, passes_over_what_is_no_range_of_hers)
{
    UDS_TEST_GUARD;
    static const char *const wrong[] = {
        "",
        "ann",
        "ann:",
        "ann:100000",
        "ann:x:1",
        "annie:100000:65536\n",
        "ann:0:10\n", /* root's own id is nobody's to map */
        "ann:100000:65536:1\n",
        "ann:4294967295:1\n",
        "ann:4294967290:10\n",
        "10010:100000:65536\n",
        "ann:100000:0\n",
    };
    uint32_t first = 7;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        cr_expect_eq(find(wrong[i], &first), 0, "%s", wrong[i]);
    cr_expect_eq(first, 7);
}
