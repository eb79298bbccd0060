/* SPDX-License-Identifier: MIT */
/*
 * The payload that wants out. It tries one thing after the other and prints a line for each, "NAME RESULT": ok, the name of
 * an error, or "killed N". What it needs from the host's side comes by its environment: ABSTRACT is a listening abstract
 * socket, KEY a key of the caller's session keyring, SHARED the number of a host process.
 */

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/sched.h>
#include <linux/securebits.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>

static void tell(const char *name, long r)
{
    const char *word = r < 0 ? strerrorname_np(errno) : "ok";
    printf("%s %s\n", name, word ? word : "unknown");
    fflush(stdout);
}
#define TRY(name, ...)           \
    do {                         \
        errno = 0;               \
        tell(name, __VA_ARGS__); \
    } while (0)
#define CALL(name, ...) TRY(name, syscall(__VA_ARGS__))

/* A descriptor is closed again; what it stood for was reached. */
static long reach(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0)
        return -1;
    close(fd);
    return 0;
}

static long put(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = write(fd, text, strlen(text));
    int err = errno;
    close(fd);
    errno = err;
    return n < 0 ? -1 : 0;
}

/* A masked file opens, and is empty. */
static long holds(const char *path)
{
    char byte;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = read(fd, &byte, 1);
    errno = n == 0 ? ENOENT : errno;
    close(fd);
    return n == 1 ? 0 : -1;
}

/* What can be read, on one line. */
static void show(const char *name, const char *path)
{
    char text[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
    if (n < 0) {
        tell(name, -1);
    } else {
        for (ssize_t i = 0; i < n; i++)
            if (text[i] < ' ')
                text[i] = '|';
        printf("%s ok %.*s\n", name, (int)n, text);
    }
    if (fd >= 0)
        close(fd);
}

static void attack_pid1(void)
{
    char buffer[16] = "", stop[] = "/proc/1/fd/5";
    struct iovec here = {buffer, sizeof buffer}, there = {(void *)0x400000, sizeof buffer};
    struct rlimit limit;
    unsigned long cpus = 1;
    show("pid1_environ", "/proc/1/environ");
    show("pid1_cmdline", "/proc/1/cmdline");
    show("pid1_maps", "/proc/1/maps");
    show("pid1_stack", "/proc/1/stack");
    show("pid1_auxv", "/proc/1/auxv");
    TRY("pid1_fd", reach("/proc/1/fd", O_RDONLY | O_DIRECTORY));
    TRY("pid1_fd5", reach(stop, O_RDWR));
    TRY("pid1_root", reach("/proc/1/root/etc/passwd", O_RDONLY));
    TRY("pid1_cwd", reach("/proc/1/cwd/etc/passwd", O_RDONLY));
    TRY("pid1_exe_read", reach("/proc/1/exe", O_RDONLY));
    TRY("pid1_exe_write", reach("/proc/1/exe", O_WRONLY));
    TRY("pid1_exe_path", reach("/proc/1/exe", O_PATH));
    TRY("pid1_mem", reach("/proc/1/mem", O_RDWR));
    TRY("pid1_mem_read", reach("/proc/1/mem", O_RDONLY));
    TRY("pid1_map_files", reach("/proc/1/map_files", O_RDONLY | O_DIRECTORY));
    CALL("pid1_vmread", SYS_process_vm_readv, 1, &here, 1, &there, 1, 0);
    CALL("pid1_vmwrite", SYS_process_vm_writev, 1, &here, 1, &there, 1, 0);
    TRY("pid1_seize", ptrace(PTRACE_SEIZE, 1, NULL, NULL));
    TRY("pid1_attach", ptrace(PTRACE_ATTACH, 1, NULL, NULL));
    CALL("pid1_kcmp", SYS_kcmp, 1, getpid(), 2, 0, 0);
    CALL("pid1_prlimit", SYS_prlimit64, 1, RLIMIT_NOFILE, NULL, &limit);
    CALL("pid1_affinity", SYS_sched_setaffinity, 1, sizeof cpus, &cpus);
    TRY("pid1_priority", setpriority(PRIO_PROCESS, 1, 19));
    CALL("pid1_ioprio", SYS_ioprio_set, 1, 1, 3 << 13);
    int pidfd = (int)syscall(SYS_pidfd_open, 1, 0);
    CALL("pid1_getfd", SYS_pidfd_getfd, pidfd, 3, 0);
    CALL("pid1_madvise", SYS_process_madvise, pidfd, &there, 1, 20, 0);
    TRY("pid1_setns_mnt", setns(pidfd, CLONE_NEWNS));
    TRY("pid1_setns_user", setns(pidfd, CLONE_NEWUSER));
    kill(1, SIGKILL);
    kill(1, SIGTERM);
    kill(1, SIGSTOP);
    syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
    show("pid1_survives", "/proc/1/comm");
    char *shared = getenv("SHARED");
    if (shared)
        TRY("host_signal", kill((pid_t)atoi(shared), 0));
}

static void attack_namespaces(void)
{
    static const struct {
        const char *name;
        unsigned long flag;
    } kinds[] = {{"user", CLONE_NEWUSER}, {"mnt", CLONE_NEWNS},   {"pid", CLONE_NEWPID},
                 {"net", CLONE_NEWNET},   {"ipc", CLONE_NEWIPC},  {"uts", CLONE_NEWUTS},
                 {"time", 0x80},          {"cg", CLONE_NEWCGROUP}};
    char name[64];
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        snprintf(name, sizeof name, "unshare_%s", kinds[i].name);
        fflush(stdout);
        pid_t pid = fork(); /* what works must not help the next */
        if (pid == 0) {
            CALL(name, SYS_unshare, kinds[i].flag);
            _exit(0);
        }
        waitpid(pid, NULL, 0);
    }
    struct clone_args args = {.flags = CLONE_NEWUSER, .exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0)
        _exit(0);
    tell("clone3_user", pid);
    pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(0);
    tell("clone_user", pid);
}

static void attack_mounts(void)
{
    TRY("mount", mount("x", "/tmp", "tmpfs", 0, NULL));
    TRY("remount", mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL));
    TRY("umount", umount2("/proc", MNT_DETACH));
    CALL("open_tree", SYS_open_tree, AT_FDCWD, "/", 1);
    CALL("fsopen", SYS_fsopen, "tmpfs", 0);
    CALL("pivot_root", SYS_pivot_root, "/tmp", "/tmp");
    TRY("chroot", chroot("/tmp"));
    CALL("handle", SYS_open_by_handle_at, AT_FDCWD, "\10\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0", O_RDONLY);
}

static void attack_kernel(void)
{
    char zeros[256] = "";
    TRY("core_pattern", put("/proc/sys/kernel/core_pattern", "|/tmp/x"));
    TRY("modprobe", put("/proc/sys/kernel/modprobe", "/tmp/x"));
    TRY("sysrq", put("/proc/sysrq-trigger", "h"));
    TRY("uevent", put("/sys/kernel/uevent_helper", "/tmp/x"));
    TRY("release_agent", put("/sys/fs/cgroup/memory/release_agent", "/tmp/x"));
    TRY("kcore", holds("/proc/kcore"));
    TRY("keys", holds("/proc/keys"));
    TRY("timer_list", holds("/proc/timer_list"));
    TRY("dev_mem", reach("/dev/mem", O_RDONLY));
    TRY("dev_kmsg", reach("/dev/kmsg", O_RDONLY));
    TRY("mknod_blk", mknod("/tmp/blk", S_IFBLK | 0600, 0x800));
    TRY("mknod_chr", mknod("/tmp/chr", S_IFCHR | 0600, 0x101));
    CALL("bpf", SYS_bpf, 5, zeros, 48);
    CALL("perf", SYS_perf_event_open, zeros, 0, -1, -1, 0);
    CALL("userfaultfd", SYS_userfaultfd, 0);
    CALL("io_uring", SYS_io_uring_setup, 8, zeros);
    CALL("kexec", SYS_kexec_load, 0, 0, NULL, 0);
    CALL("init_module", SYS_init_module, zeros, 0, "");
    CALL("reboot", SYS_reboot, 0, 0, 0, NULL);
    CALL("acct", SYS_acct, NULL);
    CALL("syslog", SYS_syslog, 3, zeros, sizeof zeros);
    CALL("swapoff", SYS_swapoff, "/nothing");
    CALL("quotactl", SYS_quotactl, 0x800008 << 8, NULL, 0, NULL);
    CALL("settime", SYS_clock_settime, 0, (long[]){1, 0});
    CALL("hostname", SYS_sethostname, "x", 1);
    CALL("personality", SYS_personality, 0x0040000);
    CALL("add_key", SYS_add_key, "user", "x", "x", 1, KEY_SPEC_SESSION_KEYRING);
    char *key = getenv("KEY");
    if (key)
        CALL("host_key", SYS_keyctl, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING, "user", key, 0);
#ifdef SYS_iopl
    CALL("iopl", SYS_iopl, 3);
#endif
}

static void attack_sockets(void)
{
    static const struct {
        const char *name;
        int family, type, protocol;
    } kinds[] = {{"raw", 2, 3, 1},  {"packet", 17, 3, 0},    {"alg", 38, 5, 0}, {"vsock", 40, 1, 0},
                 {"can", 29, 3, 1}, {"bluetooth", 31, 5, 0}, {"rds", 21, 5, 0}, {"tipc", 30, 5, 0},
                 {"ax25", 3, 5, 0}, {"netlink", 16, 3, 0},   {"unix", 1, 1, 0}};
    char name[64];
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        snprintf(name, sizeof name, "socket_%s", kinds[i].name);
        int fd = socket(kinds[i].family, kinds[i].type | SOCK_CLOEXEC, kinds[i].protocol);
        tell(name, fd);
        if (fd >= 0)
            close(fd);
    }
    char *abstract = getenv("ABSTRACT");
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (!abstract)
        return;
    strncpy(addr.sun_path + 1, abstract, sizeof addr.sun_path - 2);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    TRY("abstract",
        connect(fd, (struct sockaddr *)&addr,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(abstract))));
    close(fd);
}

static void attack_privileges(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {{~0u, ~0u, ~0u}, {0x1ff, 0x1ff, 0x1ff}};
    CALL("capset", SYS_capset, &header, data);
    TRY("ambient", prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0));
    TRY("securebits", prctl(PR_SET_SECUREBITS, 0, 0, 0, 0));
    TRY("privileges", prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
    TRY("set_mm", prctl(PR_SET_MM, 1, 0x400000, 0, 0));
    TRY("setgroups", setgroups(0, NULL));
    TRY("setuid", setuid(geteuid() == 0 ? 1000 : 0));
}

/* A descriptor of the host's tree would be a way out by fchdir(2). */
static void attack_descriptors(void)
{
    char cwd[64];
    printf("fds");
    for (int fd = 0; fd < 1024; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            printf(" %d", fd);
    printf("\n");
    for (int fd = 3; fd < 1024; fd++)
        if (fchdir(fd) == 0)
            printf("fchdir ok %d\n", fd);
    printf("cwd %s\n", getcwd(cwd, sizeof cwd) ? cwd : "unreachable");
    show("self_cgroup", "/proc/self/cgroup");
    printf("environ");
    for (char **e = environ; *e; e++)
        printf(" %s", *e);
    printf("\n");
}

static void attack_terminal(void)
{
    char byte = '!', eleven[] = {3, 0};
    CALL("tiocsti", SYS_ioctl, 0, 0x5412, &byte);
    CALL("tiocsti_high", SYS_ioctl, 0, 0x5412 | 1ul << 32, &byte);
    CALL("tioclinux", SYS_ioctl, 0, 0x541c | 1ul << 63, eleven);
    CALL("tiocsetd", SYS_ioctl, 0, 0x5423, (int[]){2});
}

/* What ends a process is tried by another one. */
static void attack_abi(const char *name, long (*enter)(void))
{
    int status = 0;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        _exit(enter() < 0 ? 1 : 0);
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status))
        printf("%s killed %d\n", name, WTERMSIG(status));
    else
        printf("%s %s\n", name, WEXITSTATUS(status) ? "refused" : "ok");
    fflush(stdout);
}

#ifdef __x86_64__
static long enter_i386(void)
{
    long r;
    __asm__ volatile("int $0x80" : "=a"(r) : "a"(20L) : "memory"); /* getpid */
    return r;
}

static long enter_x32(void)
{
    return syscall(0x40000000 | SYS_getpid);
}
#endif

static long enter_nothing(void)
{
    return syscall(9999);
}

int main(int argc, char **argv)
{
    if (argc > 1) { /* only this one thing, for a terminal */
        attack_terminal();
        return argv[1][0] == 't' ? 0 : 1;
    }
    attack_descriptors();
    attack_pid1();
    attack_sockets();
    attack_kernel();
    attack_terminal();
    attack_namespaces();
#ifdef __x86_64__
    attack_abi("abi_i386", enter_i386);
    attack_abi("abi_x32", enter_x32);
#endif
    attack_abi("unknown", enter_nothing);
    attack_mounts();
    attack_privileges();
    return 0;
}
