/* SPDX-License-Identifier: MIT */

/* The v1 and hybrid backends against made-up trees: which hierarchies are entered, what is written and read. */

#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "cgroup-internal.h"
#include "cgroup.h"
#include "fake-cgroups.h"
#include "guard.h"

Test(cgroup_v1, writes_limits_with_swap_bounded)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout;
    begin();
    make_v1(V2_MOUNT);
    probe(&layout, NULL);
    sbxi_cgroup *cg = make(&layout, &all);
    cr_assert_str_eq(sbxi_cgroup_get_backend(cg), "hybrid");
    cr_assert_eq(strncmp(sbxi_cgroup_get_path(cg), "/sub/x/uds-t-", 13), 0);
    int fd = member_fd(cg, "/v1/cpu,cpuacct");
    cr_assert_str_eq(get(fd, "cpu.cfs_quota_us"), "50000");
    cr_assert_str_eq(get(fd, "cpu.shares"), "2048");
    close(fd);
    fd = member_fd(cg, "/v1/memory/sub/x");
    cr_assert_str_eq(get(fd, "memory.limit_in_bytes"), "67108864");
    cr_assert_str_eq(get(fd, "memory.memsw.limit_in_bytes"), "67108864");
    close(fd);
    fd = member_fd(cg, "/v1/pids");
    cr_assert_str_eq(get(fd, "pids.max"), "8");
    close(fd);
    cr_assert_geq(sbxi_cgroup_get_dirfd(cg), 0, "the v2 tree takes the child");
    sbxi_cgroup_free(cg);
    end();
}

Test(cgroup_v1, joins_every_hierarchy)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout;
    struct sbx_error error = {0};
    begin();
    make_v1("");
    probe(&layout, NULL);
    sbxi_cgroup *cg = make(&layout, &all);
    cr_assert_eq(sbxi_cgroup_get_dirfd(cg), -1);
    int fds[SBXI_CGROUP_HIERARCHIES];
    size_t n;
    cr_assert_eq(sbxi_cgroup_open_join(cg, fds, &n, &error), 0, "%s", error.text);
    cr_assert_eq(n, 4);
    for (size_t i = 0; i < n; i++) {
        cr_assert_eq(write(fds[i], "0", 1), 1);
        close(fds[i]);
    }
    static const char *const mounts[] = {"/v1/cpu,cpuacct", "/v1/memory/sub/x", "/v1/pids",
                                         "/v1/freezer"};
    for (size_t i = 0; i < 4; i++) {
        int fd = member_fd(cg, mounts[i]);
        cr_assert_str_eq(get(fd, "tasks"), "0");
        close(fd);
    }
    sbxi_cgroup_free(cg);
    end();
}

Test(cgroup_v1, reads_its_counters)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout;
    struct sbx_stats stats;
    begin();
    make_v1("33 31 0:30 / /v1/blkio rw - cgroup cgroup rw,blkio\n");
    put("/proc/self/cgroup",
        "5:blkio:/\n4:memory:/sub/x\n3:cpuacct,cpu:/\n2:pids:/\n1:freezer:/\n0::/\n");
    put("/v1/blkio/cgroup.procs", "");
    probe(&layout, NULL);
    sbxi_cgroup *cg = make(&layout, &all);
    put_stat(cg, "/v1/cpu,cpuacct", "cpuacct.usage", "1234999\n");
    put_stat(cg, "/v1/cpu,cpuacct", "cpu.stat",
             "nr_periods 9\nnr_throttled 2\nthrottled_time 77000\n");
    put_stat(cg, "/v1/memory/sub/x", "memory.usage_in_bytes", "4096\n");
    put_stat(cg, "/v1/memory/sub/x", "memory.max_usage_in_bytes", "8192\n");
    put_stat(cg, "/v1/memory/sub/x", "memory.oom_control",
             "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n");
    put_stat(cg, "/v1/pids", "pids.current", "2\n");
    put_stat(cg, "/v1/pids", "pids.peak", "8\n");
    put_stat(cg, "/v1/pids", "pids.events", "max 3\n");
    put_stat(cg, "/v1/blkio", "blkio.throttle.io_service_bytes_recursive",
             "8:0 Read 10\n8:0 Write 20\n8:0 Sync 30\n8:0 Total 30\n8:16 Read 1\n8:16 Write 2\n"
             "Total 33\n");
    cr_assert_eq(sbxi_cgroup_get_stats(cg, false, &stats), 0);
    cr_assert(stats.known);
    cr_assert_eq(stats.cpu_usec, 1234);
    cr_assert_eq(stats.throttled_usec, 77);
    cr_assert_eq(stats.memory_bytes, 4096);
    cr_assert_eq(stats.memory_peak_bytes, 8192);
    cr_assert_eq(stats.oom_kills, 1);
    cr_assert_eq(stats.pids, 2);
    cr_assert_eq(stats.pids_peak, 8);
    cr_assert_eq(stats.pids_refused, 3);
    cr_assert_eq(stats.io_read_bytes, 11);
    cr_assert_eq(stats.io_write_bytes, 22);
    cr_assert_eq(sbxi_cgroup_get_stats(cg, true, &stats), 0);
    cr_assert_eq(stats.cpu_usec, 1234);
    cr_assert_eq(stats.memory_peak_bytes, 8192);
    cr_assert_eq(stats.oom_kills, 1);
    cr_assert_eq(stats.memory_bytes, 0);
    cr_assert_eq(stats.pids_peak, 0);
    sbxi_cgroup_free(cg);
    end();
}

static bool has_member(sbxi_cgroup *cg, const char *mount)
{
    char path[512];
    snprintf(path, sizeof path, "%s%s/%s", root, mount, strrchr(sbxi_cgroup_get_path(cg), '/') + 1);
    return access(path, F_OK) == 0;
}

Test(cgroup_hybrid, enters_hierarchies_that_count_or_limit_it)
{
    UDS_TEST_GUARD;
    static const char *const mounts[] = {"/v1/cpu,cpuacct", "/v1/memory/sub/x", "/v1/pids",
                                         "/v1/freezer", "/cg"};
    static const struct sbx_limits none = {0}, pids = {.pids = 8}, cpu = {.cpu_percent = 50};
    static const struct {
        const char *what;
        const struct sbx_limits *limits;
        bool uncounted, lasting;
        bool in[5];
    } cases[] = {
        {"counted", &none, false, false, {false, true, true, false, true}},
        {"counted, with a limit", &cpu, false, false, {true, true, true, false, true}},
        {"uncounted", &none, true, false, {false, false, false, false, true}},
        {"uncounted, with a limit", &pids, true, false, {false, false, true, false, true}},
        {"a named group", &none, false, true, {true, true, true, false, true}},
    };
    struct sbxi_cgroup_layout layout;
    begin();
    make_v1(V2_MOUNT);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        probe(&layout, NULL);
        layout.uncounted = cases[i].uncounted;
        layout.lasting = cases[i].lasting;
        sbxi_cgroup *cg = make(&layout, cases[i].limits);
        for (size_t m = 0; m < 5; m++)
            cr_expect_eq(has_member(cg, mounts[m]), cases[i].in[m], "%s: %s", cases[i].what,
                         mounts[m]);
        sbxi_cgroup_free(cg);
    }
    end();
}

Test(cgroup_hybrid, is_in_every_hierarchy_that_limits_below_a_parent)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout;
    static const struct sbx_limits none = {0};
    begin();
    make_v1(V2_MOUNT);
    put("/v1/cpu,cpuacct/above/x", "");
    put("/v1/memory/above/x", "");
    put("/v1/pids/above/x", "");
    put("/v1/freezer/above/x", "");
    put("/cg/above/x", "");
    probe(&layout, "/above");
    layout.uncounted = true;
    sbxi_cgroup *cg = make(&layout, &none);
    cr_assert(has_member(cg, "/v1/cpu,cpuacct/above"));
    cr_assert(has_member(cg, "/v1/memory/above"));
    cr_assert(has_member(cg, "/v1/pids/above"));
    cr_assert_not(sbxi_cgroup_may_share(cg), "the limit of memory may be the parent's");
    sbxi_cgroup_free(cg);
    end();
}

Test(cgroup_v1, is_somewhere_although_nothing_is_counted)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout;
    static const struct sbx_limits none = {0};
    begin();
    make_v1("");
    probe(&layout, NULL);
    layout.uncounted = true;
    sbxi_cgroup *cg = make(&layout, &none);
    cr_assert(has_member(cg, "/v1/freezer"));
    cr_assert_not(has_member(cg, "/v1/memory/sub/x"));
    sbxi_cgroup_free(cg);
    put("/proc/self/mountinfo", "35 31 0:32 / /v1/memory rw - cgroup cgroup rw,memory\n");
    probe(&layout, NULL);
    layout.uncounted = true;
    cg = make(&layout, &none);
    cr_assert(has_member(cg, "/v1/memory/sub/x"), "nothing else could kill it");
    sbxi_cgroup_free(cg);
    end();
}

static int fill_without_swap_control(int dirfd, const struct sbxi_hierarchy *h)
{
    fill(dirfd, h);
    unlinkat(dirfd, "memory.memsw.limit_in_bytes", 0);
    return 0;
}

Test(cgroup_v1, keeps_out_of_swap_where_swap_is_not_accounted)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout;
    begin();
    make_v1("");
    probe(&layout, NULL);
    layout.fill = fill_without_swap_control;
    sbxi_cgroup *cg = make(&layout, &all);
    int fd = member_fd(cg, "/v1/memory/sub/x");
    cr_assert_str_eq(get(fd, "memory.swappiness"), "0");
    close(fd);
    sbxi_cgroup_free(cg);
    end();
}
