/* SPDX-License-Identifier: MIT */
/* See layer-freeze.h. */

#include "layer-freeze.h"

#include <errno.h>
#include <fcntl.h>
#include <sbx/group.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include <sys/file.h>
#include <sys/socket.h>

#include "child-process.h"
#include "cleanup.h"
#include "error.h"

static void thaw(sbx_group *group, const struct sbxi_upper *upper)
{
    (void)sbx_group_freeze(group, false, NULL);
    unlinkat(upper->home, "frozen", 0);
}

/* It has nothing to say, and to read only that we are done, or dead. */
static _Noreturn void guard(sbx_group *group, const struct sbxi_upper *upper, int fd)
{
    sigset_t all;
    char done;
    ssize_t n;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    setsid();
    do
        n = read(fd, &done, 1);
    while (n < 0 && errno == EINTR);
    if (n != 1)
        thaw(group, upper);
    _exit(0);
}

static int start_guard(struct sbxi_layer_hold *hold, const struct sbxi_upper *upper)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) <
        0) /* no pipe: whose reader is dead sends SIGPIPE */
        return -errno;
    pid_t pid = fork(); /* it needs malloc */
    if (pid == 0) {
        close(ends[1]);
        guard(hold->group, upper, ends[0]);
    }
    int r = pid < 0 ? -errno : 0;
    close(ends[0]);
    hold->guard_fd = ends[1];
    if (r == 0 && (hold->guard = pidfd_open(pid, 0)) < 0)
        r = -errno;
    return r;
}

static int freeze(struct sbxi_layer_hold *hold,
                  const struct sbxi_upper *upper,
                  const char *run_dir,
                  const char *name,
                  struct sbx_error *error)
{
    struct sbx_error why = {0};
    int r = sbx_group_open(&hold->group, run_dir, name, &why);
    if (r < 0)
        return sbxi_error(error, EBUSY, "upper: %s: sandbox %s uses it, and cannot be frozen: %s",
                          upper->path, name, why.text);
    bool marked = faccessat(upper->home, "frozen", F_OK, 0) == 0;
    if (sbx_group_is_frozen(hold->group) && !marked)
        return 0;                           /* somebody wants it so */
    if ((r = start_guard(hold, upper)) < 0) /* before there is anything that it must undo */
        return sbxi_error(error, -r, "upper: %s: guard: %s", upper->path, strerror(-r));
    _cleanup_close_ int mark =
        openat(upper->home, "frozen", O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (mark < 0)
        return sbxi_error(error, errno, "upper: %s.uds/frozen: %s", upper->path, strerror(errno));
    hold->thaw = true;
    return sbx_group_freeze(hold->group, true, error);
}

int sbxi_layer_hold(struct sbxi_layer_hold *hold,
                    struct sbxi_upper *upper,
                    const char *run_dir,
                    bool live,
                    bool alone,
                    struct sbx_error *error)
{
    const char *name = sbxi_upper_get(upper, "sandbox", NULL);
    const char *noted = sbxi_upper_get(upper, "run-dir", NULL);
    if (flock(upper->verb, LOCK_EX | LOCK_NB) < 0)
        return sbxi_error(error, EBUSY, "upper: %s: somebody else is at work on it; wait",
                          upper->path);
    if (flock(upper->lock, LOCK_EX | LOCK_NB) == 0) {
        unlinkat(upper->home, "frozen", 0);
        return 0;
    }
    if (alone)
        return sbxi_error(error, EBUSY, "upper: %s: sandbox %s uses it; stop that first",
                          upper->path, name && *name ? name : "without a cgroup");
    if (live)
        return 0;
    if (!name || !*name)
        return sbxi_error(error, EBUSY,
                          "upper: %s: a sandbox without a cgroup uses it, which cannot be frozen; "
                          "stop it, or look "
                          "at what changes meanwhile (--live)",
                          upper->path);
    return freeze(hold, upper, run_dir ? run_dir : noted && *noted ? noted : NULL, name, error);
}

void sbxi_layer_release(struct sbxi_layer_hold *hold, const struct sbxi_upper *upper)
{
    if (hold->thaw)
        thaw(hold->group, upper);
    if (hold->guard_fd >= 0) {
        (void)!send(hold->guard_fd, "", 1, MSG_NOSIGNAL);
        close(hold->guard_fd);
    }
    if (hold->guard >= 0)
        (void)sbxi_reap(hold->guard, NULL);
    sbxi_closep(&hold->guard);
    if (hold->group)
        sbx_group_free(hold->group);
    *hold = (struct sbxi_layer_hold)SBXI_LAYER_HOLD_INIT;
}
