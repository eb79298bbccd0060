/* SPDX-License-Identifier: MIT */
/*
 * A jail as a tree of copies. The paths in it are real ones: links on the way to a file are made as links, so that nothing
 * is ever copied through one, and one that is in the way is an error.
 */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sbx/jail.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

#include "cleanup.h"
#include "copy.h"
#include "error.h"
#include "jail-follow.h"
#include "kernel.h"
#include "walk.h"

struct build {
    int top; /* the jail's directory */
    const char *directory;
    struct sbx_error *error;
};

static int fail(const struct build *b, int r, const char *path)
{
    return sbxi_error(b->error, -r, "jail: %s%s: %s", b->directory, path,
                      r == -ELOOP || r == -ENOTDIR
                          ? "something else is in the way; build it in an empty directory"
                          : strerror(-r));
}

/* "/usr/lib/x" → the directory, made where it is missing, and "x" */
static int open_parent(const struct build *b, const char *path, const char **ret_name)
{
    char prefix[PATH_MAX];
    int dir = fcntl(b->top, F_DUPFD_CLOEXEC, 3);
    const char *p = path + 1, *slash;
    for (; dir >= 0 && (slash = strchr(p, '/')); p = slash + 1) {
        snprintf(prefix, sizeof prefix, "%.*s", (int)(slash - p), p);
        int made = mkdirat(dir, prefix, 0755),
            next = made < 0 && errno != EEXIST ? -errno : sbxi_walk_open(dir, prefix);
        close(dir);
        dir = next;
    }
    *ret_name = p;
    return dir;
}

static int make_link(const char *link, const char *target, void *userdata)
{
    const struct build *b = userdata;
    char there[PATH_MAX];
    const char *name;
    _cleanup_close_ int dir = open_parent(b, link, &name);
    if (dir < 0)
        return fail(b, dir, link);
    if (symlinkat(target, dir, name) == 0)
        return 0;
    ssize_t n = errno == EEXIST ? readlinkat(dir, name, there, sizeof there - 1) : -1;
    if (n >= 0)
        there[n] = '\0';
    return n >= 0 && strcmp(there, target) == 0 ? 0 : fail(b, -EEXIST, link);
}

/* Under another name first: what runs from the old one keeps it. */
static int copy_file(int from, const struct stat *st, int dir, const char *name)
{
    static const char aside[] = ".uds-jail";
    const struct timespec times[2] = {st->st_atim, st->st_mtim};
    struct stat there;
    /* `uds jail build / su` would take the set-user-id bit from the host's own su. */
    if (fstatat(dir, name, &there, AT_SYMLINK_NOFOLLOW) == 0 && there.st_ino == st->st_ino &&
        there.st_dev == st->st_dev)
        return -EEXIST;
    unlinkat(dir, aside, 0);
    _cleanup_close_ int to =
        openat(dir, aside, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (to < 0)
        return -errno;
    int r = sbxi_copy_data(from, to, st->st_size);
    if (r == 0 && geteuid() == 0 && fchown(to, st->st_uid, st->st_gid) < 0)
        r = -errno;
    if (r == 0 && (fchmod(to, st->st_mode & 0777) < 0 || futimens(to, times) < 0 ||
                   renameat(dir, aside, dir, name) < 0))
        r = -errno;
    if (r < 0)
        unlinkat(dir, aside, 0);
    return r;
}

/* ---- a directory with all that is in it ---- */

struct directory {
    int to[SBXI_WALK_DEPTH + 1];
};

static int copy_entry(const struct sbxi_walk_entry *e, void *userdata)
{
    struct directory *d = userdata;
    char target[PATH_MAX];
    int to = d->to[e->depth];
    if (S_ISDIR(e->st.st_mode)) {
        if (mkdirat(to, e->name, 0755) < 0 && errno != EEXIST)
            return -errno;
        int fd = d->to[e->depth + 1] = sbxi_walk_open(to, e->name);
        return fd < 0 ? fd : 0;
    }
    if (S_ISLNK(e->st.st_mode)) {
        ssize_t n = readlinkat(e->parent, e->name, target, sizeof target - 1);
        if (n < 0)
            return -errno;
        target[n] = '\0';
        return symlinkat(target, to, e->name) < 0 && errno != EEXIST ? -errno : 0;
    }
    if (!S_ISREG(e->st.st_mode))
        return 0; /* no copy of it would be of use */
    _cleanup_close_ int from =
        openat(e->parent, e->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (from < 0)
        return errno == EACCES ? 0
                               : -errno; /* a private key: not for us, nor for who is in there */
    return copy_file(from, &e->st, to, e->name);
}

static int leave_directory(const struct sbxi_walk_entry *e, void *userdata)
{
    struct directory *d = userdata;
    int to = d->to[e->depth + 1];
    int r = (geteuid() == 0 && fchown(to, e->st.st_uid, e->st.st_gid) < 0) ||
                    fchmod(to, e->st.st_mode & 0777) < 0
                ? -errno
                : 0;
    close(to);
    return r;
}

static int copy_directory(const struct build *b, int from, const char *path)
{
    const char *name;
    struct directory d;
    struct sbxi_walk walk = {.enter = copy_entry, .leave = leave_directory, .userdata = &d};
    _cleanup_close_ int dir = open_parent(b, path, &name);
    if (dir < 0)
        return dir;
    if (mkdirat(dir, name, 0755) < 0 && errno != EEXIST)
        return -errno;
    _cleanup_close_ int to = d.to[0] = sbxi_walk_open(dir, name);
    return to < 0 ? to : sbxi_walk(&walk, from, NULL, 0);
}

static int copy_path(const struct build *b, const char *path)
{
    struct stat st;
    const char *name;
    _cleanup_close_ int from = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (from < 0 || fstat(from, &st) < 0)
        return sbxi_error(b->error, errno, "jail: %s: %s", path, strerror(errno));
    int r;
    if (S_ISDIR(st.st_mode)) {
        r = copy_directory(b, from, path);
    } else if (S_ISREG(st.st_mode)) {
        _cleanup_close_ int dir = open_parent(b, path, &name);
        r = dir < 0 ? dir : copy_file(from, &st, dir, name);
    } else {
        return sbxi_error(b->error, EINVAL,
                          "jail: %s: it is neither file nor directory; make it there yourself",
                          path);
    }
    return r < 0 ? fail(b, r, path) : 0;
}

/* Whoever says /bin/sh means it, where that is /usr/bin/sh by a link. */
static int make_usual_links(const struct build *b)
{
    static const char *const links[] = {"/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"};
    char target[PATH_MAX];
    int r = 0;
    for (size_t i = 0; r == 0 && i < sizeof links / sizeof links[0]; i++) {
        ssize_t n = readlink(links[i], target, sizeof target - 1);
        if (n <= 0 || target[0] == '/')
            continue;
        target[n] = '\0';
        if (faccessat(b->top, target, F_OK, 0) == 0)
            r = make_link(links[i], target, (void *)(uintptr_t)b);
    }
    return r;
}

static int make_places(const struct build *b)
{
    static const char *const places[] = {"/proc", "/sys", "/dev", "/run", "/tmp"};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        bool made = mkdirat(b->top, places[i] + 1, 0755) == 0;
        if ((!made && errno != EEXIST) ||
            (made && strcmp(places[i], "/tmp") == 0 && fchmodat(b->top, "tmp", 01777, 0) < 0))
            return fail(b, -errno, places[i]);
    }
    return make_usual_links(b);
}

int sbx_jail_build(const char *directory, const char *const *binaries, struct sbx_error *error)
{
    struct build b = {.directory = directory, .error = error};
    char **paths, real[PATH_MAX];
    if (directory[0] != '/')
        return sbxi_error(error, EINVAL, "jail: %s: use an absolute path", directory);
    int r = sbx_jail_list(binaries, &paths, error);
    if (r < 0)
        return r;
    if (mkdir(directory, 0755) < 0 && errno != EEXIST)
        r = sbxi_error(error, errno, "jail: %s: %s", directory, strerror(errno));
    _cleanup_close_ int top =
        r < 0 ? -1 : open(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (r == 0 && top < 0)
        r = sbxi_error(error, errno, "jail: %s: %s", directory, strerror(errno));
    b.top = top;
    for (size_t i = 0; paths[i]; i++) {
        if (r == 0 && (r = sbxi_jail_follow(paths[i], make_link, &b, real)) < 0 &&
            (!error || !error->err))
            sbxi_error(error, -r, "jail: %s: %s", paths[i], strerror(-r));
        if (r == 0)
            r = copy_path(&b, real);
        free(paths[i]);
    }
    free(paths);
    return r < 0 ? r : make_places(&b);
}
