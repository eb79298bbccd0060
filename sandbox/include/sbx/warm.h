/* SPDX-License-Identifier: MIT */
#ifndef SBX_WARM_H
#define SBX_WARM_H

#include <sbx/exec.h>
#include <sbx/sandbox.h>

/*
 * Warm sandboxes: everything that takes time is done before it is known what will run.
 *
 *   spec.waits ── sbx_start() ──▶ waiting ── sbx_adopt() ──▶ an ordinary sandbox
 *
 *   sbx_pool_new() ──▶ pool ── sbx_pool_fill() … (when there is time) ── sbx_pool_start() ──▶ an ordinary sandbox
 *
 * A waiting sandbox has its ids, cgroup, namespaces and root; its PID 1 sleeps and holds nothing of the launcher's,
 * and so does the process that is to be the payload, which has the payload's ids, capabilities and filters already.
 * It ends with its launcher like any other. It is used once: after a payload ran in it nobody else's ever will. What
 * a root of the host shows is what the host had mounted when it was made.
 *
 * Unless a comment says otherwise: pointers are not NULL, nothing changes owner, there are no errors, blocking:
 * never, threads: a pool, with its cleaner and all that came out of it, belongs to one at a time, since: 0.1.
 */

UDS_BEGIN_DECLS

/* What a waiting sandbox is told when it gets its payload; all else is as its spec has it. */
struct sbx_adoption {
    struct sbx_exec exec; /* the spec's environment and directory hold where this says nothing */
    /* [a-zA-Z0-9_-]{1,48}, for listings and messages; its cgroup keeps the name that it has. NULL = the spec's */
    const char *name;
    /* NULL = @name if that is given and it has a uts namespace, else as it is. Another one costs a fork. */
    const char *hostname;
    const struct sbx_limits *limits; /* changed before the payload runs; NULL = the spec's */
};
#ifdef __cplusplus
#define SBX_ADOPTION_INIT                \
    [] {                                 \
        struct sbx_adoption sbx_it = {}; \
        sbx_it.exec = SBX_EXEC_INIT;     \
        return sbx_it;                   \
    }()
#else
#define SBX_ADOPTION_INIT      \
    {                          \
        .exec = SBX_EXEC_INIT, \
    }
#endif

/**
 * sbx_adopt() - start the payload of a waiting sandbox
 * @error: may be NULL
 *
 * Returns when its execve has succeeded, or failed. The spec's timeout, and the time that it has for READY=1, begin
 * now. What @what says is in force before the payload's first instruction. On failure the sandbox has ended;
 * sbx_free() it.
 *
 * Errors: as of sbx_exec() and sbx_set_limits(); -EINVAL it does not wait, or a name that cannot be one; of
 *   sethostname(2); -ENOENT, -EACCES the program cannot be executed (@error->exec); -ETIMEDOUT.
 * Blocking: yes, a millisecond or so, bounded by a time-out.
 */
UDS_EXPORT UDS_NODISCARD int
sbx_adopt(sbx *s, const struct sbx_adoption *what, struct sbx_error *error);

typedef struct sbx_pool sbx_pool;

/**
 * sbx_pool_new() - a pool of waiting sandboxes of one plan; it is empty at first
 * @ret:     written on success only
 * @plan:    of a spec that waits; the pool keeps it
 * @cleaner: borrowed for the life of the pool and of all that comes out of it
 * @size:    how many are to wait, 1 to 1024
 * @error:   may be NULL
 *
 * Ownership: the caller frees @ret.   Errors: -EINVAL the plan does not wait, or @size.
 */
UDS_EXPORT UDS_NODISCARD int sbx_pool_new(
    sbx_pool **ret, sbx_plan *plan, sbx_cleaner *cleaner, size_t size, struct sbx_error *error);
/**
 * sbx_pool_fill() - remove what is left of those that have ended, and make one that is missing
 * @error: may be NULL
 *
 * Returns 1 if more are missing, 0 if it is full. To be called when there is time, after a start and after an end,
 * again while it is 1. Those that have died are thrown away and count as missing.
 *
 * Errors: as of sbx_start().   Blocking: as sbx_start().
 */
UDS_EXPORT int sbx_pool_fill(sbx_pool *pool, struct sbx_error *error);
/**
 * sbx_pool_step() - the same in steps, for a loop that serves others
 * @ret_fd: written if 1 is returned: -1, or nothing is to be done before this is readable, or 30 s have gone by. The pool's,
 *   good until the next call for it
 * @error:  may be NULL
 *
 * Removes what is left of one, or begins to make one, or finds that it is made. What takes longest, the work of its first process,
 * goes on meanwhile. Returns 1 if more is to be done, 0 if nothing is.
 *
 * Errors: as of sbx_start().   Blocking: for a millisecond or so.
 */
UDS_EXPORT int sbx_pool_step(sbx_pool *pool, int *ret_fd, struct sbx_error *error);
/** sbx_pool_count() - how many wait now */
UDS_EXPORT size_t sbx_pool_count(const sbx_pool *pool);
/**
 * sbx_pool_start() - start what @what says in one that waits, or, if none does, in one that is made now
 * @ret:   written on success only
 * @error: may be NULL
 *
 * The pool has one less then. When it has ended none of its processes lives. Its empty cgroups and its ids, of which
 * the cleaner knows, are given back at the next sbx_pool_fill() or at sbx_pool_free(); those of sixteen wait at most.
 *
 * Ownership: the caller frees @ret.
 * Errors: as of sbx_start() and sbx_adopt(); the pool is as it was, but for the one that was taken.
 * Blocking: as sbx_adopt(), or as sbx_start() too.
 */
UDS_EXPORT UDS_NODISCARD int
sbx_pool_start(sbx **ret, sbx_pool *pool, const struct sbx_adoption *what, struct sbx_error *error);
/**
 * sbx_pool_free() - end those that wait
 *
 * What has come out of it lives on. NULL is fine. Returns NULL. Blocking: as sbx_free() of each.
 */
UDS_EXPORT sbx_pool *sbx_pool_free(sbx_pool *pool);

UDS_END_DECLS

#endif
