/* SPDX-License-Identifier: MIT */
#ifndef SBXI_INIT_H
#define SBXI_INIT_H

#include <stdbool.h>
#include <stddef.h>

#include "steps.h"

/* What uds-sandbox-init holds: the plan, read-only, and what acting it out has opened so far. */
struct init {
    const struct sbxi_blob *blob;
    const struct sbxi_step *steps;
    int tree[SBXI_MAX_TREES]; /* -1: not opened */
    int root;                 /* the new /, O_PATH; before the pivot the old one */
    int error_fd;             /* payload's process: CLOEXEC pipe to PID 1 */
    uint64_t cgroup_ns;       /* inode, 0 = not ours */
    char detail[224];         /* of the step that failed */
};

static inline const char *init_a(const struct init *init, const struct sbxi_step *step)
{
    return (const char *)init->blob + step->a;
}

static inline const char *init_b(const struct init *init, const struct sbxi_step *step)
{
    return (const char *)init->blob + step->b;
}

/* -errno, with @format in the record that the launcher gets. */
int init_fail(struct init *init, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* mounts.c: the steps that build the root. */
int init_act_mount(struct init *init, const struct sbxi_step *step);
/* Below the new root, whatever symbolic links say. -errno or an O_PATH fd. */
int init_resolve(const struct init *init, const char *path);

/* payload.c: the steps after SBXI_FORK. Ends in execve or returns -errno. */
int init_act_payload(struct init *init, const struct sbxi_step *step);
/* Signal dispositions and mask as a program expects them at birth. */
void init_reset_signals(void);
int init_drop_bounds(void);
/* The permitted ones, bits 0–31. */
int init_get_caps(unsigned *ret);
/* Every capability set becomes @keep (bits 0–31), ambient empty. */
int init_set_caps(unsigned keep);

/* exec.c */
int init_exec(struct init *init, const struct sbxi_step *step);

#endif
