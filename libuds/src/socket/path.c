/* SPDX-License-Identifier: MIT */
/*
 * The socket file of a listener or a datagram socket, from bind(2) to unlink(2).
 *
 * Between bind and listen the file exists and connect(2) says ECONNREFUSED, just as for a stale file. So that nobody of
 * us takes a socket that is being born for a dead one, everything from looking to listen(2) happens under flock(2) on
 * "<name>.lock" beside it. A datagram socket is never refused while it lives: for it only the look and the bind matter. The lock file is unlinked by its holder; whoever waited for it checks that the file it has
 * locked is still the one in the directory.
 *
 * Invariants:
 *  1. A file that is no socket, or that somebody listens on, is never touched.
 *  2. Nobody can connect before owner, group and mode are in force: they are set before listen(2). A datagram socket is
 *     open to all that may write its file from bind(2) on: its file is born with mode 0, gets its ids, then its mode.
 *  3. Only the inode that we made is unlinked.
 * All names are relative to an O_PATH fd of the directory, so that chdir(2) and long paths do not matter.
 */

#include "socket/path.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "socket/kernel.h"
#include "socket/sockaddr.h"

#define LOCK_TRIES   500 /* of 10 ms: bind to listen takes microseconds, so its holder hangs */
#define LOCK_WAIT_MS 10
#define LOCK_SUFFIX  ".lock"

struct lock {
    int dir_fd; /* borrowed */
    int fd;
    char name[NAME_MAX + 1];
};

static void lock_release(struct lock *lock)
{
    if (lock->fd < 0)
        return;
    /* Unlinked while it is held: a waiter sees that its inode has no name any more, and opens again. */
    (void)unlinkat(lock->dir_fd, lock->name, 0);
    udsi_close(lock->fd);
}

#define _cleanup_lock_ UDSI_CLEANUP(lock_release)

static bool lock_is_current(const struct lock *lock, int fd)
{
    struct stat held, named;

    return fstat(fd, &held) == 0 &&
           fstatat(lock->dir_fd, lock->name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           held.st_ino == named.st_ino && held.st_dev == named.st_dev;
}

static int lock_acquire(struct lock *lock, const char *base)
{
    int n = snprintf(lock->name, sizeof(lock->name), "%s" LOCK_SUFFIX, base);
    if (n < 0 || (size_t)n >= sizeof(lock->name))
        return -ENAMETOOLONG;

    for (int tries = 0; tries < LOCK_TRIES; tries++) {
        _cleanup_close_ int fd = openat(
            lock->dir_fd, lock->name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0600);
        if (fd < 0)
            return -errno;
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
            if (lock_is_current(lock, fd)) {
                lock->fd = udsi_take_fd(&fd);
                return 0;
            }
            continue;
        }
        if (errno != EWOULDBLOCK)
            return -errno;
        (void)poll(NULL, 0, LOCK_WAIT_MS);
    }
    return -EADDRINUSE;
}

/* Splits the path and opens its directory. */
static int open_directory(const char *path, struct udsi_path *ret)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    char dir[UDS_ADDR_PATH_MAX];

    if (strcmp(base, "..") == 0 || strcmp(base, ".") == 0)
        return -EADDRINUSE;
    if (!slash)
        (void)snprintf(dir, sizeof(dir), ".");
    else
        (void)snprintf(dir, sizeof(dir), "%.*s", slash == path ? 1 : (int)(slash - path), path);

    size_t len = strlen(base);
    if (len >= sizeof(ret->base))
        return -ENAMETOOLONG;
    memcpy(ret->base, base, len + 1);
    ret->dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return ret->dir_fd < 0 ? -errno : 0;
}

/*
 * Is there no socket behind @file, or one that nobody listens on? Only ECONNREFUSED says so; whatever else it is, it is
 * not ours. A datagram socket of another type is EPROTOTYPE, one that speaks with somebody else only is EPERM.
 */
static bool is_stale(int file, int sock_type)
{
    struct sockaddr_un sa;
    socklen_t len;
    _cleanup_close_ int fd = socket(AF_UNIX, sock_type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return false;
    udsi_sockaddr_fill_fd(file, &sa, &len);
    return connect(fd, (struct sockaddr *)&sa, len) < 0 && errno == ECONNREFUSED;
}

static bool same_file(int dir_fd, const char *name, dev_t dev, ino_t ino)
{
    struct stat st;

    return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == dev &&
           st.st_ino == ino;
}

/* Removes a stale socket file, if there is one. */
static int clear_stale(const struct udsi_path *path, int sock_type)
{
    struct stat st;
    _cleanup_close_ int file = openat(path->dir_fd, path->base, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    if (file < 0)
        return errno == ENOENT ? 0 : -errno;
    if (fstat(file, &st) < 0)
        return -errno;
    if (!S_ISSOCK(st.st_mode) || !is_stale(file, sock_type))
        return -EADDRINUSE;
    if (!same_file(path->dir_fd, path->base, st.st_dev, st.st_ino))
        return -EADDRINUSE;
    return unlinkat(path->dir_fd, path->base, 0) < 0 ? -errno : 0;
}

/* umask(2) took bits from the mode at birth; give them back. The file is named by its fd, never by a path again. */
static int change_mode(int file, mode_t mode)
{
    char name[32];

    if (syscall(SYS_fchmodat2, file, "", mode, AT_EMPTY_PATH) == 0)
        return 0;
    if (errno != ENOSYS && errno != EPERM)
        return -errno;
    (void)snprintf(name, sizeof(name), "/proc/self/fd/%d", file);
    return chmod(name, mode) < 0 ? -errno : 0;
}

/* Owner, group, then mode, for only the mode lets others in; and from now on we know our inode. @name is where the file is for the moment. */
static int dress(struct udsi_path *path, const char *name, const struct udsi_path_options *options)
{
    mode_t mode = options->mode ? options->mode & 0777 : 0600;
    struct stat st;
    _cleanup_close_ int file = openat(path->dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    if (file < 0 || fstat(file, &st) < 0)
        return -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EADDRINUSE;
    path->dev = st.st_dev;
    path->ino = st.st_ino;
    if ((options->owner != (uid_t)-1 || options->group != (gid_t)-1) &&
        fchownat(file, "", options->owner, options->group, AT_EMPTY_PATH) < 0)
        return -errno;
    return (st.st_mode & 0777) != mode ? change_mode(file, mode) : 0;
}

/*
 * A path over sun_path is bound under a short name in the same directory, through /proc/self/fd, and then renamed:
 * connect(2) goes by inode. The longest last component would not fit behind that prefix.
 */
static int bind_long(int fd, const struct udsi_path *path, char *name, size_t size)
{
    struct sockaddr_un sa;
    socklen_t len;
    uint64_t nonce;

    if (getrandom(&nonce, sizeof(nonce), 0) != sizeof(nonce))
        return -EAGAIN;
    (void)snprintf(name, size, ".uds-%016llx", (unsigned long long)nonce);
    udsi_sockaddr_fill_fd(path->dir_fd, &sa, &len);
    size_t used = strlen(sa.sun_path);
    (void)snprintf(sa.sun_path + used, sizeof(sa.sun_path) - used, "/%.40s", name);
    len = (socklen_t)(len + 1 + strlen(name));
    if (bind(fd, (struct sockaddr *)&sa, len) == 0)
        return 0;
    /* The directory is held open, so only a missing /proc can be ENOENT. */
    return errno == ENOENT ? -ENAMETOOLONG : -errno;
}

static int bind_and_listen(int fd,
                           const struct uds_addr *addr,
                           const struct udsi_path_options *options,
                           struct udsi_path *path)
{
    char name[NAME_MAX + 1];
    struct sockaddr_un sa;
    socklen_t len;

    (void)snprintf(name, sizeof(name), "%s", path->base);
    int r = udsi_sockaddr_fill(addr, &sa, &len);
    if (r == -ENAMETOOLONG)
        r = bind_long(fd, path, name, sizeof(name));
    else
        r = bind(fd, (struct sockaddr *)&sa, len) < 0 ? -errno : 0;
    if (r < 0)
        return r;

    r = dress(path, name, options);
    if (r == 0 && strcmp(name, path->base) != 0)
        r = renameat2(path->dir_fd, name, path->dir_fd, path->base, RENAME_NOREPLACE) < 0
                ? (errno == EEXIST ? -EADDRINUSE : -errno)
                : 0;
    if (r == 0 && addr->sock_type != SOCK_DGRAM)
        r = listen(fd, options->backlog > 0 ? options->backlog : SOMAXCONN) < 0 ? -errno : 0;
    if (r < 0) {
        (void)unlinkat(path->dir_fd, name, 0);
        if (path->ino != 0 && same_file(path->dir_fd, path->base, path->dev, path->ino))
            (void)unlinkat(path->dir_fd, path->base, 0);
    }
    return r;
}

int udsi_path_bind(int fd,
                   const struct uds_addr *addr,
                   const struct udsi_path_options *options,
                   struct udsi_path *ret)
{
    mode_t born = addr->sock_type == SOCK_DGRAM ? 0 : options->mode ? options->mode & 0777 : 0600;
    struct udsi_path path = {.dir_fd = -1};
    int r = open_directory(addr->name, &path);
    if (r < 0)
        return r;

    _cleanup_close_ int dir_fd = path.dir_fd;
    _cleanup_lock_ struct lock lock = {.dir_fd = dir_fd, .fd = -1};
    r = lock_acquire(&lock, path.base);
    if (r < 0)
        return r;
    r = clear_stale(&path, addr->sock_type);
    if (r < 0)
        return r;

    /* The mode of an AF_UNIX file at birth is that of its socket's inode, less umask: never more open than asked. */
    if (fchmod(fd, born) < 0)
        return -errno;
    r = bind_and_listen(fd, addr, options, &path);
    if (r < 0)
        return r;
    *ret = path;
    (void)udsi_take_fd(&dir_fd);
    return 0;
}

void udsi_path_release(struct udsi_path *path, bool unlink_file)
{
    if (path->dir_fd < 0)
        return;
    if (unlink_file) {
        /* Without the lock another process could put its own socket there between the look and the unlink. */
        _cleanup_lock_ struct lock lock = {.dir_fd = path->dir_fd, .fd = -1};

        if (same_file(path->dir_fd, path->base, path->dev, path->ino) &&
            lock_acquire(&lock, path->base) == 0 &&
            same_file(path->dir_fd, path->base, path->dev, path->ino))
            (void)unlinkat(path->dir_fd, path->base, 0);
    }
    udsi_close(path->dir_fd);
    path->dir_fd = -1;
}
