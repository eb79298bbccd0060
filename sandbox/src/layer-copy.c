/* SPDX-License-Identifier: MIT */
/*
 * A copy of a hostile tree: as it is (fork), as a layer (commit), or over what is in a directory (merge). What is made is
 * named below a directory that was opened here, never by a path.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>
#include <sys/xattr.h>

#include "cleanup.h"
#include "copy.h"
#include "kernel.h"
#include "layer-worker.h"
#include "walk.h"

enum {
    LINK_SLOTS = 4096,
    XATTR_MOST = 65536
};

/* A file of several names, where the first of them was copied to. */
struct link {
    struct link *next;
    dev_t dev;
    ino_t ino;
    char path[];
};

struct copier {
    const struct sbxi_work *work;
    int to[SBXI_WALK_DEPTH + 1]; /* by depth */
    struct link *links[LINK_SLOTS];
};

static bool keeps(const struct copier *c, uint32_t part)
{
    return c->work->kind == SBXI_WORK_FORK || (c->work->keep & part);
}

static int drop(const struct sbxi_walk_entry *e, uint32_t part, uint64_t device)
{
    return sbxi_worker_say(SBX_LAYER_DROPPED, (uint32_t)e->st.st_mode, 0, device, part, e->path);
}

/* ---- attributes ---- */

/* OverlayFS's own say something of the layers that were; but for those that it has put its prefix before. */
static bool is_wanted(const struct copier *c, const char *name)
{
    if (strncmp(name, "user.overlay.", 13) == 0)
        return strncmp(name + 13, "overlay.", 8) == 0;
    if (strcmp(name, "security.capability") == 0)
        return keeps(c, SBX_LAYER_FILE_CAPS);
    return strncmp(name, "user.", 5) == 0 || strncmp(name, "system.posix_acl_", 17) == 0;
}

static int copy_xattrs(struct copier *c, const struct sbxi_walk_entry *e, int from, int to)
{
    static char names[XATTR_MOST], value[XATTR_MOST];
    ssize_t n = flistxattr(from, names, sizeof names);
    if (n < 0)
        return errno == EOPNOTSUPP ? 0 : -errno;
    for (const char *name = names; name < names + n; name += strlen(name) + 1) {
        if (strcmp(name, "security.capability") == 0 && !is_wanted(c, name)) {
            int r = drop(e, SBX_LAYER_FILE_CAPS, 0);
            if (r < 0)
                return r;
        }
        if (!is_wanted(c, name))
            continue;
        ssize_t length = fgetxattr(from, name, value, sizeof value);
        if (length >= 0 && fsetxattr(to, name, value, (size_t)length, 0) == 0)
            continue;
        int r = drop(e, SBX_LAYER_XATTRS, 0);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Owner first: a change of it takes those bits and capabilities away. */
static int set_attributes(struct copier *c, const struct sbxi_walk_entry *e, int from, int to)
{
    const struct timespec times[2] = {e->st.st_atim, e->st.st_mtim};
    mode_t mode = e->st.st_mode & 07777;
    int r = fchown(to, e->st.st_uid, e->st.st_gid) < 0 ? -errno : 0;
    if (r == 0)
        r = copy_xattrs(c, e, from, to);
    if (r == 0 && S_ISREG(e->st.st_mode) && (mode & (S_ISUID | S_ISGID)) &&
        !keeps(c, SBX_LAYER_SETUID)) {
        mode &= 0777;
        r = drop(e, SBX_LAYER_SETUID, 0);
    }
    if (r == 0 && (fchmod(to, mode) < 0 || futimens(to, times) < 0))
        r = -errno;
    return r;
}

/* ---- data ---- */

/* What lstat said was a file may be a FIFO by now: it is not waited for, and then it is none of ours. */
static int open_file(const struct sbxi_walk_entry *e)
{
    struct stat st;
    _cleanup_close_ int fd =
        sbxi_openat2(e->parent, e->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC,
                     0, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || st.st_ino != e->st.st_ino || st.st_dev != e->st.st_dev)
        return -ESTALE;
    return sbxi_take_fd(&fd);
}

/* ---- names ---- */

static struct link **find_slot(struct copier *c, const struct stat *st)
{
    return &c->links[(st->st_ino ^ st->st_dev) % LINK_SLOTS];
}

static const char *find_link(struct copier *c, const struct stat *st)
{
    for (const struct link *link = *find_slot(c, st); link; link = link->next)
        if (link->ino == st->st_ino && link->dev == st->st_dev)
            return link->path;
    return NULL;
}

static int remember_link(struct copier *c, const struct sbxi_walk_entry *e)
{
    size_t length = strlen(e->path) + 1;
    struct link **slot = find_slot(c, &e->st), *link = malloc(sizeof *link + length);
    if (!link)
        return -ENOMEM;
    *link = (struct link){.next = *slot, .dev = e->st.st_dev, .ino = e->st.st_ino};
    memcpy(link->path, e->path, length);
    *slot = link;
    return 0;
}

static int make_link(struct copier *c, const char *there, int to, const char *name)
{
    const char *slash = strrchr(there, '/');
    char parent[PATH_MAX];
    snprintf(parent, sizeof parent, "%.*s", slash > there ? (int)(slash - there - 1) : 1,
             slash > there ? there + 1 : ".");
    _cleanup_close_ int dir = sbxi_walk_open(c->to[0], parent);
    if (dir < 0)
        return dir;
    return linkat(dir, slash + 1, to, name, 0) < 0 ? -errno : 0;
}

static int copy_file(struct copier *c, const struct sbxi_walk_entry *e, int to, const char *name)
{
    const char *there = e->st.st_nlink > 1 ? find_link(c, &e->st) : NULL;
    if (there)
        return make_link(c, there, to, name);
    _cleanup_close_ int from = open_file(e);
    if (from < 0)
        return from;
    _cleanup_close_ int file =
        openat(to, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0)
        return -errno;
    int r = sbxi_copy_data(from, file, e->st.st_size);
    if (r == 0)
        r = set_attributes(c, e, from, file);
    return r;
}

static int copy_symlink(const struct sbxi_walk_entry *e, int to, const char *name)
{
    const struct timespec times[2] = {e->st.st_atim, e->st.st_mtim};
    char target[PATH_MAX];
    ssize_t n = readlinkat(e->parent, e->name, target, sizeof target - 1);
    if (n < 0)
        return -errno;
    target[n] = '\0';
    if (symlinkat(target, to, name) < 0 ||
        fchownat(to, name, e->st.st_uid, e->st.st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
        utimensat(to, name, times, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return 0;
}

static int copy_fifo(const struct sbxi_walk_entry *e, int to, const char *name)
{
    if (mkfifoat(to, name, e->st.st_mode & 0777) < 0 ||
        fchownat(to, name, e->st.st_uid, e->st.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return 0;
}

/* 1: it cannot be copied, and that was said. */
static int copy_other(struct copier *c, const struct sbxi_walk_entry *e, int to, const char *name)
{
    int r;
    switch (e->st.st_mode & S_IFMT) {
    case S_IFREG:
        return copy_file(c, e, to, name);
    case S_IFLNK:
        return copy_symlink(e, to, name);
    case S_IFIFO:
        return copy_fifo(e, to, name);
    case S_IFSOCK:
        r = drop(e, SBX_LAYER_SOCKETS, 0);
        return r < 0 ? r : 1;
    default: /* the parent makes it, where it is wanted: nobody in a user namespace can */
        r = drop(e, SBX_LAYER_DEVICES, e->st.st_rdev);
        return r < 0 ? r : 1;
    }
}

/* Over what may be there: made under another name first, so that one of the two is there at any time. */
static int replace(struct copier *c, const struct sbxi_walk_entry *e, int to)
{
    static const char aside[] = ".uds-commit";
    struct stat st;
    int r = sbxi_walk_remove(to, aside);
    if (r == 0)
        r = copy_other(c, e, to, aside);
    if (r != 0)
        return r < 0 ? r : 0;
    if (fstatat(to, e->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
        r = sbxi_walk_remove(to, e->name);
    return r == 0 && renameat(to, aside, to, e->name) < 0 ? -errno : r;
}

static int make_whiteout(struct copier *c, const struct sbxi_walk_entry *e, int to)
{
    if (c->work->kind == SBXI_WORK_MERGE)
        return sbxi_walk_remove(to, e->name);
    return mknodat(to, e->name, S_IFCHR, 0) < 0 ? -errno : 0;
}

static int make_directory(struct copier *c, const struct sbxi_walk_entry *e, int to)
{
    bool merge = c->work->kind == SBXI_WORK_MERGE;
    struct stat st;
    int r = 0;
    if (merge && fstatat(to, e->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode))
        r = sbxi_walk_remove(to, e->name);
    if (r == 0 && mkdirat(to, e->name, 0700) < 0 && !(merge && errno == EEXIST))
        r = -errno;
    if (r == 0)
        r = c->to[e->depth + 1] = sbxi_walk_open(to, e->name);
    if (r < 0)
        return r;
    if (merge)
        return e->opaque ? sbxi_walk_clear(c->to[e->depth + 1]) : 0;
    if (e->opaque && fsetxattr(c->to[e->depth + 1], "user.overlay.opaque", "y", 1, 0) < 0)
        return -errno;
    return 0;
}

static int enter(const struct sbxi_walk_entry *e, void *userdata)
{
    struct copier *c = userdata;
    int to = c->to[e->depth], r;
    if (e->whiteout)
        return make_whiteout(c, e, to);
    if (S_ISDIR(e->st.st_mode))
        return make_directory(c, e, to);
    if (c->work->kind == SBXI_WORK_MERGE)
        r = replace(c, e, to);
    else
        r = copy_other(c, e, to, e->name);
    if (r == 0 && S_ISREG(e->st.st_mode) && e->st.st_nlink > 1 && !find_link(c, &e->st))
        r = remember_link(c, e);
    return r < 0 ? r : 0;
}

static int leave(const struct sbxi_walk_entry *e, void *userdata)
{
    struct copier *c = userdata;
    int to = c->to[e->depth + 1];
    int r = set_attributes(c, e, e->dir, to);
    close(to);
    return r;
}

int sbxi_work_copy(const struct sbxi_work *work, char path[PATH_MAX])
{
    struct copier *c = calloc(1, sizeof *c);
    struct sbxi_walk walk = {.enter = enter, .leave = leave, .userdata = c};
    struct sbxi_walk_entry top = {.parent = -1, .dir = work->from, .name = "", .path = "/"};
    strcpy(path, "/");
    if (!c || fstat(work->from, &top.st) < 0)
        return -ENOMEM;
    c->work = work;
    c->to[0] = work->to;
    int r = sbxi_walk(&walk, work->from, NULL, 0); /* what was made is gone with us if it fails */
    strcpy(path, walk.path);
    return r == 0 && work->kind != SBXI_WORK_MERGE ? set_attributes(c, &top, work->from, work->to)
                                                   : r;
}

/* ---- other ids ---- */

static uint32_t shifted(uint32_t id)
{
    return id < 65536 ? id + 65536 : id >= 131072 && id < 196608 ? id - 65536 : id;
}

/* A change of owner takes these bits and capabilities away. */
static int shift_one(int fd, const struct stat *st)
{
    if (shifted(st->st_uid) == st->st_uid && shifted(st->st_gid) == st->st_gid)
        return 0;
    if (fchownat(fd, "", shifted(st->st_uid), shifted(st->st_gid), AT_EMPTY_PATH) < 0)
        return -errno;
    return 0;
}

static int shift_entry(const struct sbxi_walk_entry *e)
{
    bool bits = S_ISREG(e->st.st_mode) && (e->st.st_mode & (S_ISUID | S_ISGID));
    _cleanup_close_ int fd = bits
                                 ? open_file(e)
                                 : sbxi_openat2(e->parent, e->name, O_PATH | O_NOFOLLOW | O_CLOEXEC,
                                                0, RESOLVE_BENEATH | RESOLVE_NO_XDEV);
    if (fd < 0)
        return bits ? fd : -errno;
    int r = shift_one(fd, &e->st);
    return r == 0 && bits && fchmod(fd, e->st.st_mode & 07777) < 0 ? -errno : r;
}

static int shift_other(const struct sbxi_walk_entry *e, void *userdata)
{
    (void)userdata;
    return S_ISDIR(e->st.st_mode) ? 0 : shift_entry(e);
}

static int shift_directory(const struct sbxi_walk_entry *e, void *userdata)
{
    (void)userdata;
    return shift_one(e->dir, &e->st);
}

int sbxi_work_shift(const struct sbxi_work *work, char path[PATH_MAX])
{
    struct sbxi_walk walk = {.enter = shift_other, .leave = shift_directory};
    struct stat st;
    int r = sbxi_walk(&walk, work->from, NULL, 0);
    strcpy(path, walk.path);
    if (r == 0 && fstat(work->from, &st) < 0)
        r = -errno;
    return r == 0 ? shift_one(work->from, &st) : r;
}
