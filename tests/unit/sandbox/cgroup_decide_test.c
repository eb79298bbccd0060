/* SPDX-License-Identifier: MIT */

/* Whether there will be a cgroup, against made-up trees: what is refused, what may be left out, what is left behind. */

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "cgroup-internal.h"
#include "cgroup.h"
#include "fake-cgroups.h"
#include "guard.h"

Test(cgroup_new, keeps_apart_whose_memory_is_limited)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout;
    static const struct {
        struct sbx_limits limits;
        bool may_share;
    } cases[] = {
        {{0}, true},
        {{.pids = 8, .cpu_percent = 50}, true},
        {{.memory_bytes = 64 << 20}, false},
        {{.memory_high_bytes = 64 << 20}, false},
        {{.swap_named = true}, false},
    };
    begin();
    make_v2("cpu memory pids io");
    probe(&layout, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sbxi_cgroup *cg = make(&layout, &cases[i].limits);
        cr_expect_eq(sbxi_cgroup_may_share(cg), cases[i].may_share, "case %zu", i);
        sbxi_cgroup_free(cg);
    }
    end();
}

Test(cgroup_check, names_the_control_and_the_backend)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout;
    struct sbx_error error = {0};
    uint32_t degraded;
    begin();
    make_v2("cpu");
    probe(&layout, NULL);
    struct sbx_limits limits = {.memory_bytes = 1 << 20};
    cr_assert_eq(sbxi_cgroup_check(&layout, &limits, 0, &degraded, &error), -EOPNOTSUPP);
    cr_assert_not_null(strstr(error.text, "memory limit"), "%s", error.text);
    cr_assert_not_null(strstr(error.text, "v2 backend"), "%s", error.text);
    cr_assert_not_null(strstr(error.text, "--degrade=cgroup"), "%s", error.text);
    cr_assert_eq(sbxi_cgroup_check(&layout, &limits, SBX_DEGRADE_CGROUP, &degraded, &error), 0);
    cr_assert_eq(degraded, SBX_DEGRADE_CGROUP);
    end();
}

Test(cgroup_check, makes_none_for_a_cpu_limit_that_may_be_left_out)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout = {0}; /* no backend: nothing is mounted */
    struct sbx_error error = {0};
    struct sbx_limits limits = {.cpu_percent = 50};
    uint32_t degraded = 0;
    cr_assert_lt(sbxi_cgroup_check(&layout, &limits, SBX_DEGRADE_STATS, &degraded, &error), 0);
    cr_assert_eq(sbxi_cgroup_check(&layout, &limits, SBX_DEGRADE_CPU, &degraded, &error), 0);
    cr_assert_eq(degraded, SBX_DEGRADE_CPU | SBX_DEGRADE_STATS);
    limits.pids = 8;
    cr_assert_lt(sbxi_cgroup_check(&layout, &limits, SBX_DEGRADE_CPU, &degraded, &error), 0);
}

Test(cgroup_check, drops_cpu_alone_where_that_is_permitted)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout;
    struct sbx_error error = {0};
    uint32_t degraded = 0;
    sbxi_cgroup *cg = NULL;
    begin();
    make_v2("memory pids");
    probe(&layout, NULL);
    cr_assert_eq(sbxi_cgroup_check(&layout, &all, 0, &degraded, &error), -EOPNOTSUPP);
    cr_assert_eq(sbxi_cgroup_new(&cg, &layout, "t", &all, NULL, SBX_DEGRADE_CPU, &degraded, &error),
                 0);
    cr_assert_eq(degraded, SBX_DEGRADE_CPU);
    cr_assert_str_eq(get(sbxi_cgroup_get_dirfd(cg), "cpu.max"), "");
    cr_assert_str_eq(get(sbxi_cgroup_get_dirfd(cg), "pids.max"), "8");
    sbxi_cgroup_free(cg);
    end();
}

Test(cgroup_check, goes_without_when_nothing_was_asked_of_it)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout;
    struct sbx_error error = {0};
    struct sbx_limits none = {0};
    uint32_t degraded = 0;
    begin();
    put("/proc/self/mountinfo", "1 1 0:1 / / rw - ext4 x rw\n");
    put("/proc/self/cgroup", "");
    probe(&layout, NULL);
    cr_assert_eq(sbxi_cgroup_check(&layout, &none, 0, &degraded, &error), 0);
    cr_assert_eq(degraded, SBX_DEGRADE_STATS);
    cr_assert_eq(sbxi_cgroup_check(&layout, &all, 0, &degraded, &error), -EOPNOTSUPP);
    end();
}

static int fill_without_pids(int dirfd, const struct sbxi_hierarchy *h)
{
    fill(dirfd, h);
    unlinkat(dirfd, "pids.max", 0);
    return 0;
}

Test(cgroup_new, leaves_nothing_when_a_limit_cannot_be_written)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout;
    struct sbx_error error = {0};
    uint32_t degraded;
    sbxi_cgroup *cg = NULL;
    char count[160];
    begin();
    make_v1(V2_MOUNT);
    probe(&layout, NULL);
    layout.fill = fill_without_pids;
    cr_assert_lt(sbxi_cgroup_new(&cg, &layout, "t", &all, NULL, 0, &degraded, &error), 0);
    cr_assert_not_null(strstr(error.text, "pids.max"), "%s", error.text);
    cr_assert_not_null(strstr(error.text, "hybrid"), "%s", error.text);
    snprintf(count, sizeof count, "test -z \"$(find %s -mindepth 1 -name 'uds-*')\"", root);
    cr_assert_eq(system(count), 0);
    end();
}
