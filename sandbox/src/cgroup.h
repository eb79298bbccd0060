/* SPDX-License-Identifier: MIT */
#ifndef SBXI_CGROUP_H
#define SBXI_CGROUP_H

#include <limits.h>
#include <sbx/sandbox.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/types.h>

#include "record.h"

/*
 * The cgroup of one sandbox: one directory in each hierarchy that carries a limit, a statistic or the kill switch.
 *
 *   sbxi_cgroup_probe()   where are hierarchies mounted, where are we in them, what do they offer   (makes nothing)
 *   sbxi_cgroup_check()   could these limits be put in force there                                  (makes nothing)
 *   sbxi_cgroup_new()     registers with the cleaner, makes the directories, writes the limits
 *   clone3(CLONE_INTO_CGROUP, sbxi_cgroup_get_dirfd()), sbxi_cgroup_open_join()  … payload …
 *   sbxi_cgroup_get_stats(), sbxi_cgroup_kill(), sbxi_cgroup_free()
 */

enum sbxi_controller { /* bits */
    SBXI_CTL_CPU = 1u << 0,
    SBXI_CTL_CPUACCT = 1u << 1,
    SBXI_CTL_MEMORY = 1u << 2,
    SBXI_CTL_PIDS = 1u << 3,
    SBXI_CTL_IO = 1u << 4, /* v1: blkio */
    SBXI_CTL_FREEZER = 1u << 5,
    SBXI_CTL_CPUSET = 1u << 6,
};

#define SBXI_CGROUP_HIERARCHIES 8

struct sbxi_hierarchy {
    uint32_t controllers; /* enum sbxi_controller; v2: what can be handed down to a sandbox */
    bool v2;
    bool shared;     /* v2: strangers live where we do, so that sandboxes cannot be made there */
    char mount[256]; /* mount point, on a test's tree below its root */
    char own[512];   /* where sandboxes are made: below the mount, "/" or "/a/b" */
};

struct sbxi_cgroup_layout {
    const struct sbxi_cgroup_backend *backend; /* NULL = no usable hierarchy */
    bool fake;      /* a test's directory tree, not a cgroup file system */
    char root[128]; /* fake: where / is; otherwise "" */
    bool
        below; /* a parent was named: its limits are to hold, so a place in every hierarchy that has some */
    /* For a named group: a place in every hierarchy, and an OOM kills one process, not all. */
    bool lasting;
    bool uncounted; /* a place in a hierarchy of v1 only where a limit takes one */
    /* Told the names of all directories before the first is made; NULL: only the cleaner is. */
    int (*note)(const struct sbxi_record *records, size_t n, void *arg);
    void *note_arg;
    int (*fill)(int dirfd,
                const struct sbxi_hierarchy *h); /* fake: does the kernel's part of mkdir */
    size_t n;
    struct sbxi_hierarchy hierarchies[SBXI_CGROUP_HIERARCHIES];
};

typedef struct sbxi_cgroup sbxi_cgroup;

/*
 * Reads @root/proc/self/{cgroup,mountinfo} (@root NULL = the machine itself; a path is for tests). @parent as in
 * sbx_spec.cgroup_parent: NULL = our own cgroup in each hierarchy (v2: where others live in it, the next above that
 * is free and ours to write), "/a/b" = below each mount, must exist there.
 * 0 also when there is no hierarchy at all (backend NULL). -errno: /proc cannot be read, @parent is missing.
 */
int sbxi_cgroup_probe(struct sbxi_cgroup_layout *ret,
                      const char *root,
                      const char *parent,
                      struct sbx_error *error);

/*
 * Could @limits be put in force: every control present, every directory writable? @degrade: omissions permitted;
 * @ret_degraded: those that would be used (CGROUP: none at all; CPU; STATS: nothing asked and no cgroup possible,
 * which is no error). Makes nothing.
 */
int sbxi_cgroup_check(const struct sbxi_cgroup_layout *layout,
                      const struct sbx_limits *limits,
                      uint32_t degrade,
                      uint32_t *ret_degraded,
                      struct sbx_error *error);

/* Adds to @error what who wants a sandbox, or a group, can do about it. Returns @r. */
int sbxi_cgroup_advise(const struct sbxi_cgroup_layout *layout, int r, struct sbx_error *error);

/*
 * Makes the cgroup with its limits written. @cleaner knows of each directory before it is made (NULL: tests only).
 * @ret is NULL with 0 when @ret_degraded says CGROUP or STATS-without-cgroup: run without one.
 * On failure nothing is left.
 */
int sbxi_cgroup_new(sbxi_cgroup **ret,
                    const struct sbxi_cgroup_layout *layout,
                    const char *name,
                    const struct sbx_limits *limits,
                    sbx_cleaner *cleaner,
                    uint32_t degrade,
                    uint32_t *ret_degraded,
                    struct sbx_error *error);

/*
 * Opens one that exists, by the paths of its directories. @layout: as probed; where each lies replaces our own place in it.
 * -ESTALE: some of it is gone. The object is freed by sbxi_cgroup_close().
 */
int sbxi_cgroup_open(sbxi_cgroup **ret,
                     const struct sbxi_cgroup_layout *layout,
                     const struct sbxi_record *records,
                     size_t n,
                     struct sbx_error *error);
/* Frees the object and leaves the cgroup. NULL is fine, returns NULL. */
sbxi_cgroup *sbxi_cgroup_close(sbxi_cgroup *cg);
/* Moves the calling process into every directory. */
int sbxi_cgroup_join(const sbxi_cgroup *cg, struct sbx_error *error);
/* Of the processes in it, at most @max into @ret; returns how many there are. */
int sbxi_cgroup_get_pids(const sbxi_cgroup *cg, pid_t *ret, size_t max);
/* Directory fd on the v2 tree for CLONE_INTO_CGROUP, borrowed; -1: there is no v2 tree, joining does all. */
int sbxi_cgroup_get_dirfd(const sbxi_cgroup *cg);
/*
 * Opens what a process of one thread writes "0" to before its exec in order to be in every v1 hierarchy, which
 * CLONE_INTO_CGROUP does not reach: at most SBXI_CGROUP_HIERARCHIES fds, the caller's. Moving itself costs microseconds;
 * being moved by its pid makes the kernel wait for all CPUs (measured: 8 ms a start).
 */
int sbxi_cgroup_open_join(const sbxi_cgroup *cg,
                          int ret_fds[SBXI_CGROUP_HIERARCHIES],
                          size_t *ret_n,
                          struct sbx_error *error);
/* Kills everything in it and below and waits until it is empty, at most ~2 s (-ETIMEDOUT). Never left frozen. */
int sbxi_cgroup_kill(sbxi_cgroup *cg);
/* Counters of now. @ret->known is set; fields that the backend lacks stay 0. @brief: CPU time, memory's peak, OOM kills alone. */
int sbxi_cgroup_get_stats(const sbxi_cgroup *cg, bool brief, struct sbx_stats *ret);
/*
 * May a child in it have our memory until it is another program? Not where a limit of memory is its own and not ours: the
 * kernel's killer takes all who share a memory. Nor in a cpuset, which moves it.
 */
bool sbxi_cgroup_may_share(const sbxi_cgroup *cg);
/* What is in force now; SBX_UNLIMITED where nothing is, 0 where the backend cannot tell. */
void sbxi_cgroup_get_limits(const sbxi_cgroup *cg, struct sbx_limits *ret);
/* Changes what @limits name, all of it or nothing. -EOPNOTSUPP, -EBUSY (memory in use), -errno, with @error. */
int sbxi_cgroup_set_limits(sbxi_cgroup *cg,
                           const struct sbx_limits *limits,
                           struct sbx_error *error);
/* Has it a place wherever these limits take one? If not, only who made it can give it one. */
bool sbxi_cgroup_has_places(const sbxi_cgroup *cg, const struct sbx_limits *limits);
/* All in it stop, or go on. -EOPNOTSUPP: nothing here can; -ETIMEDOUT: one would not stop within 2 s, thawed again. */
int sbxi_cgroup_freeze(sbxi_cgroup *cg, bool frozen);
int sbxi_cgroup_is_frozen(const sbxi_cgroup *cg);
/* After an OOM kill: @ret is the path of the cgroup whose limit it was, "/" = the machine. True: its own. */
bool sbxi_cgroup_get_oom_level(const sbxi_cgroup *cg, char *ret, size_t size);
/*
 * On v1 the OOM killer takes one process, where v2 kills the whole sandbox: an eventfd that says it may have done so, the
 * caller's. It also tells of cgroups above, so look at the counter. -1: not needed, or not to be had.
 */
int sbxi_cgroup_open_oom_event(const sbxi_cgroup *cg);
/* False once its directories were removed: what we hold of them then has no files any more. */
bool sbxi_cgroup_exists(const sbxi_cgroup *cg);
/* Path below the mount of the main hierarchy (v2's on v2, memory's otherwise), for the report. */
const char *sbxi_cgroup_get_path(const sbxi_cgroup *cg);
const char *sbxi_cgroup_get_backend(const sbxi_cgroup *cg); /* "v2", "hybrid", "v1" */
/*
 * Where @layout would have us make cgroups in a place that systemd has not given us: asks it for a scope, moves there
 * with @cleaner, and probes anew. Nothing happens where that is not so, or where @limits name nothing. Whatever it says,
 * what was probed before is still true, and what is wrong with it will be said by sbxi_cgroup_new().
 */
void sbxi_cgroup_ask_for_scope(struct sbxi_cgroup_layout *layout,
                               const char *name,
                               const struct sbx_limits *limits,
                               const sbx_cleaner *cleaner);
/* Kills, removes every directory deepest first with retries, unregisters. NULL is fine, returns NULL. */
sbxi_cgroup *sbxi_cgroup_free(sbxi_cgroup *cg);

#endif
