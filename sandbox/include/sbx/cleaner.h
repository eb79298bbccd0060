/* SPDX-License-Identifier: MIT */
#ifndef SBX_CLEANER_H
#define SBX_CLEANER_H

#include <sbx/error.h>
#include <stdint.h>
#include <stdio.h>

#include <sys/types.h>

/*
 * The cleaner removes what exists when nobody else can. It is a process of its own session, started before anything
 * is made; it holds a flock'ed record under the run directory (/run/uds/records; rootless $XDG_RUNTIME_DIR/uds/records, or
 * /tmp/uds-UID/records without that variable or in a program with more rights than who runs it) of cgroups, directories,
 * processes and id ranges. When the owner dies (a pipe closes) it kills and removes all of it and exits. A record that nobody
 * locks belongs to nobody: sbx_gc() sweeps it.
 *
 * One serves any number of sandboxes, one at a time; a program of several threads has one for each thread that
 * starts sandboxes.
 *
 * Unless a comment says otherwise: pointers are not NULL, nothing changes owner, there are no errors, blocking:
 * never, threads: a cleaner belongs to one at a time, since: 0.1.
 */

UDS_BEGIN_DECLS

typedef struct sbx_cleaner sbx_cleaner;

/**
 * sbx_cleaner_new() - start a cleaner, after a sweep of what others left
 * @ret:     written on success only
 * @run_dir: NULL = the default; made if it is missing
 * @error:   may be NULL
 *
 * Ownership: the caller frees @ret. On failure nothing is left.
 * Errors: -EACCES, -EPERM the run directory is not ours; -ENOENT no uds-cleaner program where this library's programs
 *   are; -EAGAIN, -ENOMEM, -EMFILE.
 * Blocking: a fork and exec, a few ms.   Threads: any.
 */
UDS_EXPORT UDS_NODISCARD int
sbx_cleaner_new(sbx_cleaner **ret, const char *run_dir, struct sbx_error *error);
/**
 * sbx_cleaner_free() - end it in order: everything still registered is removed now
 *
 * NULL is fine. Returns NULL.
 *
 * Blocking: until it is gone, seconds at most.
 */
UDS_EXPORT sbx_cleaner *sbx_cleaner_free(sbx_cleaner *cleaner);
/** sbx_cleaner_get_pid() - the cleaner's pid, for listings */
UDS_EXPORT pid_t sbx_cleaner_get_pid(const sbx_cleaner *cleaner);
/**
 * sbx_cleaner_forget() - in a forked child that goes on without it: close our ends, do nothing else
 *
 * NULL is fine. Returns NULL.
 */
UDS_EXPORT sbx_cleaner *sbx_cleaner_forget(sbx_cleaner *cleaner);
/**
 * sbx_cleaner_add_path() - register, before it is made, a path that must be gone at the end
 * @path: absolute, copied; a socket file, or a directory: removed deepest first, if empty
 *
 * Errors: -EINVAL not absolute; -ENAMETOOLONG; -ENOSPC too many or no room for the record; -EPIPE the cleaner died and
 *   cannot be started again.
 * Blocking: a write to the record file, and a fork and exec if the cleaner has died.
 */
UDS_EXPORT int sbx_cleaner_add_path(sbx_cleaner *cleaner, const char *path);
/**
 * sbx_cleaner_remove_path() - forget it again, after it was removed
 *
 * Nothing happens if it is not registered.
 *
 * Errors: as sbx_cleaner_add_path().   Blocking: a write to the record file.
 */
UDS_EXPORT int sbx_cleaner_remove_path(sbx_cleaner *cleaner, const char *path);
/**
 * sbx_cleaner_add_process() - register a process to be killed at the end
 * @pidfd: of the same process, borrowed: proves that @pid was not re-used meanwhile; -1 = none (then it must be our
 *   child)
 *
 * Errors: -ESRCH it is gone; as sbx_cleaner_add_path().   Blocking: as sbx_cleaner_add_path().
 */
UDS_EXPORT int sbx_cleaner_add_process(sbx_cleaner *cleaner, pid_t pid, int pidfd);
/**
 * sbx_cleaner_remove_process() - forget it again, after it ended
 *
 * Nothing happens if it is not registered.
 *
 * Errors: as sbx_cleaner_add_path().   Blocking: a write to the record file.
 */
UDS_EXPORT int sbx_cleaner_remove_process(sbx_cleaner *cleaner, pid_t pid);
/**
 * sbx_cleaner_take_ids() - reserve an id range shared with nobody on this host
 * @ret_first: the first of them, on the host
 * @ret_count: 65536
 * @error:     may be NULL
 *
 * Ownership: the range is ours until it is released, or until the cleaner ends.
 * Errors: -EPERM not root; -ENOSPC none is free; as sbx_cleaner_add_path().   Blocking: file system calls.
 */
UDS_EXPORT int sbx_cleaner_take_ids(sbx_cleaner *cleaner,
                                    uint32_t *ret_first,
                                    uint32_t *ret_count,
                                    struct sbx_error *error);
/**
 * sbx_cleaner_release_ids() - give a range back, when no process runs under it any more
 * @first: as taken
 *
 * Errors: -ENOENT not taken by this cleaner.   Blocking: file system calls.
 */
UDS_EXPORT int sbx_cleaner_release_ids(sbx_cleaner *cleaner, uint32_t first);
/**
 * sbx_gc() - sweep records that nobody locks
 * @run_dir: NULL = the default
 * @log:     one line for each thing that was removed, or could not be; may be NULL
 * @error:   may be NULL
 *
 * Returns how many things were removed.
 *
 * Errors: -errno of the run directory.   Blocking: kills, and waits for their end, seconds at most.   Threads: any.
 */
UDS_EXPORT int sbx_gc(const char *run_dir, FILE *log, struct sbx_error *error);
/**
 * sbx_gc_wait() - the same, and waits for records of launchers that are gone which somebody still locks
 * @timeout_ms: at most so long
 * @ret_held:   how many are locked still; @log says by whom
 *
 * Who locks them is a cleaner at work, or a child of the launcher that is just ending. Returns as sbx_gc().
 *
 * Errors: as sbx_gc().   Blocking: as sbx_gc(), and @timeout_ms.   Threads: any.
 */
UDS_EXPORT int sbx_gc_wait(
    const char *run_dir, int timeout_ms, FILE *log, unsigned *ret_held, struct sbx_error *error);

/**
 * sbx_find_program() - where a program that belongs to this library is, as "uds-cleaner"
 * @name:     of the program
 * @ret_path: PATH_MAX bytes; written on success only
 *
 * Looked for from the file that this code is in, never by PATH. It is taken if nobody may write it or its directory but root,
 * we, and who may write the file that this code is in, or that file's directory.
 *
 * Errors: -ENOENT not there; -EACCES somebody else may write it; each with @error, which says where and what to do.
 * Blocking: a few looks at files.   Threads: any.   Since: 0.1.
 */
UDS_EXPORT int sbx_find_program(const char *name, char *ret_path, struct sbx_error *error);

UDS_END_DECLS

#endif
