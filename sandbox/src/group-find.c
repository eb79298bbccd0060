/* SPDX-License-Identifier: MIT */
/*
 * Where groups are written down. Named ones in <run>/groups, a file each; the cgroup of a running sandbox is in the record
 * of its cleaner, which is locked as long as the sandbox may live.
 */

#include "group-find.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sbx/group.h>
#include <stdlib.h>
#include <string.h>

#include <sys/file.h>
#include <sys/stat.h>

#include "cgroup.h"
#include "cleanup.h"
#include "error.h"
#include "rundir.h"
#include "sweep.h"

enum {
    MAX_SLOTS = 65536
};

bool sbxi_group_is_name(const char *name)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    return n > 0 && n <= 48 && !name[n];
}

int sbxi_group_open_dir(
    const char *run_dir, const char *sub, bool make, char path[PATH_MAX], struct sbx_error *error)
{
    _cleanup_close_ int run = sbxi_rundir_open(path, run_dir, make, error);
    if (run < 0)
        return run;
    int fd = sbxi_rundir_open_sub(run, sub, make);
    if (fd < 0 && fd != -ENOENT)
        return sbxi_error(error, -fd, "group: %s/%s: %s", path, sub, strerror(-fd));
    return fd;
}

size_t sbxi_group_sandbox_name(const char *base)
{
    const char *end = base + strlen(base);
    for (int part = 0; part < 2; part++) {
        const char *digits = end;
        while (digits > base && digits[-1] >= '0' && digits[-1] <= '9')
            digits--;
        if (digits == end || digits == base || digits[-1] != '-')
            return 0;
        end = digits - 1;
    }
    return strncmp(base, "uds-", 4) == 0 && strncmp(base, "uds-group-", 10) != 0 && end > base + 4
               ? (size_t)(end - base - 4)
               : 0;
}

const char *sbxi_group_base(const struct sbxi_record *record)
{
    return strrchr(record->path, '/') + 1;
}

/* All cgroup records of one cleaner, called once for each sandbox. */
static int each_of_file(int fd, sbxi_sandbox_fn fn, void *arg)
{
    struct stat st;
    if (sbxi_sweep_check_file(fd) < 0 || fstat(fd, &st) < 0 ||
        st.st_size > (off_t)(MAX_SLOTS * sizeof(struct sbxi_record)))
        return 0;
    size_t n = (size_t)st.st_size / sizeof(struct sbxi_record);
    _cleanup_free_ struct sbxi_record *all = calloc(n + 1, sizeof *all);
    ssize_t len = all ? pread(fd, all, n * sizeof *all, 0) : -1;
    n = len < 0 ? 0 : (size_t)len / sizeof *all;
    for (size_t i = 0; i < n; i++)
        if (sbxi_record_check(&all[i]) < 0 || all[i].kind != SBXI_RECORD_CGROUP ||
            !sbxi_group_sandbox_name(sbxi_group_base(&all[i])))
            all[i].kind = SBXI_RECORD_FREE;
    for (size_t i = 0; i < n; i++) {
        struct sbxi_record one[SBXI_CGROUP_HIERARCHIES];
        size_t k = 0;
        if (all[i].kind == SBXI_RECORD_FREE)
            continue;
        for (size_t j = n; j-- > i;)
            if (all[j].kind != SBXI_RECORD_FREE &&
                strcmp(sbxi_group_base(&all[j]), sbxi_group_base(&all[i])) == 0 &&
                k < SBXI_CGROUP_HIERARCHIES) {
                one[k++] = all[j];
                if (j != i)
                    all[j].kind = SBXI_RECORD_FREE;
            }
        int r = fn(one, k, arg);
        if (r != 0)
            return r;
    }
    return 0;
}

int sbxi_group_each_sandbox(const char *run_dir,
                            sbxi_sandbox_fn fn,
                            void *arg,
                            struct sbx_error *error)
{
    char path[PATH_MAX];
    int records = sbxi_group_open_dir(run_dir, "records", false, path, error);
    if (records < 0)
        return records == -ENOENT ? 0 : records;
    _cleanup_closedir_ DIR *dir = fdopendir(records);
    if (!dir) {
        close(records);
        return -ENOMEM;
    }
    const struct dirent *e;
    int r = 0;
    while (r == 0 && (e = readdir(dir))) {
        _cleanup_close_ int fd =
            e->d_name[0] == '.'
                ? -1
                : openat(records, e->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        /* Locked: its owner or cleaner lives. A shared lock of ours for a moment keeps no sweep away. */
        if (fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0)
            r = each_of_file(fd, fn, arg);
    }
    return r;
}

struct list {
    struct sbx_group_entry *entries;
    size_t n;
};

static int append(struct list *list, const char *name, enum sbx_group_kind kind)
{
    struct sbx_group_entry *grown = reallocarray(list->entries, list->n + 1, sizeof *grown);
    if (!grown)
        return -ENOMEM;
    list->entries = grown;
    grown[list->n] = (struct sbx_group_entry){.kind = kind};
    snprintf(grown[list->n].name, sizeof grown[list->n].name, "%.95s", name);
    list->n++;
    return 0;
}

static int append_sandbox(const struct sbxi_record *records, size_t n, void *arg)
{
    (void)n;
    return append(arg, sbxi_group_base(&records[0]) + 4, SBX_GROUP_SANDBOX);
}

static int append_groups(struct list *list, const char *run_dir, struct sbx_error *error)
{
    char path[PATH_MAX];
    int groups = sbxi_group_open_dir(run_dir, "groups", false, path, error);
    if (groups < 0)
        return groups == -ENOENT ? 0 : groups;
    _cleanup_closedir_ DIR *dir = fdopendir(groups);
    if (!dir) {
        close(groups);
        return -ENOMEM;
    }
    const struct dirent *e;
    int r = 0;
    while (r == 0 && (e = readdir(dir)))
        if (sbxi_group_is_name(e->d_name))
            r = append(list, e->d_name, SBX_GROUP_NAMED);
    return r;
}

static int by_name(const void *a, const void *b)
{
    const struct sbx_group_entry *x = a, *y = b;
    return x->kind != y->kind ? (x->kind > y->kind) - (x->kind < y->kind)
                              : strcmp(x->name, y->name);
}

int sbx_group_list(const char *run_dir,
                   struct sbx_group_entry **ret,
                   size_t *ret_n,
                   struct sbx_error *error)
{
    struct list list = {NULL, 0};
    int r = append_groups(&list, run_dir, error);
    if (r == 0)
        r = sbxi_group_each_sandbox(run_dir, append_sandbox, &list, error);
    if (r < 0) {
        free(list.entries);
        return r;
    }
    if (list.n)
        qsort(list.entries, list.n, sizeof *list.entries, by_name);
    *ret = list.entries;
    *ret_n = list.n;
    return 0;
}
