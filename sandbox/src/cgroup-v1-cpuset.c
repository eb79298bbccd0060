/* SPDX-License-Identifier: MIT */
/*
 * cpuset in the files of v1. Before a cgroup has CPUs and memory nodes nobody can enter it (ENOSPC) and none below it can be
 * given any (EACCES), and they do not come from above: a fresh one has none. So ours get what the cgroup above has; and
 * where that has none itself, as mkdir(1) leaves it, it gets what is above it, for nobody can live there.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cgroup-internal.h"
#include "error.h"

enum {
    LEVELS_MAX = 32
};
#define BACKEND "hybrid v1"

static const struct {
    const char *file, *effective;
} mems = {"cpuset.mems", "cpuset.effective_mems"}, cpus = {"cpuset.cpus", "cpuset.effective_cpus"};

static bool is_empty(const char *text)
{
    return !text[0] || text[0] == '\n';
}

/* @file of the cgroup that is @level above, 1 = the one that ours is in. */
static const char *name_above(char ret[128], int level, const char *file)
{
    size_t len = 0;
    while (level-- > 0)
        len += (size_t)snprintf(ret + len, 128 - len, "../");
    snprintf(ret + len, 128 - len, "%s", file);
    return ret;
}

static int empty_above(
    const struct sbxi_hierarchy *h, int level, const char *file, int err, struct sbx_error *error)
{
    char path[SBXI_RECORD_PATH_MAX];
    snprintf(path, sizeof path, "%s%s", h->mount, strcmp(h->own, "/") ? h->own : "");
    for (char *slash; --level > 0 && (slash = strrchr(path, '/'));)
        *slash = '\0';
    return sbxi_error(error, err,
                      "cgroup: %s/%s (" BACKEND
                      ") is empty, so that nobody can run there, and to fill "
                      "it: %s; let its owner write into it what the cgroup above has in its own",
                      path, file, strerror(err));
}

/* What the cgroup above permits; those above that nobody has filled are, the highest first. */
static int read_above(const struct sbxi_hierarchy *h,
                      int fd,
                      const char *file,
                      const char *effective,
                      char *ret,
                      size_t size,
                      struct sbx_error *error)
{
    char name[128];
    int level = 0, r;
    do {
        r = ++level < LEVELS_MAX
                ? sbxi_control_read(fd, name_above(name, level, effective), ret, size)
                : -ELOOP;
        if (r < 0 && level > 1) /* what is mounted here ends below: a container's part */
            return empty_above(h, level - 1, file, -r, error);
        if (r < 0)
            return sbxi_control_error(error, -r, BACKEND, h, effective, "");
    } while (is_empty(ret));
    while (--level > 0)
        if ((r = sbxi_control_write(fd, name_above(name, level, file), ret)) < 0)
            return empty_above(h, level, file, -r, error);
    return 0;
}

int sbxi_cgroup_v1_cpuset(const struct sbxi_hierarchy *h,
                          int fd,
                          const char *list,
                          struct sbx_error *error)
{
    char all[4096] = "", nodes[1024] = "", mine[4096] = "";
    int r = read_above(h, fd, cpus.file, cpus.effective, all, sizeof all, error);
    if (r >= 0)
        r = read_above(h, fd, mems.file, mems.effective, nodes, sizeof nodes, error);
    if (r < 0)
        return r;
    if ((r = sbxi_control_read(fd, cpus.file, mine, sizeof mine)) < 0)
        return sbxi_control_error(error, -r, BACKEND, h, cpus.file, "");
    bool named = list[0] && strcmp(list, "max") != 0;
    if (named && (r = sbxi_cgroup_check_cpus(h, list, all, BACKEND, error)) < 0)
        return r;
    if (is_empty(mine))
        r = sbxi_control_put(h, BACKEND, fd, mems.file, nodes, error);
    else if (!list[0])
        return 0;
    return r < 0 ? r : sbxi_control_put(h, BACKEND, fd, cpus.file, named ? list : all, error);
}
