/* SPDX-License-Identifier: MIT */

/* Where cgroups can be made, in made-up trees: which hierarchies there are, and where we are in them. */

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "cgroup-internal.h"
#include "cgroup.h"
#include "fake-cgroups.h"
#include "guard.h"

Test(cgroup_probe, finds_v2_and_our_place_in_it)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout;
    begin();
    make_v2("cpu memory pids io");
    probe(&layout, NULL);
    cr_assert_str_eq(layout.backend->name, "v2");
    cr_assert_eq(layout.n, 1);
    cr_assert_str_eq(layout.hierarchies[0].own, "/app");
    cr_assert_eq(layout.hierarchies[0].controllers,
                 SBXI_CTL_CPU | SBXI_CTL_MEMORY | SBXI_CTL_PIDS | SBXI_CTL_IO);
    end();
}

Test(cgroup_probe, finds_a_different_place_in_each_v1_hierarchy)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout;
    begin();
    make_v1(V2_MOUNT);
    probe(&layout, NULL);
    cr_assert_str_eq(layout.backend->name, "hybrid");
    cr_assert_eq(layout.n, 5);
    cr_assert_eq(layout.hierarchies[0].controllers, SBXI_CTL_CPU | SBXI_CTL_CPUACCT);
    cr_assert_str_eq(layout.hierarchies[0].own, "/");
    cr_assert_str_eq(layout.hierarchies[1].own, "/sub/x");
    make_v1("");
    probe(&layout, NULL);
    cr_assert_str_eq(layout.backend->name, "v1");
    end();
}

Test(cgroup_probe, leaves_out_a_mount_that_does_not_contain_us)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout;
    begin();
    put("/proc/self/mountinfo", "41 31 0:38 /docker/one /cg rw - cgroup2 cgroup2 rw\n");
    put("/proc/self/cgroup", "0::/docker/two\n");
    probe(&layout, NULL);
    cr_assert_null(layout.backend);
    put("/proc/self/cgroup", "0::/docker/one/sub\n");
    probe(&layout, NULL);
    cr_assert_str_eq(layout.hierarchies[0].own, "/sub");
    end();
}

Test(cgroup_probe, steps_out_of_the_leaf_that_we_made)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout;
    begin();
    make_v2("cpu");
    put("/proc/self/cgroup", "0::/app/uds-self-leaf\n");
    probe(&layout, NULL);
    cr_assert_str_eq(layout.hierarchies[0].own, "/app");
    put("/proc/self/cgroup", "0::/uds-self-leaf\n");
    probe(&layout, NULL);
    cr_assert_str_eq(layout.hierarchies[0].own, "/");
    end();
}

Test(cgroup_probe, refuses_a_parent_that_is_missing_or_climbs)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout;
    struct sbx_error error = {0};
    begin();
    make_v2("cpu");
    cr_assert_eq(sbxi_cgroup_probe(&layout, root, "/nope", &error), -ENOENT);
    cr_assert_not_null(strstr(error.text, "/nope"));
    cr_assert_eq(sbxi_cgroup_probe(&layout, root, "/app/../..", &error), -EINVAL);
    cr_assert_eq(sbxi_cgroup_probe(&layout, root, "app", &error), -EINVAL);
    end();
}
