/* SPDX-License-Identifier: MIT */
#ifndef SBXI_SWEEP_H
#define SBXI_SWEEP_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/*
 * Acts on a record file: kills and removes what it names. By the cleaner when its owner is gone or done, and by
 * sbx_gc() when both are gone. The caller holds the file's lock.
 */

enum sbxi_sweep_mode {
    SBXI_SWEEP_END =
        1, /* the owner is done and waits: sockets are unlinked although it still listens on them */
    SBXI_SWEEP_ORPHAN, /* the owner has died just now */
    SBXI_SWEEP_GC, /* owner and cleaner died, who knows when: what the file says is doubted most */
};

struct sbxi_sweep {
    const char *run_dir; /* as opened at @run_dirfd */
    int run_dirfd;       /* -1: it is gone, and so is what was in it */
    enum sbxi_sweep_mode mode;
    uint64_t
        since; /* when the owner started, as records have it: what is older was not made by it; 0 = unknown */
    FILE *log;        /* what was removed and what was refused, a line each; may be NULL */
    unsigned removed; /* out */
    unsigned remain;  /* out: things that could not be removed; their slots stay */
    unsigned refused; /* out: slots that are not ours to act on */
};

/* 0, or -errno: the file cannot be read, or is not one that we would have written (-EPERM). */
int sbxi_sweep_file(struct sbxi_sweep *sweep, int fd);
/* The file as such: regular, ours, closed to others. 0 or -EPERM. */
int sbxi_sweep_check_file(int fd);
/* Opens @path as run directory: a directory, ours, not writable by others. fd, -EPERM, -errno. */
int sbxi_sweep_open_dir(const char *path);

/* sweep-path.c: one path of a record. 1 removed, 0 gone already or somebody else's by now, -EPERM not ours, -errno. */
int sbxi_sweep_path(const struct sbxi_sweep *sweep, const char *path);

#endif
