/* SPDX-License-Identifier: MIT */
#ifndef SBX_ADMIN_H
#define SBX_ADMIN_H

#include <sbx/exec.h>
#include <sbx/sandbox.h>
#include <sbx/warm.h>

/*
 * The admin socket of a launcher: by it other processes of the same user list its sandboxes, start processes in them
 * (sbx_exec_named()), and have it start what it knows (sbx_start_named()). It lies beside the launcher's record in
 * the run directory.
 *
 *   the launcher   sbx_admin_new() ─▶ sbx_admin_add() …, sbx_admin_process() when its fd is readable
 *   others         sbx_list(), sbx_exec_named(), sbx_start_named()
 *
 * Unless a comment says otherwise: pointers are not NULL, nothing changes owner, there are no errors, blocking:
 * never, threads: an admin, with all that was added to it, belongs to one at a time, since: 0.1.
 */

UDS_BEGIN_DECLS

typedef struct sbx_admin sbx_admin;

/**
 * sbx_admin_new() - open the admin socket of this process beside the record of @cleaner
 * @ret:   written on success only
 * @error: may be NULL
 *
 * Mode 0600, for processes of our own uid in our own user and pid namespaces, so not for what is in a sandbox. It
 * goes with the record.
 *
 * Ownership: the caller frees @ret, before @cleaner.   Errors: -errno of the socket calls.
 */
UDS_EXPORT UDS_NODISCARD int
sbx_admin_new(sbx_admin **ret, sbx_cleaner *cleaner, struct sbx_error *error);
/** sbx_admin_get_fd() - for a loop: when it polls readable, call sbx_admin_process(). The fd stays the admin's. */
UDS_EXPORT int sbx_admin_get_fd(const sbx_admin *admin);
/** sbx_admin_process() - answer what was asked. What a peer asks is bounded, its strings are only passed on. */
UDS_EXPORT void sbx_admin_process(sbx_admin *admin);
/**
 * sbx_admin_add() - from here on @s can be found, until sbx_free()
 *
 * Again when one that waited runs: its time begins then.
 */
UDS_EXPORT void sbx_admin_add(sbx_admin *admin, sbx *s);
/** sbx_admin_free() - remove the socket. Sessions and sandboxes live on. NULL is fine. Returns NULL. */
UDS_EXPORT sbx_admin *sbx_admin_free(sbx_admin *admin);

/* A running sandbox, as its launcher tells it. It is lent: what a later version adds is at its end. */
struct sbx_listed {
    char name[64];
    int64_t init_pid, launcher_pid;
    uint32_t host_uid;
    uint64_t running_ms; /* or, if it waits, since it does */
    bool
        waiting; /* for its payload (sbx/warm.h): nothing runs in it that could be meant by its name */
    char backend[16];
    char cgroup[512];
};
/**
 * sbx_list() - all sandboxes that processes of ours have added to an admin socket
 * @run_dir: NULL = the default
 * @each:    called for each; anything but 0 ends it, and is returned
 * @error:   may be NULL
 *
 * A launcher that does not answer for 1 s is left out.
 *
 * Errors: -errno of the run directory; none is there: 0.   Blocking: until all have answered, 1 s for each at most.  
 *   Threads: any.
 */
UDS_EXPORT int sbx_list(const char *run_dir,
                        int (*each)(const struct sbx_listed *listed, void *userdata),
                        void *userdata,
                        struct sbx_error *error);

/*
 * A start that another process of ours asks for through an admin socket. What is to be run is in descriptors that
 * nobody reads but the process in the sandbox. Who asked hears of its end, and by going ends it.
 */
typedef struct sbx_request sbx_request;
/*
 * Called by sbx_admin_process().
 * @entry:   what is to be started, any text up to 63 bytes
 * @request: ours if it returns 0, to be ended by sbx_request_end(); NULL: nothing is to be run that was not known
 *   before
 * Returns 0 it is started, or will be; -ENOENT it is not known here; another -errno, with @error.
 */
typedef int
sbx_admin_start(const char *entry, sbx_request *request, void *userdata, struct sbx_error *error);
/**
 * sbx_admin_set_start() - who is asked to start something, from now on
 * @start:    NULL = nothing can be started here (as at first)
 * @userdata: handed to it
 */
UDS_EXPORT void sbx_admin_set_start(sbx_admin *admin, sbx_admin_start *start, void *userdata);
/**
 * sbx_pool_set_admin() - have a pool's sandboxes listed
 * @admin: to be freed after the pool; NULL = nobody is told
 *
 * Those that wait are listed, as is what comes out of the pool; those made before are not.
 */
UDS_EXPORT void sbx_pool_set_admin(sbx_pool *pool, sbx_admin *admin);
/**
 * sbx_pool_start_request() - as sbx_pool_start(), but for the execve, which it does not wait for
 * @ret:     written on success only
 * @request: what is to be run is taken out of it, whether this succeeds or not; it stays the caller's
 * @error:   may be NULL
 *
 * Why the execve failed who asked hears from the process itself.
 *
 * Ownership: the caller frees @ret.
 * Errors: as of sbx_start() and of sbx_set_limits() and the names of sbx_adopt().
 * Blocking: no, but as sbx_start() where none waits, and for a fork where another hostname is asked for.
 */
UDS_EXPORT UDS_NODISCARD int
sbx_pool_start_request(sbx **ret, sbx_pool *pool, sbx_request *request, struct sbx_error *error);
/**
 * sbx_request_get_name() - what the sandbox is to be called, "" = as its entry
 *
 * Unchecked text up to 63 bytes, good as long as the request.
 */
UDS_EXPORT const char *sbx_request_get_name(const sbx_request *request);
/**
 * sbx_request_get_fd() - for a loop: when it polls readable, call sbx_request_process()
 *
 * The fd stays the request's.
 */
UDS_EXPORT int sbx_request_get_fd(const sbx_request *request);
/** sbx_request_process() - pass on to @s what signals who asked has sent. Errors: -EPIPE who asked is gone: end it. */
UDS_EXPORT int sbx_request_process(sbx_request *request, sbx *s);
/**
 * sbx_request_end() - tell who asked of the end, and free it
 * @request: NULL is fine
 * @result:  NULL, or of another size: there is nothing to tell
 *
 * Returns NULL.
 */
UDS_EXPORT sbx_request *sbx_request_end(sbx_request *request, const struct sbx_result *result);

/**
 * sbx_start_named() - ask a launcher of ours, a broker, to start something
 * @ret:     tells of its end: sbx_session_process(); SBX_OOM and SBX_TIMEOUT too. Freed while it runs it ends.
 * @run_dir: where it keeps its record; NULL = the default
 * @entry:   the name of a template of its stack file, or, without @what, of a sandbox that it declares
 * @what:    what to run; NULL = nothing but what is declared; then @ret is not written
 * @error:   may be NULL
 *
 * Ownership: the caller frees @ret.
 * Errors: as of sbx_exec(); -ENOENT no such entry; -EEXIST @what->name is declared there; -EACCES it refuses us; -ECONNRESET it
 *   has ended; -EALREADY it runs; as of the start; -ETIMEDOUT. Where a sandbox has to be made first, and cannot be, the session
 *   ends with SBX_SETUP_FAILED.
 * Blocking: until the launcher answers, 5 s at most.   Threads: any.
 */
UDS_EXPORT UDS_NODISCARD int sbx_start_named(sbx_session **ret,
                                             const char *run_dir,
                                             const char *entry,
                                             const struct sbx_adoption *what,
                                             struct sbx_error *error);

UDS_END_DECLS

#endif
