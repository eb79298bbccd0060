/* SPDX-License-Identifier: MIT */
#ifndef SBX_EXEC_H
#define SBX_EXEC_H

#include <sbx/sandbox.h>

/*
 * More processes in a running sandbox, started by its own init: born in its namespaces, cgroups and ids, with the payload's
 * filters, Landlock rules, limits and environment. Nobody enters the sandbox for it. Each is a session: it ends with the
 * sandbox, with who asked for it, or by itself.
 *
 * Who has the sandbox asks it directly: sbx_exec(). Others of the same user ask through an admin socket, which a launcher
 * opens beside its record in the run directory: sbx_admin_new() there, sbx_exec_named() and sbx_list() here.
 *
 * One thread at a time for each object. Since 0.2.
 */
struct sbx_exec {
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
#define SBX_EXEC_INIT                              \
    {                                              \
        .stdio = {-1, -1, -1}, .terminal_like = -1 \
    }

typedef struct sbx_session sbx_session;

/*
 * Start a process in @s. Returns when its init was asked; whether the program could be executed is part of its end.
 * Ownership: the caller frees @ret; what @exec names is borrowed until it returns.
 * Errors: -EINVAL no command, or a directory that is no absolute path; -ESRCH the sandbox has ended; -EBUSY it is frozen;
 * -EOPNOTSUPP it was made as bubblewrap makes one; -E2BIG arguments of more than 4 MiB; -EAGAIN its init does not listen;
 * -ENOTTY @terminal_like is no terminal; as of sbx_plan_new() for @fds; -ENOMEM, -EMFILE; each with @error.   Blocking: no.
 */
int sbx_exec(sbx_session **ret, sbx *s, const struct sbx_exec *exec, struct sbx_error *error);
/*
 * The same in a sandbox of another process of ours.
 * @run_dir: where its launcher keeps its record; NULL = the default
 * @name:    of the sandbox, or the host's pid of its init
 * Errors: also -ENOENT there is none; -ENOTUNIQ several have that name (@error lists their pids); -EACCES it refuses us;
 * -ETIMEDOUT its launcher is stopped.   Blocking: until its launcher answers, 5 s at most.
 */
int sbx_exec_named(sbx_session **ret,
                   const char *run_dir,
                   const char *name,
                   const struct sbx_exec *exec,
                   struct sbx_error *error);

/* Loop: poll this for POLLIN, then sbx_session_process(). The fd stays the session's. */
int sbx_session_get_fd(const sbx_session *session);
/*
 * Returns 1 when the process has ended: @ret_result is filled (again and again, if asked), without statistics; 0 it runs.
 * Outcomes: SBX_EXITED, SBX_SIGNALED; SBX_SETUP_FAILED it never ran, as the result's error says; SBX_STOPPED the sandbox
 * has ended before.   Blocking: no.
 */
int sbx_session_process(sbx_session *session, struct sbx_result *ret_result);
/* The blocking form: returns 1 when it has ended, or -errno of poll(2). */
int sbx_session_wait(sbx_session *session, struct sbx_result *ret_result);
/* Signal it; INT, QUIT, HUP, WINCH, CONT, STOP and KILL go to its process group. Errors: -EINVAL; -ESRCH it has ended; -EAGAIN. */
int sbx_session_signal(sbx_session *session, int signo);
/* As sbx_take_terminal(). It comes before the program runs, but after sbx_exec() has returned: -EAGAIN it may still come. */
int sbx_session_take_terminal(sbx_session *session);
/* Kills it if it still runs. Returns NULL. NULL is fine. Blocking: no. */
sbx_session *sbx_session_free(sbx_session *session);

typedef struct sbx_admin sbx_admin;

/*
 * Open the admin socket of this process beside the record of @cleaner: mode 0600, for processes of our own uid in our own
 * user and pid namespaces, so not for what is in a sandbox. They may list the sandboxes that were added, and start
 * processes in them. It goes with the record.
 * Ownership: the caller frees @ret, before @cleaner.   Errors: -errno of the socket calls, with @error.   Blocking: no.
 */
int sbx_admin_new(sbx_admin **ret, sbx_cleaner *cleaner, struct sbx_error *error);
/* Loop: poll this for POLLIN, then sbx_admin_process(). The fd stays the admin's. */
int sbx_admin_get_fd(const sbx_admin *admin);
/* Answers what was asked. Blocking: no; what a peer asks is bounded, its strings are only passed on. */
void sbx_admin_process(sbx_admin *admin);
/* From here on @s can be found, until sbx_free(). Again when one that waited runs: its time begins then. */
void sbx_admin_add(sbx_admin *admin, sbx *s);
/* Removes the socket. Sessions and sandboxes live on. Returns NULL. NULL is fine. */
sbx_admin *sbx_admin_free(sbx_admin *admin);

/* A running sandbox, as its launcher tells it. */
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
/*
 * All sandboxes that processes of ours have added to an admin socket.
 * @each: called for each; anything but 0 ends it, and is returned
 * Errors: -errno of the run directory, with @error; none is there: 0. A launcher that does not answer for 1 s is left out.
 */
int sbx_list(const char *run_dir,
             int (*each)(const struct sbx_listed *listed, void *userdata),
             void *userdata,
             struct sbx_error *error);

#endif
