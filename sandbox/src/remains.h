/* SPDX-License-Identifier: MIT */
#ifndef SBXI_REMAINS_H
#define SBXI_REMAINS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cgroup.h"

/*
 * The namespaces of a sandbox whose end takes long: of mounts it waits for all CPUs, in the last process that exits or, if
 * that is later, in who closes them; those of the network and of ipc the kernel takes apart in workers, which a sandbox that
 * ends would compete with.
 */
enum {
    SBXI_SHELLS = 3
};
struct sbxi_shells {
    int fds[SBXI_SHELLS]; /* -1: none */
};
#define SBXI_SHELLS_NONE      \
    {                         \
        .fds = { -1, -1, -1 } \
    }
struct sbx;
void sbxi_shells_open(struct sbx *s);
/* By the cleaner, who has the time. */
void sbxi_shells_close(struct sbxi_shells *shells, sbx_cleaner *cleaner);

/*
 * What is left of sandboxes of which no process lives any more: empty cgroups, a range of ids, a mount namespace that nobody
 * is in. Their cleaner knows of all of it. Whoever waits for the end of one need not wait for this; a pool removes it when
 * there is time, and is_open says that there will be.
 */
struct sbxi_remains {
    unsigned refs; /* the pool's, and of each sandbox that came out of it */
    bool is_open;
    sbx_cleaner *cleaner; /* borrowed */
    size_t n;
    struct sbxi_corpse {
        sbxi_cgroup *cgroup; /* NULL: none */
        bool ids;
        uint32_t first;
        struct sbxi_shells shells;
    } corpses[16];
};

struct sbxi_remains *sbxi_remains_new(sbx_cleaner *cleaner);
struct sbxi_remains *sbxi_remains_ref(struct sbxi_remains *remains);
/* NULL is fine. Returns NULL. */
struct sbxi_remains *sbxi_remains_unref(struct sbxi_remains *remains);
/* Takes what is in @corpse, and removes it, or what has lain there longest if there is no room: at once, if it is not open. */
void sbxi_remains_put(struct sbxi_remains *remains, struct sbxi_corpse corpse);
/* Removes what one has left. False: there was nothing. */
bool sbxi_remains_clear_one(struct sbxi_remains *remains);
/* Removes it all. */
void sbxi_remains_clear(struct sbxi_remains *remains);
/* And takes no more. */
void sbxi_remains_close(struct sbxi_remains *remains);

#endif
