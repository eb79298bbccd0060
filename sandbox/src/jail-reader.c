/* SPDX-License-Identifier: MIT */
/*
 * The child that parses ELF files. Forked, not exec'd: it must work in a library, at any time, with no file of ours at
 * hand; what it inherits it cannot use, because the filter leaves it the socket and pread(2). After fork it makes
 * system calls only, so that a threaded caller may fork it.
 */

#include "jail-reader.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "child-process.h"
#include "cleanup.h"

enum {
    SOCKET = 3,
    FILE_FD = 4,
    NOBODY = 65534,
    CPU_SECONDS = 10
};

#if defined(__x86_64__)
#define AUDIT_ARCH_OURS AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define AUDIT_ARCH_OURS AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define AUDIT_ARCH_OURS AUDIT_ARCH_RISCV64
#else
#error "name this machine's AUDIT_ARCH"
#endif

#define ALLOW(nr) \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static int confine(void)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_OURS, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(SYS_pread64),
        ALLOW(SYS_recvmsg),
        ALLOW(SYS_sendto),
        ALLOW(SYS_close),
        ALLOW(SYS_exit_group),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog filter = {.len = sizeof program / sizeof program[0], .filter = program};
    struct rlimit none = {0, 0}, cpu = {CPU_SECONDS, CPU_SECONDS};
    /* EINVAL, EPERM: root of a user namespace that has no other id, and no privilege outside it either. */
    if (geteuid() == 0 &&
        (syscall(SYS_setgroups, 0, NULL) < 0 ||
         syscall(SYS_setresgid, NOBODY, NOBODY, NOBODY) < 0 ||
         syscall(SYS_setresuid, NOBODY, NOBODY, NOBODY) < 0) &&
        errno != EINVAL && errno != EPERM)
        return -errno;
    if (setrlimit(RLIMIT_CORE, &none) < 0 || setrlimit(RLIMIT_FSIZE, &none) < 0 ||
        setrlimit(RLIMIT_CPU, &cpu) < 0)
        return -errno;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0)
        return -errno;
    return 0;
}

union control {
    struct cmsghdr header;
    char space[CMSG_SPACE(sizeof(int))];
};

static int receive_fd(int socket)
{
    union control control;
    char byte;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof control};
    /* Not the library's recvmsg(): sanitizers intercept that one and call what the filter refuses. */
    if (syscall(SYS_recvmsg, socket, &msg, MSG_CMSG_CLOEXEC) != 1 || (msg.msg_flags & MSG_CTRUNC))
        return -1;
    const struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    if (!c || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
        c->cmsg_len != CMSG_LEN(sizeof(int)))
        return -1;
    int fd;
    memcpy(&fd, CMSG_DATA(c), sizeof fd);
    return fd;
}

static _Noreturn void child(int socket)
{
    static struct sbxi_elf elf;
    if (dup3(socket, SOCKET, 0) < 0 && socket != SOCKET)
        syscall(SYS_exit_group, 1);
    syscall(SYS_close_range, SOCKET + 1, ~0u, 0);
    syscall(SYS_close_range, 0, SOCKET - 1, 0);
    if (confine() < 0)
        syscall(SYS_exit_group, 1);
    for (;;) {
        int fd = receive_fd(SOCKET);
        if (fd < 0)
            syscall(SYS_exit_group, 0);
        sbxi_elf_parse(fd, &elf);
        syscall(SYS_close, fd);
        if (syscall(SYS_sendto, SOCKET, &elf, sizeof elf, MSG_NOSIGNAL, NULL, 0) < 0)
            syscall(SYS_exit_group, 1);
    }
}

int sbxi_jail_reader_start(struct sbxi_jail_reader *ret)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return -errno;
    _cleanup_close_ int ours = pair[0], theirs = pair[1];
    struct timeval timeout = {.tv_sec = CPU_SECONDS};
    setsockopt(ours, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    int pidfd;
    pid_t pid = sbxi_fork_unseen(&pidfd);
    if (pid == 0)
        child(theirs);
    if (pid < 0)
        return pid;
    *ret = (struct sbxi_jail_reader){.pidfd = pidfd, .socket = sbxi_take_fd(&ours)};
    return 0;
}

int sbxi_jail_reader_read(struct sbxi_jail_reader *reader, int fd, struct sbxi_elf *ret)
{
    union control control = {0};
    char byte = 0;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    if (sendmsg(reader->socket, &msg, MSG_NOSIGNAL) != 1)
        return -EPROTO;
    ssize_t n;
    do
        n = recv(reader->socket, ret, sizeof *ret, 0);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof *ret && sbxi_elf_is_sound(ret) ? 0 : -EPROTO;
}

void sbxi_jail_reader_end(struct sbxi_jail_reader *reader)
{
    close(reader->socket);
    sbxi_kill_and_reap(reader->pidfd);
    close(reader->pidfd);
}
