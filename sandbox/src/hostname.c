/* SPDX-License-Identifier: MIT */
/*
 * The host name of a sandbox that waits. Its PID 1 may not change it any more, and is not to keep the right until somebody
 * comes; whoever made the sandbox has it, from a process that enters its user and uts namespaces and nothing else of it. What
 * lives there now is ours, and there is nobody yet whom our memory could interest.
 */

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "child-process.h"
#include "error.h"
#include "running.h"
#include "waiting.h"

static _Noreturn void enter_and_set(const sbx *s, const char *hostname)
{
    bool user = s->plan->isolate & SBX_NS_USER;
    bool done = setns(s->init_fd, CLONE_NEWUTS | (user ? CLONE_NEWUSER : 0)) == 0 &&
                sethostname(hostname, strlen(hostname)) == 0;
    _exit(done ? 0 : errno);
}

int sbxi_hostname_set(const sbx *s, const char *hostname, struct sbx_error *error)
{
    int pidfd;
    siginfo_t info = {0};
    if (!*hostname || strlen(hostname) > 64)
        return sbxi_error(error, EINVAL, "sandbox %s: hostname: use 1 to 64 characters", s->name);
    if (!(s->plan->isolate & SBX_NS_UTS))
        return sbxi_error(error, EINVAL,
                          "sandbox %s: hostname: %s: it has no uts namespace of its own; add "
                          "\"uts\" to isolate",
                          s->name, hostname);
    if (s->plan->joined_user)
        return sbxi_error(error, EOPNOTSUPP,
                          "sandbox %s: hostname: %s: its user namespace is somebody else's, whom "
                          "we do not enter; let it wait with that name",
                          s->name, hostname);
    pid_t pid =
        sbxi_fork_unseen(&pidfd); /* a new user namespace wants a process that shares nothing */
    if (pid == 0)
        enter_and_set(s, hostname);
    if (pid < 0)
        return sbxi_error(error, -pid, "sandbox %s: hostname: fork: %s", s->name, strerror(-pid));
    int err = sbxi_reap(pidfd, &info) == 0 && info.si_code == CLD_EXITED ? info.si_status : ECHILD;
    close(pidfd);
    return err ? sbxi_error(error, err, "sandbox %s: hostname: %s: %s", s->name, hostname,
                            strerror(err))
               : 0;
}
