/* SPDX-License-Identifier: MIT */
/*
 * uds-bench-floor PROGRAM…: what the kernel takes for the namespaces and the mounts of `bwrap --unshare-all --ro-bind / /
 * --proc /proc --dev /dev`, as a static program that has nothing else to do: the floor of commands that start a sandbox. It
 * keeps nobody in: no capability is dropped, there is no filter, no mask, no record, and nobody who cleans up.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/mount.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

/* glibc's <sys/mount.h> and the kernel's exclude each other. */
int mount(const char *source,
          const char *target,
          const char *type,
          unsigned long flags,
          const void *data);
int umount2(const char *target, int flags);

enum {
    FIRST_ID = 2000000000,
    IDS = 65536,
    DETACH = 2,
    FAILED = 120
};

static void need(bool done, const char *what)
{
    if (done)
        return;
    perror(what);
    _exit(FAILED);
}

static void put(pid_t pid, const char *name, const char *text)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    need(fd >= 0 && write(fd, text, strlen(text)) > 0, path);
    (void)close(fd);
}

static void map_ids(pid_t pid)
{
    char users[64], groups[64];
    bool range = geteuid() == 0;
    if (!range)
        put(pid, "setgroups", "deny");
    (void)snprintf(users, sizeof(users), "0 %u %u\n", range ? FIRST_ID : geteuid(),
                   range ? IDS : 1);
    (void)snprintf(groups, sizeof(groups), "0 %u %u\n", range ? FIRST_ID : getegid(),
                   range ? IDS : 1);
    put(pid, "uid_map", users);
    put(pid, "gid_map", groups);
}

static void bring_up_loopback(void)
{
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    need(fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &lo) == 0, "lo");
    (void)close(fd);
}

static void make_devices(void)
{
    static const char *const names[] = {"null", "zero", "full", "random", "urandom", "tty"};
    need(mount("tmpfs", "dev", "tmpfs", MS_NOSUID, "mode=755") == 0, "/dev");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char from[32], to[32];
        (void)snprintf(from, sizeof(from), "/dev/%s", names[i]);
        (void)snprintf(to, sizeof(to), "dev/%s", names[i]);
        int fd = open(to, O_CREAT | O_WRONLY | O_CLOEXEC, 0666);
        need(fd >= 0 && mount(from, to, NULL, MS_BIND, NULL) == 0, from);
        (void)close(fd);
    }
    need(mkdir("dev/shm", 0755) == 0 && mkdir("dev/pts", 0755) == 0, "/dev/pts");
    need(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
               "newinstance,ptmxmode=0666,mode=620") == 0,
         "/dev/pts");
}

static void enter_root(void)
{
    struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID};
    need(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) == 0, "private mounts");
    need(mount("tmpfs", "/tmp", "tmpfs", 0, "mode=755") == 0, "/tmp");
    need(mkdir("/tmp/root", 0755) == 0 &&
             mount("/", "/tmp/root", NULL, MS_BIND | MS_REC, NULL) == 0,
         "/");
    need(syscall(SYS_mount_setattr, AT_FDCWD, "/tmp/root", AT_RECURSIVE, &read_only,
                 sizeof(read_only)) == 0,
         "a read-only root");
    need(chdir("/tmp/root") == 0, "/tmp/root");
    need(mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0, "/proc");
    make_devices();
    need(syscall(SYS_pivot_root, ".", ".") == 0 && umount2(".", DETACH) == 0 && chdir("/") == 0,
         "pivot_root");
}

static int wait_for(pid_t pid)
{
    int status;
    need(waitpid(pid, &status, 0) == pid, "waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : FAILED;
}

static _Noreturn void become_first_process(int go, char **argv)
{
    char byte;
    need(read(go, &byte, 1) == 1, "go");
    need(setresgid(0, 0, 0) == 0 && setresuid(0, 0, 0) == 0, "root of the user namespace");
    bring_up_loopback();
    enter_root();
    pid_t pid = vfork();
    if (pid == 0) {
        (void)execv(argv[0], argv);
        _exit(FAILED);
    }
    _exit(wait_for(pid));
}

int main(int argc, char **argv)
{
    struct clone_args args = {.flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET |
                                       CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP,
                              .exit_signal = SIGCHLD};
    int go[2];
    if (argc < 2) {
        (void)fputs("usage: uds-bench-floor PROGRAM…\n", stderr);
        return FAILED;
    }
    need(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, go) == 0, "socketpair");
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
    need(pid >= 0, "new namespaces");
    if (pid == 0)
        become_first_process(go[1], argv + 1);
    map_ids(pid);
    need(write(go[0], "", 1) == 1, "go");
    return wait_for(pid);
}
