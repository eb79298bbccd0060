/* SPDX-License-Identifier: MIT */
#ifndef SBXI_CHILD_PROCESS_H
#define SBXI_CHILD_PROCESS_H

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include <linux/sched.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "kernel.h"

/*
 * Children of a process that is not ours: its threads may wait for any child, by number or not, and it may ignore SIGCHLD. So a
 * child of ours is known by its pidfd, is never waited for by number, which may be somebody else's child by then, and tells
 * how it went by a socket or a pipe: its exit status may have been read by somebody else.
 *
 * Whoever does not execute anything is not even seen: without an exit signal no handler of SIGCHLD is called for it, and no
 * waitpid(2) finds it that does not ask for such children (__WALL, __WCLONE). An execve makes the signal SIGCHLD.
 */

/*
 * As fork(2), unseen. The child may make system calls and nothing else, as in the child of a program with threads. -errno. Where
 * clone3 is hidden, for containers' filters cannot read its flags, the program's handlers are kept off by a mask.
 */
static inline pid_t sbxi_fork_unseen(int *ret_pidfd)
{
    struct clone_args args = {.flags = CLONE_PIDFD | CLONE_CLEAR_SIGHAND,
                              .pidfd = (uint64_t)(uintptr_t)ret_pidfd};
    long pid = sbxi_clone3(&args);
    if (pid >= 0 || errno != ENOSYS)
        return (pid_t)(pid < 0 ? -errno : pid);
    sigset_t all, old;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &old);
    pid = syscall(SYS_clone, CLONE_PIDFD, 0, ret_pidfd, 0, 0);
    int err = errno;
    if (pid != 0)
        sigprocmask(SIG_SETMASK, &old, NULL);
    return (pid_t)(pid < 0 ? -err : pid);
}

/* Waits for its end. 0 with *ret, if that is not NULL, or -ECHILD: it is gone, and nobody knows how. */
static inline int sbxi_reap(int pidfd, siginfo_t *ret)
{
    siginfo_t info = {0};
    int r;
    do
        r = waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED | __WALL);
    while (r < 0 && errno == EINTR);
    if (r < 0)
        return -errno;
    if (ret)
        *ret = info;
    return 0;
}

static inline void sbxi_kill_and_reap(int pidfd)
{
    pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
    (void)sbxi_reap(pidfd, NULL);
}

#endif
