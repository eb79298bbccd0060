/* SPDX-License-Identifier: MIT */

/* The vocabulary of limits: text in, text out. */

#include <criterion/criterion.h>
#include <errno.h>
#include <sbx/limits.h>
#include <stdio.h>
#include <string.h>

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "cpus.h"
#include "guard.h"

static int set(struct sbx_limits *limits, const char *control, const char *value)
{
    const char *why = NULL;
    int r = sbx_limits_set(limits, control, value, &why);
    cr_assert_eq(r < 0, why != NULL, "%s %s: %d", control, value, r);
    return r;
}

/* A disk of this machine as "MAJOR:MINOR", or false: there is none. */
static bool find_disk(char ret[32])
{
    FILE *file = fopen("/proc/partitions", "r");
    char line[256], name[64], path[128];
    unsigned major, minor;
    bool found = false;
    while (file && !found && fgets(line, sizeof line, file)) {
        struct stat st;
        if (sscanf(line, "%u %u %*u %63s", &major, &minor, name) != 3)
            continue;
        snprintf(path, sizeof path, "/sys/dev/block/%u:%u/partition", major, minor);
        if (stat(path, &st) == 0)
            continue;
        snprintf(ret, 32, "%u:%u", major, minor);
        found = true;
    }
    if (file)
        fclose(file);
    return found;
}

Test(limits, say_again_what_they_were_told)
{
    UDS_TEST_GUARD;
    static const char *const said[][2] = {
        {"cpu", "150%"},        {"cpu-weight", "1024"}, {"cpuset", "0-2,5"}, {"memory", "64M"},
        {"memory-high", "48M"}, {"swap", "0"},          {"pids", "2048"},    {"io-weight", "2048"}};
    struct sbx_limits limits = SBX_LIMITS_INIT;
    const char *control;
    char value[256];
    size_t n = sizeof said / sizeof said[0];
    for (size_t i = 0; i < n; i++)
        cr_assert_eq(set(&limits, said[i][0], said[i][1]), 0);
    for (size_t i = 0; i < n; i++) {
        cr_assert(sbx_limits_get(&limits, i, &control, value, sizeof value));
        cr_expect_str_eq(control, said[i][0]);
        cr_expect_str_eq(value, said[i][1]);
    }
    cr_assert(!sbx_limits_get(&limits, n, &control, value, sizeof value));
}

Test(limits, are_lifted_by_max)
{
    UDS_TEST_GUARD;
    static const char *const controls[] = {"cpu",         "cpuset", "memory",
                                           "memory-high", "swap",   "pids"};
    struct sbx_limits limits = SBX_LIMITS_INIT;
    const char *control;
    char value[256];
    for (size_t i = 0; i < sizeof controls / sizeof controls[0]; i++) {
        cr_assert_eq(set(&limits, controls[i], "max"), 0);
        cr_assert(sbx_limits_get(&limits, i, &control, value, sizeof value));
        cr_expect_str_eq(control, controls[i]);
        cr_expect_str_eq(value, "max");
    }
    cr_expect_eq(limits.cpu_percent, SBX_CPU_UNLIMITED);
    cr_expect_eq(limits.memory_bytes, SBX_UNLIMITED);
}

Test(limits, refuse_what_no_kernel_takes)
{
    UDS_TEST_GUARD;
    static const char *const bad[][2] = {{"cpu", "50"},
                                         {"cpu", "0%"},
                                         {"cpu-weight", "0"},
                                         {"cpu-weight", "10001"},
                                         {"cpu-weight", "max"},
                                         {"cpuset", ""},
                                         {"cpuset", "3-1"},
                                         {"cpuset", "0,"},
                                         {"cpuset", "4096"},
                                         {"memory", "0"},
                                         {"memory", "1023K"},
                                         {"memory", "-1"},
                                         {"memory", "18446744073709551615"},
                                         {"pids", "0"},
                                         {"pids", "1K"},
                                         {"io-max", "8:0"},
                                         {"io-max", "rbps=1"},
                                         {"io-max", "/dev/null:"},
                                         {"io-max", "/dev/null:bps=1"},
                                         {"io-weight", "0"},
                                         {"nice", "1"}};
    struct sbx_limits limits = SBX_LIMITS_INIT, none = SBX_LIMITS_INIT;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        cr_expect_lt(set(&limits, bad[i][0], bad[i][1]), 0, "%s %s", bad[i][0], bad[i][1]);
    cr_expect_eq(memcmp(&limits, &none, sizeof none), 0, "nothing was written");
}

Test(limits, of_another_size_are_neither_read_nor_written)
{
    struct sbx_limits limits = {.size = sizeof limits - 8, .pids = 8}, before = limits;
    const char *control;
    char value[256];
    cr_expect_eq(set(&limits, "pids", "9"), -EINVAL);
    cr_expect_eq(memcmp(&limits, &before, sizeof limits), 0, "nothing was written");
    cr_expect(!sbx_limits_get(&limits, 0, &control, value, sizeof value));
}

Test(limits, merge_what_is_said_of_one_device)
{
    UDS_TEST_GUARD;
    struct sbx_limits limits = SBX_LIMITS_INIT;
    char disk[32], text[128], value[256];
    const char *control;
    if (!find_disk(disk))
        return;
    snprintf(text, sizeof text, "%s:rbps=1M,wiops=1000", disk);
    cr_assert_eq(set(&limits, "io-max", text), 0);
    snprintf(text, sizeof text, "%s:wbps=max", disk);
    cr_assert_eq(set(&limits, "io-max", text), 0);
    snprintf(text, sizeof text, "%s:300", disk);
    cr_assert_eq(set(&limits, "io-weight", text), 0);
    cr_assert_eq(limits.nio, 1);
    cr_expect_eq(limits.io[0].rbps, 1 << 20);
    cr_expect_eq(limits.io[0].wbps, SBX_UNLIMITED);
    cr_expect_eq(limits.io[0].riops, 0);
    cr_expect_eq(limits.io[0].wiops, 1000);
    cr_assert(sbx_limits_get(&limits, 0, &control, value, sizeof value));
    snprintf(text, sizeof text, "%s:rbps=1M,wbps=max,wiops=1000", disk);
    cr_expect_str_eq(value, text);
    cr_assert(sbx_limits_get(&limits, 1, &control, value, sizeof value));
    cr_expect_str_eq(control, "io-weight");
    cr_expect_eq(set(&limits, "io-max", "/proc:rbps=1"), -ENODEV);
    cr_expect_eq(set(&limits, "io-max", "/nonexistent:rbps=1"), -ENOENT);
}

Test(cpus, are_normalised_and_compared)
{
    UDS_TEST_GUARD;
    struct sbxi_cpus some, all;
    char text[64];
    cr_assert_eq(sbxi_cpus_parse("3,1-2,0,64,4095", &some), 0);
    cr_assert_eq(sbxi_cpus_format(&some, text, sizeof text), 0);
    cr_expect_str_eq(text, "0-3,64,4095");
    cr_assert_eq(sbxi_cpus_parse("0-4095\n", &all), 0);
    cr_expect(sbxi_cpus_contain(&all, &some));
    cr_expect_not(sbxi_cpus_contain(&some, &all));
    cr_expect_eq(sbxi_cpus_format(&some, text, 8), -E2BIG);
}
