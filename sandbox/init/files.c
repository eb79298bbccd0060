/* SPDX-License-Identifier: MIT */
/*
 * Paths below the new root: made where they are missing, every component looked up from the root (openat2
 * RESOLVE_IN_ROOT), so that a link in a host directory that is bound inside leads nowhere else.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

#include "init.h"

/* Splits @path; @ret_name points into it, with the slashes at its end. The parent is returned as a fd. */
static int open_parent(struct init *init, const char *path, const char **ret_name)
{
    char parent[4096];
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/')
        end--;
    size_t length = end;
    while (length > 0 && path[length - 1] != '/')
        length--;
    if (end == 0 || length == 0 || length >= sizeof parent)
        return -EINVAL;
    memcpy(parent, path, length);
    parent[length] = '\0';
    *ret_name = path + length;
    return init_resolve(init, parent);
}

/* There is something of the wrong kind, or a link that leads to something of the right one. */
static int check_kind(struct init *init, const char *path, bool directory)
{
    struct stat st;
    int fd = init_resolve(init, path);
    if (fd < 0)
        return fd;
    int r = fstat(fd, &st) < 0 ? -errno : S_ISDIR(st.st_mode) == directory ? 0 : -EEXIST;
    close(fd);
    if (r == -EEXIST)
        return init_fail(init, directory ? ENOTDIR : EISDIR, "%s", path);
    return r;
}

int init_make_leaf(struct init *init, const char *path, bool directory, unsigned mode)
{
    const char *name;
    int r = 0, parent = open_parent(init, path, &name);
    if (parent < 0)
        return parent;
    if (directory) {
        if (mkdirat(parent, name, (mode_t)mode) < 0)
            r = -errno;
    } else {
        int fd = openat(parent, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, (mode_t)mode);
        if (fd >= 0)
            close(fd);
        else
            r = -errno;
    }
    close(parent);
    return r == -EEXIST ? check_kind(init, path, directory) : r;
}

int init_give_away(const struct init *init, const struct sbxi_step *step, int fd)
{
    const struct sbxi_blob *blob = init->blob;
    if (!(step->flags & SBXI_F_OWNED) || !(blob->style & SBXI_S_OWNED))
        return 0;
    return fchownat(fd, "", blob->uid, blob->gid, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

/* Somebody else's directory of mode 0700 would keep its owner from what is made in it. */
static int give_away_made(struct init *init, const struct sbxi_step *step, const char *path)
{
    int fd = init_resolve(init, path);
    int r = fd < 0 ? fd : init_give_away(init, step, fd);
    if (fd >= 0)
        close(fd);
    return r;
}

int init_make_parents(struct init *init,
                      const struct sbxi_step *step,
                      const char *path,
                      unsigned mode)
{
    char prefix[4096];
    if (path[0] != '/' || strlen(path) >= sizeof prefix)
        return -EINVAL;
    for (const char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
        size_t length = (size_t)(p - path);
        if (path[length - 1] == '/' || !p[strspn(p, "/")]) /* "a//b", "a/" */
            continue;
        memcpy(prefix, path, length);
        prefix[length] = '\0';
        int fd = init_resolve(init, prefix);
        if (fd >= 0) {
            close(fd);
            continue;
        }
        int r = fd == -ENOENT ? init_make_leaf(init, prefix, true, mode) : fd;
        if (r >= 0 && (step->flags & SBXI_F_OWNED))
            r = give_away_made(init, step, prefix);
        if (r < 0)
            return init_fail(init, -r, "%s", prefix);
    }
    return 0;
}

/* Permissions of what is there stay: it may be the host's. */
static int make_directory(struct init *init, const struct sbxi_step *step)
{
    const char *path = init_a(init, step);
    int fd = init_resolve(init, path);
    if (fd >= 0) {
        close(fd);
        return check_kind(init, path, true);
    }
    int r = init_make_parents(init, step, path, 0755);
    if (r >= 0)
        r = init_make_leaf(init, path, true, (unsigned)step->args[0]);
    return r < 0 || !(step->flags & SBXI_F_OWNED) ? r : give_away_made(init, step, path);
}

static int make_file(struct init *init, const struct sbxi_step *step)
{
    const char *path = init_a(init, step), *name;
    int r = init_make_parents(init, step, path, 0755);
    if (r < 0)
        return r;
    int parent = open_parent(init, path, &name);
    if (parent < 0)
        return parent;
    int fd = openat(parent, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
                    (mode_t)step->args[0]);
    r = fd < 0 ? -errno : init_copy(init->tree[step->slot], fd, step->flags & SBXI_F_WHOLE);
    if (r >= 0)
        r = init_give_away(init, step, fd);
    if (fd >= 0 && close(fd) < 0 && r >= 0)
        r = -errno;
    close(parent);
    close(init->tree[step->slot]);
    init->tree[step->slot] = -1;
    return r;
}

static int make_symlink(struct init *init, const struct sbxi_step *step)
{
    const char *name, *path = init_a(init, step), *target = init_b(init, step);
    char there[4096];
    int fresh = init_fresh(init, step, &name);
    if (fresh >= 0)
        return symlinkat(target, fresh, name) < 0 ? -errno : 0;
    int r = init_make_parents(init, step, path, 0755);
    if (r < 0)
        return r;
    int parent = open_parent(init, path, &name);
    if (parent < 0)
        return parent;
    if (symlinkat(target, parent, name) < 0)
        r = -errno;
    ssize_t n = r == -EEXIST ? readlinkat(parent, name, there, sizeof there - 1) : 0;
    close(parent);
    if (r != -EEXIST)
        return r;
    if (n < 0)
        return init_fail(init, EEXIST, "destination exists and is not a symlink");
    there[n] = '\0';
    return strcmp(there, target) == 0
               ? 0
               : init_fail(init, EEXIST, "existing destination is %s", there);
}

/* An O_PATH descriptor can be chmod'ed by its name in /proc alone (fchmodat2 came with Linux 6.6). */
static int change_mode(struct init *init, const struct sbxi_step *step)
{
    char name[40];
    int fd = init_resolve(init, init_a(init, step));
    if (fd < 0)
        return fd;
    snprintf(name, sizeof name, "self/fd/%d", fd);
    int r = fchmodat(init->proc, name, (mode_t)step->args[0], 0) < 0 ? -errno : 0;
    close(fd);
    return r;
}

int init_act_file(struct init *init, const struct sbxi_step *step)
{
    switch (step->op) {
    case SBXI_PARENTS:
        return init_make_parents(init, step, init_a(init, step), (unsigned)step->args[0]);
    case SBXI_DIRECTORY:
        return make_directory(init, step);
    case SBXI_FILE:
        return make_file(init, step);
    case SBXI_SYMLINK:
        return make_symlink(init, step);
    default:
        return change_mode(init, step);
    }
}
