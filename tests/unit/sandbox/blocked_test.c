/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/stat.h>

#include "blocked.h"
#include "guard.h"

/* A /proc/sys with one knob in it. */
static void make(char dir[64], const char *group, const char *knob, const char *value)
{
    char path[160];
    strcpy(dir, "/tmp/blocked-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/%s", dir, group);
    cr_assert_eq(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/%s/%s", dir, group, knob);
    FILE *file = fopen(path, "w");
    cr_assert_not_null(file);
    fputs(value, file);
    fclose(file);
}

static void drop(const char *dir, const char *group, const char *knob)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s/%s", dir, group, knob);
    cr_expect_eq(remove(path), 0);
    snprintf(path, sizeof path, "%s/%s", dir, group);
    cr_expect_eq(remove(path), 0);
    cr_expect_eq(remove(dir), 0);
}

Test(blocked_advice, names_the_knob_that_refuses)
{
    UDS_TEST_GUARD;
    static const struct {
        const char *group, *knob, *refuses, *permits;
        int err;
    } knobs[] = {
        {"user", "max_user_namespaces", "0\n", "15000\n", ENOSPC},
        {"kernel", "unprivileged_userns_clone", "0\n", "1\n", EPERM},
        {"kernel", "apparmor_restrict_unprivileged_userns", "1\n", "0\n", EACCES},
    };
    for (size_t i = 0; i < sizeof knobs / sizeof knobs[0]; i++) {
        char dir[64];
        make(dir, knobs[i].group, knobs[i].knob, knobs[i].refuses);
        cr_expect_not_null(strstr(sbxi_blocked_advice(dir, knobs[i].err), knobs[i].knob), "%s",
                           knobs[i].knob);
        cr_expect_str_empty(sbxi_blocked_advice(dir, ENOMEM));
        drop(dir, knobs[i].group, knobs[i].knob);
        make(dir, knobs[i].group, knobs[i].knob, knobs[i].permits);
        cr_expect_str_empty(sbxi_blocked_advice(dir, knobs[i].err), "%s", knobs[i].knob);
        drop(dir, knobs[i].group, knobs[i].knob);
    }
    cr_expect_str_empty(sbxi_blocked_advice("/nowhere", EPERM));
}
