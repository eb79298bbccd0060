/* SPDX-License-Identifier: MIT */

/* The v2 backend against a made-up tree: what is handed down, written and read, and where. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <sys/wait.h>

#include "cgroup-internal.h"
#include "cgroup.h"
#include "fake-cgroups.h"
#include "guard.h"

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
