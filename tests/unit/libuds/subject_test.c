/* SPDX-License-Identifier: MIT */

/* Subjects mean what they mean in NATS. */

#include <criterion/criterion.h>
#include <string.h>

#include <uds/client.h>

#include "guard.h"

static bool valid(const char *subject, bool wildcards)
{
    return uds_subject_is_valid(subject, strlen(subject), wildcards);
}

Test(subject, is_valid_when_every_token_is)
{
    UDS_TEST_GUARD;
    static const char *const good[] = {"a", "a.b", "$SYS.x", "a-b_c.1", "a*b", "x>y", "a>", "*a"};
    static const char *const bad[] = {"",    ".",    "a.",   ".a",   "a..b",
                                      "a b", "a\tb", "a.\n", "\x7f", "a.\xc3\xa4"};

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        cr_expect(valid(good[i], false), "%s", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect_not(valid(bad[i], true), "%s", bad[i]);
}

Test(subject, takes_wildcards_only_where_they_are_allowed)
{
    UDS_TEST_GUARD;
    static const char *const patterns[] = {"*", ">", "a.*", "a.>", "*.b", "a.*.c", "*.>"};

    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        cr_expect(valid(patterns[i], true), "%s", patterns[i]);
        cr_expect_not(valid(patterns[i], false), "%s", patterns[i]);
    }
    cr_expect_not(valid(">.a", true));
    cr_expect_not(valid("a.>.b", true));
}

Test(subject, is_at_most_255_bytes)
{
    UDS_TEST_GUARD;
    char text[256];

    memset(text, 'a', sizeof(text));
    cr_expect(uds_subject_is_valid(text, 255, false));
    cr_expect_not(uds_subject_is_valid(text, 256, false));
    cr_expect_not(uds_subject_is_valid("a\0b", 3, false));
}

Test(subject, matches_as_in_nats)
{
    UDS_TEST_GUARD;
    static const struct {
        const char *pattern, *subject;
        bool matches;
    } table[] = {
        {"a", "a", true},
        {"a", "b", false},
        {"a", "a.b", false},
        {"a.b", "a", false},
        {"a.b", "a.b", true},
        {"a.b", "a.bc", false},
        {"a.bc", "a.b", false},
        {"*", "a", true},
        {"*", "a.b", false},
        {"*.b", "a.b", true},
        {"a.*", "a.b", true},
        {"a.*", "a", false},
        {"a.*", "a.b.c", false},
        {"a.*.c", "a.b.c", true},
        {"a.*.c", "a.b.d", false},
        {">", "a", true},
        {">", "a.b.c", true},
        {"a.>", "a.b", true},
        {"a.>", "a.b.c", true},
        {"a.>", "a", false},
        {"a.>", "b.c", false},
        {"*.>", "a", false},
        {"*.>", "a.b", true},
        {"a*", "ab", false},
        {"a*", "a*", true},
        {"a.b>", "a.bc", false},
        {"a.b>", "a.b>", true},
        {">", "$SYS.x", false},
        {"*.x", "$SYS.x", false},
        {"*", "$SYS", false},
        {"$SYS.>", "$SYS.x", true},
        {"$SYS.*", "$SYS.x", true},
        {"$SYS.x", "$SYS.x", true},
        {"a.*", "a.$x", true},
        {"$SYS.>", "$OTHER.x", false},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        cr_expect_eq(uds_subject_matches(table[i].pattern, table[i].subject), table[i].matches,
                     "%s / %s", table[i].pattern, table[i].subject);
}
