/* SPDX-License-Identifier: MIT */
/*
 * One path of a record. Below the run directory it is resolved beneath its fd; elsewhere gc removes only a socket of our
 * own, and nobody a socket on which somebody listens.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "cleanup.h"
#include "kernel.h"
#include "record.h"
#include "sweep.h"

enum {
    LISTEN_MS = 150
};

/* A live socket at this path belongs to somebody who made it anew. */
static bool refuses(int parent, const char *name)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int len = snprintf(addr.sun_path, sizeof addr.sun_path, "/proc/self/fd/%d/%s", parent, name);
    if (len < 0 || (size_t)len >= sizeof addr.sun_path)
        return false;
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0 &&
           errno == ECONNREFUSED;
}

/* Or to a child of the dead owner that has forked and not exec'd yet: it holds the owner's sockets for a moment. */
static bool nobody_listens(int parent, const char *name)
{
    for (int left_ms = LISTEN_MS; !refuses(parent, name); left_ms -= 10) {
        if (left_ms <= 0)
            return false;
        poll(NULL, 0, 10);
    }
    return true;
}

/* Where @path is: relative to the run directory, or NULL. */
static const char *below_run_dir(const struct sbxi_sweep *s, const char *path)
{
    size_t len = strlen(s->run_dir);
    return strncmp(path, s->run_dir, len) == 0 && path[len] == '/' ? path + len + 1 : NULL;
}

static int open_parent(const struct sbxi_sweep *s, const char *path, const char *inside)
{
    char parent[SBXI_RECORD_PATH_MAX];
    const char *from = inside ? inside : path;
    const char *slash = strrchr(from, '/');
    if (inside && s->run_dirfd < 0)
        return -ENOENT;
    snprintf(parent, sizeof parent, "%.*s", slash ? (int)(slash - from) : 0, from);
    int fd =
        sbxi_openat2(inside ? s->run_dirfd : AT_FDCWD, parent[0] ? parent : (inside ? "." : "/"),
                     O_PATH | O_DIRECTORY | O_CLOEXEC, 0,
                     RESOLVE_NO_SYMLINKS | (inside ? (uint64_t)RESOLVE_BENEATH : 0));
    return fd < 0 ? -errno : fd;
}

int sbxi_sweep_path(const struct sbxi_sweep *s, const char *path)
{
    const char *inside = below_run_dir(s, path);
    _cleanup_close_ int parent = open_parent(s, path, inside);
    if (parent < 0)
        return parent == -ENOENT ? 0 : parent;
    const char *name = strrchr(path, '/') + 1;
    struct stat st;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!inside && s->mode == SBXI_SWEEP_GC && (!S_ISSOCK(st.st_mode) || st.st_uid != geteuid()))
        return -EPERM;
    if (S_ISSOCK(st.st_mode) && s->mode != SBXI_SWEEP_END && !nobody_listens(parent, name))
        return 0; /* made anew by somebody who lives: theirs */
    if (!S_ISDIR(st.st_mode) && !S_ISSOCK(st.st_mode) && !inside)
        return -EPERM;
    if (unlinkat(parent, name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0 && errno != ENOENT)
        return -errno;
    return 1;
}
