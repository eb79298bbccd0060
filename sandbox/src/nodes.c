/* SPDX-License-Identifier: MIT */
/*
 * The devices of a /dev as nodes of its own: one mount to make, to hand over and to take down where binds are seven. Only who
 * is root of the machine can make such nodes, and only a file system that was made by it has them work; the sandbox's root
 * owns the directory and nothing else in it.
 */
#include "nodes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "cleanup.h"
#include "kernel.h"

const struct sbxi_device sbxi_devices[] = {
    {"null", 1, 3},    {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8},
    {"urandom", 1, 9}, {"tty", 5, 0},  {NULL, 0, 0},
};

static int set_number(int fs, const char *key, unsigned long long value)
{
    char text[24];
    snprintf(text, sizeof text, "%llu", value);
    return fsconfig(fs, FSCONFIG_SET_STRING, key, text, 0);
}

/* Who asked has its own umask, which is all threads'. */
static int make(int directory, const struct sbxi_device *device)
{
    dev_t number = makedev(device->major, device->minor);
    return mknodat(directory, device->name, S_IFCHR | 0666, number) < 0 ||
                   fchmodat(directory, device->name, 0666, 0) < 0
               ? -errno
               : 0;
}

int sbxi_nodes_make(uint64_t size, uid_t root)
{
    _cleanup_close_ int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);
    if (fs < 0 || fsconfig(fs, FSCONFIG_SET_STRING, "mode", "755", 0) < 0 ||
        set_number(fs, "size", size) < 0 || set_number(fs, "uid", root) < 0 ||
        set_number(fs, "gid", root) < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
        return -errno;
    int mount = fsmount(fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID);
    int r = mount < 0 ? -errno : 0;
    for (const struct sbxi_device *d = sbxi_devices; r == 0 && d->name; d++)
        r = make(mount, d);
    if (r < 0 && mount >= 0)
        close(mount);
    return r < 0 ? r : mount;
}
