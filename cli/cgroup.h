/* SPDX-License-Identifier: MIT */
#ifndef CLI_CGROUP_H
#define CLI_CGROUP_H

#include <sbx/group.h>
#include <stdbool.h>

/* What the files of `uds cgroup` share: its command line, read. */

struct cgroup_options {
    const char *name; /* NULL: none was given */
    const char *run_dir, *parent;
    struct sbx_limits limits;
    bool named_limits; /* at least one */
    bool json, kill;
    uint32_t degrade;
    int interval_ms;
    unsigned long count; /* 0 = without end */
    char **command;      /* after the name; NULL-terminated */
};

/* Prints what is wrong. CLI_OK, or CLI_FAILED. */
int cgroup_open(sbx_group **ret, const struct cgroup_options *o);

/* cgroup-show.c, cgroup-watch.c: exit codes. */
int cgroup_ls(const struct cgroup_options *o);
int cgroup_watch(const struct cgroup_options *o);

#endif
