/* SPDX-License-Identifier: MIT */
#ifndef SBXI_KERNEL_H
#define SBXI_KERNEL_H

/*
 * What the kernel has and the C library or Debian 12's headers have not. One place, so that one look tells what we ask
 * of a kernel. <sys/mount.h> (glibc 2.36) declares open_tree, move_mount, mount_setattr, fsopen…; it cannot be
 * included together with <linux/mount.h>.
 */

#include <errno.h>
#include <stdint.h>
#include <unistd.h>

#include <linux/landlock.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <sys/syscall.h>
#include <sys/types.h>

#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13) /* ABI 2 */
#endif
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14) /* ABI 3 */
#endif
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ULL << 15) /* ABI 5 */
#endif

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

enum {
    SBXI_MFD_EXEC = 0x10 /* 6.3 */
};

enum {
    SBXI_LANDLOCK_NET_BIND = 1 << 0, /* ABI 4 */
    SBXI_LANDLOCK_NET_CONNECT = 1 << 1,
    SBXI_LANDLOCK_RULE_NET_PORT = 2,
};

enum {
    SBXI_LANDLOCK_SCOPE_ABSTRACT = 1 << 0, /* ABI 6 */
    SBXI_LANDLOCK_SCOPE_SIGNAL = 1 << 1,
};

/* landlock_ruleset_attr and landlock_net_port_attr of ABI 6; an older kernel takes the longer struct if what it does not know is zero. */
struct sbxi_landlock_ruleset {
    uint64_t fs, net, scoped;
};
struct sbxi_landlock_port {
    uint64_t access, port;
};

static inline long sbxi_clone3(struct clone_args *args)
{
    return syscall(SYS_clone3, args, sizeof *args);
}

/* EAGAIN: ".." was met while something, somewhere, was renamed or mounted. Bounded: whoever renames may do so for ever. */
static inline int
sbxi_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
    struct open_how how = {.flags = flags, .mode = mode, .resolve = resolve};
    int fd = -1;
    for (int tries = 0; tries < 10000; tries++) {
        fd = (int)syscall(SYS_openat2, dirfd, path, &how, sizeof how);
        if (fd >= 0 || errno != EAGAIN)
            break;
    }
    return fd;
}

static inline int sbxi_pivot_root(const char *new_root, const char *put_old)
{
    return (int)syscall(SYS_pivot_root, new_root, put_old);
}

static inline int
sbxi_landlock_create_ruleset(const struct sbxi_landlock_ruleset *attr, size_t size, uint32_t flags)
{
    return (int)syscall(SYS_landlock_create_ruleset, attr, size, flags);
}

static inline int
sbxi_landlock_add_rule(int ruleset, unsigned type, const void *attr, uint32_t flags)
{
    return (int)syscall(SYS_landlock_add_rule, ruleset, type, attr, flags);
}

static inline int sbxi_landlock_restrict_self(int ruleset, uint32_t flags)
{
    return (int)syscall(SYS_landlock_restrict_self, ruleset, flags);
}

#endif
