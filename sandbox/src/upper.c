/* SPDX-License-Identifier: MIT */
/*
 * See upper.h. The name that the caller gives is the caller's business, links on the way to it included; from there on
 * nothing is followed, and no mount is crossed: what OverlayFS gets is what was looked at here.
 */

#include "upper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/file.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "error.h"
#include "kernel.h"
#include "steps.h"
#include "tree.h"
#include "without.h"

enum {
    MOST_INFO = 1 << 20
};

#define SUFFIX ".uds"

/* Below @dirfd, itself and nothing behind a link or a mount. */
static int open_here(int dirfd, const char *name, uint64_t flags)
{
    int fd = sbxi_openat2(dirfd, name, flags | O_DIRECTORY | O_CLOEXEC, 0,
                          RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
    return fd < 0 ? -errno : fd;
}

static int fail(const struct sbxi_upper *upper, int r, struct sbx_error *error)
{
    const char *why = strerror(-r), *advice = "";
    if (r == -EXDEV) {
        why = "it is a mount point";
        advice = "; name a directory in it, the work directory must be beside it";
    } else if (r == -ELOOP) {
        why = "it is a symbolic link";
        advice = "; name what it leads to";
    } else if (r == -ENOENT)
        advice = "; name a directory that exists, or is to be made in one";
    else if (r == -EPERM)
        advice = "; it must be yours";
    return sbxi_error(error, -r, "upper: %s: %s%s", upper->path, why, advice);
}

static int is_ours(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    return st.st_uid == geteuid() && !(st.st_mode & 022) ? 0 : -EPERM;
}

static int is_empty(int dirfd)
{
    int copy = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_closedir_ DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    const struct dirent *e;
    if (!dir)
        return -errno;
    while ((e = readdir(dir)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            return 0;
    return 1;
}

static int read_info(struct sbxi_upper *upper)
{
    struct stat st;
    _cleanup_close_ int fd = openat(upper->home, "info", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    if (fstat(fd, &st) < 0 || st.st_size > MOST_INFO)
        return -EBADMSG;
    upper->info = calloc(1, (size_t)st.st_size + 1);
    if (!upper->info)
        return -ENOMEM;
    ssize_t n = pread(fd, upper->info, (size_t)st.st_size, 0);
    upper->info_length = n > 0 ? (size_t)n : 0;
    const char *ids = sbxi_upper_get(upper, "ids", NULL);
    if (ids) {
        upper->first = (uint32_t)strtoul(ids, NULL, 10);
        upper->has_ids = true;
    }
    return 0;
}

static int open_home(struct sbxi_upper *upper, const char *name, bool make)
{
    char home[NAME_MAX + sizeof SUFFIX];
    snprintf(home, sizeof home, "%s" SUFFIX, name);
    if (make && mkdirat(upper->parent, home, 0700) < 0 && errno != EEXIST)
        return -errno;
    upper->home = open_here(upper->parent, home, O_RDONLY);
    if (upper->home < 0)
        return upper->home;
    int r = is_ours(upper->home);
    if (r < 0)
        return r;
    upper->lock = openat(upper->home, "lock", O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    upper->verb = openat(upper->home, "verb", O_RDONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    return upper->lock < 0 || upper->verb < 0 ? -errno : read_info(upper);
}

/* "/srv/upper/" → "/srv/" and "upper" */
static int split(const char *path, char parent[PATH_MAX], char name[NAME_MAX + 1])
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    size_t slash = end;
    while (slash > 0 && path[slash - 1] != '/')
        slash--;
    if (path[0] != '/' || end == slash || end - slash > NAME_MAX - sizeof SUFFIX ||
        slash >= PATH_MAX)
        return -EINVAL;
    memcpy(parent, path, slash);
    parent[slash] = '\0';
    memcpy(name, path + slash, end - slash);
    name[end - slash] = '\0';
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ? -EINVAL : 0;
}

int sbxi_upper_open(struct sbxi_upper *upper, const char *path, bool make, struct sbx_error *error)
{
    char parent[PATH_MAX], name[NAME_MAX + 1];
    *upper = (struct sbxi_upper)SBXI_UPPER_INIT;
    snprintf(upper->path, sizeof upper->path, "%s", path);
    int r = split(path, parent, name);
    if (r < 0)
        return sbxi_error(error, EINVAL, "upper: %s: name a directory by its absolute path", path);
    upper->parent = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (upper->parent < 0)
        return fail(upper, -errno, error);
    if (make && mkdirat(upper->parent, name, 0755) < 0 && errno != EEXIST)
        return fail(upper, -errno, error);
    upper->dir = open_here(upper->parent, name, O_RDONLY);
    if (upper->dir < 0)
        return fail(upper, upper->dir, error);
    r = open_home(upper, name, make);
    if (r == -ENOENT)
        return sbxi_error(error, ENOENT,
                          "upper: %s: no sandbox has used it: there is no %s" SUFFIX
                          " beside it; start one with --upper, or name another",
                          path, name);
    if (r == -EPERM)
        return sbxi_error(error, EPERM,
                          "upper: %s" SUFFIX ": it must be yours, and writable by nobody else",
                          path);
    if (r < 0)
        return fail(upper, r, error);
    r = is_empty(upper->dir);
    upper->empty = r > 0;
    return r < 0 ? fail(upper, r, error) : 0;
}

void sbxi_upper_close(struct sbxi_upper *upper)
{
    sbxi_closep(&upper->parent);
    sbxi_closep(&upper->home);
    sbxi_closep(&upper->dir);
    sbxi_closep(&upper->lock);
    sbxi_closep(&upper->verb);
    free(upper->info);
    *upper = (struct sbxi_upper)SBXI_UPPER_INIT;
}

int sbxi_upper_lock(struct sbxi_upper *upper, struct sbx_error *error)
{
    const char *sandbox = sbxi_upper_get(upper, "sandbox", NULL);
    if (SBXI_WITHOUT("upper-lock"))
        return 0;
    if (flock(upper->lock, LOCK_EX | LOCK_NB) == 0 && flock(upper->verb, LOCK_SH | LOCK_NB) == 0)
        return 0;
    if (errno != EWOULDBLOCK)
        return fail(upper, -errno, error);
    if (flock(upper->lock, LOCK_EX | LOCK_NB) == 0)
        return sbxi_error(error, EBUSY, "upper: %s: uds layer is at work on it; wait", upper->path);
    return sbxi_error(
        error, EBUSY,
        "upper: %s: sandbox %s uses it, and one at a time can; stop that, or take a copy by "
        "`uds layer fork`",
        upper->path, sandbox && *sandbox ? sandbox : "of another start");
}

const char *sbxi_upper_get(const struct sbxi_upper *upper, const char *key, const char *previous)
{
    size_t length = strlen(key);
    const char *p = upper->info;
    if (!p) /* no sandbox has used it yet */
        return NULL;
    const char *end = p + upper->info_length;
    if (previous)
        p = previous + strlen(previous) + 1;
    for (; p < end; p += strlen(p) + 1)
        if (strncmp(p, key, length) == 0 && p[length] == '=')
            return p + length + 1;
    return NULL;
}

static int give(int fd, uint32_t first)
{
    if (first == SBXI_UPPER_OWN_IDS)
        return 0;
    return fchown(fd, first, first) < 0 ? -errno : 0;
}

/* OverlayFS empties it itself; what is left of other ids it could not. */
static int prepare_work(struct sbxi_upper *upper, uint32_t first)
{
    unlinkat(upper->home, "work/work", AT_REMOVEDIR);
    unlinkat(upper->home, "work", AT_REMOVEDIR);
    if (mkdirat(upper->home, "work", 0700) < 0 && errno != EEXIST)
        return -errno;
    _cleanup_close_ int fd = open_here(upper->home, "work", O_RDONLY);
    return fd < 0 ? fd : give(fd, first);
}

/* Whoever has made it: from here on nobody else writes there, and nobody else has. */
static int take_new(const struct sbxi_upper *upper, uint32_t first)
{
    struct stat st;
    int r = give(upper->dir, first);
    if (r == 0 && (fstat(upper->dir, &st) < 0 || fchmod(upper->dir, st.st_mode & 07755) < 0))
        r = -errno;
    if (r == 0 && first == SBXI_UPPER_OWN_IDS && st.st_uid != geteuid())
        r = -EPERM;
    if (r == 0 && (r = is_empty(upper->dir)) == 0)
        r = -ENOTEMPTY;
    return r < 0 ? r : 0;
}

int sbxi_upper_claim(struct sbxi_upper *upper, uint32_t first, struct sbx_error *error)
{
    if (!upper->empty && !upper->has_ids)
        return sbxi_error(error, EBUSY,
                          "upper: %s: it holds files that no sandbox has written; name an empty "
                          "directory, or make a layer of it",
                          upper->path);
    if (!upper->empty && upper->first != first)
        return sbxi_error(
            error, EBUSY, "upper: %s: its files have host ids from %u, which %s", upper->path,
            upper->first,
            first == SBXI_UPPER_OWN_IDS || upper->first == SBXI_UPPER_OWN_IDS
                ? "belong to another user; start as that user, with --host-root as it was"
                : "another sandbox has now; wait for its end");
    int r = !upper->has_ids ? take_new(upper, first) : upper->empty ? give(upper->dir, first) : 0;
    if (r == 0)
        r = prepare_work(upper, first);
    upper->first = first;
    return r < 0 ? fail(upper, r, error) : 0;
}

int sbxi_upper_note(struct sbxi_upper *upper,
                    const char *layers,
                    size_t nlayers,
                    const char *sandbox,
                    const char *run_dir)
{
    _cleanup_close_ int fd = openat(upper->home, "info.new",
                                    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    _cleanup_fclose_ FILE *file = copy < 0 ? NULL : fdopen(copy, "w");
    if (!file)
        return -errno;
    fprintf(file, "ids=%u%c", upper->first, 0);
    for (size_t i = 0; i < nlayers; i++, layers += strlen(layers) + 1)
        fprintf(file, "layer=%s%c", layers, 0);
    fprintf(file, "sandbox=%s%crun-dir=%s%c", sandbox, 0, run_dir, 0);
    if (fflush(file) != 0 || ferror(file))
        return -EIO;
    return renameat(upper->home, "info.new", upper->home, "info") < 0 ? -errno : 0;
}

static const char *name_of(const struct sbxi_upper *upper)
{
    const char *name = upper->path + strlen(upper->path);
    while (name > upper->path && name[-1] == '/')
        name--;
    while (name > upper->path && name[-1] != '/')
        name--;
    return name;
}

int sbxi_upper_open_part(const struct sbxi_upper *upper, unsigned part, int mount)
{
    char name[NAME_MAX + 16];
    int length = (int)strcspn(name_of(upper), "/");
    int fd;
    switch (part) {
    case SBXI_UPPER_LOCK:
        fd = fcntl(upper->lock, F_DUPFD_CLOEXEC, 3);
        return fd < 0 ? -errno : fd;
    case SBXI_UPPER_MOUNT:
        return sbxi_tree_open(upper->parent, "", SBXI_F_LAYER | SBXI_F_NODEV, 0);
    case SBXI_UPPER_DIR:
        snprintf(name, sizeof name, "%.*s", length, name_of(upper));
        return open_here(mount, name, O_PATH);
    default:
        snprintf(name, sizeof name, "%.*s" SUFFIX "/work", length, name_of(upper));
        return open_here(mount, name, O_PATH);
    }
}
