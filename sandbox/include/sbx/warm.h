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
 * A waiting sandbox has its ids, cgroup, namespaces and root; its PID 1 sleeps and holds nothing of the launcher's. It ends
 * with its launcher like any other. It is used once: after a payload ran in it nobody else's ever will. What a root of the
 * host shows is what the host had mounted when it was made.
 * One thread at a time for each object. Since 0.2.
 */

/*
 * Start the payload of a waiting sandbox. Returns when its execve has succeeded, or failed. The spec's timeout begins now;
 * limits are changed before, by sbx_set_limits().
 * @what: as for sbx_exec(); the spec's environment and directory are its own, unless @what says otherwise
 * On failure the sandbox has ended; sbx_free() it.
 * Errors: as of sbx_exec(); -EINVAL it does not wait; -ENOENT, -EACCES, … the program cannot be executed (@error->exec);
 * -ETIMEDOUT.   Blocking: yes, a millisecond or so, bounded by a time-out.
 */
int sbx_adopt(sbx *s, const struct sbx_exec *what, struct sbx_error *error);

typedef struct sbx_pool sbx_pool;

/*
 * A pool of waiting sandboxes of one plan.
 * @plan:    of a spec that waits; the pool keeps it
 * @cleaner: borrowed for the life of the pool and of all that comes out of it; not NULL
 * @size:    how many are to wait, 1 to 1024
 * Ownership: the caller frees @ret.   Errors: -EINVAL the plan does not wait, or @size.   Blocking: no, it is empty at first.
 */
int sbx_pool_new(
    sbx_pool **ret, sbx_plan *plan, sbx_cleaner *cleaner, size_t size, struct sbx_error *error);
/*
 * Makes one that is missing. Returns 1 if more are, 0 if it is full. To be called when there is time, again while it is 1.
 * Those that have died are thrown away and count as missing.
 * Errors: as of sbx_start().   Blocking: as sbx_start().
 */
int sbx_pool_fill(sbx_pool *pool, struct sbx_error *error);
/* How many wait now. */
size_t sbx_pool_count(const sbx_pool *pool);
/*
 * Start what @what says in one that waits, or, if none does, in one that is made now. The pool has one less then.
 * @limits: changed before the payload runs; NULL = as the plan has them
 * Ownership: the caller frees @ret.   Errors: as of sbx_start(), sbx_set_limits() and sbx_adopt(); the pool is as it was, but
 * for the one that was taken.   Blocking: as sbx_adopt(), or as sbx_start() too.
 */
int sbx_pool_start(sbx **ret,
                   sbx_pool *pool,
                   const struct sbx_exec *what,
                   const struct sbx_limits *limits,
                   struct sbx_error *error);
/* Ends those that wait. What has come out of it lives on. Returns NULL. NULL is fine. Blocking: as sbx_free() of each. */
sbx_pool *sbx_pool_free(sbx_pool *pool);

#endif
