/* SPDX-License-Identifier: MIT */
#ifndef SBX_GROUP_H
#define SBX_GROUP_H

#include <sbx/error.h>
#include <sbx/limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/types.h>

/*
 * Named groups of processes under common limits: made, joined by any number of commands, watched, changed, deleted.
 * Unlike a sandbox's, such a group lasts until it is deleted (or the machine restarts); a file in the run directory
 * says where it is. The cgroup of a running sandbox can be opened by the sandbox's name, looked at and changed in
 * the same way.
 *
 *   sbx_group_new() ─┐
 *   sbx_group_open() ┴▶ sbx_group ─▶ join, set_limits, get_stats, freeze, kill … ─▶ sbx_group_delete() or
 *   sbx_group_free()
 *
 * @run_dir: NULL = the default, as of cleaners. @error may be NULL.
 *
 * Unless a comment says otherwise: pointers are not NULL, nothing changes owner, there are no errors, blocking: file
 * system calls, threads: a group object belongs to one at a time, since: 0.1.
 */

UDS_BEGIN_DECLS

typedef struct sbx_group sbx_group;

enum sbx_group_kind {
    SBX_GROUP_NAMED = 1,
    SBX_GROUP_SANDBOX, /* of a running sandbox: cannot be joined or deleted */
};

/**
 * sbx_group_new() - make a group
 * @ret:          written on success only
 * @name:         [a-zA-Z0-9_-]{1,48}
 * @parent:       NULL, or a cgroup below each mount, "/a/b"
 * @degrade:      enum sbx_degrade (sbx/spec.h): permitted omissions
 * @ret_degraded: those that there were
 *
 * Ownership: the caller frees @ret; the group outlives it. On failure nothing is left.
 * Errors: -EEXIST there is one; -EINVAL a bad name, or @limits is of another size; -EOPNOTSUPP, -EACCES, … as of a sandbox's cgroup.
 */
UDS_EXPORT UDS_NODISCARD int sbx_group_new(sbx_group **ret,
                                           const char *run_dir,
                                           const char *name,
                                           const struct sbx_limits *limits,
                                           const char *parent,
                                           uint32_t degrade,
                                           uint32_t *ret_degraded,
                                           struct sbx_error *error);
/**
 * sbx_group_open() - open a named group, or else the cgroup of the running sandbox @name
 * @ret:  written on success only
 * @name: also NAME-PID-NUMBER, if several sandboxes have that name
 *
 * Ownership: the caller frees @ret.
 * Errors: -ENOENT neither; -EEXIST several; -ESTALE its cgroups were removed by somebody else: it can only be deleted.
 */
UDS_EXPORT UDS_NODISCARD int
sbx_group_open(sbx_group **ret, const char *run_dir, const char *name, struct sbx_error *error);
/** sbx_group_free() - forget the object. The group stays. NULL is fine. Returns NULL. */
UDS_EXPORT sbx_group *sbx_group_free(sbx_group *group);

struct sbx_group_entry {
    char name[96];
    enum sbx_group_kind kind;
};
/**
 * sbx_group_list() - all that can be opened, by name
 * @ret: an array of @ret_n
 *
 * Ownership: the caller frees @ret by free(3).   Errors: -errno of the run directory; -ENOMEM.   Threads: any.
 */
UDS_EXPORT UDS_NODISCARD int sbx_group_list(const char *run_dir,
                                            struct sbx_group_entry **ret,
                                            size_t *ret_n,
                                            struct sbx_error *error);

/** sbx_group_get_kind() - a group of its own, or a sandbox's. Blocking: never. */
UDS_EXPORT enum sbx_group_kind sbx_group_get_kind(const sbx_group *group);
/** sbx_group_get_name() - its name; the object's. Blocking: never. */
UDS_EXPORT const char *sbx_group_get_name(const sbx_group *group);
/**
 * sbx_group_get_path() - where it is below the mount of the main hierarchy, as in a start report; the object's
 *
 * Blocking: never.
 */
UDS_EXPORT const char *sbx_group_get_path(const sbx_group *group);
/** sbx_group_get_backend() - "v2", "hybrid", "v1"; static. Blocking: never. */
UDS_EXPORT const char *sbx_group_get_backend(const sbx_group *group);

/**
 * sbx_group_join() - move the calling process into it, in every hierarchy
 *
 * Its later children come with it. It may have one thread only, and on failure should end: it may be in some
 * hierarchies already. Where a user's login session may not go there directly, it goes by way of a scope that the user's
 * systemd is asked for.
 *
 * Errors: -EBUSY it is frozen; -EOPNOTSUPP it is a sandbox's; -EACCES, -ENOSPC, … of the kernel.
 */
UDS_EXPORT UDS_NODISCARD int sbx_group_join(sbx_group *group, struct sbx_error *error);
/**
 * sbx_group_set_limits() - as sbx_set_limits(): all or nothing, what is not named stays
 *
 * Errors: -EINVAL @limits is of another size; -EOPNOTSUPP the backend lacks the control; -EBUSY it uses more memory than the
 *   new limit; -errno of the kernel.
 */
UDS_EXPORT int
sbx_group_set_limits(sbx_group *group, const struct sbx_limits *limits, struct sbx_error *error);
/** sbx_group_get_limits() - as sbx_get_limits(). Errors: -ENODEV it has been deleted meanwhile. */
UDS_EXPORT int sbx_group_get_limits(sbx_group *group, struct sbx_limits *ret);
/** sbx_group_get_stats() - as sbx_get_stats(). Errors: -ENODEV it has been deleted meanwhile. */
UDS_EXPORT int sbx_group_get_stats(sbx_group *group, struct sbx_stats *ret);
/**
 * sbx_group_get_pids() - those that live in it, at most @max; returns how many there are
 *
 * Errors: -ENODEV it has been deleted meanwhile.
 */
UDS_EXPORT int sbx_group_get_pids(sbx_group *group, pid_t *ret, size_t max);
/**
 * sbx_group_freeze() - stop all of them where they are, or let them go on
 *
 * Errors: -ETIMEDOUT a process sits in the kernel; -errno of the kernel.   Blocking: until they are stopped, 2 s at
 *   most.
 */
UDS_EXPORT int sbx_group_freeze(sbx_group *group, bool frozen, struct sbx_error *error);
/** sbx_group_is_frozen() - are they stopped? */
UDS_EXPORT bool sbx_group_is_frozen(sbx_group *group);
/**
 * sbx_group_kill() - kill all of them
 *
 * Errors: -ETIMEDOUT a process sits in the kernel; -errno of the kernel.   Blocking: until they are gone, 2 s at most.
 */
UDS_EXPORT int sbx_group_kill(sbx_group *group, struct sbx_error *error);
/**
 * sbx_group_delete() - remove it with all groups below it, deepest first
 * @kill: those that live in it
 *
 * The object can only be freed afterwards.
 *
 * Errors: -EBUSY processes live in it, and @kill is false; -EOPNOTSUPP it is a sandbox's.   Blocking: as
 *   sbx_group_kill().
 */
UDS_EXPORT int sbx_group_delete(sbx_group *group, bool kill, struct sbx_error *error);
/**
 * sbx_group_delete_name() - the same by name, also of one that can no longer be opened
 *
 * Errors: as sbx_group_delete(); -ENOENT there is none.   Blocking: as sbx_group_kill().   Threads: any.
 */
UDS_EXPORT int
sbx_group_delete_name(const char *run_dir, const char *name, bool kill, struct sbx_error *error);

UDS_END_DECLS

#endif
