/* SPDX-License-Identifier: MIT */
/*
 * Killing and removing a cgroup, whatever the backend.
 *
 * On v2 cgroup.kill is recursive and fork-proof. On v1 nothing is: the freezer stops everybody, each is killed, and the
 * group is thawed so that the signals act; never left frozen, also when something fails between. Where a v1 directory
 * has neither file (memory, pids, …) its processes are killed one by one by pidfd: the pid is looked up again
 * after the pidfd was opened, so that a pid that was used anew in between is not hit.
 *
 * Removal is by rmdir(2), which is refused with EBUSY while a process or a zombie that nobody reaped is in the group;
 * hence attempts with a deadline. Names below come from a payload (it may have made sub-groups): they are only
 * ever used relative to a directory fd, and depth is bounded.
 */

#include "cgtree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "cleanup.h"
#include "clock.h"
#include "kernel.h"

enum {
    MAX_DEPTH = 32,
    MAX_PIDS = 512
};

int sbxi_cgtree_open(const char *path, bool fake)
{
    _cleanup_close_ int fd =
        sbxi_openat2(AT_FDCWD, path, O_DIRECTORY | O_RDONLY | O_CLOEXEC, 0, RESOLVE_NO_SYMLINKS);
    if (fd < 0)
        return -errno;
    struct statfs fs;
    if (!fake) {
        if (fstatfs(fd, &fs) < 0)
            return -errno;
        if ((uint64_t)fs.f_type != CGROUP_SUPER_MAGIC && (uint64_t)fs.f_type != CGROUP2_SUPER_MAGIC)
            return -EPERM;
    }
    return sbxi_take_fd(&fd);
}

static int write_file(int dirfd, const char *name, const char *text)
{
    _cleanup_close_ int fd = openat(dirfd, name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return write(fd, text, strlen(text)) < 0 ? -errno : 0;
}

static int read_pids(int dirfd, pid_t *pids, size_t max, size_t *ret_n)
{
    _cleanup_close_ int fd = openat(dirfd, "cgroup.procs", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    _cleanup_fclose_ FILE *file = fdopen(fd, "r");
    if (!file)
        return -errno;
    sbxi_take_fd(&fd);
    size_t n = 0;
    int pid;
    while (n < max && fscanf(file, "%d", &pid) == 1)
        if (pid > 0) /* 0: lives in a pid namespace that we cannot see into */
            pids[n++] = pid;
    *ret_n = n;
    return 0;
}

static bool has_pid(const pid_t *pids, size_t n, pid_t pid)
{
    for (size_t i = 0; i < n; i++)
        if (pids[i] == pid)
            return true;
    return false;
}

static void kill_listed(int dirfd)
{
    pid_t pids[MAX_PIDS], again[MAX_PIDS];
    size_t n = 0, m = 0;
    if (read_pids(dirfd, pids, MAX_PIDS, &n) < 0)
        return;
    for (size_t i = 0; i < n; i++) {
        _cleanup_close_ int pidfd = (int)syscall(SYS_pidfd_open, pids[i], 0);
        if (pidfd < 0 || pids[i] == getpid())
            continue;
        if (read_pids(dirfd, again, MAX_PIDS, &m) == 0 && has_pid(again, m, pids[i]))
            syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
    }
}

typedef int (*visit_fn)(int dirfd, void *userdata);

/* Visits the directory and all below it, deepest first. A visit that returns non-zero ends the walk. */
static int walk(int dirfd, int depth, visit_fn visit, void *userdata)
{
    if (depth > MAX_DEPTH)
        return -ELOOP;
    int copy = openat(dirfd, ".", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    if (copy < 0)
        return errno == ENOENT ? 0 : -errno;
    _cleanup_closedir_ DIR *dir = fdopendir(copy);
    if (!dir) {
        close(copy);
        return -ENOMEM;
    }
    const struct dirent *e;
    while ((e = readdir(dir))) {
        if (e->d_type != DT_DIR || !strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        _cleanup_close_ int child =
            openat(dirfd, e->d_name, O_DIRECTORY | O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        int r = child < 0 ? 0 : walk(child, depth + 1, visit, userdata);
        if (r != 0)
            return r;
    }
    return visit(dirfd, userdata);
}

static int visit_kill(int dirfd, void *userdata)
{
    (void)userdata;
    kill_listed(dirfd);
    return 0;
}

static int visit_populated(int dirfd, void *userdata)
{
    (void)userdata;
    char c;
    _cleanup_close_ int fd = openat(dirfd, "cgroup.procs", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return fd >= 0 && read(fd, &c, 1) == 1;
}

int sbxi_cgtree_kill(int fd)
{
    int r = write_file(fd, "cgroup.kill", "1");
    if (r == 0 || r == -ENODEV)
        return 0;
    bool frozen = write_file(fd, "freezer.state", "FROZEN") == 0;
    r = walk(fd, 0, visit_kill, NULL);
    if (frozen)
        write_file(fd, "freezer.state", "THAWED");
    return r;
}

int sbxi_cgtree_is_populated(int fd)
{
    char text[256];
    _cleanup_close_ int events = openat(fd, "cgroup.events", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (events < 0)
        return walk(fd, 0, visit_populated, NULL);
    ssize_t n = read(events, text, sizeof text - 1);
    if (n < 0)
        return errno == ENODEV ? 0 : -errno;
    text[n] = '\0';
    return strstr(text, "populated 1") != NULL;
}

static int read_file(int dirfd, const char *name, char *ret, size_t size)
{
    _cleanup_close_ int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, ret, size - 1);
    if (n < 0)
        return -errno;
    ret[n] = '\0';
    return 0;
}

int sbxi_cgtree_is_frozen(int fd)
{
    char text[256];
    if (read_file(fd, "cgroup.events", text, sizeof text) == 0)
        return strstr(text, "frozen 1") != NULL;
    int r = read_file(fd, "freezer.state", text, sizeof text);
    return r < 0 ? r : strncmp(text, "FROZEN", 6) == 0;
}

int sbxi_cgtree_freeze(int fd, bool frozen, int timeout_ms)
{
    int64_t deadline = (int64_t)sbxi_now_ms() + timeout_ms;
    int r = write_file(fd, "cgroup.freeze", frozen ? "1" : "0");
    if (r == -ENOENT)
        r = write_file(fd, "freezer.state", frozen ? "FROZEN" : "THAWED");
    if (r < 0)
        return r;
    while (sbxi_cgtree_is_frozen(fd) != frozen) {
        if ((int64_t)sbxi_now_ms() >= deadline) {
            if (frozen)
                sbxi_cgtree_freeze(fd, false, 0);
            return -ETIMEDOUT;
        }
        poll(NULL, 0, 1);
    }
    return 0;
}

/* Until cgroup.events says something new, or a while where there is no such file. */
static void wait_for_change(int fd, int timeout_ms)
{
    _cleanup_close_ int events = openat(fd, "cgroup.events", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    char text[256] = "";
    struct pollfd p = {.fd = events, .events = POLLPRI};
    if (events >= 0 && read(events, text, sizeof text - 1) > 0 && !strstr(text, "populated 1"))
        return;
    /* Bounded although the file tells: between our read and poll it may have told already. */
    poll(&p, events >= 0, timeout_ms < 10 ? timeout_ms : 10);
}

int sbxi_cgtree_kill_all(const int *fds, size_t n, int timeout_ms)
{
    int64_t deadline = (int64_t)sbxi_now_ms() + timeout_ms;
    for (int round = 0;; round++) {
        int populated = -1;
        for (size_t i = 0; i < n; i++)
            if (fds[i] >= 0 && sbxi_cgtree_is_populated(fds[i]) > 0) {
                sbxi_cgtree_kill(fds[i]);
                populated = fds[i];
            }
        if (populated < 0)
            return 0;
        int64_t left = deadline - (int64_t)sbxi_now_ms();
        if (left <= 0)
            return -ETIMEDOUT;
        wait_for_change(populated, (int)left);
    }
}

/* A test's tree holds files, which on a cgroup file system go with their directory. */
static void unlink_files(int dirfd)
{
    int copy = openat(dirfd, ".", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    _cleanup_closedir_ DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    const struct dirent *e;
    while (dir && (e = readdir(dir)))
        if (e->d_type == DT_REG)
            unlinkat(dirfd, e->d_name, 0);
}

static int remove_at(int parent, const char *name, bool fake, int depth)
{
    if (depth > MAX_DEPTH)
        return -ELOOP;
    if (!fake && unlinkat(parent, name, AT_REMOVEDIR) == 0)
        return 0;
    if (!fake && errno != EBUSY && errno != ENOTEMPTY)
        return errno == ENOENT ? 0 : -errno;
    int fd = openat(parent, name, O_DIRECTORY | O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    _cleanup_closedir_ DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return -ENOMEM;
    }
    if (fake)
        unlink_files(fd);
    const struct dirent *e;
    while ((e = readdir(dir)))
        if (e->d_type == DT_DIR && strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
            remove_at(fd, e->d_name, fake, depth + 1);
    if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    return -errno;
}

int sbxi_cgtree_remove(const char *path, bool fake)
{
    char parent[1024];
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path || (size_t)(slash - path) >= sizeof parent)
        return -EINVAL;
    memcpy(parent, path, (size_t)(slash - path));
    parent[slash - path] = '\0';
    _cleanup_close_ int fd = sbxi_cgtree_open(parent, fake);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    return remove_at(fd, slash + 1, fake, 0);
}

int sbxi_cgtree_remove_open(int fd, const char *name)
{
    char path[NAME_MAX + 4];
    int n = snprintf(path, sizeof path, "../%s", name);
    if (n < 0 || (size_t)n >= sizeof path)
        return -ENAMETOOLONG;
    return unlinkat(fd, path, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

int sbxi_cgtree_remove_all(const char *const *paths, size_t n, bool fake, int timeout_ms)
{
    int64_t deadline = (int64_t)sbxi_now_ms() + timeout_ms;
    int pause_ms = 1;
    for (;;) {
        int remain = 0;
        for (size_t i = n; i-- > 0;)
            remain += sbxi_cgtree_remove(paths[i], fake) < 0;
        if (remain == 0 || (int64_t)sbxi_now_ms() >= deadline)
            return remain;
        poll(NULL, 0, pause_ms);
        pause_ms = pause_ms < 20 ? pause_ms * 2 : 20;
    }
}
