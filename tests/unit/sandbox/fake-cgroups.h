/* SPDX-License-Identifier: MIT */
#ifndef FAKE_CGROUPS_H
#define FAKE_CGROUPS_H

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

#include "cgroup-internal.h"
#include "cgroup.h"

/* Made-up cgroup trees: /proc and mounts below a directory of our own, files that take what is written. */

static char root[64];

static __attribute__((unused)) void put(const char *path, const char *text)
{
    char whole[512];
    snprintf(whole, sizeof whole, "%s%s", root, path);
    for (char *p = whole + strlen(root) + 1; (p = strchr(p, '/')); p++) {
        *p = '\0';
        mkdir(whole, 0755);
        *p = '/';
    }
    FILE *file = fopen(whole, "w");
    cr_assert_not_null(file, "%s", whole);
    fputs(text, file);
    fclose(file);
}

static __attribute__((unused)) int
remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static __attribute__((unused)) void begin(void)
{
    strcpy(root, "/tmp/uds-cgroup-test-XXXXXX");
    cr_assert_not_null(mkdtemp(root));
}

static __attribute__((unused)) void end(void)
{
    nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

#define V2_MOUNT "41 31 0:38 / /cg rw - cgroup2 cgroup2 rw\n"
#define V1_MOUNTS                                                      \
    "32 31 0:29 / /v1/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n" \
    "35 31 0:32 / /v1/memory rw - cgroup cgroup rw,memory\n"           \
    "37 31 0:34 / /v1/freezer rw - cgroup cgroup rw,freezer\n"         \
    "39 31 0:36 / /v1/pids rw - cgroup cgroup rw,pids\n"               \
    "40 31 0:37 / /v1/systemd rw - cgroup cgroup rw,name=systemd\n"

static __attribute__((unused)) void make_v2(const char *controllers)
{
    put("/proc/self/mountinfo", V2_MOUNT);
    put("/proc/self/cgroup", "0::/app\n");
    put("/cg/cgroup.controllers", controllers);
    put("/cg/cgroup.subtree_control", "");
    put("/cg/app/cgroup.controllers", controllers);
    put("/cg/app/cgroup.subtree_control", "");
}

static __attribute__((unused)) void make_v1(const char *more_mounts)
{
    char mounts[1024];
    snprintf(mounts, sizeof mounts, "%s%s", V1_MOUNTS, more_mounts);
    put("/proc/self/mountinfo", mounts);
    put("/proc/self/cgroup", "4:memory:/sub/x\n3:cpuacct,cpu:/\n2:pids:/\n1:freezer:/\n0::/\n");
    put("/v1/cpu,cpuacct/cgroup.procs", "");
    put("/v1/memory/sub/x/cgroup.procs", "");
    put("/v1/freezer/cgroup.procs", "");
    put("/v1/pids/cgroup.procs", "");
    put("/cg/cgroup.procs", "");
}

/* What the kernel does at mkdir. */
static __attribute__((unused)) int fill(int dirfd, const struct sbxi_hierarchy *h)
{
    static const char *const v2[] = {"cpu.max",      "cpu.weight",       "memory.max",
                                     "cgroup.procs", "memory.oom.group", "memory.swap.max",
                                     "memory.high",  "pids.max",         NULL};
    static const char *const v1[] = {"cpu.cfs_quota_us",
                                     "cpu.cfs_period_us",
                                     "cpu.shares",
                                     "memory.limit_in_bytes",
                                     "memory.memsw.limit_in_bytes",
                                     "memory.swappiness",
                                     "pids.max",
                                     "cgroup.procs",
                                     "tasks",
                                     NULL};
    for (const char *const *f = h->v2 ? v2 : v1; *f; f++)
        close(openat(dirfd, *f, O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
    if (h->controllers & SBXI_CTL_CPU && !h->v2)
        cr_assert_eq(sbxi_control_write(dirfd, "cpu.cfs_period_us", "100000"), 0);
    return 0;
}

static __attribute__((unused)) const char *get(int dirfd, const char *file)
{
    static char text[256];
    cr_assert_eq(sbxi_control_read(dirfd, file, text, sizeof text), 0, "%s", file);
    return text;
}

static __attribute__((unused)) int member_fd(sbxi_cgroup *cg, const char *mount)
{
    char path[512];
    snprintf(path, sizeof path, "%s%s", root, mount);
    const char *name = strrchr(sbxi_cgroup_get_path(cg), '/') + 1;
    strcat(path, "/");
    strcat(path, name);
    int fd = open(path, O_DIRECTORY | O_CLOEXEC);
    cr_assert_geq(fd, 0, "%s", path);
    return fd;
}

static __attribute__((unused)) void probe(struct sbxi_cgroup_layout *layout, const char *parent)
{
    struct sbx_error error = {0};
    cr_assert_eq(sbxi_cgroup_probe(layout, root, parent, &error), 0, "%s", error.text);
    layout->fill = fill;
}

static const __attribute__((unused)) struct sbx_limits all = {
    .cpu_percent = 50, .cpu_weight = 200, .memory_bytes = 64 << 20, .pids = 8};

static __attribute__((unused)) sbxi_cgroup *make(const struct sbxi_cgroup_layout *layout,
                                                 const struct sbx_limits *limits)
{
    struct sbx_error error = {0};
    sbxi_cgroup *cg = NULL;
    uint32_t degraded = 99;
    cr_assert_eq(sbxi_cgroup_new(&cg, layout, "t", limits, NULL, 0, &degraded, &error), 0, "%s",
                 error.text);
    cr_assert_eq(degraded, 0);
    cr_assert_not_null(cg);
    return cg;
}

static __attribute__((unused)) void
put_stat(const sbxi_cgroup *cg, const char *mount, const char *name, const char *text)
{
    char file[512];
    snprintf(file, sizeof file, "%s/%s/%s", mount, strrchr(sbxi_cgroup_get_path(cg), '/') + 1,
             name);
    put(file, text);
}

#endif
