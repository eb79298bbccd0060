/* SPDX-License-Identifier: MIT */
#ifndef SBXI_LAUNCH_H
#define SBXI_LAUNCH_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "cgroup.h"
#include "plan.h"
#include "running.h"
#include "upper.h"

/* What exists only while starting. */
struct launch {
    const sbx_plan *plan;
    int control; /* the child's end */
    int notify;  /* PID 1's end; -1 = none */
    int adopt;   /* the payload's end; -1 = none */
    int blob, null, program;
    char program_path[PATH_MAX];
    int *fds, *spare;         /* the child's 0, 1, 2, … */
    size_t nfds, ntrees;      /* the last @ntrees of @fds are ours to close */
    int tree[SBXI_MAX_TREES]; /* by slot: what is in it; -1 = not opened here. Borrowed from @fds */
    bool apart;               /* the kernel's killer may come for the payload alone */
    bool nodes;               /* there is a /dev with them */
    struct sbxi_upper upper;
    int joins[SBXI_CGROUP_HIERARCHIES];
    size_t njoins;
};

/* trees.c: descriptors that fill slots: those of the caller, and trees where only we can reach them. */
int sbxi_launch_open_trees(struct launch *launch, const sbx *s, struct sbx_error *error);
/* Layers get the ids of the waiting child, whose user namespace has its maps. */
int sbxi_launch_map_layers(const struct launch *launch, sbx *s, struct sbx_error *error);
/* The plan's upper directory, if it has one: ours until PID 1 is gone. Before ids are taken. */
int sbxi_launch_take_upper(struct launch *launch, struct sbx_error *error);

/* blob.c: the plan as init reads it. */
int sbxi_launch_write_blob(struct launch *launch, bool cgroup);

#endif
