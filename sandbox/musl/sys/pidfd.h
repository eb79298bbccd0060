/* SPDX-License-Identifier: MIT */
/* musl 1.2 has no <sys/pidfd.h>. */
#ifndef SBXI_MUSL_SYS_PIDFD_H
#define SBXI_MUSL_SYS_PIDFD_H

#include <signal.h>
#include <unistd.h>

#include <sys/syscall.h>

static inline int pidfd_open(pid_t pid, unsigned flags)
{
    return (int)syscall(SYS_pidfd_open, pid, flags);
}

static inline int pidfd_send_signal(int pidfd, int signo, siginfo_t *info, unsigned flags)
{
    return (int)syscall(SYS_pidfd_send_signal, pidfd, signo, info, flags);
}

#endif
