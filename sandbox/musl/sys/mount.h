/* SPDX-License-Identifier: MIT */
/* What musl 1.2 lacks of glibc's <sys/mount.h>: the mount system calls of Linux 5.2 and later. */
#ifndef SBXI_MUSL_SYS_MOUNT_H
#define SBXI_MUSL_SYS_MOUNT_H

#include <stdint.h>
#include <unistd.h>

#include <linux/mount.h>
#include_next <sys/mount.h>
#include <sys/syscall.h>

static inline int open_tree(int dirfd, const char *path, unsigned flags)
{
    return (int)syscall(SYS_open_tree, dirfd, path, flags);
}

static inline int
move_mount(int from_dirfd, const char *from, int to_dirfd, const char *to, unsigned flags)
{
    return (int)syscall(SYS_move_mount, from_dirfd, from, to_dirfd, to, flags);
}

static inline int
mount_setattr(int dirfd, const char *path, unsigned flags, struct mount_attr *attr, size_t size)
{
    return (int)syscall(SYS_mount_setattr, dirfd, path, flags, attr, size);
}

static inline int fsopen(const char *type, unsigned flags)
{
    return (int)syscall(SYS_fsopen, type, flags);
}

static inline int fsconfig(int fd, unsigned command, const char *key, const void *value, int aux)
{
    return (int)syscall(SYS_fsconfig, fd, command, key, value, aux);
}

static inline int fsmount(int fd, unsigned flags, unsigned attributes)
{
    return (int)syscall(SYS_fsmount, fd, flags, attributes);
}

#endif
