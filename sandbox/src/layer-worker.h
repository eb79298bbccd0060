/* SPDX-License-Identifier: MIT */
#ifndef SBXI_LAYER_WORKER_H
#define SBXI_LAYER_WORKER_H

#include <limits.h>
#include <sbx/layer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The child that touches hostile trees: root of a user namespace that has the sandbox's ids and nothing else, with its root
 * in the tree. It holds the directories that it works on, and a socket; what it says on that is checked and bounded.
 */
enum sbxi_work_kind {
    SBXI_WORK_DIFF = 1,
    SBXI_WORK_COMMIT, /* @from into @to, an empty directory */
    SBXI_WORK_MERGE,  /* @from into @to, over what is there */
    SBXI_WORK_FORK,   /* the same as it is */
    SBXI_WORK_CLEAR,  /* what is in @from */
    SBXI_WORK_SHIFT, /* ids of @from and what is in it: those from 0 up by 65536, those from 131072 to the same */
};

struct sbxi_work {
    enum sbxi_work_kind kind;
    int from, to;     /* directories; -1 = none */
    const int *below; /* layers of @from, the highest first */
    size_t nbelow;
    uint32_t keep;   /* enum sbx_layer_part */
    sbx_layer_fn fn; /* in the parent; may be NULL */
    void *userdata;
};

/* Host ids of 0, 65536 and 131072 of the child; count 0 = the caller's own ids, as they are. */
struct sbxi_worker_ids {
    uint32_t first[3];
    size_t count;
    const int *map; /* mounts that nobody has attached: get the ids of the first range */
    size_t nmap;
};

/* Does it in a child. 0, what work->fn returned, or -errno; @error says of which file below @what. */
int sbxi_worker_run(const struct sbxi_work *work,
                    const struct sbxi_worker_ids *ids,
                    const char *what,
                    struct sbx_error *error);

/* ---- in the child ---- */

/* layer-diff.c, layer-copy.c. Return -errno with @path where it happened. */
int sbxi_work_diff(const struct sbxi_work *work, char path[PATH_MAX]);
int sbxi_work_copy(const struct sbxi_work *work, char path[PATH_MAX]);
int sbxi_work_shift(const struct sbxi_work *work, char path[PATH_MAX]);
/* One entry to the parent. -errno: it no longer listens. */
int sbxi_worker_say(enum sbx_layer_change change,
                    uint32_t mode,
                    uint64_t size,
                    uint64_t device,
                    uint32_t dropped,
                    const char *path);

#endif
