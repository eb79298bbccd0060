/* SPDX-License-Identifier: MIT */
#ifndef SBXI_INIT_H
#define SBXI_INIT_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/types.h>

#include "steps.h"

/* What uds-sandbox-init holds: the plan, read-only, and what acting it out has opened so far. */
struct init {
    const struct sbxi_blob *blob;
    const struct sbxi_step *steps;
    int tree[SBXI_MAX_TREES]; /* -1: not opened */
    int root;                 /* the new /, O_PATH; before the pivot the old one */
    int old;                  /* the old / till what was uncovered goes with it; -1: it is gone */
    bool pivoted;             /* from here on no path is the host's */
    unsigned covers;          /* trees attached at / since the pivot */
    int proc;                 /* the host's /proc, O_PATH; -1: there is none */
    int null;                 /* the null device where it covers something; -1: nowhere yet */
    int nothing;              /* an empty directory where it covers one; -1: nowhere yet */
    int fresh;                /* what was attached last, at @fresh_path; -1: none */
    const char *fresh_path;
    bool inside;           /* it is our working directory */
    const char *masked[2]; /* of what is in it: a file and a directory that are covered; or NULL */
    int scratch;           /* a tmpfs that goes with the old root; -1: not made yet */
    unsigned scratched;    /* names used in it */
    int error_fd; /* payload's process: CLOEXEC pipe to PID 1, or to the launcher; -1: none */
    struct sbxi_event *failure; /* where it says what failed if it shares PID 1's memory; or NULL */
    unsigned umask;             /* the caller's */
    bool style_bwrap;
    bool seen;    /* by others who may own us: what makes us dumpable was done before */
    bool bounded; /* no exec gives a capability */
    const struct sbxi_request *request;  /* of a session: what is to be run, checked */
    bool session;                        /* started later: failures name the kind of step */
    int passed;                          /* of a session: where what it is passed begins */
    pid_t pid;                           /* of who becomes the payload; 0 = not asked yet */
    char cwd[4096];                      /* where the payload starts, for PWD */
    uint64_t cgroup_ns, time_ns, net_ns; /* inodes, 0 = not ours, or the launcher knows */
    char detail[224];                    /* of the step that failed */
};

/* parcel.c: the descriptors of SBXI_START; none of another command, or where some were lost. */
struct parcel {
    int fds[SBXI_SESSION_MOST];
    size_t n;
};
/* As recvmsg(2). */
ssize_t init_receive(int sock, struct sbxi_command *command, struct parcel *parcel, int flags);
void init_parcel_close(struct parcel *parcel);
/* In the process of a session. 0 or -errno. */
int init_parcel_lay_out(const struct parcel *parcel);
/* SBXI_AWAIT. Returns when it is known what to run. */
int init_act_await(struct init *init);

static inline const char *init_a(const struct init *init, const struct sbxi_step *step)
{
    return (const char *)init->blob + step->a;
}

static inline const char *init_b(const struct init *init, const struct sbxi_step *step)
{
    return (const char *)init->blob + step->b;
}

/* -errno, with @format in the record that the launcher gets. */
int init_fail(struct init *init, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* mounts.c: the steps that build the root. */
int init_act_mount(struct init *init, const struct sbxi_step *step);
/* Before a step with operation @before. */
int init_end_old_root(struct init *init, uint32_t before);
/* What tells one place from another, of statx(2). */
#define INIT_IDENTITY (STATX_INO | STATX_MNT_ID | STATX_TYPE)
/* Attach @tree where @target, of which INIT_IDENTITY is in @at, leads. Consumes neither. */
struct statx;
int init_attach_at(struct init *init, int tree, int target, const struct statx *at);
/* cover.c: the steps that hide and seal. */
int init_act_cover(struct init *init, const struct sbxi_step *step);
struct option {
    const char *key, *value; /* value NULL: a flag */
};
/* A new file system attached nowhere: fd or -errno, with what the kernel said. @options end with a NULL key. */
int init_new_fs(struct init *init,
                const char *type,
                const struct option *options,
                unsigned attributes);
int init_new_tmpfs(struct init *init, uint64_t mode, uint64_t size, unsigned attributes);

/* The last thing that the kernel had to say of @fs becomes the failure's detail. */
void init_keep_words(struct init *init, int fs);

/* fresh.c: what lies directly in the file system that was attached last. */

/* Takes @fd, which may be -1; borrows @path. */
void init_set_fresh(struct init *init, const char *path, int fd);
/* The descriptor of that file system, borrowed, if @step's path lies there; -1 = it has to be walked to. */
int init_fresh(const struct init *init, const struct sbxi_step *step, const char **ret_name);
int init_make_fresh(int fresh, const char *name, bool directory);
int init_attach_fresh(int tree, int fresh, const char *name);
/* As mount(2), with names of what is in there. */
int init_mount_fresh(struct init *init,
                     const char *source,
                     const char *name,
                     const char *type,
                     unsigned long flags,
                     const char *options);
/* Out of it again. */
int init_leave_fresh(struct init *init);

/* sources.c: the steps that make trees of descriptors. */
int init_act_source(struct init *init, const struct sbxi_step *step);
/* Makes init->scratch, once. */
int init_scratch(struct init *init);
/* overlay.c */
int init_overlay(struct init *init, const struct sbxi_step *step);
/* All that can be read from @from, or with @whole all that is in it, into @to. */
int init_copy(int from, int to, bool whole);

/* join.c: into namespaces that exist already. Returns in PID 1, when it has its ids; the process that calls it ends. */
int init_join(struct init *init);

/* meanwhile.c: what goes on beside the steps. What failed is said where it is waited for. */
/* Nothing does: threads would be refused, and counted as the payload's. */
void init_meanwhile_alone(void);
void init_meanwhile_network(bool lo);
int init_meanwhile_enter_network(struct init *init);
/* So many mounts over the new root, where we are; when it returns 0 they are out of sight. */
int init_meanwhile_detach(struct init *init, int mounts);
int init_meanwhile_wait(struct init *init); /* for that */
bool init_meanwhile_is_on(void);
int init_loopback_up(void);

/* userns.c: user namespaces after the first. */
int init_act_userns(struct init *init, const struct sbxi_step *step);

/* timens.c: the namespace of the payload's clocks. */
int init_act_time(struct init *init, const struct sbxi_step *step);

/* files.c: making paths below the new root, and the steps that only do that. */
int init_act_file(struct init *init, const struct sbxi_step *step);
int init_make_parents(struct init *init,
                      const struct sbxi_step *step,
                      const char *path,
                      unsigned mode);
int init_make_leaf(struct init *init, const char *path, bool directory, unsigned mode);
/* What a step with flag OWNED has made. */
int init_give_away(const struct init *init, const struct sbxi_step *step, int fd);

/* Below the new root, whatever symbolic links say. -errno or an O_PATH fd. */
int init_resolve(const struct init *init, const char *path);

/* payload.c: the steps after SBXI_FORK. Ends in execve or returns -errno. */
int init_act_payload(struct init *init, const struct sbxi_step *step);
/* SBXI_OOM_SCORE, of who calls. */
int init_act_oom_score(const struct init *init, const struct sbxi_step *step);
/* Signal dispositions and mask as a program expects them at birth. */
void init_reset_signals(void);
void init_unblock_signals(void);
/* Who started us is who we die with. */
int init_die_with_parent(void);

/* terminal.c: the payload's, made where it will find it by its name. */
int init_change_directory(struct init *init, const char *path);
int init_act_terminal(struct init *init, const struct sbxi_step *step);

/* main.c: acts out the blob of a session, in its process. */
_Noreturn void init_run_session(void);

/* session.c: processes that are started later. */

/* Takes what is in @parcel. */
void init_session_start(struct parcel *parcel);
/* What to poll, from @fds[0]; how many. */
size_t init_session_poll(struct pollfd *fds);
void init_session_obey(const struct pollfd *fds, size_t n);
/* Somebody was reaped. */
void init_session_reaped(pid_t pid, int status);
/* What is to be run, out of @fd; goes to its directory. */
int init_read_request(struct init *init, int fd);
const char *init_request_argv(const struct sbxi_request *request);
const char *init_request_env(const struct sbxi_request *request);

/* watch.c: after the payload's execve, till the end. @style: enum sbxi_style. */
_Noreturn void init_watch(pid_t payload, int signals, uint32_t style);
/* What a terminal sends, it sends to all of a foreground group; a payload leads one, and may have no terminal of its own. */
void init_pass_on(pid_t payload, int signo);
void init_send(const struct sbxi_event *event);
void init_end_children(pid_t payload);

/* notify.c: the socket of NOTIFY_SOCKET. Made with the root; kept by PID 1, which is told where it has moved. */
int init_notify_make(struct init *init, const struct sbxi_step *step);
int init_notify_keep(int fds[2]); /* how many there are to keep: 2 or 0 */
void init_notify_moved(int socket, int channel);
/* What to poll for, and how long at most (ms, -1 = forever); then deal with it. *@main_pid: whose end counts. */
int init_notify_wait(struct pollfd fds[2]);
void init_notify_serve(const struct pollfd fds[2], pid_t *main_pid);
/* What was sent before the end still counts. */
void init_notify_finish(void);

/* memory.c: what RLIMIT_DATA refuses. Begun before the payload is forked; kept by PID 1 as the socket of notify.c is. */
int init_memory_begin(const struct sbxi_step *step);
int init_memory_keep(int fds[2]); /* how many there are to keep */
void init_memory_moved(int first);
struct pollfd init_memory_poll(void);
void init_memory_serve(const struct pollfd *poll);
void init_memory_tell(struct sbxi_event *event);

/* caps.c */
int init_drop_bounds(void);
/* The same, and no exec gives any back. */
int init_lock_bounds(void);
/* The permitted ones, by bit. */
int init_get_caps(uint64_t *ret);
/* Permitted and effective become @keep, by bit; the others are empty. */
int init_set_caps(uint64_t keep);
int init_act_caps(struct init *init, const struct sbxi_step *step);

/* landlock.c */
int init_act_landlock(struct init *init, const struct sbxi_step *step);

/* exec.c */
int init_exec(struct init *init, const struct sbxi_step *step);

#endif
