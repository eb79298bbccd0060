/* SPDX-License-Identifier: MIT */
#include "holder.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include <sys/prctl.h>
#include <sys/wait.h>

#include "scope.h"

/* Of a process that may have threads: nothing but system calls. */
static _Noreturn void hold(void)
{
    setsid(); /* a terminal's end is not ours */
    prctl(PR_SET_NAME, "uds-group");
    close_range(0, ~0u, 0);
    if (chdir("/") < 0)
        _exit(1);
    for (;;)
        pause();
}

pid_t sbxi_holder_new(const char *name, char *ret_path, size_t size)
{
    pid_t pid = fork();
    if (pid < 0)
        return -errno;
    if (pid == 0)
        hold();
    int r = sbxi_scope_enter(name, &pid, 1, ret_path, size, NULL);
    if (r >= 0)
        return pid;
    sbxi_holder_free(pid);
    return r;
}

void sbxi_holder_free(pid_t holder)
{
    if (holder <= 0)
        return;
    kill(holder, SIGKILL);
    waitpid(holder, NULL, 0);
}
