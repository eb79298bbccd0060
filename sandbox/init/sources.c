/* SPDX-License-Identifier: MIT */
/*
 * Trees that are no plain copy of a host path, made while the host is still in sight: what a descriptor refers to, a
 * file with what a descriptor holds, an overlay.
 *
 * The last two need a file system of ours that is mounted somewhere (the kernel copies and stacks only what is in this
 * mount namespace): the scratch tmpfs, on top of the old root, where no path leads and with which it goes.
 *
 * Directories of an overlay are named by number, from within /proc/self/fd: no name of the user's is ever part of an
 * option, and none needs escaping.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "init.h"
#include "tree.h"

enum {
    MOST_LAYERS = 256
};

static int scratch(struct init *init)
{
    if (init->scratch >= 0)
        return 0;
    int fd = init_new_tmpfs(init, 0700, 0, 0);
    if (fd < 0)
        return fd;
    if (move_mount(fd, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0) {
        int r = -errno;
        close(fd);
        return r;
    }
    init->scratch = fd;
    return 0;
}

int init_copy(int from, int to)
{
    static char block[65536];
    for (;;) {
        ssize_t n = read(from, block, sizeof block), done = 0;
        if (n == 0)
            return 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        while (done < n) {
            ssize_t written = write(to, block + done, (size_t)(n - done));
            if (written < 0 && errno != EINTR)
                return -errno;
            done += written > 0 ? written : 0;
        }
    }
}

/* The descriptor comes from another mount namespace, of which nothing can be copied: its name leads to the same in ours. */
static int open_fd(struct init *init, const struct sbxi_step *step)
{
    char link[40], path[4096];
    struct stat given, found;
    int fd = init->tree[step->slot];
    snprintf(link, sizeof link, "self/fd/%d", fd);
    ssize_t n = readlinkat(init->proc, link, path, sizeof path - 1);
    if (n < 0)
        return -errno;
    path[n] = '\0';
    int tree = sbxi_tree_open(AT_FDCWD, path, step->flags, 0);
    if (tree < 0)
        return init_fail(init, -tree, "%s", path);
    if (fstat(fd, &given) < 0 || fstat(tree, &found) < 0 || given.st_dev != found.st_dev ||
        given.st_ino != found.st_ino) {
        close(tree);
        return init_fail(init, ESTALE, "%s is another file by now", path);
    }
    close(fd);
    init->tree[step->slot] = tree;
    return 0;
}

static int data(struct init *init, const struct sbxi_step *step)
{
    char name[16];
    int r = scratch(init), tree = -1;
    if (r < 0)
        return r;
    snprintf(name, sizeof name, "%u", init->scratched++);
    int fd = openat(init->scratch, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    r = init_copy(init->tree[step->slot], fd);
    if (r >= 0 && fchmod(fd, (mode_t)step->args[0]) < 0)
        r = -errno;
    if (r >= 0)
        r = init_give_away(init, step, fd);
    if (close(fd) < 0 && r >= 0)
        r = -errno;
    if (r >= 0)
        r = tree = sbxi_tree_open(init->scratch, name, step->flags | SBXI_F_NODEV, 0);
    /* It keeps its name: what has none can be attached nowhere. */
    if (r < 0)
        return r;
    close(init->tree[step->slot]);
    init->tree[step->slot] = tree;
    return 0;
}

static int open_directory(struct init *init, int dirfd, const char *path)
{
    int fd = openat(dirfd, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? init_fail(init, errno, "%s", path) : fd;
}

/* "upper0" and "work0" in the scratch tmpfs; or none, or the two that the step names. */
static int open_upper(struct init *init, const struct sbxi_step *step, int ret[2])
{
    const char *upper = init_b(init, step);
    char name[2][24];
    if (step->flags & SBXI_F_RDONLY)
        return 0;
    if (step->b_length) {
        ret[0] = open_directory(init, AT_FDCWD, upper);
        ret[1] = ret[0] < 0 ? ret[0] : open_directory(init, AT_FDCWD, upper + strlen(upper) + 1);
        return ret[1] < 0 ? ret[1] : 0;
    }
    int r = scratch(init);
    for (int i = 0; r >= 0 && i < 2; i++) {
        snprintf(name[i], sizeof name[i], "%s%u", i ? "work" : "upper", init->scratched);
        if (mkdirat(init->scratch, name[i], 0755) < 0)
            r = -errno;
        else
            r = ret[i] = open_directory(init, init->scratch, name[i]);
    }
    init->scratched++;
    return r < 0 ? r : init_give_away(init, step, ret[0]);
}

static int
make_overlay(struct init *init, const struct sbxi_step *step, const int upper[2], const char *lower)
{
    char names[2][16];
    struct option options[5] = {{"lowerdir", lower}, {"userxattr", NULL}};
    struct statvfs fs;
    snprintf(names[0], sizeof names[0], "%d", upper[0]);
    snprintf(names[1], sizeof names[1], "%d", upper[1]);
    if (upper[0] >= 0) {
        options[2] = (struct option){"upperdir", names[0]};
        options[3] = (struct option){"workdir", names[1]};
    }
    int tree = init_new_fs(init, "overlay", options,
                           MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                               (upper[0] < 0 ? (unsigned)MOUNT_ATTR_RDONLY : 0));
    /* What it cannot do with an upper directory it does without, and tells the kernel's log alone. */
    if (tree >= 0 && upper[0] >= 0 && fstatvfs(tree, &fs) == 0 && (fs.f_flag & ST_RDONLY)) {
        close(tree);
        return init_fail(init, EROFS, "the file system of %s cannot be written through an overlay",
                         step->b_length ? init_b(init, step) : "the scratch directory");
    }
    return tree;
}

static int overlay(struct init *init, const struct sbxi_step *step)
{
    const char *path = init_a(init, step);
    char lower[MOST_LAYERS * 6] = "";
    size_t used = 0, n = step->args[0];
    int layers[MOST_LAYERS], upper[2] = {-1, -1}, r = 0;
    if (n > MOST_LAYERS)
        return init_fail(init, E2BIG, "more than %d layers", MOST_LAYERS);
    for (size_t i = 0; i < n; i++)
        layers[i] = -1;
    for (size_t i = 0; r >= 0 && i < n; i++) {
        r = layers[i] = open_directory(init, AT_FDCWD, path);
        used += (size_t)snprintf(lower + used, sizeof lower - used, "%s%d", i ? ":" : "", r);
        path += strlen(path) + 1;
    }
    if (r >= 0)
        r = open_upper(init, step, upper);
    if (r >= 0 && used > 255) /* of one option */
        r = init_fail(init, E2BIG, "too many layers");
    int numbers = r < 0 ? -1 : openat(init->proc, "self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (r >= 0 && (numbers < 0 || fchdir(numbers) < 0))
        r = init_fail(init, errno, "/proc/self/fd");
    if (r >= 0)
        r = make_overlay(init, step, upper, lower);
    if (numbers >= 0)
        close(numbers);
    for (size_t i = 0; i < n; i++)
        if (layers[i] >= 0)
            close(layers[i]);
    for (int i = 0; i < 2; i++)
        if (upper[i] >= 0)
            close(upper[i]);
    if (r < 0)
        return r;
    init->tree[step->slot] = r;
    return chdir("/") < 0 ? -errno : 0;
}

int init_act_source(struct init *init, const struct sbxi_step *step)
{
    switch (step->op) {
    case SBXI_OPEN_FD:
        return open_fd(init, step);
    case SBXI_DATA:
        return data(init, step);
    default:
        return overlay(init, step);
    }
}
