/* SPDX-License-Identifier: MIT */
#ifndef SBX_SANDBOX_H
#define SBX_SANDBOX_H

#include <sbx/limits.h>
#include <sbx/net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <sys/types.h>

/*
 * libuds-sandbox: a spec (what is wanted) becomes a plan (steps that can be printed) becomes a running, confined process.
 *
 *   sbx_spec ── sbx_plan_new() ──▶ sbx_plan ── sbx_start() ──▶ sbx (running) ── sbx_process() … ──▶ sbx_result
 *                 checks all,         print = --dry-run          cleaner knows everything that exists
 *                 touches nothing
 *
 * The first process of a sandbox is a small static program, uds-sandbox-init, exec'd straight after clone3: it never held the
 * launcher's memory. It acts out the plan, starts the payload and stays as PID 1.
 *
 * Unless a comment says otherwise: pointers are not NULL, outputs are written on success only, int functions return 0 or -errno
 * (with @error, zeroed before by the caller, filled where there is one; it may be NULL), threads: each object belongs to one at a time. The library
 * prints nothing and touches no signal disposition. Since 0.1, all of it.
 */

/* ---- errors: what failed, on which thing, why, what to do ---- */

struct sbx_error {
    int err;         /* errno value, 0 = none */
    char text[1024]; /* one line: "what: thing: cause; knob" */
    bool exec;       /* everything was set up, and the payload's execve failed */
    bool step;       /* one of the plan's steps failed: text is "sandbox NAME: VERB THING: cause" */
};

/* ---- spec ---- */

enum sbx_ns { /* bits */
    SBX_NS_USER = 1u << 0,
    SBX_NS_MOUNT = 1u << 1,
    SBX_NS_PID = 1u << 2,
    SBX_NS_NET = 1u << 3,
    SBX_NS_IPC = 1u << 4,
    SBX_NS_UTS = 1u << 5,
    SBX_NS_CGROUP = 1u << 6,
    SBX_NS_ALL = 0x7f,     /* what a sandbox has if nothing is said */
    SBX_NS_TIME = 1u << 7, /* clocks that count from elsewhere: only where it is asked for */
};

enum sbx_root {
    SBX_ROOT_HOST_RO =
        0,          /* the host's root, recursively read-only, /proc /dev /tmp /run of its own */
    SBX_ROOT_JAIL,  /* only the files named in @jail, their interpreters and their shared objects */
    SBX_ROOT_EMPTY, /* an empty tmpfs: what is in it is in @mounts; as they leave it, so it stays */
    /* @layers one above the other and what is written in @upper, with /proc /dev /tmp /run of its own. Since 0.2 */
    SBX_ROOT_LAYERS,
};

/* What may be left out when the kernel refuses it (--degrade=LIST, stack file "degrade:"). */
enum sbx_degrade { /* bits */
    /* "cgroup": no cgroup; memory → RLIMIT_DATA, pids → RLIMIT_NPROC, cpu unlimited */
    SBX_DEGRADE_CGROUP = 1u << 0,
    SBX_DEGRADE_CPU = 1u << 1, /* "cpu": no cpu limit */
    /* "id-range": one id instead of a range of its own (rootless) */
    SBX_DEGRADE_ID_RANGE = 1u << 2,
    SBX_DEGRADE_LANDLOCK = 1u << 3, /* "landlock" */
    SBX_DEGRADE_STATS = 1u << 4,    /* "stats": no cgroup statistics */
    SBX_DEGRADE_CPUSET = 1u << 5,   /* "cpuset": any CPU */
    SBX_DEGRADE_MEMORY_HIGH =
        1u << 6, /* "memory-high": nothing below the memory limit (v1 has no such control) */
    SBX_DEGRADE_IO = 1u << 7, /* "io": no rates and weights of I/O */
    SBX_DEGRADE_BUFFERED_WRITES =
        1u << 8, /* "buffered-writes": a rate of writes holds for O_DIRECT and reads only (v1) */
    /* "layer-ids": files of layers whose file system cannot be id-mapped belong to nobody inside. Since 0.2 */
    SBX_DEGRADE_LAYER_IDS = 1u << 9,
};

enum sbx_seccomp {
    SBX_SECCOMP_DEFAULT = 0, /* what ordinary programs call; with @caps also what those are for */
    SBX_SECCOMP_NONE,        /* no filter but @filters */
    SBX_SECCOMP_STRICT,      /* computing, reading files, and the descriptors that it has */
    SBX_SECCOMP_FILE,        /* as @seccomp_file says, see uds-seccomp(5) */
};

enum sbx_landlock_scope { /* bits */
    SBX_LANDLOCK_ABSTRACT =
        1u << 0, /* no abstract socket of a process outside can be connected to */
    SBX_LANDLOCK_SIGNAL =
        1u << 1, /* no process outside can be signalled, PID 1 and those of sbx_exec() among them */
};

/* All zero: no Landlock. What is restricted stays so for all that the payload starts. */
struct sbx_landlock {
    /* Paths inside, NULL-terminated. With either nothing else can be opened: not even the command, unless it lies below one. */
    const char *const *ro, *const *rw;
    const uint16_t *connect, *bind; /* TCP ports; of @bind 0 is any that the kernel picks */
    size_t nconnect, nbind;
    bool limit_connect, limit_bind; /* to the ports listed, which may be none */
    uint32_t scope;                 /* enum sbx_landlock_scope */
};

#define SBX_CAPS_ALL UINT64_MAX /* bit 63: those that are not to be had are left out */

struct sbx_bind {
    const char *source; /* host path */
    const char *target; /* absolute path inside */
    bool writable;
    bool optional; /* no error if @source does not exist */
};

/*
 * One thing done to the root; a list of them is done in its order, after the root's own (@binds are before them). The
 * words are bubblewrap's. What a target lacks is made: directories 0755, files 0444; symbolic links on the way are
 * followed inside the root.
 */
enum sbx_mount_type {
    SBX_MOUNT_BIND = 1,   /* @source, or what @fd is, and the mounts below it */
    SBX_MOUNT_REMOUNT_RO, /* the mount at @target, without those below, becomes read-only */
    SBX_MOUNT_OVERLAY, /* @layers, and above them @source with @work; without @source a tmpfs, or with @readonly none */
    SBX_MOUNT_PROC,
    SBX_MOUNT_DEV, /* the usual devices, links, pts and shm */
    SBX_MOUNT_TMPFS,
    SBX_MOUNT_MQUEUE,
    SBX_MOUNT_DIR,
    SBX_MOUNT_FILE,      /* what can be read from @fd, as a file there */
    SBX_MOUNT_BIND_DATA, /* the same, over what is there */
    SBX_MOUNT_SYMLINK,   /* to @source */
    SBX_MOUNT_CHMOD,
};

struct sbx_mount {
    enum sbx_mount_type type;
    const char *target;        /* absolute path inside */
    const char *source;        /* absolute host path; of a symbolic link any text */
    const char *work;          /* of an overlay with @source: an empty directory beside it */
    const char *const *layers; /* of an overlay: host paths, the lowest first, NULL-terminated */
    int fd;                    /* borrowed; -1 = none. Read or used up by the first start */
    int mode;                  /* permissions, -1 = usual: 0755, of a file 0666, of data 0600 */
    uint64_t size_bytes;       /* of a tmpfs; 0 = usual */
    bool readonly, devices;    /* of a bind: no writing; device nodes work */
    bool optional;             /* of a bind: no error if @source does not exist */
};
#define SBX_MOUNT_INIT       \
    {                        \
        .fd = -1, .mode = -1 \
    }

struct sbx_filter {
    const void *code; /* seccomp: a BPF program, as seccomp_export_bpf(3) writes it */
    size_t length;    /* bytes, a multiple of 8 */
};

struct sbx_join {
    enum sbx_ns ns;
    int fd; /* borrowed: of /proc/PID/ns/… */
};

struct sbx_report;
struct sbx_fdstore; /* sbx/notify.h */

struct sbx_named_fd {
    /* for fds[]: LISTEN_FDNAMES entry; for env_fds[]: an environment variable that will be "fd:N" */
    const char *name;
    int fd; /* borrowed until sbx_start() returns */
};

struct sbx_rlimit {
    int resource;
    uint64_t soft, hard;
};

struct sbx_spec {
    const char *name; /* [a-zA-Z0-9_-]{1,48}; NULL = made up */
    const char *const
        *argv; /* NULL-terminated; argv[0] an absolute path or searched in PATH inside */
    /* NULL-terminated "K=V"; the whole environment besides what we add (PATH, LISTEN_*, env_fds) */
    const char *const *env;
    const char *chdir;    /* inside; NULL = "/" */
    const char *hostname; /* NULL = name */
    uint32_t isolate;     /* enum sbx_ns; what is missing is shared with the host */
    struct sbx_net net;   /* what is in the network namespace, or instead of it */
    /* SBX_NS_TIME: added to CLOCK_MONOTONIC and CLOCK_BOOTTIME. The kernel lets neither clock become negative. */
    int64_t monotonic_offset_ns, boottime_offset_ns;
    enum sbx_root root;
    const char *const
        *jail; /* SBX_ROOT_JAIL: binaries and other files, host paths, NULL-terminated */
    /* SBX_ROOT_LAYERS: directories of the host, the lowest first, NULL-terminated; their files keep their ids. Since 0.2 */
    const char *const *layers;
    /*
     * What is written: NULL = nothing can be, "" = a tmpfs, else a directory of the host, made if missing; the work
     * directory and what libuds-sandbox notes are beside it, in UPPER.uds. One sandbox at a time has it (-EBUSY). Since 0.2
     */
    const char *upper;
    bool chroot; /* enter the root by chroot(2) where pivot_root(2) cannot be. Since 0.2 */
    const struct sbx_bind *binds;
    size_t nbinds;
    const char *const *masks; /* paths inside to hide, NULL-terminated or NULL */
    /* Of the cleaner that it will have; NULL = the default. What a mount would show of it is hidden, unless the ids inside are
     * a range that nobody else has. Since 0.2 */
    const char *run_dir;
    struct sbx_limits limits;
    const struct sbx_rlimit *rlimits;
    size_t nrlimits;
    /* passed as 3, 4, … with LISTEN_FDS, LISTEN_FDNAMES, LISTEN_PID */
    const struct sbx_named_fd *fds;
    size_t nfds;
    const struct sbx_named_fd *env_fds; /* after those */
    size_t nenv_fds;
    int stdio[3]; /* borrowed; -1 = /dev/null */
    /* instead of @stdio a terminal of the sandbox's own, that controls the payload's session: sbx_take_terminal() */
    bool terminal;
    int terminal_like; /* of the size and the modes of this one; borrowed, -1 = 24 lines of 80 */
    /* inside; payload's. (uid_t)-1 = 1000 where there is a range of ids, else the caller's own */
    uid_t uid;
    gid_t gid;
    bool host_root; /* started by root: keep host ids (no user namespace). Explicit exception */
    /* Rootless: the caller's ids of /etc/subuid inside (1 and up; 0 is the caller's own, and init's), by newuidmap(1). */
    bool id_range;
    /*
     * The payload's capabilities, by bit, in every set; all others are gone for good. They are capabilities over what belongs to
     * the sandbox's user namespace, and, but with @host_root, over nothing of the host's.
     */
    uint64_t caps;
    enum sbx_seccomp seccomp;
    const char *seccomp_file; /* of SBX_SECCOMP_FILE: a host path */
    struct sbx_landlock landlock;
    /* Landlock: nothing outside the sandbox's own mounts may be opened, not even by /proc/self/fd */
    bool landlock_no_reopen;
    bool assert_all;  /* refuse anything less than asked, whatever @degrade says */
    uint32_t degrade; /* enum sbx_degrade */
    int timeout_ms;   /* wall clock; -1 = none */
    int grace_ms;     /* at the timeout TERM, and a kill so long after it; 0 = kill at once */
    /* NOTIFY_SOCKET, sd_notify(3) (sbx/notify.h); needs a mount namespace. The rest needs this one */
    bool notify;
    int ready_ms;    /* not READY=1 so long after the start: killed, SBX_NOT_READY; 0 = no hurry */
    int watchdog_ms; /* WATCHDOG_USEC: no WATCHDOG=1 for so long: killed, SBX_WATCHDOG; 0 = none */
    struct sbx_fdstore
        *fdstore; /* takes FDSTORE=1; borrowed for the sandbox's life; NULL = refused */
    /*
     * No payload yet: sbx_start() returns when all else is there, and PID 1 waits for sbx_adopt() (sbx/warm.h), which says
     * what is run. What @argv says is not. Not with @fds, @env_fds, @terminal, @notify, @bwrap
     */
    bool waits;
    /* No cgroup: nothing is limited or counted, nothing can be frozen, and its pid namespace ends it. Starts sooner */
    bool no_cgroup;
    const char *cgroup_parent; /* NULL = ours; on v2 the next free above if it is shared */

    const struct sbx_mount *mounts; /* in order */
    size_t nmounts;
    /*
     * Files of the payload's own, /run/secrets/NAME, mode 0400, on a read-only tmpfs, after @mounts (sbx/secret.h). What a
     * descriptor has to be read is used up by the first start, but for sealed memory (F_SEAL_WRITE), which is read whole by
     * every one; 1 MiB for all. Since 0.2
     */
    const struct sbx_named_fd *secrets;
    size_t nsecrets;
    const struct sbx_filter
        *filters; /* loaded in order, last of all; each but the last must allow prctl(2) */
    size_t nfilters;
    const struct sbx_join *
        joins; /* namespaces that exist already; not in @isolate, but a pid one may: a child of it */
    size_t njoins;
    bool disable_userns; /* no user namespace can be made inside, whatever the payload may do */
    bool assert_userns_disabled; /* refuse to start if one can */

    /*
     * bubblewrap's defaults: what bwrap(1) does without an option. Ids, umask, signal dispositions, session, keyring and
     * limits are the caller's; a user namespace maps one id, root needs none; host mounts arrive inside later; no cgroup, no
     * seccomp filter, no cleaner: processes that outlive the payload, or us, live on in their pid namespace. The fields
     * below are for it alone.
     */
    bool bwrap;
    bool as_pid1;         /* the first process becomes the payload: nothing reaps orphans */
    bool new_session;     /* setsid(2) */
    bool die_with_parent; /* SIGKILL when our thread that starts it ends */
    bool
        foreign_maps; /* somebody else writes the user namespace's id maps, before @on_born returns */
    bool keep_caps;   /* capabilities stay what they are; else they become @caps */
    const char *argv0; /* NULL = argv[0], which stays what is executed */
    const char *const
        *cwd; /* with @chdir NULL: the first of these that exists inside, or "/"; NULL-terminated */
    const int *keep_fds; /* passed with the numbers that they have, 3 and above, ascending */
    size_t nkeep_fds;
    const char *const *
        lock_files; /* paths inside, locked (fcntl, F_RDLCK) while it runs; NULL-terminated or NULL */
    int sync_fd;    /* held open by its init, -1 = none */
    int block_fd;   /* read once before the payload starts, -1 = none */
    int userns2;    /* user namespace to enter when all is set up, -1 = none */
    /* Between clone and the first instruction of the sandbox; negative = do not start (-errno, becomes sbx_start()'s). */
    int (*on_born)(const struct sbx_report *report, void *userdata);
    void *userdata;
};
#define SBX_SPEC_INIT                                                                       \
    {                                                                                       \
        .isolate = SBX_NS_ALL, .stdio = {-1, -1, -1}, .uid = (uid_t)-1, .gid = (gid_t)-1,   \
        .timeout_ms = -1, .sync_fd = -1, .block_fd = -1, .userns2 = -1, .terminal_like = -1 \
    }

/* ---- cleaner: removes what exists when nobody else can ----
 *
 * A process of its own session, started before anything is made; holds a flock'ed record under the run directory
 * (/run/uds/records, rootless $XDG_RUNTIME_DIR/uds/records or /tmp/uds-UID/records) of cgroups, directories, processes and id ranges. When the owner dies
 * (pipe closes) it kills and removes all of it and exits. A record that nobody locks belongs to nobody: sbx_gc() sweeps it.
 */
typedef struct sbx_cleaner sbx_cleaner;

/*
 * Start a cleaner, after a sweep of what others left.
 * @run_dir: NULL = the default; made if it is missing
 * Ownership: the caller frees @ret. On failure nothing is left.   Errors: -EACCES, -EPERM the run directory is not ours; -ENOENT
 * no uds-cleaner program beside ours; -EAGAIN, -ENOMEM, -EMFILE.   Blocking: a fork and exec, a few ms.
 */
int sbx_cleaner_new(sbx_cleaner **ret, const char *run_dir, struct sbx_error *error);
/* Ends the cleaner in order: everything still registered is removed now. NULL is fine. Returns NULL. Blocking: until it is gone, seconds at most. */
sbx_cleaner *sbx_cleaner_free(sbx_cleaner *cleaner);
/* The cleaner's pid, for listings. */
pid_t sbx_cleaner_get_pid(const sbx_cleaner *cleaner);
/* In a forked child that goes on without it: close our ends, do nothing else. NULL is fine. Returns NULL. */
sbx_cleaner *sbx_cleaner_forget(sbx_cleaner *cleaner);
/*
 * Register, before it is made, a path that must be gone at the end (a socket file; a directory: removed deepest first, if empty).
 * @path: absolute; copied
 * Errors: -EINVAL not absolute, -ENAMETOOLONG, -ENOSPC too many or no room for the record, -EPIPE the cleaner died and cannot be
 * started again.   Blocking: a write to the record file, and a fork and exec if the cleaner has died.
 */
int sbx_cleaner_add_path(sbx_cleaner *cleaner, const char *path);
/* Forget it again, after it was removed; nothing happens if it is not registered. Errors: as above. */
int sbx_cleaner_remove_path(sbx_cleaner *cleaner, const char *path);
/*
 * Register a process to be killed at the end.
 * @pidfd: of the same process, borrowed: proves that @pid was not re-used meanwhile; -1 = none (then it must be our child)
 * Errors: -ESRCH it is gone; as for paths.
 */
int sbx_cleaner_add_process(sbx_cleaner *cleaner, pid_t pid, int pidfd);
/* Forget it again, after it ended; nothing happens if it is not registered. Errors: as above. */
int sbx_cleaner_remove_process(sbx_cleaner *cleaner, pid_t pid);
/*
 * Reserve an id range shared with nobody on this host (65536 ids).
 * Ownership: the range is ours until released, or until the cleaner ends.   Errors: -EPERM not root; -ENOSPC none is free; as for paths.
 */
int sbx_cleaner_take_ids(sbx_cleaner *cleaner,
                         uint32_t *ret_first,
                         uint32_t *ret_count,
                         struct sbx_error *error);
/* Give a range back, when no process runs under it any more. @first: as taken. Errors: -ENOENT not taken by this cleaner. */
int sbx_cleaner_release_ids(sbx_cleaner *cleaner, uint32_t first);
/*
 * Sweep records that nobody locks.
 * @run_dir: NULL = the default
 * @log:     one line for each thing that was removed, or could not be; may be NULL
 * Returns how many things were removed. Errors: -errno of the run directory.   Blocking: kills, and waits for their end, seconds at most.
 */
int sbx_gc(const char *run_dir, FILE *log, struct sbx_error *error);
/*
 * The same, and waits for records of launchers that are gone which somebody still locks: a cleaner at work, a child of the
 * launcher that is just ending.
 * @timeout_ms: at most so long
 * @ret_held:   how many are locked still; @log says by whom
 * Returns, errors: as above.   Blocking: that long, too. Since 0.2
 */
int sbx_gc_wait(
    const char *run_dir, int timeout_ms, FILE *log, unsigned *ret_held, struct sbx_error *error);

/* ---- plan ---- */

typedef struct sbx_plan sbx_plan;

/*
 * Checks the spec as a whole and lists the steps; makes nothing.
 * Ownership: the caller frees @ret; what @spec points to is borrowed until then.
 * Errors: -EINVAL the spec contradicts itself; what the kernel refuses (-EPERM, -ENOSYS, -EOPNOTSUPP …) and @spec does not permit to
 * leave out; -ENOENT a jail's file is missing; -ENOMEM. @error names thing, cause and knob.   Blocking: file system calls, and a
 * short-lived child that reads ELF files.
 */
int sbx_plan_new(sbx_plan **ret, const struct sbx_spec *spec, struct sbx_error *error);
/* NULL is fine. Returns NULL. Sandboxes that were started from it live on. */
sbx_plan *sbx_plan_free(sbx_plan *plan);
/* --dry-run: one line a step. */
void sbx_plan_print(const sbx_plan *plan, FILE *out);

/* ---- running ---- */

typedef struct sbx sbx;

enum sbx_outcome {
    SBX_EXITED = 1, /* value = exit code */
    SBX_SIGNALED,   /* value = signal */
    SBX_OOM, /* killed for memory; value = the limit in bytes, 0 if it was not the sandbox's own */
    SBX_TIMEOUT,      /* value = timeout in ms */
    SBX_STOPPED,      /* we were asked to stop it */
    SBX_SETUP_FAILED, /* value = errno; the payload never ran; error has the words */
    SBX_NOT_READY,    /* value = the time that it had for READY=1, in ms */
    SBX_WATCHDOG,     /* value = for how long it did not say WATCHDOG=1, in ms */
};

struct sbx_result {
    enum sbx_outcome outcome;
    uint64_t value;
    char oom_level[256];    /* SBX_OOM: the cgroup whose limit it was, "/" = the machine's memory */
    struct sbx_stats stats; /* read before the cgroup is removed */
    struct sbx_error error;
    /*
     * Where the memory limit is RLIMIT_DATA: requests of 1 MiB and more that were over it, and the bytes of the first; 0, 0 =
     * none, or not known (before Linux 5.5, or where a seccomp listener is there already). Since 0.2
     */
    uint64_t memory_refused, memory_refused_bytes;
};

/* What was asked and what the kernel granted. */
struct sbx_report {
    uint32_t degraded; /* enum sbx_degrade bits that were used */
    uint32_t uid_first,
        uid_count;  /* host ids that the sandbox's ids map to; count 0 = no user namespace */
    uid_t host_uid; /* the payload's uid as the host sees it */
    gid_t host_gid;
    pid_t init_pid;        /* PID 1 of the sandbox, host's numbering */
    uint64_t ns_inode[8];  /* order of the sbx_ns bits: user mnt pid net ipc uts cgroup time */
    char cgroup[512];      /* path below each hierarchy's mount, "" = none */
    char backend[16];      /* "v2", "hybrid", "v1", "none" */
    bool memory_is_rlimit; /* memory limit is RLIMIT_DATA, of each process */
    bool pids_is_rlimit;   /* pids limit is RLIMIT_NPROC. Since 0.2 */
    bool guarded;  /* landlock_no_reopen in force and the setter system calls refused by seccomp */
    uint64_t caps; /* the payload's capabilities, by bit */
    enum sbx_seccomp seccomp; /* the profile in force */
    unsigned filters;         /* programs loaded, those of @filters among them */
    int landlock_abi;         /* the kernel's, where the payload has a domain; else 0 */
    struct sbx_net_report net;
};

/*
 * Make everything and start the payload. Returns when the payload's execve has succeeded or set-up has failed.
 * @cleaner: NULL: the sandbox starts one of its own
 * Ownership: the caller frees @ret; the plan's fds are borrowed until it returns, @cleaner for the life of @ret.
 * Errors: -errno of the step that failed, with @error; @error->exec tells a payload that cannot be executed. Nothing is left then.
 * Blocking: yes, a few ms, bounded by a time-out.
 */
int sbx_start(sbx **ret, const sbx_plan *plan, sbx_cleaner *cleaner, struct sbx_error *error);

/* Loop: poll this for POLLIN, at the latest after the timeout, then sbx_process(). The fd stays the sandbox's. */
int sbx_get_fd(const sbx *s);
/* ms; 0 at once, -1 never. */
int sbx_get_timeout(const sbx *s);
/*
 * Returns 1 when the sandbox has ended and all of it is removed: @ret_result is filled (again and again, if asked); 0 it runs.
 * Blocking: no, but for the removal at the end, which waits until what was killed is gone (well below a second).
 */
int sbx_process(sbx *s, struct sbx_result *ret_result);
/* The blocking form: returns 1 when it has ended, or -errno of poll(2). */
int sbx_wait(sbx *s, struct sbx_result *ret_result);

/*
 * The other end of the payload's terminal, if @terminal asked for one: what is written to it was typed, what is read was
 * printed, TIOCSWINSZ tells of a new size. Non-blocking. It can be read to its end (EIO) after the sandbox has ended.
 * Ownership: the caller's, who closes it; the payload then gets SIGHUP.   Errors: -ENOENT there is none, or it was taken.
 */
int sbx_take_terminal(sbx *s);

/* The @i-th path that is masked in it, or NULL after the last; borrowed from @s. One that was not there is among them. */
const char *sbx_get_masked(const sbx *s, size_t i);

/* What was granted; complete once sbx_start() has returned. */
void sbx_get_report(const sbx *s, struct sbx_report *ret);
/* The counters now, or the last there were. Always 0; @ret->known is false without a cgroup. */
int sbx_get_stats(sbx *s, struct sbx_stats *ret);
/*
 * Change limits of a running sandbox; what @limits does not name stays. In force when it returns.
 * Errors: -ESRCH it has ended; -EOPNOTSUPP it has no cgroup, or the backend lacks the control; -EBUSY it uses more memory than the
 * new limit and cannot give it back; -errno of the kernel; each with @error.
 */
int sbx_set_limits(sbx *s, const struct sbx_limits *limits, struct sbx_error *error);
/* The limits as the kernel has them, SBX_UNLIMITED where there is none. Errors: -ESRCH it has ended; -EOPNOTSUPP it has no cgroup. */
int sbx_get_limits(sbx *s, struct sbx_limits *ret);
/*
 * Stop all of its processes where they are, or let them go on; it may be killed while frozen.
 * Errors: -ESRCH it has ended; -EOPNOTSUPP it has no cgroup; -ETIMEDOUT a process sits in the kernel (then it is thawed again).
 * Blocking: until all are stopped, 2 s at most.
 */
int sbx_freeze(sbx *s, bool frozen);
/* Send a signal to the payload, through PID 1. Errors: -EINVAL no such signal; -ESRCH it has ended; -EAGAIN PID 1 does not listen. */
int sbx_signal(sbx *s, int signo);
/*
 * TERM, and after @grace_ms a kill of the cgroup or pid namespace; the outcome is SBX_STOPPED. Only asks: drive the loop.
 * Errors: -ESRCH it has ended.
 */
int sbx_stop(sbx *s, int grace_ms);
/* Kill everything in it now; the outcome is SBX_STOPPED. Only asks: drive the loop. Errors: -ESRCH it has ended. */
int sbx_kill(sbx *s);
/* Kills what still runs, removes everything. Returns NULL. NULL is fine. Blocking: as the end in sbx_process(). */
sbx *sbx_free(sbx *s);

/* Names used in files and on command lines: "user", "mount", … "all"; "cgroup", "cpu", …. Parsing: -EINVAL unknown. Names: static, NULL unknown. */
int sbx_ns_parse(const char *text, uint32_t *ret_bit);
/* An offset of a clock: "3600", "-1.5h", "30d"; seconds if no unit (ms, s, m, h, d) is named. -EINVAL, -ERANGE (over 292 years). */
int sbx_parse_offset(const char *text, int64_t *ret_ns);
const char *sbx_ns_name(uint32_t bit);
int sbx_degrade_parse(const char *text, uint32_t *ret_bit);
const char *sbx_degrade_name(uint32_t bit);
/* "cap_kill", "CAP_KILL", "kill" → its bit's number. -EINVAL unknown. */
int sbx_cap_parse(const char *text, unsigned *ret_bit);
/* "net_admin" of a bit's number; static, NULL unknown. */
const char *sbx_cap_name(unsigned bit);
/* "abstract-sockets", "signals". -EINVAL unknown; static, NULL unknown. */
int sbx_landlock_scope_parse(const char *text, uint32_t *ret_bit);
const char *sbx_landlock_scope_name(uint32_t bit);
/*
 * Files that a jail of these binaries needs, as host paths. ELF is parsed in an unprivileged child.
 * @binaries: absolute paths, NULL-terminated; since 0.2 also "@nss", "@locale", "@tls": what programs read for these, unsaid
 * Ownership: malloc'ed strings in a malloc'ed NULL-terminated array: the caller frees both.
 * Errors: -ENOENT a file is missing (@error names it and who needs it); -ENOEXEC; -ENOMEM.   Blocking: until the child is done.
 */
int sbx_jail_list(const char *const *binaries, char ***ret_paths, struct sbx_error *error);
/*
 * A copy of them for chroot(8), with the links that lead to them and empty /proc, /sys, /dev, /run, /tmp (1777).
 * Set-user-ID and set-group-ID bits are not copied.
 * @directory: absolute path, made if missing; what is in it stays, files of the same names are replaced. Links in it are not followed
 * Errors: as above; -ELOOP a link is in the way; -errno of the file system. What was copied stays. Blocking: until done. Since 0.2
 */
int sbx_jail_build(const char *directory, const char *const *binaries, struct sbx_error *error);

#endif
