/* SPDX-License-Identifier: MIT */
#ifndef SBXI_GROUP_FIND_H
#define SBXI_GROUP_FIND_H

#include <limits.h>
#include <sbx/sandbox.h>
#include <stdbool.h>
#include <stddef.h>

#include "record.h"

/* Where groups are written down (see group-find.c). */

/* Of a named group: it becomes a file's name. */
bool sbxi_group_is_name(const char *name);
/* <run>/@sub; @path becomes the run directory. With @make false, -ENOENT without words where there is none. */
int sbxi_group_open_dir(
    const char *run_dir, const char *sub, bool make, char path[PATH_MAX], struct sbx_error *error);

/* The last component of a cgroup's path. */
const char *sbxi_group_base(const struct sbxi_record *record);
/* Of "uds-NAME-PID-NUMBER" the length of NAME, 0: @base is not such a name. */
size_t sbxi_group_sandbox_name(const char *base);
/* Calls @fn with the directories of each running sandbox until it returns something else than 0, which is returned. */
typedef int (*sbxi_sandbox_fn)(const struct sbxi_record *records, size_t n, void *arg);
int sbxi_group_each_sandbox(const char *run_dir,
                            sbxi_sandbox_fn fn,
                            void *arg,
                            struct sbx_error *error);

#endif
