/* SPDX-License-Identifier: MIT */
#include "device.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "cleanup.h"

static bool read_line(const char *path, char *ret, int size)
{
    _cleanup_fclose_ FILE *file = fopen(path, "re");
    return file && fgets(ret, size, file);
}

/* /sys/dev/block/8:1 is a link into the directory of the disk that holds the partition. */
static int find_disk(uint32_t *major, uint32_t *minor)
{
    char path[128], text[32];
    snprintf(path, sizeof path, "/sys/dev/block/%u:%u", *major, *minor);
    if (faccessat(AT_FDCWD, path, F_OK, 0) < 0)
        return -ENODEV;
    snprintf(path, sizeof path, "/sys/dev/block/%u:%u/partition", *major, *minor);
    if (faccessat(AT_FDCWD, path, F_OK, 0) < 0)
        return 0;
    snprintf(path, sizeof path, "/sys/dev/block/%u:%u/../dev", *major, *minor);
    if (!read_line(path, text, sizeof text) || sscanf(text, "%u:%u", major, minor) != 2)
        return -ENODEV;
    return 0;
}

int sbxi_device_find(const char *text, uint32_t *ret_major, uint32_t *ret_minor)
{
    uint32_t major, minor;
    struct stat st;
    int end = 0;
    if (sscanf(text, "%u:%u%n", &major, &minor, &end) != 2 || text[end]) {
        if (stat(text, &st) < 0)
            return -errno;
        dev_t device = S_ISBLK(st.st_mode) ? st.st_rdev : st.st_dev;
        major = major(device);
        minor = minor(device);
    }
    int r = find_disk(&major, &minor);
    if (r < 0)
        return r;
    *ret_major = major;
    *ret_minor = minor;
    return 0;
}

static bool scheduler_is_bfq(const char *path)
{
    char text[256];
    return read_line(path, text, sizeof text) && strstr(text, "[bfq]");
}

bool sbxi_device_has_bfq(const char *root, uint32_t major, uint32_t minor)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/sys/dev/block/%u:%u/queue/scheduler", root, major, minor);
    return scheduler_is_bfq(path);
}

bool sbxi_device_any_has_bfq(const char *root)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/sys/block", root);
    _cleanup_closedir_ DIR *dir = opendir(path);
    const struct dirent *e;
    while (dir && (e = readdir(dir))) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/sys/block/%.255s/queue/scheduler", root, e->d_name);
        if (scheduler_is_bfq(path))
            return true;
    }
    return false;
}
