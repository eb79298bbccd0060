/* SPDX-License-Identifier: MIT */
#ifndef SBX_SPEC_H
#define SBX_SPEC_H

#include <sbx/error.h>
#include <sbx/limits.h>
#include <sbx/net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/types.h>

/*
 * What is wanted of a sandbox: a struct that begins as SBX_SPEC_INIT, which isolates as `uds run` does, and is
 * filled in by who wants something else. Strings, arrays and descriptors in it are borrowed. Nothing here touches
 * the system; sbx_plan_new() checks it as a whole.
 *
 * Unless a comment says otherwise: pointers are not NULL, nothing changes owner, there are no errors, blocking:
 * never, threads: any, since: 0.1.
 */

struct sbx_report;  /* sbx/sandbox.h */
struct sbx_fdstore; /* sbx/notify.h */

UDS_BEGIN_DECLS

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
    /* @layers one above the other and what is written in @upper, with /proc /dev /tmp /run of its own */
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
    /* "layer-ids": files of layers whose file system cannot be id-mapped belong to nobody inside */
    SBX_DEGRADE_LAYER_IDS = 1u << 9,
};

/*
 * What is counted of a sandbox (struct sbx_stats). Where controllers are in hierarchies of v1, each that is counted in
 * takes one more directory to make, to enter and to remove: 0.1 ms. Limits have theirs in any case, and so has what
 * @cgroup_parent names.
 */
enum sbx_counting {
    SBX_COUNT_ALL = 0,
    SBX_COUNT_BRIEFLY, /* the same while it runs; of its end CPU time, the memory's peak and OOM kills */
    /*
     * What there is for its limits, on v1 besides CPU time. Of its end what wait4 gives. Without a limit of memory
     * an OOM kill is on v1 no SBX_OOM: it cannot be told from another SIGKILL.
     */
    SBX_COUNT_LITTLE
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
#ifdef __cplusplus
#define SBX_MOUNT_INIT                \
    [] {                              \
        struct sbx_mount sbx_it = {}; \
        sbx_it.fd = sbx_it.mode = -1; \
        return sbx_it;                \
    }()
#else
#define SBX_MOUNT_INIT       \
    {                        \
        .fd = -1, .mode = -1 \
    }
#endif

struct sbx_filter {
    const void *code; /* seccomp: a BPF program, as seccomp_export_bpf(3) writes it */
    size_t length;    /* bytes, a multiple of 8 */
};

struct sbx_join {
    enum sbx_ns ns;
    int fd; /* borrowed: of /proc/PID/ns/… */
};

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
    size_t size; /* sizeof(struct sbx_spec), as SBX_SPEC_INIT sets it; anything else is -EINVAL */
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
    /* SBX_ROOT_LAYERS: directories of the host, the lowest first, NULL-terminated; their files keep their ids */
    const char *const *layers;
    /*
     * What is written: NULL = nothing can be, "" = a tmpfs, else a directory of the host, made if missing; the work
     * directory and what libuds-sandbox notes are beside it, in UPPER.uds. One sandbox at a time has it (-EBUSY).
     */
    const char *upper;
    bool chroot; /* enter the root by chroot(2) where pivot_root(2) cannot be */
    const struct sbx_bind *binds;
    size_t nbinds;
    const char *const *masks; /* paths inside to hide, NULL-terminated or NULL */
    /* Of the cleaner that it will have; NULL = the default. What a mount would show of it is hidden, unless the ids inside are
     * a range that nobody else has */
    const char *run_dir;
    struct sbx_limits limits;
    /* The last for a resource counts. Above our hard limit takes CAP_SYS_RESOURCE; RLIMIT_CORE is 1 byte if it is not named */
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
    int timeout_ms;   /* wall clock; -1 = none. Set-up has as long, from 5 s to 30 s */
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
    enum sbx_counting counting;
    const char *cgroup_parent; /* NULL = ours; on v2 the next free above if it is shared */

    const struct sbx_mount *mounts; /* in order */
    size_t nmounts;
    /*
     * Files of the payload's own, /run/secrets/NAME, mode 0400, on a read-only tmpfs, after @mounts (sbx/secret.h). What a
     * descriptor has to be read is used up by the first start, but for sealed memory (F_SEAL_WRITE), which is read whole by
     * every one; 1 MiB for all.
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
    /* Capabilities stay what they are, and those of @caps that are inheritable become ambient; else they become @caps. */
    bool keep_caps;
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
#ifdef __cplusplus
#define SBX_SPEC_INIT                                             \
    [] {                                                          \
        struct sbx_spec sbx_it = {};                              \
        sbx_it.size = sizeof(sbx_it);                             \
        sbx_it.limits.size = sizeof(sbx_it.limits);               \
        sbx_it.isolate = SBX_NS_ALL;                              \
        sbx_it.stdio[0] = sbx_it.stdio[1] = sbx_it.stdio[2] = -1; \
        sbx_it.uid = (uid_t)-1;                                   \
        sbx_it.gid = (gid_t)-1;                                   \
        sbx_it.timeout_ms = sbx_it.sync_fd = -1;                  \
        sbx_it.block_fd = sbx_it.userns2 = -1;                    \
        sbx_it.terminal_like = -1;                                \
        return sbx_it;                                            \
    }()
#else
#define SBX_SPEC_INIT                                                                        \
    {                                                                                        \
        .size = sizeof(struct sbx_spec), .isolate = SBX_NS_ALL, .stdio = {-1, -1, -1},       \
        .uid = (uid_t)-1, .gid = (gid_t)-1, .timeout_ms = -1, .sync_fd = -1, .block_fd = -1, \
        .userns2 = -1, .terminal_like = -1, .limits.size = sizeof(struct sbx_limits)         \
    }
#endif

/**
 * sbx_ns_parse() - a namespace's bit of its name in files and on command lines
 * @text: "user", "mount", "pid", "net", "ipc", "uts", "cgroup", "time", or "all"
 *
 * Errors: -EINVAL unknown.
 */
UDS_EXPORT int sbx_ns_parse(const char *text, uint32_t *ret_bit);
/** sbx_ns_name() - the name of a bit; static, NULL = unknown */
UDS_EXPORT const char *sbx_ns_name(uint32_t bit);
/**
 * sbx_degrade_parse() - the bit of what may be left out
 * @text: "cgroup", "cpu", … as enum sbx_degrade has them
 *
 * Errors: -EINVAL unknown.
 */
UDS_EXPORT int sbx_degrade_parse(const char *text, uint32_t *ret_bit);
/** sbx_degrade_name() - the name of a bit; static, NULL = unknown */
UDS_EXPORT const char *sbx_degrade_name(uint32_t bit);
/**
 * sbx_cap_parse() - the number of a capability's bit
 * @text: "cap_kill", "CAP_KILL" or "kill"
 *
 * Errors: -EINVAL unknown.
 */
UDS_EXPORT int sbx_cap_parse(const char *text, unsigned *ret_bit);
/** sbx_cap_name() - "net_admin" of a bit's number; static, NULL = unknown */
UDS_EXPORT const char *sbx_cap_name(unsigned bit);
/**
 * sbx_landlock_scope_parse() - the bit of a scope
 * @text: "abstract-sockets" or "signals"
 *
 * Errors: -EINVAL unknown.
 */
UDS_EXPORT int sbx_landlock_scope_parse(const char *text, uint32_t *ret_bit);
/** sbx_landlock_scope_name() - the name of a bit; static, NULL = unknown */
UDS_EXPORT const char *sbx_landlock_scope_name(uint32_t bit);
/**
 * sbx_parse_offset() - an offset of a clock
 * @text:   "3600", "-1.5h", "30d"; seconds if no unit (ms, s, m, h, d) is named
 *
 * Errors: -EINVAL malformed; -ERANGE over 292 years.
 */
UDS_EXPORT int sbx_parse_offset(const char *text, int64_t *ret_ns);

UDS_END_DECLS

#endif
