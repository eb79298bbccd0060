/* SPDX-License-Identifier: MIT */
/*
 * The default system call policy, as two programs that the kernel combines by taking the stricter answer:
 *
 *   numbers     an allow-list; what is known and refused answers EPERM, what is unknown ENOSYS, so that libraries fall
 *               back as they do on an older kernel. clone3 is unknown on purpose: its flags lie behind a pointer, where no
 *               filter can see a namespace being made.
 *   arguments   passes everything but certain values. Commands of ioctl are compared in their low 32 bits: the kernel looks
 *               at no more, and a filter that does has been walked around (CVE-2019-7303, CVE-2019-10063).
 *
 * A process that comes by another ABI (int 0x80, x32) is killed. `guarded` goes with Landlock against re-opening: a
 * passed descriptor's file may be read, and nothing about it changed, by descriptor or by /proc/self/fd/N.
 */

#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "error.h"
#include "plan.h"

static const char *const allowed[] = {
    /* clang-format off */
    "accept", "accept4", "access", "alarm", "arch_prctl", "bind", "brk", "cachestat", "capget", "capset", "chdir",
    "chmod", "chown", "chroot", "clock_getres", "clock_gettime", "clock_nanosleep", "clone", "close", "close_range",
    "connect", "copy_file_range", "creat", "dup", "dup2", "dup3", "epoll_create", "epoll_create1", "epoll_ctl",
    "epoll_ctl_old", "epoll_pwait", "epoll_pwait2", "epoll_wait", "epoll_wait_old", "eventfd", "eventfd2", "execve",
    "execveat", "exit", "exit_group", "faccessat", "faccessat2", "fadvise64", "fallocate", "fanotify_mark", "fchdir",
    "fchmod", "fchmodat", "fchown", "fchownat", "fcntl", "fdatasync", "fgetxattr", "flistxattr", "flock", "fork",
    "fremovexattr", "fsetxattr", "fstat", "fstatfs", "fsync", "ftruncate", "futex", "futex_requeue", "futex_wait",
    "futex_waitv", "futex_wake", "futimesat", "getcpu", "getcwd", "getdents", "getdents64", "getegid", "geteuid",
    "getgid", "getgroups", "getitimer", "getpeername", "getpgid", "getpgrp", "getpid", "getppid", "getpriority",
    "getrandom", "getresgid", "getresuid", "getrlimit", "get_robust_list", "getrusage", "getsid", "getsockname",
    "getsockopt", "get_thread_area", "gettid", "gettimeofday", "getuid", "getxattr", "inotify_add_watch",
    "inotify_init", "inotify_init1", "inotify_rm_watch", "ioctl", "ioprio_get", "ioprio_set", "kill",
    "landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "lchown", "lgetxattr", "link",
    "linkat", "listen", "listxattr", "llistxattr", "lremovexattr", "lseek", "lsetxattr", "lstat", "madvise",
    "map_shadow_stack", "membarrier", "memfd_create", "memfd_secret", "mincore", "mkdir", "mkdirat", "mknod",
    "mknodat", "mlock", "mlock2", "mlockall", "mmap", "mprotect", "mq_getsetattr", "mq_notify", "mq_open",
    "mq_timedreceive", "mq_timedsend", "mq_unlink", "mremap", "mseal", "msgctl", "msgget", "msgrcv", "msgsnd",
    "msync", "munlock", "munlockall", "munmap", "nanosleep", "newfstatat", "open", "openat", "openat2", "pause",
    "pidfd_open", "pidfd_send_signal", "pipe", "pipe2", "pkey_alloc", "pkey_free", "pkey_mprotect", "poll", "ppoll",
    "prctl", "pread64", "preadv", "preadv2", "prlimit64", "process_mrelease", "pselect6", "pwrite64", "pwritev",
    "pwritev2", "read", "readahead", "readlink", "readlinkat", "readv", "recvfrom", "recvmmsg", "recvmsg",
    "remap_file_pages", "removexattr", "rename", "renameat", "renameat2", "restart_syscall", "riscv_flush_icache",
    "rmdir", "rseq", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn",
    "rt_sigsuspend", "rt_sigtimedwait", "rt_tgsigqueueinfo", "sched_getaffinity", "sched_getattr",
    "sched_getparam", "sched_get_priority_max", "sched_get_priority_min", "sched_getscheduler",
    "sched_rr_get_interval", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler",
    "sched_yield", "seccomp", "select", "semctl", "semget", "semop", "semtimedop", "sendfile", "sendmmsg",
    "sendmsg", "sendto", "setfsgid", "setfsuid", "setgid", "setgroups", "setitimer", "setpgid", "setpriority",
    "setregid", "setresgid", "setresuid", "setreuid", "setrlimit", "set_robust_list", "setsid", "setsockopt",
    "set_thread_area", "set_tid_address", "setuid", "setxattr", "shmat", "shmctl", "shmdt", "shmget", "shutdown",
    "sigaltstack", "signalfd", "signalfd4", "socket", "socketpair", "splice", "stat", "statfs", "statx", "symlink",
    "symlinkat", "sync", "sync_file_range", "syncfs", "sysinfo", "tee", "tgkill", "time", "timer_create",
    "timer_delete", "timerfd_create", "timerfd_gettime", "timerfd_settime", "timer_getoverrun", "timer_gettime",
    "timer_settime", "times", "tkill", "truncate", "umask", "uname", "unlink", "unlinkat", "unshare", "utime",
    "utimensat", "utimes", "vfork", "wait4", "waitid", "waitpid", "write", "writev",
    /* clang-format on */
};

/* Known, and not for a payload: it hears "not permitted" rather than "no such call". */
static const char *const refused[] = {
    /* clang-format off */
    "acct", "add_key", "adjtimex", "bpf", "clock_adjtime", "clock_settime", "delete_module", "fanotify_init",
    "finit_module", "fsconfig", "fsmount", "fsopen", "fspick", "get_mempolicy", "init_module", "io_uring_enter",
    "io_uring_register", "io_uring_setup", "ioperm", "iopl", "kcmp", "kexec_file_load", "kexec_load", "keyctl",
    "lookup_dcookie", "mbind", "migrate_pages", "mount", "mount_setattr", "move_mount", "move_pages",
    "name_to_handle_at", "nfsservctl", "open_by_handle_at", "open_tree", "perf_event_open", "pidfd_getfd",
    "pivot_root", "process_madvise", "process_vm_readv", "process_vm_writev", "ptrace", "quotactl", "quotactl_fd",
    "reboot", "request_key", "set_mempolicy", "setdomainname", "sethostname", "setns", "settimeofday", "swapoff",
    "swapon", "sysfs", "syslog", "umount2", "uselib", "userfaultfd", "ustat", "vhangup", "vmsplice",
    /* clang-format on */
};

/* truncate(2) too: Landlock knows it only since Linux 6.2. ftruncate(2) stays: it needs a descriptor that may write. */
static const char *const setters[] = {
    "chmod",     "chown",         "fchmod",       "fchmodat",   "fchmodat2", "fchown",
    "fchownat",  "fsetxattr",     "fremovexattr", "futimesat",  "lchown",    "lremovexattr",
    "lsetxattr", "setxattr",      "removexattr",  "setxattrat", "utime",     "utimensat",
    "utimes",    "removexattrat", "truncate",
};

#define EQ32(arg, value)      SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, 0xffffffffu, (uint32_t)(value))
#define HAS(arg, mask, value) SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, mask, value)
#define NOT(arg, value)       SCMP_CMP(arg, SCMP_CMP_NE, value, 0)
#define COUNT(array)          (sizeof(array) / sizeof(array)[0])

enum {
    TIOCSTI_ = 0x5412,
    TIOCLINUX_ = 0x541c,
    FS_IOC_SETFLAGS_ = 0x40086602,
    FS_IOC32_SETFLAGS_ = 0x40046602,
    FS_IOC_FSSETXATTR_ = 0x401c5820,
    AF_ALG_ = 38,
    AF_VSOCK_ = 40,
};

/* A name that this architecture (or this libseccomp) does not have needs no rule. */
static int add_name(scmp_filter_ctx filter, uint32_t action, const char *name)
{
    int number = seccomp_syscall_resolve_name(name);
    if (number < 0)
        return 0;
    return seccomp_rule_add(filter, action, number, 0);
}

static int add_names(scmp_filter_ctx filter, uint32_t action, const char *const *names, size_t n)
{
    int r = 0;
    for (size_t i = 0; i < n && r == 0; i++)
        r = add_name(filter, action, names[i]);
    return r;
}

struct rule {
    int number;
    struct scmp_arg_cmp compare;
};

static int add_arguments(scmp_filter_ctx filter, bool guarded)
{
    static const uint64_t namespaces[] = {0x00000080, 0x00020000, 0x02000000, 0x04000000,
                                          0x08000000, 0x10000000, 0x20000000, 0x40000000};
    const struct rule rules[] = {
        {SCMP_SYS(ioctl), EQ32(1, TIOCSTI_)},
        {SCMP_SYS(ioctl), EQ32(1, TIOCLINUX_)},
        {SCMP_SYS(socket), EQ32(0, AF_ALG_)},
        {SCMP_SYS(socket), EQ32(0, AF_VSOCK_)},
        /* Device nodes; FIFOs, sockets and files stay possible. */
        {SCMP_SYS(mknod), HAS(1, S_IFMT, S_IFCHR)},
        {SCMP_SYS(mknod), HAS(1, S_IFMT, S_IFBLK)},
        {SCMP_SYS(mknodat), HAS(2, S_IFMT, S_IFCHR)},
        {SCMP_SYS(mknodat), HAS(2, S_IFMT, S_IFBLK)},
        /* Itself is 0; PID 1 and the siblings are other processes. */
        {SCMP_SYS(prlimit64), NOT(0, 0)},
        {SCMP_SYS(sched_setaffinity), NOT(0, 0)},
        {SCMP_SYS(sched_setattr), NOT(0, 0)},
        {SCMP_SYS(sched_setparam), NOT(0, 0)},
        {SCMP_SYS(sched_setscheduler), NOT(0, 0)},
        {SCMP_SYS(setpriority), NOT(0, 0)},
        {SCMP_SYS(setpriority), NOT(1, 0)},
        {SCMP_SYS(ioprio_set), NOT(0, 1)},
        {SCMP_SYS(ioprio_set), NOT(1, 0)},
    };
    const struct rule guards[] = {
        {SCMP_SYS(ioctl), EQ32(1, FS_IOC_SETFLAGS_)},
        {SCMP_SYS(ioctl), EQ32(1, FS_IOC32_SETFLAGS_)},
        {SCMP_SYS(ioctl), EQ32(1, FS_IOC_FSSETXATTR_)},
    };
    int r = 0;
    for (size_t i = 0; i < COUNT(rules) && r == 0; i++)
        r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), rules[i].number, 1, rules[i].compare);
    for (size_t i = 0; guarded && i < COUNT(guards) && r == 0; i++)
        r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), guards[i].number, 1, guards[i].compare);
    for (size_t i = 0; i < COUNT(namespaces) && r == 0; i++) {
        struct scmp_arg_cmp flag = HAS(0, namespaces[i], namespaces[i]);
        r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(unshare), 1, flag);
        /* 0x80 is CLONE_NEWTIME in unshare, and part of the exit signal in clone. */
        if (r == 0 && namespaces[i] != 0x80)
            r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1, flag);
    }
    return r;
}

static int add_numbers(scmp_filter_ctx filter, bool guarded)
{
    int r = 0;
    for (size_t i = 0; i < COUNT(allowed) && r == 0; i++) {
        bool setter = false;
        for (size_t k = 0; guarded && k < COUNT(setters) && !setter; k++)
            setter = strcmp(allowed[i], setters[k]) == 0;
        if (!setter)
            r = add_name(filter, SCMP_ACT_ALLOW, allowed[i]);
    }
    if (r == 0)
        r = add_names(filter, SCMP_ACT_ERRNO(EPERM), refused, COUNT(refused));
    if (r == 0 && guarded)
        r = add_names(filter, SCMP_ACT_ERRNO(EPERM), setters, COUNT(setters));
    /* Asking which personality it has is harmless and common; changing it turns off address randomisation. */
    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(personality), 1,
                             EQ32(0, 0xffffffffu));
    return r;
}

/* libseccomp writes programs to descriptors only. */
static int export_program(scmp_filter_ctx filter, struct sbxi_filter *ret)
{
    _cleanup_close_ int fd = memfd_create("filter", MFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = seccomp_export_bpf(filter, fd);
    if (r < 0)
        return r;
    off_t length = lseek(fd, 0, SEEK_END);
    void *code = length > 0 ? malloc((size_t)length) : NULL;
    if (!code)
        return -ENOMEM;
    if (pread(fd, code, (size_t)length, 0) != length) {
        free(code);
        return -EIO;
    }
    *ret = (struct sbxi_filter){code, (size_t)length};
    return 0;
}

static int
build_one(uint32_t action, int (*add)(scmp_filter_ctx, bool), bool guarded, struct sbxi_filter *ret)
{
    scmp_filter_ctx filter = seccomp_init(action);
    if (!filter)
        return -ENOMEM;
    int r = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    if (r == 0)
        r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); /* a tree, not a chain */
    if (r == 0)
        r = add(filter, guarded);
    if (r == 0)
        r = export_program(filter, ret);
    seccomp_release(filter);
    return r;
}

int sbxi_seccomp_build(bool guarded, struct sbxi_filter ret[2], struct sbx_error *error)
{
    struct sbxi_filter built[2] = {{NULL, 0}, {NULL, 0}};
    int r = build_one(SCMP_ACT_ALLOW, add_arguments, guarded, &built[0]);
    if (r == 0)
        r = build_one(SCMP_ACT_ERRNO(ENOSYS), add_numbers, guarded, &built[1]);
    if (r < 0) {
        free(built[0].code);
        return sbxi_error(error, -r, "sandbox: seccomp filter: %s", strerror(-r));
    }
    ret[0] = built[0];
    ret[1] = built[1];
    return 0;
}
