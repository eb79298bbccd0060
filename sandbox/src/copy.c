/* SPDX-License-Identifier: MIT */
/* The data of files. */

#include "copy.h"

#include <errno.h>
#include <unistd.h>

#include <linux/fs.h>
#include <sys/ioctl.h>

static int copy_range(int from, int to, off_t at, off_t end)
{
    char block[1 << 14]; /* of each thread, whose stack may be small */
    while (at < end) {
        off_t in = at, out = at;
        ssize_t n = copy_file_range(from, &in, to, &out, (size_t)(end - at), 0);
        if (n < 0 && errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS)
            return -errno;
        if (n <= 0) {
            size_t most = end - at < (off_t)sizeof block ? (size_t)(end - at) : sizeof block;
            n = pread(from, block, most, at);
            if (n == 0) /* cut meanwhile */
                return 0;
            if (n < 0 || pwrite(to, block, (size_t)n, at) != n)
                return errno ? -errno : -EIO;
        }
        at += n;
    }
    return 0;
}

int sbxi_copy_data(int from, int to, off_t size)
{
    off_t at = 0;
    if (size == 0 || ioctl(to, FICLONE, from) == 0)
        return 0;
    if (ftruncate(to, size) < 0)
        return -errno;
    while (at < size) {
        off_t data = lseek(from, at, SEEK_DATA);
        if (data < 0)
            return errno == ENXIO ? 0 : -errno;
        off_t hole = lseek(from, data, SEEK_HOLE);
        if (hole < 0)
            return -errno;
        int r = copy_range(from, to, data, hole < size ? hole : size);
        if (r < 0)
            return r;
        at = hole;
    }
    return 0;
}
