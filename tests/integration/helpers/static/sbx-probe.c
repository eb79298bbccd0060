/* SPDX-License-Identifier: MIT */
/*
 * What a payload can do: verbs for tests of isolation, as one static program that needs nothing inside a root (after
 * crun's tests/init.c). `sbx-probe VERB [ARG…] [-- VERB [ARG…]]…` prints one line per verb: "VERB ok …" or
 * "VERB ENAME".
 */

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <linux/sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>

static int number(const char *text)
{
    return (int)strtol(text, NULL, 0);
}

static long result(const char *verb, long r)
{
    printf("%s %s\n", verb, r < 0 ? strerrorname_np(errno) : "ok");
    return r;
}

/* A count of numeric entries of a directory, and their names. */
static void list(char **a)
{
    DIR *dir = opendir(a[1]);
    if (!dir) {
        result(a[0], -1);
        return;
    }
    printf("%s ok", a[0]);
    for (struct dirent *e = readdir(dir); e; e = readdir(dir))
        if (e->d_name[0] != '.' && (!a[2] || isdigit((unsigned char)e->d_name[0])))
            printf(" %s", e->d_name);
    printf("\n");
    closedir(dir);
}

static void fds(char **a)
{
    printf("%s ok", a[0]);
    for (int fd = 0; fd < 4096; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            printf(" %d", fd);
    printf("\n");
}

static void namespaces(char **a)
{
    static const char *const names[] = {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"};
    printf("%s ok", a[0]);
    for (size_t i = 0; i < 7; i++) {
        char path[64];
        struct stat st = {0};
        snprintf(path, sizeof path, "/proc/self/ns/%s", names[i]);
        printf(" %lu", stat(path, &st) < 0 ? 0 : (unsigned long)st.st_ino);
    }
    printf("\n");
}

static void cat(char **a)
{
    char buffer[65536];
    int fd = open(a[1], O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, buffer, sizeof buffer);
    if (n < 0) {
        result(a[0], -1);
    } else {
        printf("%s ok %zd\n", a[0], n);
        fwrite(buffer, 1, (size_t)n, stdout);
    }
    if (fd >= 0)
        close(fd);
}

static void put(char **a)
{
    int fd = open(a[1], O_WRONLY);
    long r = fd < 0 ? -1 : write(fd, a[2], strlen(a[2]));
    result(a[0], r);
    if (fd >= 0)
        close(fd);
}

static void create(char **a)
{
    int fd = open(a[1], O_WRONLY | O_CREAT | O_EXCL, 0600);
    result(a[0], fd);
    if (fd >= 0)
        close(fd);
}

static void mode(char **a)
{
    struct stat st;
    if (stat(a[1], &st) < 0)
        result(a[0], -1);
    else
        printf("%s ok %o\n", a[0], st.st_mode & 07777);
}

static void ids(char **a)
{
    gid_t groups[64];
    printf("%s ok %u %u %d\n", a[0], getuid(), getgid(), getgroups(64, groups));
}

static void trace(char **a)
{
    pid_t pid = number(a[1]);
    if (result(a[0], ptrace(PTRACE_ATTACH, pid, NULL, NULL)) < 0)
        return;
    waitpid(pid, NULL, __WALL);
    ptrace(PTRACE_DETACH, pid, NULL, NULL);
}

static void vmread(char **a)
{
    char byte;
    struct iovec local = {&byte, 1}, remote = {(void *)0x400000, 1};
    result(a[0], process_vm_readv(number(a[1]), &local, 1, &remote, 1, 0));
}

static void signal_(char **a)
{
    result(a[0], kill(number(a[1]), number(a[2])));
}

static void node(char **a)
{
    result(a[0], mknod(a[1], S_IFBLK | 0600, makedev(8, 0)));
}

static void tcp(char **a)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)number(a[1]))};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    result(a[0], connect(fd, (struct sockaddr *)&address, sizeof address));
    close(fd);
}

static void abstract(char **a)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(a[1]);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    memcpy(address.sun_path + 1, a[1], length);
    result(a[0], connect(fd, (struct sockaddr *)&address,
                         (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length)));
    close(fd);
}

static void unix_(char **a)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", a[1]);
    result(a[0], connect(fd, (struct sockaddr *)&address, sizeof address));
    close(fd);
}

static void key(char **a)
{
    result(a[0], syscall(SYS_request_key, "user", a[1], NULL, 0));
}

static void sock(char **a)
{
    int fd = socket(number(a[1]), number(a[2]), number(a[3]));
    result(a[0], fd);
    if (fd >= 0)
        close(fd);
}

static void remount(char **a)
{
    result(a[0], mount(NULL, a[1], NULL, MS_REMOUNT | MS_BIND, NULL));
}

static void hostname(char **a)
{
    result(a[0], sethostname(a[1], strlen(a[1])));
}

static void unshare_(char **a)
{
    result(a[0], unshare(number(a[1])));
}

static void clone_(char **a)
{
    long pid = syscall(SYS_clone, (unsigned long)number(a[1]) | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        _exit(0);
    result(a[0], pid);
}

static void clone3_(char **a)
{
    struct clone_args args = {.exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0)
        _exit(0);
    result(a[0], pid);
}

/* Any system call by number, with plain numbers as arguments. */
static void call(char **a)
{
    long x[6] = {0};
    for (int i = 0; i < 6 && a[1] && a[2 + i]; i++)
        x[i] = strtol(a[2 + i], NULL, 0);
    result(a[0], syscall(strtol(a[1], NULL, 0), x[0], x[1], x[2], x[3], x[4], x[5]));
}

/* By the i386 door: 20 is getpid there. */
static void int80(char **a)
{
    long r = 20;
#ifdef __x86_64__
    __asm__ volatile("int $0x80" : "+a"(r) : : "memory", "r8", "r9", "r10", "r11");
#endif
    printf("%s ok %ld\n", a[0], r);
}

static void tiocsti(char **a)
{
    unsigned long command = 0x5412UL | (a[1] ? strtoul(a[1], NULL, 0) << 32 : 0);
    char byte = 'x';
    result(a[0], syscall(SYS_ioctl, 0, command, &byte));
}

static void env(char **a)
{
    printf("%s ok", a[0]);
    for (char **e = environ; *e; e++)
        printf(" %s", *e);
    printf(" pid=%d\n", (int)getpid());
}

static void limit(char **a)
{
    struct rlimit l;
    if (result(a[0], getrlimit((__rlimit_resource_t)number(a[1]), &l)) >= 0)
        printf("limit %llu %llu\n", (unsigned long long)l.rlim_cur, (unsigned long long)l.rlim_max);
}

static void dispositions(char **a)
{
    sigset_t mask;
    int ignored = 0, blocked = 0;
    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int i = 1; i < NSIG; i++) {
        struct sigaction action;
        ignored += sigaction(i, NULL, &action) == 0 && action.sa_handler != SIG_DFL;
        blocked += sigismember(&mask, i) == 1;
    }
    printf("%s ok %d %d\n", a[0], ignored, blocked);
}

/* Children that lose their parent; then how many are still there as zombies, when all had the time to be reaped. */
static void orphans(char **a)
{
    for (int i = number(a[1]); i > 0; i--) {
        pid_t pid = fork();
        if (pid == 0) {
            if (fork() == 0)
                _exit(0);
            _exit(0);
        }
        waitpid(pid, NULL, 0);
    }
    int left = 1;
    for (int tries = 0; tries < 200 && left > 0; tries++) {
        DIR *dir = opendir("/proc");
        left = -2; /* PID 1 and this one */
        for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir))
            left += isdigit((unsigned char)e->d_name[0]) != 0;
        if (dir)
            closedir(dir);
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    printf("%s ok %d\n", a[0], left);
}

/* A daemon that ignores what it can, and says its tale by holding a descriptor: the caller sees that close. */
static void daemonize(char **a)
{
    if (fork() == 0) {
        setsid();
        for (int i = 1; i < NSIG; i++)
            signal(i, SIG_IGN);
        if (fork() == 0)
            for (;;)
                pause();
        _exit(0);
    }
    wait(NULL);
    printf("%s ok\n", a[0]);
}

static void hog(char **a)
{
    size_t size = (size_t)number(a[1]) << 20;
    char *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED) {
        result(a[0], -1);
        return;
    }
    memset(bytes, 1, size);
    printf("%s ok %d\n", a[0], bytes[size - 1]);
}

static void forks(char **a)
{
    int made = 0, err = 0;
    for (int i = number(a[1]); i > 0 && !err; i--) {
        pid_t pid = fork();
        if (pid == 0)
            for (;;)
                pause();
        if (pid < 0)
            err = errno;
        else
            made++;
    }
    printf("%s %s %d\n", a[0], err ? strerrorname_np(err) : "ok", made);
}

static void reopen(char **a)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%s", a[1]);
    int fd = open(path, number(a[2]));
    result(a[0], fd);
    if (fd >= 0)
        close(fd);
}

static void chmod_(char **a)
{
    result(a[0], isdigit((unsigned char)a[1][0]) ? fchmod(number(a[1]), 0777) : chmod(a[1], 0777));
}

static void touch(char **a)
{
    result(a[0], isdigit((unsigned char)a[1][0]) ? futimens(number(a[1]), NULL)
                                                 : utimensat(AT_FDCWD, a[1], NULL, 0));
}

static void readfd(char **a)
{
    char buffer[256];
    ssize_t n = result(a[0], pread(number(a[1]), buffer, sizeof buffer, 0));
    if (n > 0)
        printf("%.*s\n", (int)n, buffer);
}

static void cwd(char **a)
{
    char path[4096];
    long r = syscall(SYS_getcwd, path, sizeof path);
    printf("%s %s\n", a[0], r < 0 ? strerrorname_np(errno) : path);
}

static void shm(char **a)
{
    result(a[0], shmget(number(a[1]), 0, 0));
}

/* The classic: a descriptor of a directory outside, up to the top, chroot there. */
static void unchroot(char **a)
{
    int fd = open("/", O_RDONLY | O_DIRECTORY);
    mkdir("/tmp/x", 0700);
    if (chroot("/tmp/x") < 0) {
        result(a[0], -1);
        close(fd);
        return;
    }
    result(a[0], fchdir(fd));
    close(fd);
    for (int i = 0; i < 100; i++)
        (void)!chdir("..");
    (void)!chroot(".");
}

static void readlink_(char **a)
{
    char path[4096];
    ssize_t n = readlink(a[1], path, sizeof path);
    if (n < 0)
        result(a[0], -1);
    else
        printf("%s ok %.*s\n", a[0], (int)n, path);
}

static void say(char **a)
{
    printf("%s\n", a[1]);
}

/* For a byte, or the end, of standard input. */
static void wait_(char **a)
{
    char c;
    result(a[0], read(0, &c, 1));
}

static void uname_(char **a)
{
    struct utsname name;
    if (uname(&name) == 0)
        printf("%s ok %s\n", a[0], name.nodename);
}

static void raise_(char **a)
{
    fflush(stdout);
    raise(number(a[1]));
}

static void exit_(char **a)
{
    fflush(stdout);
    _exit(number(a[1]));
}

static void sleep_(char **a)
{
    printf("%s ok\n", a[0]);
    fflush(stdout);
    for (;;)
        pause();
}

static void mask_(char **a)
{
    mode_t old = umask(0);
    umask(old);
    printf("%s ok %o\n", a[0], old);
}

static const struct verb {
    const char *name;
    int arguments;
    void (*run)(char **);
} verbs[] = {
    {"list", 1, list},         {"fds", 0, fds},
    {"ns", 0, namespaces},     {"cat", 1, cat},
    {"put", 2, put},           {"create", 1, create},
    {"mode", 1, mode},         {"ids", 0, ids},
    {"ptrace", 1, trace},      {"vmread", 1, vmread},
    {"kill", 2, signal_},      {"mknod", 1, node},
    {"tcp", 1, tcp},           {"abstract", 1, abstract},
    {"socket", 3, sock},       {"remount", 1, remount},
    {"hostname", 1, hostname}, {"unshare", 1, unshare_},
    {"clone", 1, clone_},      {"clone3", 0, clone3_},
    {"call", 1, call},         {"int80", 0, int80},
    {"tiocsti", 0, tiocsti},   {"env", 0, env},
    {"limit", 1, limit},       {"signals", 0, dispositions},
    {"orphans", 1, orphans},   {"daemonize", 0, daemonize},
    {"hog", 1, hog},           {"forks", 1, forks},
    {"reopen", 2, reopen},     {"chmod", 1, chmod_},
    {"touch", 1, touch},       {"readfd", 1, readfd},
    {"cwd", 0, cwd},           {"shm", 1, shm},
    {"unchroot", 0, unchroot}, {"raise", 1, raise_},
    {"exit", 1, exit_},        {"sleep", 0, sleep_},
    {"umask", 0, mask_},       {"unix", 1, unix_},
    {"key", 1, key},           {"readlink", 1, readlink_},
    {"say", 1, say},           {"wait", 0, wait_},
    {"uname", 0, uname_},
};

static int run(int count, char **a)
{
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(verbs[i].name, a[0]) == 0 && count > verbs[i].arguments) {
            verbs[i].run(a);
            fflush(stdout);
            return 0;
        }
    fprintf(stderr, "sbx-probe: %s: no such verb, or too few arguments\n", a[0]);
    return 2;
}

int main(int argc, char **argv)
{
    int r = argc < 2 ? 2 : 0;
    for (int i = 1; i < argc && r == 0;) {
        int count = 0;
        while (i + count < argc && strcmp(argv[i + count], "--") != 0)
            count++;
        argv[i + count] = NULL;
        r = count ? run(count, argv + i) : 2;
        i += count + 1;
    }
    return r;
}
