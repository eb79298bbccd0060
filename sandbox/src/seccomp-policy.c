/* SPDX-License-Identifier: MIT */
/*
 * Policies of ours.
 *
 *   default  an allow-list; what is known and refused answers EPERM, what is unknown ENOSYS, so that libraries fall back as
 *            they do on an older kernel. clone3 is unknown on purpose: its flags lie behind a pointer, where no filter can
 *            see a namespace being made. A capability brings the calls that it is for.
 *   strict   a program that computes: memory, threads, files to read, and the descriptors that it was given. It makes no
 *            process, no socket and no file. Everything else answers EPERM; ENOSYS where a C library then does without.
 */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <linux/capability.h>
#include <sys/ioctl.h>

#include "calls.h"

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
    "inotify_init", "inotify_init1", "inotify_rm_watch", "ioctl", "io_cancel", "io_destroy", "io_getevents", "io_pgetevents",
    "ioprio_get", "ioprio_set", "io_setup", "io_submit", "kill",
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

static const char *const strict[] = {
    /* clang-format off */
    "access", "alarm", "arch_prctl", "brk", "clock_getres", "clock_gettime", "clock_nanosleep", "close", "close_range",
    "copy_file_range", "dup", "dup2", "dup3", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2",
    "epoll_wait", "eventfd", "eventfd2", "execve", "execveat", "exit", "exit_group", "faccessat", "faccessat2",
    "fadvise64", "fallocate", "fcntl", "fdatasync", "fstat", "fstatfs", "fsync", "ftruncate", "futex", "futex_wait",
    "futex_waitv", "futex_wake", "getcpu", "getcwd", "getdents", "getdents64", "getegid", "geteuid", "getgid",
    "getgroups", "getpgid", "getpgrp", "getpid", "getppid", "getpriority", "getrandom", "getresgid", "getresuid",
    "getrlimit", "get_robust_list", "getrusage", "getsid", "getsockname", "getsockopt", "gettid", "gettimeofday", "getuid",
    "lseek", "lstat", "madvise", "membarrier", "memfd_create", "mincore", "mlock", "mlock2", "mmap", "mprotect", "mremap",
    "mseal", "msync", "munlock", "munmap", "nanosleep", "newfstatat", "pause", "pipe", "pipe2", "poll", "ppoll", "prctl",
    "pread64", "preadv", "preadv2", "prlimit64", "pselect6", "pwrite64", "pwritev", "pwritev2", "read", "readahead",
    "readlink", "readlinkat", "readv", "recvfrom", "recvmmsg", "recvmsg", "restart_syscall", "rseq", "rt_sigaction",
    "rt_sigpending", "rt_sigprocmask", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "sched_getaffinity",
    "sched_getparam", "sched_get_priority_max", "sched_get_priority_min", "sched_getscheduler", "sched_yield", "select",
    "sendfile", "sendmmsg", "sendmsg", "sendto", "set_robust_list", "setrlimit", "set_tid_address", "shutdown",
    "sigaltstack", "signalfd4", "splice", "stat", "statfs", "statx", "sync_file_range", "sysinfo", "tee", "tgkill", "time",
    "timerfd_create", "timerfd_gettime", "timerfd_settime", "times", "umask", "uname", "write", "writev",
    /* clang-format on */
};

/* In strict: asked for first by C libraries that know another way. */
static const char *const unknown[] = {"clone3", "openat2", "io_uring_setup",
                                      "set_mempolicy_home_node"};

/* truncate(2) too: Landlock knows it only since Linux 6.2. ftruncate(2) stays: it needs a descriptor that may write. */
static const char *const setters[] = {
    "chmod",     "chown",         "fchmod",       "fchmodat",   "fchmodat2", "fchown",
    "fchownat",  "fsetxattr",     "fremovexattr", "futimesat",  "lchown",    "lremovexattr",
    "lsetxattr", "setxattr",      "removexattr",  "setxattrat", "utime",     "utimensat",
    "utimes",    "removexattrat", "truncate",
};

/* A capability without its calls would be none. Those of @host act on the machine: inside a user namespace the kernel refuses them. */
static const struct {
    unsigned cap;
    bool host;
    const char *names[20];
} brought[] = {
    {CAP_SYS_ADMIN,
     false,
     {"mount", "umount2", "pivot_root", "fsopen", "fsconfig", "fsmount", "fspick", "move_mount",
      "open_tree", "mount_setattr", "setns", "sethostname", "setdomainname", "clone3",
      "fanotify_init", "name_to_handle_at"}},
    {CAP_SYS_PTRACE,
     false,
     {"ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "pidfd_getfd", "process_madvise"}},
    {CAP_SYS_NICE,
     false,
     {"mbind", "set_mempolicy", "get_mempolicy", "move_pages", "migrate_pages"}},
    {CAP_SYS_TIME, true, {"clock_settime", "clock_adjtime", "adjtimex", "settimeofday"}},
    {CAP_SYSLOG, true, {"syslog"}},
    {CAP_SYS_BOOT, true, {"reboot", "kexec_load", "kexec_file_load"}},
    {CAP_SYS_MODULE, true, {"init_module", "finit_module", "delete_module"}},
    {CAP_SYS_RAWIO, true, {"iopl", "ioperm"}},
    {CAP_SYS_PACCT, true, {"acct"}},
    {CAP_SYS_TTY_CONFIG, true, {"vhangup"}},
    {CAP_BPF, true, {"bpf"}},
    {CAP_PERFMON, true, {"perf_event_open"}},
    {CAP_DAC_READ_SEARCH, true, {"open_by_handle_at", "name_to_handle_at"}},
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

void sbxi_policy_add(struct sbxi_policy *policy, const struct sbxi_call *call)
{
    if (policy->ncalls == policy->capacity && !policy->failed) {
        size_t capacity = policy->capacity ? policy->capacity * 2 : 512;
        struct sbxi_call *calls = realloc(policy->calls, capacity * sizeof *calls);
        policy->failed = !calls;
        if (calls) {
            policy->calls = calls;
            policy->capacity = capacity;
        }
    }
    if (!policy->failed)
        policy->calls[policy->ncalls++] = *call;
}

void sbxi_policy_set(struct sbxi_policy *policy, int number, uint32_t action)
{
    size_t kept = 0;
    for (size_t i = 0; i < policy->ncalls; i++)
        if (policy->calls[i].number != number)
            policy->calls[kept++] = policy->calls[i];
    policy->ncalls = kept;
    sbxi_policy_add(policy, &(struct sbxi_call){.number = number, .action = action});
}

void sbxi_policy_free(struct sbxi_policy *policy)
{
    free(policy->calls);
    *policy = (struct sbxi_policy){0};
}

/* A name that this architecture (or this libseccomp) does not have needs no rule. The lists name each call once. */
static void add(struct sbxi_policy *policy, const char *const *names, size_t n, uint32_t action)
{
    for (size_t i = 0; i < n; i++) {
        int number = seccomp_syscall_resolve_name(names[i]);
        if (number >= 0)
            sbxi_policy_add(policy, &(struct sbxi_call){.number = number, .action = action});
    }
}

static void set(struct sbxi_policy *policy, const char *name, uint32_t action)
{
    int number = seccomp_syscall_resolve_name(name);
    if (number >= 0)
        sbxi_policy_set(policy, number, action);
}

/* Allowed where argument @arg, of its bits in @mask, is @value. */
static void
add_where(struct sbxi_policy *policy, int number, unsigned arg, uint64_t mask, uint64_t value)
{
    struct sbxi_call call = {.number = number, .action = SCMP_ACT_ALLOW, .ncompare = 1};
    call.compare[0] = SCMP_CMP(arg, SCMP_CMP_MASKED_EQ, mask, value);
    if (number >= 0)
        sbxi_policy_add(policy, &call);
}

void sbxi_policy_default(struct sbxi_policy *policy, const struct sbxi_seccomp *asked)
{
    /* Of those that turn address randomisation off none; asking which one it has is 0xffffffff. */
    static const uint32_t personalities[] = {0, 0x8, 0x20000, 0x20008, 0xffffffff};
    policy->otherwise = SCMP_ACT_ERRNO(ENOSYS);
    add(policy, allowed, COUNT(allowed), SCMP_ACT_ALLOW);
    add(policy, refused, COUNT(refused), SCMP_ACT_ERRNO(EPERM));
    for (size_t i = 0; i < COUNT(personalities); i++)
        add_where(policy, SCMP_SYS(personality), 0, 0xffffffff, personalities[i]);
    for (size_t i = 0; i < COUNT(brought); i++)
        for (size_t k = 0; k < COUNT(brought[i].names) && brought[i].names[k]; k++)
            if ((asked->caps >> brought[i].cap & 1) && (asked->host_caps || !brought[i].host))
                set(policy, brought[i].names[k], SCMP_ACT_ALLOW);
}

void sbxi_policy_strict(struct sbxi_policy *policy)
{
    static const uint32_t terminal[] = {TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIOCLEX, FIONCLEX};
    const uint64_t writes = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY);
    policy->otherwise = SCMP_ACT_ERRNO(EPERM);
    add(policy, strict, COUNT(strict), SCMP_ACT_ALLOW);
    add(policy, unknown, COUNT(unknown), SCMP_ACT_ERRNO(ENOSYS));
    add_where(policy, SCMP_SYS(open), 1, writes, 0);
    add_where(policy, SCMP_SYS(openat), 2, writes, 0);
    add_where(policy, SCMP_SYS(clone), 0, CLONE_THREAD, CLONE_THREAD);
    for (size_t i = 0; i < COUNT(terminal); i++)
        add_where(policy, SCMP_SYS(ioctl), 1, 0xffffffff, terminal[i]);
}

void sbxi_policy_guard(struct sbxi_policy *policy)
{
    for (size_t i = 0; i < COUNT(setters); i++)
        set(policy, setters[i], SCMP_ACT_ERRNO(EPERM));
}
