/* SPDX-License-Identifier: MIT */
#ifndef SBXI_STEPS_H
#define SBXI_STEPS_H

/*
 * What launcher and uds-sandbox-init say to each other. Both are built from this header in one build, so the structs
 * are the format.
 *
 * Launcher → init, once: a memfd with struct sbxi_blob, the steps, then bytes that steps point at. Init acts them out
 * in order; everything after SBXI_FORK happens in the payload's process.
 * Init → launcher: struct sbxi_event over the control socket (SEQPACKET). The launcher treats events as hostile.
 * Launcher → init: one empty "go" byte when ids and cgroups are in place, then struct sbxi_command.
 *
 * A session is a process that is started later: SBXI_START comes with its descriptors, among them a control socket of its
 * own, over which it is signalled and reports as the payload does, a blob with the steps of the payload's that confine it,
 * and what is to be run. The last comes from whoever asked for it and is read by the process itself, once it is confined.
 *
 * Where namespaces are joined, init is executed outside of them and enters them itself (init/join.c): struct sbxi_join
 * comes to it, and struct sbxi_joined goes back, over one more SEQPACKET socket.
 *
 * File descriptors of init: 0–2 stdio, 3 control, 4 blob, 5… those passed to the payload, then the opened trees, then the
 * socket of a join.
 */

#include <stdint.h>
#include <termios.h>

#include <sys/ioctl.h>

enum {
    SBXI_FD_CONTROL = 3,
    SBXI_FD_BLOB = 4,
    SBXI_FD_PASSED = 5
};
enum {
    SBXI_MAX_TREES = 768,
    SBXI_MAX_NAMED = 128,
    SBXI_MAX_PASSED = 1024,
    SBXI_MAX_BLOB = 8 << 20,
    SBXI_MAX_REQUEST = 4 << 20,
    SBXI_MAX_SESSIONS = 64,
    SBXI_MAX_JOINS = 9,
    SBXI_MAX_CGROUPS = 16
};
/*
 * A digest of this file and of the others that both include (CMakeLists.txt). A launcher that runs on while its package is
 * replaced starts the init of another build: were one operation's number another's, root's init would do to the host what was
 * meant for the new root.
 */
#define SBXI_BLOB_MAGIC SBXI_STEPS_DIGEST

/*
 * a, b: strings or bytes; slot: an entry of the table of trees (mounts that are attached nowhere yet). In the order in which a
 * plan has them, more or less. Init counts on it twice: what is between SBXI_PIVOT and SBXI_ENTER needs the new root, and before
 * SBXI_ENTER and all that are greater it waits for what its threads do, as these change the directory, or must be alone.
 */
enum sbxi_op {
    SBXI_OPEN = 1, /* tree slot ← host path a; by the launcher where it has the right */
    SBXI_GIVEN, /* slot ← a descriptor of the launcher's caller: no tree yet, one of the next four makes it one */
    SBXI_OPEN_FD, /* slot: what the descriptor refers to, as a tree */
    SBXI_DATA, /* slot: a file with what can be read from the descriptor, mode args[0], as a tree */
    SBXI_OVERLAY, /* tree slot ← an overlay; a = args[0] host paths, the highest first; b = upper and work directory;
                     args[1], args[2]: where they are trees of the launcher, the first slot of layers, and of mount, upper
                     and work directory, + 1 */
    SBXI_NODES, /* tree slot ← a tmpfs of args[0] bytes with the nodes of a /dev, by the launcher where it can */
    SBXI_UPPER, /* slot ← part args[0] (enum sbxi_upper_part) of upper directory a, by the launcher */
    SBXI_UNSHARE_CG, /* cgroup namespace, after the cgroups were joined */
    SBXI_TIME,     /* time namespace for the payload; args: offsets in ns, monotonic and boottime */
    SBXI_HOSTNAME, /* a */
    SBXI_LOOPBACK, /* lo up */
    SBXI_NETWORK,  /* a network namespace begins to be made; args[0]: lo up in it */
    SBXI_NETWORK_ENTER, /* it is there, and ours */
    SBXI_PRIVATE,       /* no mount event leaves, nor with flag SLAVE enters */
    SBXI_PROC,          /* tree slot ← new procfs; made while the host's is still in sight */
    SBXI_NEW_TMPFS,     /* tree slot ← new tmpfs, mode args[0] */
    SBXI_PIVOT, /* tree slot becomes /, the old root goes. From here to SBXI_ENTER nothing comes before it */
    SBXI_UNCOVER,   /* what is mounted at a goes with the old root; right after PIVOT */
    SBXI_PARENTS,   /* the directories above a, mode args[0] */
    SBXI_DIRECTORY, /* a, mode args[0]; parents too */
    SBXI_FILE,      /* a, mode args[0], with what can be read from the descriptor in slot */
    SBXI_SYMLINK,   /* a → b */
    SBXI_CHMOD,     /* a, mode args[0] */
    SBXI_ATTACH,    /* tree slot at a, made where missing */
    SBXI_TMPFS,     /* at a, mode args[0], size args[1] (0 = default) */
    SBXI_DEVPTS,    /* at a, an instance of its own */
    SBXI_MQUEUE,    /* at a */
    SBXI_MASK,      /* hide a: /dev/null over a file, an empty directory over a directory */
    SBXI_READONLY,  /* a as a read-only mount of its own */
    SBXI_SEAL,      /* the mount at a, without those below, becomes read-only */
    SBXI_NOTIFY, /* bind the socket at a; slot: where what it receives goes; args[0] descriptors are stored */
    SBXI_ENTER,        /* what was attached at / becomes the process's own / */
    SBXI_USERNS_JOIN,  /* user namespace in slot */
    SBXI_USERNS_LIMIT, /* at most args[0] can be made in ours */
    SBXI_USERNS_NEST,  /* one more, where that limit is out of reach; args: uid, gid */
    SBXI_USERNS_CHECK, /* none can be made */
    SBXI_SWITCH_IDS, /* args: uid, gid; of a user namespace that was joined. OPTIONAL: its root; if it has
                          none, these if args[2], or who we are */
    SBXI_COUNT_MEMORY, /* be asked before args[0] bytes of RLIMIT_DATA are over */
    SBXI_WAIT,         /* until the descriptor in slot can be read */
    SBXI_DROP_BOUNDS,  /* capability bounding set empty, securebits locked */
    SBXI_FORK,         /* ── from here on in the payload's process ── */
    SBXI_HOLD,         /* PID 1 keeps the descriptor in slot open */
    SBXI_LOCK_FILE,    /* PID 1 locks a */
    SBXI_RLIMIT,       /* args: resource, soft, hard */
    SBXI_OOM_SCORE,    /* args[0]: the kernel takes the payload before PID 1 */
    SBXI_BOUNDS,       /* capability bounding set becomes args[0] */
    SBXI_CAPS,         /* every capability set becomes args[0] */
    SBXI_AMBIENT,      /* those of args[0] that are inheritable become ambient */
    SBXI_IDS,          /* args: uid, gid, 1 = capabilities stay, for the next */
    SBXI_GRANT,   /* every capability set becomes args[0], bounding set and securebits with them */
    SBXI_NO_CAPS, /* every capability set empty */
    SBXI_NO_NEW_PRIVS, /* for good */
    SBXI_CHDIR,        /* a, and it must be below / */
    SBXI_FIND_CWD,     /* the first of args[0] directories in a that is there, or / */
    SBXI_TERMINAL, /* a terminal of its own as 0 to 2; a = struct sbxi_terminal; of a session if it asks for one */
    SBXI_REQUEST, /* of a session: what the descriptor in slot says of it, a struct sbxi_request */
    SBXI_AWAIT, /* until SBXI_START comes to descriptor 0, with all but the blob; from here on it is a session */
    SBXI_PARENT_DEATH, /* who started us is who we die with */
    SBXI_LANDLOCK, /* args: rights on files, on TCP ports, scopes that are taken away; a = rules that give back, b = their paths */
    SBXI_FDS, /* a = args[0] numbers (int32_t, ascending) that the passed ones get; all others close */
    SBXI_SECCOMP, /* a = BPF program */
    SBXI_EXEC, /* a = argv block of args[0] strings, b = environment block of args[1]; args[2]: the first
                          string is the file, argv follows */
    SBXI_OPS
};

enum sbxi_upper_part {
    SBXI_UPPER_LOCK = 0, /* locked as long as somebody has it open */
    SBXI_UPPER_MOUNT,    /* a tree that holds the next two */
    SBXI_UPPER_DIR,
    SBXI_UPPER_WORK,
};

enum { /* flags */
    SBXI_F_RDONLY = 1u << 0,
    SBXI_F_NODEV = 1u << 1,
    SBXI_F_OPTIONAL = 1u << 2,  /* a missing source, target or right is no failure */
    SBXI_F_CHAR = 1u << 3,      /* the source must be the character device args[0] */
    SBXI_F_NO_CGROUP = 1u << 4, /* only where there is no cgroup (a fallback limit) */
    SBXI_F_SLAVE = 1u << 5,     /* mounts that the host makes later arrive */
    SBXI_F_WRITABLE = 1u << 6,  /* of SBXI_READONLY: only where it could be written */
    SBXI_F_GIVEN = 1u << 7,     /* the launcher has filled the slot */
    SBXI_F_OWNED = 1u << 8,     /* what is made belongs to the payload */
    SBXI_F_LAYER = 1u << 9,     /* no mounts below; with the ids of its range, if it has one */
    SBXI_F_CHROOT = 1u << 10,   /* of SBXI_PIVOT, SBXI_ENTER: by chroot(2) */
    SBXI_F_BELOW = 1u << 11,    /* a lies directly in what a step without this flag attached last */
    SBXI_F_WHOLE = 1u << 12,    /* of SBXI_FILE: all of what is in slot, from its beginning */
    SBXI_F_DIRECTORY = 1u << 13, /* of SBXI_MASK: where a is there, it is a directory */
    SBXI_F_NODE = 1u << 14,      /* only where SBXI_NODES has none */
    SBXI_F_REAL = 1u << 15, /* no symbolic link is on the way to a, or to the directories in b */
};

struct sbxi_step {
    uint32_t op, flags;
    int32_t slot;
    uint32_t index; /* in the plan: what a failure record names */
    uint32_t a, a_length, b, b_length;
    uint64_t args[3];
};

struct sbxi_landlock_rule {
    uint64_t access;
    int32_t path; /* where it begins in b; -1: a port */
    uint32_t port;
};

struct sbxi_blob {
    _Alignas(8) uint32_t magic; /* steps follow */
    uint32_t size;
    uint32_t nsteps, npassed, ntrees;
    uint32_t style;    /* enum sbxi_style */
    uint32_t uid, gid; /* SBXI_S_OWNED: owner of what is made inside */
};

enum sbxi_style {          /* bits */
    SBXI_S_PID1 = 1u << 0, /* a pid namespace of its own */
    /* The caller's umask, signals, session, keyring; lives on without launcher and payload. */
    SBXI_S_BWRAP = 1u << 1,
    SBXI_S_SESSION = 1u << 2, /* with BWRAP: a session of its own */
    SBXI_S_DIE = 1u << 3,     /* with BWRAP: dies with the launcher */
    SBXI_S_DIRECT = 1u << 4,  /* no SBXI_FORK: this process becomes the payload */
    SBXI_S_OWNED = 1u << 5,   /* uid and gid of the blob own what is made inside */
    SBXI_S_WAITS = 1u << 6,   /* the payload's process waits for what it is to run: SBXI_AWAIT */
    SBXI_S_JOINS = 1u << 7,   /* namespaces that exist already come first */
    SBXI_S_SEEN = 1u << 8,    /* a pid namespace is one of them: others see us, who may own us */
    SBXI_S_SHARES = 1u << 9,  /* the payload's process has PID 1's memory until its execve */
    SBXI_S_ALONE = 1u << 10,  /* a limit of processes has no room for threads beside the steps */
};

/* With it come the namespaces, the cgroup to be born in, if there is one, and cgroup.procs of those to move into. */
struct sbxi_join {
    uint64_t flags; /* CLONE_NEW… of what PID 1 gets of its own, CLONE_INTO_CGROUP */
    uint32_t njoins, nmoves;
    int32_t kind[SBXI_MAX_JOINS]; /* CLONE_NEW… */
    uint32_t become_root;         /* of the user namespace that PID 1 gets of its own */
};

/* Its first descriptor is PID 1's user namespace, the second its network namespace. */
struct sbxi_joined {
    int32_t helper;    /* a second one, for the launcher to wait for */
    int32_t err;       /* what failed; 0 = nothing did, PID 1 or a helper speaks */
    int32_t join;      /* which could not be entered; -1: clone3 failed */
    uint64_t inode[8]; /* of PID 1's namespaces, in the order of enum sbx_ns; 0: unknown */
};

enum sbxi_event_type {
    SBXI_RUNNING = 1,
    SBXI_FAILED,
    SBXI_ENDED,
    SBXI_TERMINAL_MADE, /* before the execve; its master comes with it */
    SBXI_RESULT         /* of the launcher, to who asked it for a start: the end of the sandbox */
};

#define SBXI_STEP_CHILD UINT32_MAX /* "step" of a failure before init acts */

struct sbxi_event {
    uint32_t type;
    uint32_t step;               /* FAILED: index in the plan; RESULT: enum sbx_outcome */
    int32_t err;                 /* FAILED: positive errno */
    int32_t status;              /* ENDED: as of waitpid */
    uint64_t cpu_usec, peak_kib; /* ENDED: rusage of all that was reaped */
    uint64_t refused,
        refused_bytes; /* ENDED, RESULT: requests for memory that RLIMIT_DATA refused, the first of them */
    uint64_t cgroup_ns, time_ns, net_ns; /* RUNNING: inode, 0 = not its own, or not made by it */
    char detail[224];                    /* FAILED, RESULT: what exactly, NUL-terminated */
    uint64_t value;                      /* RESULT: of that */
};

/* What a terminal is at first. */
struct sbxi_terminal {
    struct winsize size;
    uint32_t has_modes;
    struct termios modes;
};

/* Followed by the directory (empty: as the payload's), then argv and the environment as blocks of strings. */
struct sbxi_request {
    uint32_t magic, size;
    uint32_t npassed;          /* descriptors, to be 3, 4, … */
    uint32_t directory_length; /* with its NUL */
    uint32_t argc, argv_length;
    uint32_t envc, env_length;
    uint32_t has_terminal;
    struct sbxi_terminal terminal;
};
#define SBXI_REQUEST_MAGIC 0x32717273u /* "srq2" */

enum sbxi_session_fd { /* the descriptors of SBXI_START, in their order */
    SBXI_SESSION_CONTROL,
    SBXI_SESSION_REQUEST,
    SBXI_SESSION_STDIO,
    SBXI_SESSION_PASSED = SBXI_SESSION_STDIO + 3, /* none, or up to SBXI_MAX_NAMED */
    SBXI_SESSION_MOST =
        SBXI_SESSION_PASSED + SBXI_MAX_NAMED + 1 /* the last of all: the blob, to PID 1 */
};

enum sbxi_command_type {
    SBXI_SIGNAL = 1,
    SBXI_START
};

struct sbxi_command {
    uint32_t type, value;
};

#endif
