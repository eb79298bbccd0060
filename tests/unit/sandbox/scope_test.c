/* SPDX-License-Identifier: MIT */

/* The one D-Bus message that is written by hand, byte by byte where it matters. */

#include <criterion/criterion.h>
#include <string.h>

#include "guard.h"
#include "scope.h"

static uint32_t u32(const uint8_t *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* Where @text lies in the message, with its NUL. */
static size_t find(const uint8_t *bytes, size_t len, const char *text)
{
    const void *at = memmem(bytes, len, text, strlen(text) + 1);
    cr_assert_not_null(at, "%s", text);
    return (size_t)((const uint8_t *)at - bytes);
}

Test(scope, is_asked_for_by_a_message_whose_lengths_are_right)
{
    UDS_TEST_GUARD;
    uint8_t bytes[4096];
    const pid_t pids[] = {4711, 4712};
    size_t len = sbxi_scope_encode(bytes, sizeof bytes, "uds-a-1.scope", pids, 2);
    cr_assert_gt(len, 200);
    cr_expect_eq(bytes[1], 1, "a call");
    cr_expect_eq(bytes[3], 1, "of the one protocol there is");
    size_t fields = u32(bytes + 12), body = (16 + fields + 7) / 8 * 8;
    cr_expect_eq(body + u32(bytes + 4), len, "header, padding, body and nothing else");

    size_t unit = find(bytes, len, "uds-a-1.scope");
    cr_expect_eq(unit, body + 4, "the body begins with the name");
    cr_expect_eq(u32(bytes + unit - 4), strlen("uds-a-1.scope"));
    size_t mode = find(bytes, len, "fail");
    size_t properties = (mode + 5 + 3) / 4 * 4, first = (properties + 4 + 7) / 8 * 8;
    cr_expect_eq(first + u32(bytes + properties) + 4 + (len - 4 - first - u32(bytes + properties)),
                 len);
    cr_expect_eq(find(bytes, len, "Description"), first + 4, "the first property");

    size_t list = find(bytes, len, "PIDs") + 5;
    cr_expect_eq(memcmp(bytes + list, "\2au\0", 4), 0, "an array of numbers");
    list = (list + 4 + 3) / 4 * 4;
    cr_expect_eq(u32(bytes + list), 8, "two of them");
    cr_expect_eq(u32(bytes + list + 4), 4711);
    cr_expect_eq(u32(bytes + list + 8), 4712);
    cr_expect_eq(list + 12, first + u32(bytes + properties), "they are the last property");
}

Test(scope, that_does_not_fit_is_none)
{
    UDS_TEST_GUARD;
    uint8_t bytes[4096];
    const pid_t pid = 1;
    size_t len = sbxi_scope_encode(bytes, sizeof bytes, "u.scope", &pid, 1);
    for (size_t i = 0; i < len; i++)
        cr_assert_eq(sbxi_scope_encode(bytes, i, "u.scope", &pid, 1), 0);
}
