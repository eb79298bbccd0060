/* SPDX-License-Identifier: MIT */
#ifndef UDS_TEST_GUARD_H
#define UDS_TEST_GUARD_H

#include <criterion/criterion.h>
#include <stddef.h>

/*
 * UDS_TEST_GUARD; as the first statement of a test body: when the body ends, everything else in it having been cleaned
 * up, the test fails if a descriptor, a child process or (under ASan) memory is left. It must be in the body: what
 * fails in a Criterion fixture still ends with exit status 0, and so does a leak that ASan reports.
 */

#define UDS_TEST_GUARD_FDS 4096

struct uds_test_guard {
    unsigned char open[UDS_TEST_GUARD_FDS / 8];
};

struct uds_test_guard uds_test_guard_begin(void);

/* What is left, in words, or NULL. */
const char *uds_test_guard_find(const struct uds_test_guard *guard, char *buf, size_t size);

static inline void uds_test_guard_check(struct uds_test_guard *guard)
{
    char buf[512];
    const char *left = uds_test_guard_find(guard, buf, sizeof(buf));

    cr_assert(!left, "the test leaves something behind: %s", left);
}

#define UDS_TEST_GUARD                                                                             \
    struct uds_test_guard uds_test_guard_ __attribute__((cleanup(uds_test_guard_check), unused)) = \
        uds_test_guard_begin()

#endif
