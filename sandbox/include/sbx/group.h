/* SPDX-License-Identifier: MIT */
#ifndef SBX_GROUP_H
#define SBX_GROUP_H

#include <sbx/sandbox.h>

/*
 * Named groups of processes under common limits: made, joined by any number of commands, watched, changed, deleted. Unlike a
 * sandbox's, such a group lasts until it is deleted (or the machine restarts); a file in the run directory says where it is.
 * The cgroup of a running sandbox can be opened by the sandbox's name, looked at and changed in the same way.
 *
 *   sbx_group_new() ─┐
 *   sbx_group_open() ┴▶ sbx_group ─▶ join, set_limits, get_stats, freeze, kill … ─▶ sbx_group_delete() or sbx_group_free()
 *
 * @run_dir: NULL = the default, as of cleaners. Errors come as -errno with @error (may be NULL), threads as in sandbox.h.
 * Since 0.2, all of it.
 */

typedef struct sbx_group sbx_group;

enum sbx_group_kind {
    SBX_GROUP_NAMED = 1,
    SBX_GROUP_SANDBOX, /* of a running sandbox: cannot be joined or deleted */
};

/*
 * Make a group.
 * @name: [a-zA-Z0-9_-]{1,48}   @parent: NULL, or a cgroup below each mount, "/a/b"   @degrade: enum sbx_degrade, permitted omissions
 * Ownership: the caller frees @ret; the group outlives it. On failure nothing is left.
 * Errors: -EEXIST there is one; -EINVAL a bad name; -EOPNOTSUPP, -EACCES, … as of a sandbox's cgroup.
 * Blocking: file system calls.
 */
int sbx_group_new(sbx_group **ret,
                  const char *run_dir,
                  const char *name,
                  const struct sbx_limits *limits,
                  const char *parent,
                  uint32_t degrade,
                  uint32_t *ret_degraded,
                  struct sbx_error *error);
/*
 * Open a named group, or else the cgroup of the running sandbox @name (or NAME-PID-NUMBER, if several have that name).
 * Errors: -ENOENT neither; -EEXIST several; -ESTALE its cgroups were removed by somebody else: it can only be deleted.
 */
int sbx_group_open(sbx_group **ret, const char *run_dir, const char *name, struct sbx_error *error);
/* NULL is fine. Returns NULL. The group stays. */
sbx_group *sbx_group_free(sbx_group *group);

struct sbx_group_entry {
    char name[96];
    enum sbx_group_kind kind;
};
/* All that can be opened, by name. Ownership: the caller frees @ret. */
int sbx_group_list(const char *run_dir,
                   struct sbx_group_entry **ret,
                   size_t *ret_n,
                   struct sbx_error *error);

enum sbx_group_kind sbx_group_get_kind(const sbx_group *group);
const char *sbx_group_get_name(const sbx_group *group);
/* Below the mount of the main hierarchy, as in a start report; "v2", "hybrid", "v1". */
const char *sbx_group_get_path(const sbx_group *group);
const char *sbx_group_get_backend(const sbx_group *group);

/*
 * Move the calling process into it, in every hierarchy; children come with it. It may have one thread only, and on failure
 * should end: it may be in some hierarchies already.
 * Errors: -EBUSY it is frozen; -EOPNOTSUPP it is a sandbox's; -EACCES, -ENOSPC, … of the kernel.
 */
int sbx_group_join(sbx_group *group, struct sbx_error *error);
/* As sbx_set_limits() and sbx_get_limits(): all or nothing, what is not named stays. */
int sbx_group_set_limits(sbx_group *group,
                         const struct sbx_limits *limits,
                         struct sbx_error *error);
int sbx_group_get_limits(sbx_group *group, struct sbx_limits *ret);
/* The counters now. -ENODEV: it has been deleted meanwhile. */
int sbx_group_get_stats(sbx_group *group, struct sbx_stats *ret);
/* Pids of those that live in it, at most @max; returns how many there are. */
int sbx_group_get_pids(sbx_group *group, pid_t *ret, size_t max);
/* Stop all of them where they are, or let them go on. Blocking: until they are stopped, 2 s at most (-ETIMEDOUT). */
int sbx_group_freeze(sbx_group *group, bool frozen, struct sbx_error *error);
bool sbx_group_is_frozen(sbx_group *group);
/* Kill all of them. Blocking: until they are gone, 2 s at most (-ETIMEDOUT). */
int sbx_group_kill(sbx_group *group, struct sbx_error *error);
/*
 * Remove it with all groups below it, deepest first. The object can only be freed afterwards.
 * Errors: -EBUSY processes live in it, and @kill is false; -EOPNOTSUPP it is a sandbox's.
 */
int sbx_group_delete(sbx_group *group, bool kill, struct sbx_error *error);
/* The same by name, also of one that can no longer be opened. */
int sbx_group_delete_name(const char *run_dir,
                          const char *name,
                          bool kill,
                          struct sbx_error *error);

#endif
