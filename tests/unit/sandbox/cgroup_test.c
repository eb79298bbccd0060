/* SPDX-License-Identifier: MIT */

/* Cgroups against made-up trees: where they are found, what is written, what is read, what is refused. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>
#include <sys/wait.h>

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

Test(cgroup_v2, writes_every_limit_and_hands_controllers_down)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout;
    begin();
    make_v2("cpu memory pids io");
    probe(&layout, NULL);
    sbxi_cgroup *cg = make(&layout, &all);
    int fd = sbxi_cgroup_get_dirfd(cg);
    cr_assert_geq(fd, 0);
    cr_assert_str_eq(get(fd, "cpu.max"), "50000 100000");
    cr_assert_str_eq(get(fd, "cpu.weight"), "200");
    cr_assert_str_eq(get(fd, "memory.max"), "67108864");
    cr_assert_str_eq(get(fd, "memory.swap.max"), "0");
    cr_assert_str_eq(get(fd, "memory.oom.group"), "1");
    cr_assert_str_eq(get(fd, "pids.max"), "8");
    char path[128];
    snprintf(path, sizeof path, "%s/cg/app", root);
    int own = open(path, O_DIRECTORY | O_CLOEXEC);
    cr_assert_eq(get(own, "cgroup.subtree_control")[0], '+');
    close(own);
    cr_assert_str_eq(sbxi_cgroup_get_backend(cg), "v2");
    cr_assert_null(sbxi_cgroup_free(cg));
    cr_assert_eq(rmdir(path), -1); /* its files are there; the sandbox's directory is not: */
    char count[160];
    snprintf(count, sizeof count, "test -z \"$(find %s/cg -name 'uds-*')\"", root);
    cr_assert_eq(system(count), 0);
    end();
}

Test(cgroup_v2, moves_itself_and_its_descendants_to_the_leaf_and_nobody_else)
{
    UDS_TEST_GUARD;
    char text[128], path[128], own[32];
    int held[2], down[2];
    begin();
    cr_assert_eq(pipe2(held, O_CLOEXEC), 0);
    cr_assert_eq(pipe2(down, O_CLOEXEC), 0);
    pid_t child = fork(), grandchild;
    if (child == 0) {
        grandchild = fork();
        close(held[1]);
        if (grandchild > 0)
            _exit(write(down[1], &grandchild, sizeof grandchild) < 0 ||
                  waitpid(grandchild, NULL, 0) < 0);
        _exit(read(held[0], text, 1) != 0);
    }
    cr_assert_eq(read(down[0], &grandchild, sizeof grandchild), (ssize_t)sizeof grandchild);

    /* A stranger first: our parent. Those who end meanwhile are passed over. */
    snprintf(text, sizeof text, "%d\n%d\n%d\n", (int)getppid(), (int)getpid(), (int)grandchild);
    put("/cg/app/cgroup.procs", text);
    put("/cg/app/leaf/x", "");
    snprintf(path, sizeof path, "%s/cg/app/leaf/cgroup.procs", root);
    cr_assert_eq(mkfifo(path, 0600), 0);
    int log = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    snprintf(path, sizeof path, "%s/cg/app", root);
    int fd = open(path, O_DIRECTORY | O_CLOEXEC);
    cr_assert_eq(sbxi_cgroup_v2_move_ours(fd, "leaf"), 0);
    ssize_t n = read(log, text, sizeof text - 1);
    cr_assert_gt(n, 0);
    text[n] = '\0';
    int len = snprintf(own, sizeof own, "%d%d", (int)getpid(), (int)grandchild);
    for (const char *p = text; strlen(p) >= (size_t)len;
         p += len) /* a fake tree moves nobody: again and again */
        cr_assert_eq(strncmp(p, own, (size_t)len), 0, "%s in %s", own, text);

    close(held[0]);
    close(held[1]);
    close(down[0]);
    close(down[1]);
    close(log);
    close(fd);
    cr_assert_eq(waitpid(child, NULL, 0), child);
    end();
}

Test(cgroup_v2, goes_above_a_cgroup_in_which_others_live)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout;
    begin();
    make_v2("cpu memory pids io");
    put("/proc/self/cgroup", "0::/app/user/session\n");
    put("/cg/cgroup.procs", "1\n"); /* the root, which may */
    put("/cg/app/cgroup.type", "domain\n");
    put("/cg/app/cgroup.procs", "");
    put("/cg/app/user/cgroup.type", "domain\n");
    put("/cg/app/user/cgroup.procs", "1\n");
    put("/cg/app/user/cgroup.subtree_control", "");
    put("/cg/app/user/session/cgroup.type", "domain\n");
    put("/cg/app/user/session/cgroup.procs", "1\n");
    put("/cg/app/user/session/cgroup.controllers", "");
    probe(&layout, NULL);
    cr_assert_str_eq(layout.hierarchies[0].own, "/app");
    cr_assert_eq(layout.hierarchies[0].controllers,
                 SBXI_CTL_CPU | SBXI_CTL_MEMORY | SBXI_CTL_PIDS | SBXI_CTL_IO);
    put("/cg/app/cgroup.procs", "1\n");
    probe(&layout, NULL);
    cr_assert_str_eq(layout.hierarchies[0].own, "/");
    probe(&layout, "/app/user/session");
    cr_assert_str_eq(layout.hierarchies[0].own, "/app/user/session", "what was asked for stays");
    char text[32];
    snprintf(text, sizeof text, "%d\n", (int)getpid());
    put("/cg/app/user/session/cgroup.procs", text);
    probe(&layout, NULL);
    cr_assert_str_eq(layout.hierarchies[0].own, "/app/user/session", "only we live there");
    end();
}

/* cpu and pids would be handed down by the kernel without a word, and nobody could enter the sandbox's cgroup then. */
Test(cgroup_v2, hands_nothing_down_where_others_live)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout;
    struct sbx_error error = {0};
    const struct sbx_limits pids = {.pids = 8}, none = {0};
    uint32_t degraded = 0;
    sbxi_cgroup *cg = NULL;
    char path[128], text[32];
    begin();
    make_v2("cpu memory pids io");
    put("/cg/app/cgroup.type", "domain\n");
    snprintf(text, sizeof text, "%d\n", (int)getppid());
    put("/cg/app/cgroup.procs", text);
    put("/cg/cgroup.type", "domain\n"); /* a cgroup namespace's root, with processes */
    put("/cg/cgroup.procs", text);
    probe(&layout, NULL);
    cr_assert_eq(sbxi_cgroup_new(&cg, &layout, "t", &pids, NULL, 0, &degraded, &error), -EBUSY);
    cr_assert_not_null(strstr(error.text, "/cg/app/cgroup.subtree_control (v2): other processes"));
    snprintf(path, sizeof path, "%s/cg/app", root);
    int own = open(path, O_DIRECTORY | O_CLOEXEC);
    cr_assert_str_eq(get(own, "cgroup.subtree_control"), "");
    cr_assert_eq(faccessat(own, "uds-self-leaf", F_OK, 0), -1, "nobody was moved");
    /* Statistics alone are not worth it either. */
    cr_assert_null(sbxi_cgroup_free(make(&layout, &none)));
    cr_assert_str_eq(get(own, "cgroup.subtree_control"), "");
    close(own);
    end();
}

Test(cgroup_v2, names_the_group_above_in_which_others_live)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout;
    struct sbx_error error = {0};
    uint32_t degraded = 0;
    sbxi_cgroup *cg = NULL;
    begin();
    make_v2("cpu memory pids io");
    put("/proc/self/cgroup", "0::/app/x\n");
    put("/cg/app/cgroup.type", "domain\n");
    put("/cg/app/cgroup.procs", "1\n");
    put("/cg/app/x/cgroup.controllers", "");
    put("/cg/app/x/cgroup.subtree_control", "");
    probe(&layout, NULL);
    cr_assert_eq(sbxi_cgroup_new(&cg, &layout, "t", &all, NULL, 0, &degraded, &error), -EBUSY);
    cr_assert_not_null(strstr(error.text, "/cg/app/cgroup.subtree_control (v2): other processes"));
    end();
}

Test(cgroup_v2, reads_its_counters)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout;
    struct sbx_stats stats;
    char path[160];
    begin();
    make_v2("cpu memory pids io");
    probe(&layout, NULL);
    sbxi_cgroup *cg = make(&layout, &all);
    snprintf(path, sizeof path, "/cg%s/", sbxi_cgroup_get_path(cg));
    char file[256];
#define STAT(name, text) (snprintf(file, sizeof file, "%s" name, path), put(file, text))
    STAT("cpu.stat", "usage_usec 1234\nuser_usec 1\nnr_throttled 2\nthrottled_usec 77\n");
    STAT("memory.current", "4096\n");
    STAT("memory.peak", "8192\n");
    STAT("memory.events", "low 0\noom 5\noom_kill 1\noom_group_kill 1\n");
    STAT("memory.pressure", "some avg10=1.25 avg60=0.00 avg300=0.00 total=99\n"
                            "full avg10=0.00 avg60=0.50 avg300=0.00 total=42\n");
    STAT("pids.current", "2\n");
    STAT("pids.peak", "8\n");
    STAT("pids.events", "max 3\n");
    STAT("io.stat", "8:0 rbytes=10 wbytes=20 rios=1\n8:16 rbytes=1 wbytes=2 dbytes=9\n");
    cr_assert_eq(sbxi_cgroup_get_stats(cg, false, &stats), 0);
    cr_assert(stats.known);
    cr_assert_eq(stats.cpu_usec, 1234);
    cr_assert_eq(stats.throttled_usec, 77);
    cr_assert_eq(stats.memory_bytes, 4096);
    cr_assert_eq(stats.memory_peak_bytes, 8192);
    cr_assert_eq(stats.oom_kills, 1);
    cr_assert_eq(stats.pids_peak, 8);
    cr_assert_eq(stats.pids_refused, 3);
    cr_assert_eq(stats.io_read_bytes, 11);
    cr_assert_eq(stats.io_write_bytes, 22);
    cr_assert_eq(stats.io_reads, 1);
    cr_assert_eq(stats.nio, 2);
    cr_assert_eq(stats.io[1].minor, 16);
    cr_assert_eq(stats.io[1].write_bytes, 2);
    cr_assert(stats.memory_pressure.known);
    cr_assert_float_eq(stats.memory_pressure.some_avg10, 1.25, 0.001);
    cr_assert_float_eq(stats.memory_pressure.full_avg60, 0.5, 0.001);
    cr_assert_eq(stats.memory_pressure.full_usec, 42);
    cr_assert_not(stats.io_pressure.known);
    cr_assert_eq(sbxi_cgroup_get_stats(cg, true, &stats), 0);
    cr_assert_eq(stats.cpu_usec, 1234);
    cr_assert_eq(stats.memory_peak_bytes, 8192);
    cr_assert_eq(stats.oom_kills, 1);
    cr_assert_eq(stats.pids_peak, 0);
    cr_assert_not(stats.memory_pressure.known);
    sbxi_cgroup_free(cg);
    end();
}

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

static int fill_without_swap_control(int dirfd, const struct sbxi_hierarchy *h)
{
    fill(dirfd, h);
    unlinkat(dirfd, "memory.memsw.limit_in_bytes", 0);
    return 0;
}

static int fill_without_pids(int dirfd, const struct sbxi_hierarchy *h)
{
    fill(dirfd, h);
    unlinkat(dirfd, "pids.max", 0);
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
