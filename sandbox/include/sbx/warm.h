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
 * A waiting sandbox has its ids, cgroup, namespaces and root; its PID 1 sleeps and holds nothing of the launcher's, and so
 * does the process that is to be the payload, which has the payload's ids, capabilities and filters already. It ends with its
 * launcher like any other. It is used once: after a payload ran in it nobody else's ever will. What a root of the host shows
 * is what the host had mounted when it was made.
 * One thread at a time for each object. Since 0.2.
 */

/* What a waiting sandbox is told when it gets its payload; all else is as its spec has it. */
struct sbx_adoption {
    struct sbx_exec exec; /* the spec's environment and directory hold where this says nothing */
    /* [a-zA-Z0-9_-]{1,48}, for listings and messages; its cgroup keeps the name that it has. NULL = the spec's */
    const char *name;
    /* NULL = @name if that is given and it has a uts namespace, else as it is. Another one costs a fork. */
    const char *hostname;
    const struct sbx_limits *limits; /* changed before the payload runs; NULL = the spec's */
};
#define SBX_ADOPTION_INIT      \
    {                          \
        .exec = SBX_EXEC_INIT, \
    }

/*
 * Start the payload of a waiting sandbox. Returns when its execve has succeeded, or failed. The spec's timeout, and the time
 * that it has for READY=1, begin now. What @what says is in force before the payload's first instruction.
 * On failure the sandbox has ended; sbx_free() it.
 * Errors: as of sbx_exec() and sbx_set_limits(); -EINVAL it does not wait, or a name that cannot be one; of
 * sethostname(2); -ENOENT, -EACCES, … the program cannot be executed (@error->exec); -ETIMEDOUT.
 * Blocking: yes, a millisecond or so, bounded by a time-out.
 */
int sbx_adopt(sbx *s, const struct sbx_adoption *what, struct sbx_error *error);

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
 * Removes what is left of those that have ended (see sbx_pool_start()), and makes one that is missing. Returns 1 if more are,
 * 0 if it is full. To be called when there is time, after a start and after an end, again while it is 1.
 * Those that have died are thrown away and count as missing.
 * Errors: as of sbx_start().   Blocking: as sbx_start().
 */
int sbx_pool_fill(sbx_pool *pool, struct sbx_error *error);
/*
 * The same in steps, for a loop that serves others: removes what is left of one, or begins to make one, or finds that it is
 * made. What takes longest, the work of its first process, goes on meanwhile. Returns 1 if more is to be done, 0 if nothing is.
 * @ret_fd: written if 1 is returned: -1, or nothing is to be done before this is readable, or 30 s have gone by. The pool's,
 *          good until the next call for it
 * Errors: as of sbx_start().   Blocking: for a millisecond or so.
 */
int sbx_pool_step(sbx_pool *pool, int *ret_fd, struct sbx_error *error);
/*
 * Those that wait are listed by @admin (struct sbx_listed), as is what comes out of the pool; those made before are not.
 * @admin: borrowed, to be freed after the pool; NULL = nobody is told.   Blocking: no.
 */
void sbx_pool_set_admin(sbx_pool *pool, sbx_admin *admin);
/* How many wait now. */
size_t sbx_pool_count(const sbx_pool *pool);
/*
 * Start what @what says in one that waits, or, if none does, in one that is made now. The pool has one less then.
 * When it has ended none of its processes lives. Its empty cgroups and its ids, of which the cleaner knows, are given back
 * at the next sbx_pool_fill() or at sbx_pool_free(); those of sixteen wait at most.
 * Ownership: the caller frees @ret.   Errors: as of sbx_start() and sbx_adopt(); the pool is as it was, but for the one
 * that was taken.   Blocking: as sbx_adopt(), or as sbx_start() too.
 */
int sbx_pool_start(sbx **ret,
                   sbx_pool *pool,
                   const struct sbx_adoption *what,
                   struct sbx_error *error);
/* Ends those that wait. What has come out of it lives on. Returns NULL. NULL is fine. Blocking: as sbx_free() of each. */
sbx_pool *sbx_pool_free(sbx_pool *pool);

/*
 * A start that another process of ours asks for through an admin socket (sbx_start_named()). What is to be run is in
 * descriptors that nobody reads but the process in the sandbox. Who asked hears of its end, and by going ends it.
 */
typedef struct sbx_request sbx_request;
/*
 * Called by sbx_admin_process().
 * @entry:   what is to be started, any text up to 63 bytes
 * @request: @start's if it returns 0, to be ended by sbx_request_end(); NULL: nothing is to be run that was not known before
 * Returns 0 it is started, or will be; -ENOENT it is not known here; another -errno, with @error.
 */
typedef int
sbx_admin_start(const char *entry, sbx_request *request, void *userdata, struct sbx_error *error);
/* Who is asked, from now on. @start: NULL = nothing can be started here (as at first); @userdata: handed to it.   Blocking: no. */
void sbx_admin_set_start(sbx_admin *admin, sbx_admin_start *start, void *userdata);
/*
 * As sbx_pool_start(), but for the execve, which it does not wait for: why that failed who asked hears from the process itself.
 * @request: what is to be run is taken out of it, whether this succeeds or not; it stays the caller's
 * Ownership: the caller frees @ret.   Errors: as of sbx_start() and of sbx_set_limits() and the names of sbx_adopt().
 * Blocking: no, but as sbx_start() where none waits, and for a fork where another hostname is asked for.
 */
int sbx_pool_start_request(sbx **ret,
                           sbx_pool *pool,
                           sbx_request *request,
                           struct sbx_error *error);
/* What the sandbox is to be called, "" = as its entry. Unchecked text up to 63 bytes, good as long as the request. Blocking: no. */
const char *sbx_request_get_name(const sbx_request *request);
/* Loop: poll this for POLLIN, then sbx_request_process(). The fd stays the request's. */
int sbx_request_get_fd(const sbx_request *request);
/* Passes on to @s what signals who asked has sent. 0, or -EPIPE: who asked is gone, end it. Blocking: no. */
int sbx_request_process(sbx_request *request, sbx *s);
/* Tells who asked of the end, and frees it. @result: NULL = there is nothing to tell. NULL is fine. Returns NULL. Blocking: no. */
sbx_request *sbx_request_end(sbx_request *request, const struct sbx_result *result);

/*
 * Ask a launcher of ours, a broker, to start something.
 * @run_dir: where it keeps its record; NULL = the default
 * @entry:   the name of a template of its stack file, or, without @what, of a sandbox that it declares
 * @what:    what to run; NULL = nothing but what is declared; then @ret is not written
 * @ret:     tells of its end: sbx_session_process(); SBX_OOM and SBX_TIMEOUT too. Freed while it runs it ends.
 * Errors: as of sbx_exec(); -ENOENT no such entry; -EACCES it refuses us; -EALREADY it runs; as of the start, with @error;
 * -ETIMEDOUT.   Blocking: until the launcher answers, 5 s at most.
 */
int sbx_start_named(sbx_session **ret,
                    const char *run_dir,
                    const char *entry,
                    const struct sbx_adoption *what,
                    struct sbx_error *error);

#endif
