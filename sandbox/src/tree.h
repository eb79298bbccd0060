/* SPDX-License-Identifier: MIT */
#ifndef SBXI_TREE_H
#define SBXI_TREE_H

/*
 * A tree: a copy of host mounts that is attached nowhere yet, with its flags already set. The launcher opens trees where
 * it is root (ids of a user namespace reach few host paths), uds-sandbox-init does where it is not; hence a header.
 *
 * Flags are only ever added: what a user namespace inherits locked (read-only, nosuid, nodev…) stays as it is.
 * Recursive: a copy without the mounts below would uncover what the host covers, and the kernel refuses it (EINVAL). But
 * for layers, of which an overlay takes the file system alone.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#include <sys/mount.h>
#include <sys/stat.h>

#include "kernel.h"
#include "steps.h"
#include "without.h"

/* What the mounts of a tree become. */
static inline struct mount_attr sbxi_tree_attributes(uint32_t flags)
{
    struct mount_attr attr = {
        .attr_set = SBXI_WITHOUT("nosuid") ? 0 : MOUNT_ATTR_NOSUID,
        .propagation = (flags & SBXI_F_SLAVE) || SBXI_WITHOUT("private") ? 0 : MS_PRIVATE};
    if (flags & SBXI_F_RDONLY)
        attr.attr_set |= MOUNT_ATTR_RDONLY;
    if ((flags & SBXI_F_NODEV) && !SBXI_WITHOUT("nodev"))
        attr.attr_set |= MOUNT_ATTR_NODEV;
    return attr;
}

static inline int sbxi_tree_open(int dirfd, const char *path, uint32_t flags, uint64_t device)
{
    unsigned how =
        OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (flags & SBXI_F_LAYER ? 0 : (unsigned)AT_RECURSIVE);
    int real = flags & SBXI_F_REAL
                   ? sbxi_openat2(dirfd, path, O_PATH | O_CLOEXEC, 0, RESOLVE_NO_SYMLINKS)
                   : -1;
    if ((flags & SBXI_F_REAL) && real < 0)
        return -errno;
    bool empty = real >= 0 || !path[0];
    int fd = open_tree(real >= 0 ? real : dirfd, real >= 0 ? "" : path,
                       how | (empty ? (unsigned)AT_EMPTY_PATH : 0));
    if (fd < 0)
        fd = -errno;
    if (real >= 0)
        close(real);
    if (fd < 0)
        return fd;
    struct mount_attr attr = sbxi_tree_attributes(flags);
    unsigned below = SBXI_WITHOUT("below") ? 0 : AT_RECURSIVE;
    struct stat st;
    int r = 0;
    if (mount_setattr(fd, "", (unsigned)AT_EMPTY_PATH | below, &attr, sizeof attr))
        r = -errno;
    else if ((flags & SBXI_F_CHAR) && fstat(fd, &st) < 0)
        r = -errno;
    else if ((flags & SBXI_F_CHAR) && !SBXI_WITHOUT("device") &&
             (!S_ISCHR(st.st_mode) || st.st_rdev != device))
        r = -ENODEV;
    if (r < 0) {
        close(fd);
        return r;
    }
    return fd;
}

#endif
