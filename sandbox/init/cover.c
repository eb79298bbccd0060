/* SPDX-License-Identifier: MIT */
/* What is taken from the root that stands: paths that are hidden, and paths that become read-only. */

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "init.h"
#include "tree.h"

/* Another of a mount that we have made: its flags come with it. */
static int clone_mount(int fd)
{
    int tree = open_tree(fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (unsigned)AT_EMPTY_PATH);
    return tree < 0 ? -errno : tree;
}

/* What covers a directory: one empty tmpfs for all of them. */
static int clone_nothing(struct init *init)
{
    if (init->nothing >= 0)
        return clone_mount(init->nothing);
    int tree = init_new_tmpfs(init, 0555, 4096, MOUNT_ATTR_RDONLY);
    if (tree >= 0)
        init->nothing = fcntl(tree, F_DUPFD_CLOEXEC, 3);
    return tree;
}

/*
 * What covers a file must be the real null device: a fake one has been used to write into /proc (CVE-2025-31133). Where the
 * root has none yet, one was opened beforehand; the first that is attached is the source of the others.
 */
static int clone_null(struct init *init, const struct sbxi_step *step)
{
    int *given = step->slot >= 0 ? &init->tree[step->slot] : NULL;
    if (given && *given >= 0 && init->null < 0 && !SBXI_WITHOUT("device")) {
        init->null = *given;
        *given = -1;
        return fcntl(init->null, F_DUPFD_CLOEXEC, 3);
    }
    if (init->null >= 0)
        return clone_mount(init->null);
    int null = init_resolve(init, "/dev/null");
    if (null < 0)
        return init_fail(init, -null, "/dev/null");
    int tree = sbxi_tree_open(null, "", SBXI_F_CHAR | SBXI_F_RDONLY, makedev(1, 3));
    close(null);
    return tree;
}

/* @tree (or what went wrong with it) over @target. Consumes both. */
static int cover(struct init *init, int tree, int target, const struct statx *at)
{
    int r = tree < 0 ? tree : init_attach_at(init, tree, target, at);
    if (tree >= 0)
        close(tree);
    close(target);
    return r;
}

/* Opens what is to be covered and says what it is. fd or -errno. */
static int open_target(struct init *init, const char *path, struct statx *ret_at)
{
    int fd = init_resolve(init, path);
    if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, INIT_IDENTITY, ret_at) == 0)
        return fd;
    int r = -errno;
    close(fd);
    return r;
}

/*
 * By one call, as another of a mask that is there. ENOTDIR: it is not what it is known as; to find that out costs an RCU
 * grace period.
 */
static int mask_as(struct init *init, const char *name, const char *masked)
{
    int r = masked ? init_mount_fresh(init, masked, name, NULL, MS_BIND, NULL) : -ENOTDIR;
    return r == -ENOENT || r == -EACCES ? 0 : r;
}

/* Looked at first: a cover that is made and attached nowhere costs an RCU grace period when it is closed. */
static int mask_fresh(struct init *init, const struct sbxi_step *step, int fresh, const char *name)
{
    struct stat st;
    int r = mask_as(init, name, init->masked[(step->flags & SBXI_F_DIRECTORY) != 0]);
    if (r != -ENOTDIR)
        return r;
    if (fstatat(fresh, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT || errno == EACCES ? 0 : -errno;
    int tree = S_ISDIR(st.st_mode) ? clone_nothing(init) : clone_null(init, step);
    if (tree < 0)
        return tree;
    r = init_attach_fresh(tree, fresh, name);
    close(tree);
    if (r == 0)
        init->masked[S_ISDIR(st.st_mode)] = name;
    return r;
}

static int mask(struct init *init, const struct sbxi_step *step)
{
    const char *name;
    struct statx at;
    int fresh = init_fresh(init, step, &name);
    if (fresh >= 0)
        return mask_fresh(init, step, fresh, name);
    int fd = open_target(init, init_a(init, step), &at);
    if (fd == -ENOENT || fd == -ENOTDIR || fd == -EACCES)
        return 0; /* what is out of our reach is out of the payload's */
    if (fd < 0)
        return fd;
    return cover(init, S_ISDIR(at.stx_mode) ? clone_nothing(init) : clone_null(init, step), fd,
                 &at);
}

static int make_readonly_fresh(struct init *init, const char *name)
{
    struct mount_attr attr = sbxi_tree_attributes(SBXI_F_RDONLY);
    int r = init_mount_fresh(init, name, name, NULL, MS_BIND | MS_REC, NULL);
    if (r < 0)
        return r == -ENOENT ? 0 : r;
    return mount_setattr(AT_FDCWD, name, AT_RECURSIVE, &attr, sizeof attr) < 0 ? -errno : 0;
}

static int make_readonly(struct init *init, const struct sbxi_step *step)
{
    const char *name;
    struct statx at;
    int fresh = init_fresh(init, step, &name);
    if (fresh >= 0)
        return make_readonly_fresh(init, name);
    int fd = open_target(init, init_a(init, step), &at);
    if (fd == -ENOENT)
        return 0;
    if (fd < 0)
        return fd;
    /* A covered /proc is none that the kernel lets be mounted again: who nests sandboxes needs it bare. */
    if ((step->flags & SBXI_F_WRITABLE) &&
        faccessat(fd, "", W_OK, AT_EMPTY_PATH | AT_EACCESS) < 0) {
        close(fd);
        return 0;
    }
    return cover(init, sbxi_tree_open(fd, "", SBXI_F_RDONLY, 0), fd, &at);
}

static int seal(struct init *init, const struct sbxi_step *step)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
    bool given = step->slot >= 0;
    int fd = given ? init->tree[step->slot] : init_resolve(init, init_a(init, step));
    if (fd < 0)
        return fd;
    int r = mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0 ? -errno : 0;
    if (!given)
        close(fd);
    return r == -EINVAL && !given ? init_fail(init, EINVAL, "nothing is mounted there") : r;
}

int init_act_cover(struct init *init, const struct sbxi_step *step)
{
    switch (step->op) {
    case SBXI_MASK:
        return mask(init, step);
    case SBXI_READONLY:
        return make_readonly(init, step);
    case SBXI_SEAL:
        return seal(init, step);
    default:
        return -ENOSYS;
    }
}
