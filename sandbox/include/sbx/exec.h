/* SPDX-License-Identifier: MIT */
#ifndef SBX_EXEC_H
#define SBX_EXEC_H

#include <sbx/sandbox.h>

/*
 * More processes in a running sandbox, started by its own init: born in its namespaces, cgroups and ids, with the
 * payload's filters, Landlock rules, limits and environment. Nobody enters the sandbox for it. Each is a session: it
 * ends with the sandbox, with who asked for it, or by itself.
 *
 * Who has the sandbox asks it directly: sbx_exec(). Others of the same user ask by its name, sbx_exec_named(), if
 * its launcher has an admin socket, sbx_admin(3).
 *
 * Unless a comment says otherwise: pointers are not NULL, nothing changes owner, there are no errors, blocking:
 * never, threads: a session belongs to one at a time, since: 0.1.
 */

UDS_BEGIN_DECLS

struct sbx_exec {
    size_t size; /* sizeof(struct sbx_exec), as SBX_EXEC_INIT sets it; anything else is -EINVAL */
    const char *const *argv; /* NULL-terminated; argv[0] a path or searched in PATH inside */
    /* NULL-terminated "K=V", before those that the payload was started with, but for descriptors; may be NULL */
    const char *const *env;
    const char *chdir; /* inside; NULL = where the payload started */
    int stdio[3];      /* borrowed; -1 = /dev/null */
    /* passed as 3, 4, … with LISTEN_FDS, LISTEN_FDNAMES, LISTEN_PID; borrowed */
    const struct sbx_named_fd *fds;
    size_t nfds;
    const struct sbx_named_fd *env_fds; /* after those: environment variables that will be "fd:N" */
    size_t nenv_fds;
    bool terminal;     /* instead of @stdio a terminal of its own: sbx_session_take_terminal() */
    int terminal_like; /* of the size and the modes of this one; borrowed, -1 = 24 lines of 80 */
};
#ifdef __cplusplus
#define SBX_EXEC_INIT                                             \
    [] {                                                          \
        struct sbx_exec sbx_it = {};                              \
        sbx_it.size = sizeof(sbx_it);                             \
        sbx_it.stdio[0] = sbx_it.stdio[1] = sbx_it.stdio[2] = -1; \
        sbx_it.terminal_like = -1;                                \
        return sbx_it;                                            \
    }()
#else
#define SBX_EXEC_INIT                                                               \
    {                                                                               \
        .size = sizeof(struct sbx_exec), .stdio = {-1, -1, -1}, .terminal_like = -1 \
    }
#endif

typedef struct sbx_session sbx_session;

/**
 * sbx_exec() - start a process in @s
 * @ret:   written on success only
 * @error: may be NULL
 *
 * Returns when its init was asked; whether the program could be executed is part of its end.
 *
 * Ownership: the caller frees @ret; what @exec names is borrowed until it returns.
 * Errors: -EINVAL no command, no SBX_EXEC_INIT, or a directory that is no absolute path; -ESRCH the sandbox has ended;
 *   -EBUSY it is frozen; -EOPNOTSUPP it was made as bubblewrap makes one; -E2BIG arguments of more than 4 MiB; -EAGAIN
 *   its init does not listen; -ENOTTY @terminal_like is no terminal; as of sbx_plan_new() for @fds; -ENOMEM; -EMFILE.
 */
UDS_EXPORT UDS_NODISCARD int
sbx_exec(sbx_session **ret, sbx *s, const struct sbx_exec *exec, struct sbx_error *error);
/**
 * sbx_exec_named() - the same in a sandbox of another process of ours
 * @ret:     written on success only
 * @run_dir: where its launcher keeps its record; NULL = the default
 * @name:    of the sandbox, or the host's pid of its init
 * @error:   may be NULL
 *
 * Ownership: as of sbx_exec().
 * Errors: as of sbx_exec(); -ENOENT there is none; -ENOTUNIQ several have that name (@error lists their pids); -EACCES
 *   it refuses us; -ETIMEDOUT its launcher is stopped.
 * Blocking: until its launcher answers, 5 s at most.   Threads: any.
 */
UDS_EXPORT UDS_NODISCARD int sbx_exec_named(sbx_session **ret,
                                            const char *run_dir,
                                            const char *name,
                                            const struct sbx_exec *exec,
                                            struct sbx_error *error);

/**
 * sbx_session_get_fd() - for a loop: when it polls readable, call sbx_session_process()
 *
 * The fd stays the session's.
 */
UDS_EXPORT int sbx_session_get_fd(const sbx_session *session);
/**
 * sbx_session_process() - do what there is to do
 *
 * Returns 1 when the process has ended: @ret_result is filled (again and again, if asked), without statistics; 0 it
 * runs. Outcomes: SBX_EXITED, SBX_SIGNALED; SBX_SETUP_FAILED it never ran, as the result's error says; SBX_STOPPED
 * the sandbox has ended before.
 *
 * Errors: -EINVAL @ret_result is of another size.
 */
UDS_EXPORT int sbx_session_process(sbx_session *session, struct sbx_result *ret_result);
/**
 * sbx_session_wait() - the blocking form of sbx_session_process()
 *
 * Returns 1 when it has ended.
 *
 * Errors: as sbx_session_process(); -errno of poll(2).   Blocking: until it has ended.
 */
UDS_EXPORT int sbx_session_wait(sbx_session *session, struct sbx_result *ret_result);
/**
 * sbx_session_signal() - signal it; INT, QUIT, HUP, WINCH, CONT, STOP and KILL go to its process group
 *
 * Errors: -EINVAL no such signal; -ESRCH it has ended; -EAGAIN its init does not listen.
 */
UDS_EXPORT int sbx_session_signal(sbx_session *session, int signo);
/**
 * sbx_session_take_terminal() - as sbx_take_terminal(), of a session
 *
 * It comes before the program runs, but after sbx_exec() has returned.
 *
 * Ownership: the caller's, who closes it.   Errors: -ENOENT there is none, or it was taken; -EAGAIN it may still come.
 */
UDS_EXPORT int sbx_session_take_terminal(sbx_session *session);
/** sbx_session_free() - kill it if it still runs. NULL is fine. Returns NULL. */
UDS_EXPORT sbx_session *sbx_session_free(sbx_session *session);

UDS_END_DECLS

#endif
