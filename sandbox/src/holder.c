/* SPDX-License-Identifier: MIT */
#include "holder.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "cleanup.h"

/* Of a process that may have threads: nothing but system calls. */
static _Noreturn void hold(int leash)
{
    char byte;
    ssize_t n;
    setsid(); /* a terminal's end is not ours */
    prctl(PR_SET_NAME, "uds-group");
    if (dup2(leash, 0) < 0 || close_range(1, ~0u, 0) < 0 || chdir("/") < 0)
        _exit(1);
    do
        n = read(0, &byte, 1);
    while (n < 0 && errno == EINTR);
    if (n != 1)
        _exit(1); /* who started us died before anybody knew of us */
    close(0);
    for (;;)
        pause();
}

pid_t sbxi_holder_new(int *ret_leash)
{
    int leash[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, leash) < 0)
        return -errno;
    pid_t pid = fork();
    int err = errno;
    if (pid == 0)
        hold(leash[0]);
    close(leash[0]);
    if (pid < 0) {
        close(leash[1]);
        return -err;
    }
    *ret_leash = leash[1];
    return pid;
}

void sbxi_holder_keep(int *leash)
{
    if (*leash >= 0)
        send(*leash, "", 1, MSG_NOSIGNAL);
    sbxi_closep(leash);
}

void sbxi_holder_free(pid_t holder, int *leash)
{
    sbxi_closep(leash);
    if (holder <= 0)
        return;
    kill(holder, SIGKILL);
    waitpid(holder, NULL, 0);
}
