/* SPDX-License-Identifier: MIT */

/* Every control on both backends against made-up trees: what is written, read back, changed, taken back and lacking. */

#include "fake-cgroups.h"
#include "guard.h"

#define BLKIO_MOUNT  "33 31 0:30 / /v1/blkio rw - cgroup cgroup rw,blkio\n"
#define CPUSET_MOUNT "34 31 0:31 / /v1/cpuset rw - cgroup cgroup rw,cpuset\n"

static const struct sbx_limits everything = {
    .cpu_percent = 150,
    .cpu_weight = 50,
    .memory_bytes = 64 << 20,
    .memory_high_bytes = 48 << 20,
    .swap_named = true,
    .swap_bytes = 16 << 20,
    .pids = 8,
    .io_weight = 1200,
    .nio = 1,
    .io = {{.major = 254, .weight = 50, .rbps = 1 << 20, .wbps = SBX_UNLIMITED, .wiops = 10}},
    .cpus = "0"};

static int fill_more(int dirfd, const struct sbxi_hierarchy *h)
{
    static const char *const v2[] = {"memory.high", "io.max",         "io.bfq.weight",
                                     "cpuset.cpus", "memory.current", "cgroup.freeze",
                                     NULL};
    static const char *const v1[] = {"blkio.throttle.read_bps_device",
                                     "blkio.throttle.write_bps_device",
                                     "blkio.throttle.read_iops_device",
                                     "blkio.throttle.write_iops_device",
                                     "blkio.bfq.weight",
                                     "blkio.bfq.weight_device",
                                     "cpuset.cpus",
                                     "cpuset.mems",
                                     "memory.kmem.tcp.limit_in_bytes",
                                     NULL};
    fill(dirfd, h);
    for (const char *const *f = h->v2 ? v2 : v1; *f; f++)
        close(openat(dirfd, *f, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    return 0;
}

static void make_disks(const char *scheduler)
{
    put("/sys/block/vda/queue/scheduler", scheduler);
    put("/sys/dev/block/254:0/queue/scheduler", scheduler);
}

static void make_whole_v2(struct sbxi_cgroup_layout *layout)
{
    begin();
    make_v2("cpu memory pids io cpuset");
    put("/cg/app/cpuset.cpus.effective", "0-1\n");
    make_disks("none [bfq]\n");
    probe(layout, NULL);
    layout->fill = fill_more;
}

static void make_whole_hybrid(struct sbxi_cgroup_layout *layout)
{
    begin();
    make_v1(BLKIO_MOUNT CPUSET_MOUNT V2_MOUNT);
    put("/proc/self/cgroup",
        "6:cpuset:/\n5:blkio:/\n4:memory:/sub/x\n3:cpuacct,cpu:/\n2:pids:/\n1:freezer:/\n0::/\n");
    put("/v1/blkio/cgroup.procs", "");
    put("/v1/cpuset/cpuset.effective_cpus", "0-1\n");
    put("/v1/cpuset/cpuset.effective_mems", "0\n");
    make_disks("none [bfq]\n");
    probe(layout, NULL);
    layout->fill = fill_more;
}

Test(v2_limits, are_written_each_to_its_file)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout;
    make_whole_v2(&layout);
    sbxi_cgroup *cg = make(&layout, &everything);
    int fd = sbxi_cgroup_get_dirfd(cg);
    cr_expect_str_eq(get(fd, "cpu.max"), "150000 100000");
    cr_expect_str_eq(get(fd, "cpu.weight"), "50");
    cr_expect_str_eq(get(fd, "cpuset.cpus"), "0");
    cr_expect_str_eq(get(fd, "memory.max"), "67108864");
    cr_expect_str_eq(get(fd, "memory.high"), "50331648");
    cr_expect_str_eq(get(fd, "memory.swap.max"), "16777216");
    cr_expect_str_eq(get(fd, "pids.max"), "8");
    cr_expect_str_eq(get(fd, "io.max"), "254:0 rbps=1048576 wbps=max wiops=10");
    /* Two writes to one file, of which a plain file keeps what the second did not cover. */
    cr_expect_eq(strncmp(get(fd, "io.bfq.weight"), "254:0 50", 8), 0);
    sbxi_cgroup_free(cg);
    end();
}

Test(v1_limits, are_written_each_to_its_file)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout;
    struct sbx_limits limits = everything;
    make_whole_hybrid(&layout);
    limits.memory_high_bytes = limits.io[0].wiops = 0;
    sbxi_cgroup *cg = make(&layout, &limits);
    int fd = member_fd(cg, "/v1/cpu,cpuacct");
    cr_expect_str_eq(get(fd, "cpu.cfs_quota_us"), "150000");
    cr_expect_str_eq(get(fd, "cpu.shares"), "512");
    close(fd);
    fd = member_fd(cg, "/v1/cpuset");
    cr_expect_str_eq(get(fd, "cpuset.cpus"), "0");
    cr_expect_str_eq(get(fd, "cpuset.mems"), "0\n");
    close(fd);
    fd = member_fd(cg, "/v1/memory/sub/x");
    cr_expect_str_eq(get(fd, "memory.limit_in_bytes"), "67108864");
    cr_expect_str_eq(get(fd, "memory.memsw.limit_in_bytes"), "83886080", "memory and swap");
    cr_expect_str_eq(get(fd, "memory.kmem.tcp.limit_in_bytes"), "16777216");
    close(fd);
    fd = member_fd(cg, "/v1/blkio");
    cr_expect_str_eq(get(fd, "blkio.throttle.read_bps_device"), "254:0 1048576");
    cr_expect_str_eq(get(fd, "blkio.throttle.write_bps_device"), "254:0 0", "lifted");
    cr_expect_str_eq(get(fd, "blkio.bfq.weight"), "200", "1 to 1000 here");
    cr_expect_str_eq(get(fd, "blkio.bfq.weight_device"), "254:0 50");
    close(fd);
    sbxi_cgroup_free(cg);
    end();
}

Test(v1_limits, stay_below_the_quota_above)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout;
    const struct sbx_limits limits = {.cpu_percent = 150};
    make_whole_hybrid(&layout);
    put("/v1/cpu,cpuacct/cpu.cfs_quota_us", "25000\n");
    put("/v1/cpu,cpuacct/cpu.cfs_period_us", "50000\n");
    sbxi_cgroup *cg = make(&layout, &limits);
    int fd = member_fd(cg, "/v1/cpu,cpuacct");
    cr_expect_str_eq(get(fd, "cpu.cfs_quota_us"), "50000", "half a CPU is all there is");
    close(fd);
    sbxi_cgroup_free(cg);
    end();
}

static void expect_lack(const struct sbxi_cgroup_layout *layout,
                        const struct sbx_limits *limits,
                        const char *control,
                        const char *backend,
                        uint32_t degrade)
{
    struct sbx_error error = {0};
    uint32_t degraded = 0;
    char word[64];
    cr_expect_eq(sbxi_cgroup_check(layout, limits, 0, &degraded, &error), -EOPNOTSUPP);
    cr_expect_not_null(strstr(error.text, control), "%s", error.text);
    cr_expect_not_null(strstr(error.text, backend), "%s", error.text);
    snprintf(word, sizeof word, "--degrade=%s", sbx_degrade_name(degrade));
    cr_expect_not_null(strstr(error.text, word), "%s", error.text);
    cr_expect_eq(sbxi_cgroup_check(layout, limits, degrade, &degraded, &error), 0, "%s", word);
    cr_expect_eq(degraded, degrade, "%s", word);
}

Test(lacking, controls_of_v1_are_named_with_the_backend)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout;
    const struct sbx_limits high = {.memory_high_bytes = 1 << 20}, weight = {.io_weight = 50},
                            writes = {.nio = 1, .io = {{.major = 254, .wbps = 1}}},
                            reads = {.nio = 1, .io = {{.major = 254, .rbps = 1}}},
                            device = {.nio = 1, .io = {{.major = 254, .weight = 1}}};
    struct sbx_error error = {0};
    uint32_t degraded;
    make_whole_hybrid(&layout);
    make_disks("none [mq-deadline] bfq\n");
    expect_lack(&layout, &high, "memory-high", "hybrid", SBX_DEGRADE_MEMORY_HIGH);
    expect_lack(&layout, &writes, "buffered writes", "hybrid", SBX_DEGRADE_BUFFERED_WRITES);
    expect_lack(&layout, &weight, "io-weight", "hybrid", SBX_DEGRADE_IO);
    expect_lack(&layout, &device, "io-weight", "hybrid", SBX_DEGRADE_IO);
    cr_expect_eq(sbxi_cgroup_check(&layout, &reads, 0, &degraded, &error), 0);
    make_disks("none mq-deadline [bfq]\n");
    cr_expect_eq(sbxi_cgroup_check(&layout, &weight, 0, &degraded, &error), 0);
    cr_expect_eq(sbxi_cgroup_check(&layout, &device, 0, &degraded, &error), 0);
    end();
}

Test(lacking, controls_of_v2_are_named_with_the_backend)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout;
    const struct sbx_limits weight = {.io_weight = 50}, cpus = {.cpus = "0"},
                            writes = {.nio = 1, .io = {{.major = 254, .wbps = 1}}};
    struct sbx_error error = {0};
    uint32_t degraded;
    make_whole_v2(&layout);
    make_disks("[none]\n");
    expect_lack(&layout, &weight, "io-weight", "v2", SBX_DEGRADE_IO);
    cr_expect_eq(sbxi_cgroup_check(&layout, &writes, 0, &degraded, &error), 0);
    put("/cg/io.cost.qos", "254:0 enable=1 ctrl=auto rpct=95.00\n");
    cr_expect_eq(sbxi_cgroup_check(&layout, &weight, 0, &degraded, &error), 0);
    end();
    begin();
    make_v2("cpu memory pids");
    probe(&layout, NULL);
    expect_lack(&layout, &cpus, "cpuset", "v2", SBX_DEGRADE_CPUSET);
    expect_lack(&layout, &writes, "io-max", "v2", SBX_DEGRADE_IO);
    end();
}

Test(lacking, swap_alone_is_refused_by_v1)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout;
    struct sbx_error error = {0};
    const struct sbx_limits swap = {.swap_named = true, .swap_bytes = 1 << 20};
    uint32_t degraded;
    sbxi_cgroup *cg = NULL;
    make_whole_hybrid(&layout);
    cr_expect_eq(sbxi_cgroup_new(&cg, &layout, "t", &swap, NULL, 0, &degraded, &error),
                 -EOPNOTSUPP);
    cr_expect_not_null(strstr(error.text, "name --memory too"), "%s", error.text);
    end();
}

Test(cpuset, of_other_peoples_cpus_is_refused_by_both)
{
    UDS_TEST_GUARD;
    const struct sbx_limits limits = {.cpus = "1-2"};
    for (int i = 0; i < 2; i++) {
        struct sbxi_cgroup_layout layout;
        struct sbx_error error = {0};
        uint32_t degraded;
        sbxi_cgroup *cg = NULL;
        if (i == 0)
            make_whole_v2(&layout);
        else
            make_whole_hybrid(&layout);
        cr_expect_eq(sbxi_cgroup_new(&cg, &layout, "t", &limits, NULL, 0, &degraded, &error),
                     -EINVAL);
        cr_expect_not_null(strstr(error.text, "there are 0-1"), "%s", error.text);
        end();
    }
}

/* As mkdir(1) leaves it, and as cgcreate(1) does. */
Test(cpuset, above_that_nobody_has_filled_is_filled_from_above_it)
{
    UDS_TEST_GUARD;
    const struct sbx_limits limits = {.cpus = "1"};
    struct sbxi_cgroup_layout layout;
    make_whole_hybrid(&layout);
    for (int i = 0; i < 2; i++) {
        const char *const above = i ? "/v1/cpuset/a/b/" : "/v1/cpuset/a/";
        static const char *const files[] = {"cpuset.cpus", "cpuset.mems", "cpuset.effective_cpus",
                                            "cpuset.effective_mems"};
        for (size_t f = 0; f < 4; f++) {
            char path[128];
            snprintf(path, sizeof path, "%s%s", above, files[f]);
            put(path, "");
        }
    }
    static const char *const others[] = {"cpu,cpuacct", "memory", "pids", "blkio", "freezer"};
    for (size_t i = 0; i < 5; i++) {
        char path[128];
        snprintf(path, sizeof path, "/v1/%s/a/b/cgroup.procs", others[i]);
        put(path, "");
    }
    put("/cg/a/b/cgroup.procs", "");
    probe(&layout, "/a/b");
    layout.fill = fill_more;
    sbxi_cgroup *cg = make(&layout, &limits);
    int cpuset = member_fd(cg, "/v1/cpuset/a/b");
    cr_expect_str_eq(get(cpuset, "cpuset.cpus"), "1");
    cr_expect_str_eq(get(cpuset, "../cpuset.cpus"), "0-1\n");
    cr_expect_str_eq(get(cpuset, "../cpuset.mems"), "0\n");
    cr_expect_str_eq(get(cpuset, "../../cpuset.cpus"), "0-1\n");
    close(cpuset);
    sbxi_cgroup_free(cg);
    end();
}

Test(live, a_change_touches_only_what_it_names)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout;
    struct sbx_limits now;
    struct sbx_error error = {0};
    const struct sbx_limits more = {.pids = SBX_UNLIMITED, .cpu_percent = SBX_CPU_UNLIMITED};
    make_whole_v2(&layout);
    sbxi_cgroup *cg = make(&layout, &everything);
    cr_assert_eq(sbxi_cgroup_set_limits(cg, &more, &error), 0, "%s", error.text);
    sbxi_cgroup_get_limits(cg, &now);
    cr_expect_eq(now.pids, SBX_UNLIMITED);
    cr_expect_eq(now.cpu_percent, SBX_CPU_UNLIMITED);
    cr_expect_eq(now.cpu_weight, 50);
    cr_expect_eq(now.memory_bytes, 64 << 20);
    cr_expect_eq(now.memory_high_bytes, 48 << 20);
    cr_expect(now.swap_named && now.swap_bytes == 16 << 20);
    cr_expect_eq(now.nio, 1);
    cr_expect_eq(now.io[0].rbps, 1 << 20);
    cr_expect_eq(now.io[0].riops, SBX_UNLIMITED);
    sbxi_cgroup_free(cg);
    end();
}

Test(live, limits_of_v1_read_as_those_of_v2)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout;
    struct sbx_limits limits = everything, now;
    make_whole_hybrid(&layout);
    limits.memory_high_bytes = limits.io[0].wiops = 0;
    sbxi_cgroup *cg = make(&layout, &limits);
    sbxi_cgroup_get_limits(cg, &now);
    cr_expect_eq(now.cpu_percent, 150);
    cr_expect_eq(now.cpu_weight, 50);
    cr_expect_str_eq(now.cpus, "0");
    cr_expect_eq(now.memory_bytes, 64 << 20);
    cr_expect(now.swap_named && now.swap_bytes == 16 << 20);
    cr_expect_eq(now.pids, 8);
    cr_expect_eq(now.io[0].rbps, 1 << 20);
    cr_expect_eq(now.io_weight, 1200);
    sbxi_cgroup_free(cg);
    end();
}

Test(live, a_change_that_fails_is_taken_back)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout;
    struct sbx_error error = {0};
    const struct sbx_limits before = {.cpu_percent = 50, .pids = 8},
                            change = {.cpu_percent = 80, .pids = 9};
    make_whole_v2(&layout);
    sbxi_cgroup *cg = make(&layout, &before);
    int fd = sbxi_cgroup_get_dirfd(cg);
    cr_assert_eq(unlinkat(fd, "pids.max", 0), 0);
    cr_expect_lt(sbxi_cgroup_set_limits(cg, &change, &error), 0);
    cr_expect_not_null(strstr(error.text, "pids.max"), "%s", error.text);
    cr_expect_str_eq(get(fd, "cpu.max"), "50000 100000");
    sbxi_cgroup_free(cg);
    end();
}

Test(live, a_limit_that_would_kill_is_refused)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout;
    struct sbx_error error = {0};
    const struct sbx_limits less = {.memory_bytes = 32 << 20};
    make_whole_v2(&layout);
    sbxi_cgroup *cg = make(&layout, &everything);
    int fd = sbxi_cgroup_get_dirfd(cg);
    cr_assert_eq(sbxi_control_write(fd, "memory.current", "50331648"), 0);
    cr_expect_eq(sbxi_cgroup_set_limits(cg, &less, &error), -EBUSY, "before Linux 5.19");
    cr_expect_str_eq(get(fd, "memory.max"), "67108864");
    cr_expect_str_eq(get(fd, "memory.high"), "50331648", "as it was");
    close(openat(fd, "memory.reclaim", O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    cr_expect_eq(sbxi_cgroup_set_limits(cg, &less, &error), -EBUSY);
    cr_expect_not_null(strstr(error.text, "49152 KiB are in use"), "%s", error.text);
    cr_expect_str_eq(get(fd, "memory.max"), "67108864");
    cr_expect_str_eq(get(fd, "memory.reclaim"), "16777216");
    sbxi_cgroup_free(cg);
    end();
}

/* A payload under no cpu limit has no directory there; it gets one when the limit comes. */
Test(live, a_new_hierarchy_is_joined_late)
{
    UDS_TEST_GUARD;
    struct sbxi_cgroup_layout layout;
    struct sbx_error error = {0};
    const struct sbx_limits none = {0}, cpus = {.cpus = "1"};
    char path[256], pid[16];
    make_whole_hybrid(&layout);
    snprintf(pid, sizeof pid, "%d", (int)getpid()); /* the one that a fake cgroup never kills */
    sbxi_cgroup *cg = make(&layout, &none);
    snprintf(path, sizeof path, "%s/v1/cpuset/%s", root,
             strrchr(sbxi_cgroup_get_path(cg), '/') + 1);
    cr_assert_eq(access(path, F_OK), -1);
    put_stat(cg, "/cg", "cgroup.events", "populated 1\nfrozen 1\n"); /* as it is after the freeze */
    put_stat(cg, "/v1/memory/sub/x", "cgroup.procs", pid);
    int r = sbxi_cgroup_set_limits(cg, &cpus, &error);
    cr_assert_eq(r, 0, "%s", error.text);
    int fd = member_fd(cg, "/v1/cpuset");
    cr_expect_str_eq(get(fd, "cpuset.cpus"), "1");
    cr_expect_str_eq(get(fd, "cgroup.procs"), pid);
    close(fd);
    put_stat(cg, "/cg", "cgroup.events", "populated 0\nfrozen 0\n");
    put_stat(cg, "/v1/memory/sub/x", "cgroup.procs", "");
    put_stat(cg, "/v1/cpuset", "cgroup.procs", "");
    sbxi_cgroup_free(cg);
    end();
}
