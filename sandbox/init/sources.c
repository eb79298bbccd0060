/* SPDX-License-Identifier: MIT */
/*
 * Trees that are no plain copy of a host path, made while the host is still in sight: what a descriptor refers to, a
 * file with what a descriptor holds.
 *
 * The latter, and overlays (overlay.c), need a file system of ours that is mounted somewhere (the kernel copies and
 * stacks only what is in this mount namespace): the scratch tmpfs, on top of the old root, where no path leads and with
 * which it goes.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/mount.h>
#include <sys/stat.h>

#include "init.h"
#include "tree.h"

int init_scratch(struct init *init)
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

int init_copy(int from, int to, bool whole)
{
    static char block[65536];
    off_t at = 0;
    for (;;) {
        ssize_t done = 0,
                n = whole ? pread(from, block, sizeof block, at) : read(from, block, sizeof block);
        if (n == 0) {
            explicit_bzero(block, sizeof block); /* it may have been a secret, and we stay */
            return 0;
        }
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
        at += n;
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
    int r = init_scratch(init), tree = -1;
    if (r < 0)
        return r;
    snprintf(name, sizeof name, "%u", init->scratched++);
    int fd = openat(init->scratch, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    r = init_copy(init->tree[step->slot], fd, false);
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

int init_act_source(struct init *init, const struct sbxi_step *step)
{
    switch (step->op) {
    case SBXI_OPEN_FD:
        return open_fd(init, step);
    case SBXI_DATA:
        return data(init, step);
    default:
        return init_overlay(init, step);
    }
}
