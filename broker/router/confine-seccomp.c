/* SPDX-License-Identifier: MIT */
/*
 * The router's system calls. The list is what epoll, connections, memfd copies, the clock and malloc need; whatever is
 * not on it fails with EPERM, so that a library's probe of a newer call falls back instead of dying.
 *
 * Not there on purpose: everything that opens (open*, socket, connect, bind, memfd_secret), starts (clone, fork, exec),
 * reaches into others (kill, ptrace, process_vm_*, pidfd_*, prlimit of others), changes the confinement (prctl, unshare,
 * setns, mount, seccomp) or multiplies the kernel's surface (io_uring, bpf, userfaultfd, keyctl, perf_event_open).
 *
 * Some that are there are narrowed by argument: no executable memory, no signal to anyone but ourselves (abort(3)), no
 * fcntl(2) that makes the kernel send signals (F_SETOWN) or that sets locks and leases on a peer's files.
 */
#include "confine-seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stddef.h>
#include <unistd.h>

#include <linux/sockios.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

static const int plain_calls[] = {
    /* connections */
    SCMP_SYS(sendto),
    SCMP_SYS(sendmsg),
    SCMP_SYS(recvmsg),
    SCMP_SYS(accept4),
    SCMP_SYS(shutdown),
    SCMP_SYS(getsockopt),
    SCMP_SYS(getsockname),
    SCMP_SYS(getpeername),
    SCMP_SYS(close),
    SCMP_SYS(read),
    SCMP_SYS(readv),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    /* the loop */
    SCMP_SYS(epoll_ctl),
    SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait),
    SCMP_SYS(epoll_pwait2),
    SCMP_SYS(epoll_create1),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(timerfd_create),
    SCMP_SYS(timerfd_settime),
    SCMP_SYS(eventfd2),
    SCMP_SYS(pipe2),
    /* looking at descriptors, copying files into memfds */
    SCMP_SYS(fstat),
    SCMP_SYS(fstatfs),
    SCMP_SYS(fgetxattr),
    SCMP_SYS(lseek),
    SCMP_SYS(pread64),
    SCMP_SYS(pwrite64),
    SCMP_SYS(memfd_create),
    SCMP_SYS(ftruncate),
    SCMP_SYS(dup),
    SCMP_SYS(setitimer), /* uds_fd_limit_closing() */
    SCMP_SYS(name_to_handle_at),
    SCMP_SYS(fanotify_mark),
    /* memory, time, the process itself */
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(futex),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(getrandom),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(getuid),
    SCMP_SYS(geteuid),
    SCMP_SYS(getgid),
    SCMP_SYS(getegid),
    SCMP_SYS(sched_yield),
    SCMP_SYS(getcpu),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
#ifdef UDS_SANITIZED
    /* ASan reads its maps, starts no thread of its own without LSan, and needs to know its stack. */
    SCMP_SYS(open),
    SCMP_SYS(openat),
    SCMP_SYS(readlink),
    SCMP_SYS(readlinkat),
    SCMP_SYS(stat),
    SCMP_SYS(newfstatat),
    SCMP_SYS(mmap),
    SCMP_SYS(mprotect),
    SCMP_SYS(prctl),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(getrlimit),
    SCMP_SYS(prlimit64),
    SCMP_SYS(uname),
    SCMP_SYS(arch_prctl),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(getppid),
    SCMP_SYS(sysinfo),
    SCMP_SYS(fcntl),
#endif
};

static int add_plain(scmp_filter_ctx filter)
{
    for (size_t i = 0; i < sizeof(plain_calls) / sizeof(plain_calls[0]); i++) {
        int r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, plain_calls[i], 0);
        if (r < 0 && r != -EDOM) /* EDOM: not a call of this architecture */
            return r;
    }
    return 0;
}

#ifndef UDS_SANITIZED
static const unsigned fcntl_commands[] = {
    F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, F_GET_SEALS, F_ADD_SEALS,
};

static int add_narrow_memory(scmp_filter_ctx filter)
{
    int r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                             SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                             SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    return r;
}

static int add_narrow_descriptors(scmp_filter_ctx filter)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < sizeof(fcntl_commands) / sizeof(fcntl_commands[0]); i++)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
                             SCMP_A1_32(SCMP_CMP_EQ, fcntl_commands[i]));
    /* glibc's fstat(2) is newfstatat(fd, "", …, AT_EMPTY_PATH). */
    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(newfstatat), 1,
                             SCMP_A3_32(SCMP_CMP_EQ, AT_EMPTY_PATH));
    if (r == 0) /* our own limits may be read */
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 2,
                             SCMP_A0_32(SCMP_CMP_EQ, 0), SCMP_A2(SCMP_CMP_EQ, 0));
    return r;
}
#endif

static int add_narrow(scmp_filter_ctx filter)
{
    int r = 0;
#ifndef UDS_SANITIZED
    r = add_narrow_memory(filter);
    if (r == 0)
        r = add_narrow_descriptors(filter);
#endif
    if (r == 0) /* to be told when a memfd is gone, and of nothing else */
        r = seccomp_rule_add(
            filter, SCMP_ACT_ALLOW, SCMP_SYS(fanotify_init), 1,
            SCMP_A0_32(SCMP_CMP_EQ, FAN_CLASS_NOTIF | FAN_REPORT_FID | FAN_CLOEXEC | FAN_NONBLOCK));
    if (r == 0) /* socket buffers and credentials; nothing below AF_UNIX's own level exists */
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(setsockopt), 1,
                             SCMP_A1_32(SCMP_CMP_EQ, SOL_SOCKET));
    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                             SCMP_A1_32(SCMP_CMP_EQ, SIOCOUTQ));
    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
                             SCMP_A1_32(SCMP_CMP_EQ, FIONREAD));
    if (r == 0)
        r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                             SCMP_A0_32(SCMP_CMP_EQ, (unsigned)getpid()));
    return r;
}

int confine_seccomp(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
    if (filter == NULL)
        return -ENOMEM;
    int r = add_plain(filter);
    if (r == 0)
        r = add_narrow(filter);
    /* A binary tree instead of a list: some of these calls are made for every message. */
    if (r == 0)
        r = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    if (r == 0)
        r = seccomp_load(filter);
    seccomp_release(filter);
    return r;
}
