/* SPDX-License-Identifier: MIT */
/* See walk.h. The tree may be changed by others meanwhile: what was looked at by name is never believed of the next look. */

#include "walk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <sys/xattr.h>

#include "cleanup.h"
#include "kernel.h"

int sbxi_walk_open(int parent, const char *name)
{
    int fd = sbxi_openat2(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC, 0,
                          RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
    return fd < 0 ? -errno : fd;
}

static bool is_whiteout(const struct stat *st)
{
    return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

static bool is_opaque(int dir)
{
    char value;
    return fgetxattr(dir, "user.overlay.opaque", &value, 1) == 1 && value == 'y';
}

static bool is_dots(const char *name)
{
    return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

/* NULL: that was the last, or errno says why not. */
static const char *next_name(DIR *dir)
{
    const struct dirent *e;
    errno = 0;
    do
        e = readdir(dir);
    while (e && is_dots(e->d_name));
    return e ? e->d_name : NULL;
}

/* One directory of the walk and what is merged below it. */
struct level {
    int dir;
    size_t depth, nbelow;
    const int *below;
};

static void close_all(int *fds, size_t n)
{
    while (n > 0)
        close(fds[--n]);
}

/* What the layers show under @name, if the upper directory did not hide it. */
static bool find_below(const struct level *level, const char *name, struct stat *ret)
{
    for (size_t i = 0; i < level->nbelow; i++)
        if (fstatat(level->below[i], name, ret, AT_SYMLINK_NOFOLLOW) == 0)
            return !is_whiteout(ret);
    return false;
}

/* Directories of that name are merged until something else, or an opaque one, ends it. */
static int open_below(const struct level *level, const char *name, int *ret, size_t *ret_n)
{
    *ret_n = 0;
    for (size_t i = 0; i < level->nbelow; i++) {
        int fd = sbxi_walk_open(level->below[i], name);
        if (fd == -ENOENT)
            continue;
        if (fd < 0)
            return fd == -ENOTDIR || fd == -ELOOP || fd == -EXDEV ? 0 : fd;
        ret[(*ret_n)++] = fd;
        if (is_opaque(fd))
            break;
    }
    return 0;
}

static int walk_level(struct sbxi_walk *walk, const struct level *level, size_t length);

static int walk_directory(struct sbxi_walk *walk,
                          const struct level *level,
                          struct sbxi_walk_entry *entry,
                          size_t length)
{
    int below[SBXI_WALK_LAYERS];
    struct level next = {.depth = level->depth + 1, .below = below};
    _cleanup_close_ int dir =
        entry->depth + 1 < SBXI_WALK_DEPTH ? sbxi_walk_open(level->dir, entry->name) : -ELOOP;
    if (dir < 0)
        return dir;
    if (fstat(dir, &entry->st) < 0)
        return -errno;
    next.dir = entry->dir = dir;
    entry->opaque = is_opaque(dir);
    int r = walk->enter(entry, walk->userdata);
    if (r != 0)
        return r < 0 ? r : 0;
    if (!entry->opaque && entry->below && S_ISDIR(entry->below_st.st_mode))
        r = open_below(level, entry->name, below, &next.nbelow);
    if (r == 0)
        r = walk_level(walk, &next, length);
    close_all(below, next.nbelow);
    if (r == 0 && walk->leave)
        r = walk->leave(entry, walk->userdata);
    return r;
}

static int
walk_name(struct sbxi_walk *walk, const struct level *level, const char *name, size_t length)
{
    size_t more = strlen(name) + 1;
    struct sbxi_walk_entry entry = {
        .parent = level->dir, .dir = -1, .depth = level->depth, .path = walk->path};
    if (length + more >= sizeof walk->path)
        return -ENAMETOOLONG;
    walk->path[length] = '/';
    memcpy(walk->path + length + 1, name, more);
    entry.name = walk->path + length + 1;
    if (fstatat(level->dir, name, &entry.st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    entry.whiteout = is_whiteout(&entry.st);
    entry.below = find_below(level, name, &entry.below_st);
    int r = S_ISDIR(entry.st.st_mode) ? walk_directory(walk, level, &entry, length + more)
                                      : walk->enter(&entry, walk->userdata);
    if (r >= 0)
        walk->path[length] = '\0';
    return r < 0 ? r : 0;
}

static int walk_level(struct sbxi_walk *walk, const struct level *level, size_t length)
{
    int copy = openat(level->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_closedir_ DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    const char *name;
    int r = 0;
    if (!dir)
        return -errno;
    while (r == 0 && (name = next_name(dir)) != NULL)
        r = walk_name(walk, level, name, length);
    return r < 0 ? r : -errno;
}

int sbxi_walk(struct sbxi_walk *walk, int top, const int *below, size_t nbelow)
{
    struct level level = {.dir = top, .below = below, .nbelow = nbelow};
    walk->path[0] = '\0';
    if (nbelow > SBXI_WALK_LAYERS)
        return -E2BIG;
    int r = walk_level(walk, &level, 0);
    if (!walk->path[0])
        strcpy(walk->path, "/");
    return r;
}

/* ---- removing ---- */

enum {
    REMOVE_DEPTH = 64
};

struct removal {
    int top;
    unsigned moved; /* directories too deep for us, moved to the top */
};

static int clear_level(struct removal *removal, int dir, int depth, bool *ret_any);

static int remove_directory(struct removal *removal, int parent, const char *name, int depth)
{
    char aside[32];
    bool any;
    if (depth >= REMOVE_DEPTH) {
        do
            snprintf(aside, sizeof aside, ".uds-%u", removal->moved++);
        while (renameat2(parent, name, removal->top, aside, RENAME_NOREPLACE) < 0 &&
               errno == EEXIST);
        return faccessat(parent, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 ? -EBUSY : 0;
    }
    _cleanup_close_ int dir = sbxi_walk_open(parent, name);
    if (dir < 0)
        return dir;
    int r = clear_level(removal, dir, depth + 1, &any);
    if (r == 0 && unlinkat(parent, name, AT_REMOVEDIR) < 0)
        r = -errno;
    return r;
}

static int remove_name(struct removal *removal, int parent, const char *name, int depth)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return 0;
    return errno == EISDIR || errno == EPERM ? remove_directory(removal, parent, name, depth)
                                             : -errno;
}

static int clear_level(struct removal *removal, int dir, int depth, bool *ret_any)
{
    int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_closedir_ DIR *stream = copy < 0 ? NULL : fdopendir(copy);
    const char *name;
    int r = 0;
    *ret_any = false;
    if (!stream)
        return -errno;
    while (r == 0 && (name = next_name(stream)) != NULL) {
        *ret_any = true;
        r = remove_name(removal, dir, name, depth);
    }
    return r < 0 ? r : -errno;
}

int sbxi_walk_clear(int dir)
{
    struct removal removal = {.top = dir};
    bool any = true;
    int r = 0;
    while (r == 0 && any) /* what was moved to the top comes in the next round */
        r = clear_level(&removal, dir, 0, &any);
    return r;
}

int sbxi_walk_remove(int parent, const char *name)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    _cleanup_close_ int dir = sbxi_walk_open(parent, name);
    int r = dir < 0 ? dir : sbxi_walk_clear(dir);
    if (r == 0 && unlinkat(parent, name, AT_REMOVEDIR) < 0)
        r = -errno;
    return r;
}
