/* SPDX-License-Identifier: MIT */
#ifndef SBXI_LAUNCH_H
#define SBXI_LAUNCH_H

#include <stdbool.h>
#include <stddef.h>

#include "cgroup.h"
#include "plan.h"

/* What exists only while starting. */
struct launch {
    const sbx_plan *plan;
    int control; /* the child's end */
    int blob, null, program;
    int *fds, *spare;    /* the child's 0, 1, 2, … */
    size_t nfds, ntrees; /* the last @ntrees of @fds are ours to close */
    bool opened[SBXI_MAX_TREES];
    int joins[SBXI_CGROUP_HIERARCHIES];
    size_t njoins;
};

/* trees.c: descriptors that fill slots: those of the caller, and trees where only we can reach them. */
int sbxi_launch_open_trees(struct launch *launch, struct sbx_error *error);

/* blob.c: the plan as init reads it. */
int sbxi_launch_write_blob(struct launch *launch, bool cgroup);

#endif
