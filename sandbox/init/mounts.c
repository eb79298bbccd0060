/* SPDX-License-Identifier: MIT */
/*
 * The root of a sandbox, by the new mount API: nothing is named by a path of the host once it is opened, and nothing
 * below the new root is reached through a link that leads out of it (openat2 RESOLVE_IN_ROOT, no magic links).
 *
 * Order that matters: procfs is made before the pivot, because the kernel lets a user namespace mount one only while an
 * unmasked procfs is in its sight; the pivot comes before every other mount, so that no path can mean the host.
 */

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/if.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "init.h"
#include "kernel.h"
#include "tree.h"

int init_resolve(const struct init *init, const char *path)
{
    int fd = sbxi_openat2(init->root, path, O_PATH | O_CLOEXEC, 0,
                          RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    return fd < 0 ? -errno : fd;
}

/* Splits @path; @ret_name points into it. The parent is returned as a fd. */
static int open_parent(struct init *init, const char *path, const char **ret_name)
{
    char parent[4096];
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;
    if (!slash || !slash[1] || length >= sizeof parent)
        return -EINVAL;
    memcpy(parent, path, length);
    parent[length] = '\0';
    *ret_name = slash + 1;
    return init_resolve(init, length ? parent : "/");
}

static int make_leaf(struct init *init, const char *path, bool directory, unsigned mode)
{
    const char *name;
    int r = 0, parent = open_parent(init, path, &name);
    if (parent < 0)
        return parent;
    if (directory) {
        if (mkdirat(parent, name, mode) < 0 && errno != EEXIST)
            r = -errno;
    } else {
        int fd = openat(parent, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
        if (fd >= 0)
            close(fd);
        else if (errno != EEXIST)
            r = -errno;
    }
    close(parent);
    return r;
}

/* The directories above the last component of @path. */
static int make_parents(struct init *init, const char *path)
{
    char prefix[4096];
    if (path[0] != '/' || strlen(path) >= sizeof prefix)
        return -EINVAL;
    for (const char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
        size_t length = (size_t)(p - path);
        memcpy(prefix, path, length);
        prefix[length] = '\0';
        int fd = init_resolve(init, prefix);
        if (fd >= 0) {
            close(fd);
            continue;
        }
        int r = fd == -ENOENT ? make_leaf(init, prefix, true, 0755) : fd;
        if (r < 0)
            return init_fail(init, -r, "%s", prefix);
    }
    return 0;
}

static int make_directory(struct init *init, const char *path, unsigned mode)
{
    int r = make_parents(init, path);
    return r < 0 ? r : make_leaf(init, path, true, mode);
}

static int make_symlink(struct init *init, const char *path, const char *target)
{
    const char *name;
    int r = make_parents(init, path);
    if (r < 0)
        return r;
    int parent = open_parent(init, path, &name);
    if (parent < 0)
        return parent;
    if (symlinkat(target, parent, name) < 0 && errno != EEXIST)
        r = -errno;
    close(parent);
    return r;
}

/* Attach @tree at @path, which is made where it is missing. Does not consume @tree. */
static int attach(struct init *init, int tree, const char *path)
{
    struct stat st;
    if (fstat(tree, &st) < 0)
        return -errno;
    int target = init_resolve(init, path);
    if (target == -ENOENT) {
        int r = make_parents(init, path);
        if (r >= 0)
            r = make_leaf(init, path, S_ISDIR(st.st_mode), 0755);
        if (r == -EROFS)
            return init_fail(init, EROFS, "it does not exist, and the host's root is read-only");
        if (r < 0)
            return r;
        target = init_resolve(init, path);
    }
    if (target < 0)
        return target;
    int r = move_mount(tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
    if (r < 0)
        r = -errno;
    close(target);
    return r;
}

struct option {
    const char *key, *value;
};

/* A new file system attached nowhere: fd or -errno. @options end with a NULL key. */
static int new_fs(const char *type, const struct option *options, unsigned attributes)
{
    int r, mount, fs = fsopen(type, FSOPEN_CLOEXEC);
    if (fs < 0)
        return -errno;
    for (; options->key; options++)
        if (fsconfig(fs, FSCONFIG_SET_STRING, options->key, options->value, 0) < 0)
            goto fail;
    if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        goto fail;
    mount = fsmount(fs, FSMOUNT_CLOEXEC, attributes);
    if (mount < 0)
        goto fail;
    close(fs);
    return mount;
fail:
    r = -errno;
    close(fs);
    return r;
}

static int new_tmpfs(uint64_t mode, uint64_t size, unsigned attributes)
{
    char mode_text[16], size_text[24];
    snprintf(mode_text, sizeof mode_text, "%o", (unsigned)mode);
    snprintf(size_text, sizeof size_text, "%llu", (unsigned long long)size);
    const struct option options[] = {
        {"mode", mode_text}, {size ? "size" : NULL, size_text}, {NULL, NULL}};
    return new_fs("tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | attributes);
}

static int attach_and_close(struct init *init, int tree, const char *path)
{
    if (tree < 0)
        return tree;
    int r = attach(init, tree, path);
    close(tree);
    return r;
}

static int mount_devpts(struct init *init, const struct sbxi_step *step)
{
    const struct option options[] = {{"ptmxmode", "0666"}, {"mode", "0620"}, {NULL, NULL}};
    int fd = new_fs("devpts", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    return attach_and_close(init, fd, init_a(init, step));
}

static int mount_mqueue(struct init *init, const struct sbxi_step *step)
{
    const struct option none = {NULL, NULL};
    int fd = new_fs("mqueue", &none, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    return attach_and_close(init, fd, init_a(init, step));
}

/* What covers a file must be the real null device: a fake one has been used to write into /proc (CVE-2025-31133). */
static int mask(struct init *init, const char *path)
{
    struct stat st;
    int fd = init_resolve(init, path);
    if (fd == -ENOENT || fd == -ENOTDIR || fd == -EACCES)
        return 0; /* what is out of our reach is out of the payload's */
    if (fd < 0)
        return fd;
    int r = fstat(fd, &st) < 0 ? -errno : 0;
    close(fd);
    if (r < 0)
        return r;
    if (S_ISDIR(st.st_mode))
        return attach_and_close(init, new_tmpfs(0555, 4096, MOUNT_ATTR_RDONLY), path);
    int null = init_resolve(init, "/dev/null");
    if (null < 0)
        return init_fail(init, -null, "/dev/null");
    int tree = sbxi_tree_open(null, "", SBXI_F_CHAR | SBXI_F_RDONLY, makedev(1, 3));
    close(null);
    return attach_and_close(init, tree, path);
}

static int make_readonly(struct init *init, const struct sbxi_step *step)
{
    int fd = init_resolve(init, init_a(init, step));
    if (fd == -ENOENT)
        return 0;
    if (fd < 0)
        return fd;
    int tree = sbxi_tree_open(fd, "", SBXI_F_RDONLY, 0);
    close(fd);
    return attach_and_close(init, tree, init_a(init, step));
}

static int seal(struct init *init, const struct sbxi_step *step)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
    int fd = init_resolve(init, init_a(init, step));
    if (fd < 0)
        return fd;
    int r = mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0 ? -errno : 0;
    close(fd);
    return r;
}

static int pivot(struct init *init, const struct sbxi_step *step)
{
    int tree = init->tree[step->slot];
    if (move_mount(tree, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return init_fail(init, errno, "attach");
    if (fchdir(tree) < 0 || sbxi_pivot_root(".", ".") < 0)
        return init_fail(init, errno, "pivot_root");
    /* The old root now lies over the new one, and "." leads to it. */
    if (umount2(".", MNT_DETACH) < 0)
        return init_fail(init, errno, "detach of the old root");
    if (chdir("/") < 0)
        return -errno;
    int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return -errno;
    close(init->root);
    init->root = root;
    return 0;
}

static int loopback_up(void)
{
    struct ifreq request = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    int r = ioctl(fd, SIOCGIFFLAGS, &request);
    request.ifr_flags = (short)(request.ifr_flags | IFF_UP);
    if (r >= 0)
        r = ioctl(fd, SIOCSIFFLAGS, &request);
    r = r < 0 ? -errno : 0;
    close(fd);
    return r;
}

static int unshare_cgroup(struct init *init)
{
    struct stat st;
    if (unshare(CLONE_NEWCGROUP) < 0)
        return -errno;
    if (stat("/proc/self/ns/cgroup", &st) == 0)
        init->cgroup_ns = (uint64_t)st.st_ino;
    return 0;
}

static int open_slot(struct init *init, const struct sbxi_step *step)
{
    const struct option none = {NULL, NULL};
    int fd = -1;
    if (step->op == SBXI_OPEN && init->tree[step->slot] >= 0)
        return 0; /* the launcher has opened it */
    if (step->op == SBXI_OPEN)
        fd = sbxi_tree_open(AT_FDCWD, init_a(init, step), step->flags, step->args[0]);
    else if (step->op == SBXI_PROC)
        fd = new_fs("proc", &none, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    else
        fd = new_tmpfs(step->args[0], step->args[1], 0);
    if (fd == -ENOENT && (step->flags & SBXI_F_OPTIONAL))
        return 0;
    if (fd < 0)
        return fd;
    init->tree[step->slot] = fd;
    return 0;
}

static int attach_slot(struct init *init, const struct sbxi_step *step)
{
    int *tree = &init->tree[step->slot];
    if (*tree < 0)
        return 0; /* optional, and not there */
    int r = attach(init, *tree, init_a(init, step));
    close(*tree);
    *tree = -1;
    return r;
}

static int uncover(const char *path)
{
    while (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
        continue; /* mounts can be stacked */
    return 0;     /* EINVAL: none there, or locked, and then it is covered */
}

int init_act_mount(struct init *init, const struct sbxi_step *step)
{
    const char *path = init_a(init, step);
    switch (step->op) {
    case SBXI_OPEN:
    case SBXI_PROC:
    case SBXI_NEW_TMPFS:
        return open_slot(init, step);
    case SBXI_UNSHARE_CG:
        return unshare_cgroup(init);
    case SBXI_HOSTNAME:
        return sethostname(path, strlen(path)) < 0 ? -errno : 0;
    case SBXI_LOOPBACK:
        return loopback_up();
    case SBXI_PRIVATE:
        return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ? -errno : 0;
    case SBXI_PIVOT:
        return pivot(init, step);
    case SBXI_UNCOVER:
        return uncover(path);
    case SBXI_DIRECTORY:
        return make_directory(init, path, (unsigned)step->args[0]);
    case SBXI_SYMLINK:
        return make_symlink(init, path, init_b(init, step));
    case SBXI_ATTACH:
        return attach_slot(init, step);
    case SBXI_TMPFS:
        return attach_and_close(init, new_tmpfs(step->args[0], step->args[1], 0), path);
    case SBXI_DEVPTS:
        return mount_devpts(init, step);
    case SBXI_MQUEUE:
        return mount_mqueue(init, step);
    case SBXI_MASK:
        return mask(init, path);
    case SBXI_READONLY:
        return make_readonly(init, step);
    case SBXI_SEAL:
        return seal(init, step);
    default:
        return -ENOSYS;
    }
}
