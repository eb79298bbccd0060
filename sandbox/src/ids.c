/* SPDX-License-Identifier: MIT */
/*
 * Slices of host ids. State of slice N:
 *
 *   free      no file <run>/ids/N
 *   claimed   the file exists, its maker holds flock on it: from O_EXCL to sbxi_ids_drop()
 *   orphaned  the file exists and nobody locks it. If a record names N, processes under those ids may still live: not
 *             free until that record is swept. If no record does, its maker died between file and record: take it.
 *
 * Invariant: a file is unlinked only under its lock, so whoever has locked a file that is still linked owns the slice.
 */

#include "ids.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>

#include <sys/file.h>
#include <sys/stat.h>

#include "cleanup.h"

static void slice_name(char name[16], uint32_t slice)
{
    snprintf(name, 16, "%u", slice);
}

/* 1 = locked and still linked, 0 = somebody else's. */
static int lock_linked(int fd)
{
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? 0 : -errno;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    return st.st_nlink > 0;
}

static int try_slice(
    int dirfd, uint32_t slice, int (*is_recorded)(uint32_t, void *), void *userdata, int *ret_fd)
{
    char name[16];
    slice_name(name, slice);
    bool made = true;
    _cleanup_close_ int fd =
        openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST) {
        made = false;
        fd = openat(dirfd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    }
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    int r = lock_linked(fd);
    if (r <= 0)
        return r;
    if (!made) {
        r = is_recorded(slice, userdata);
        if (r != 0)
            return r < 0 ? r : 0;
    }
    *ret_fd = sbxi_take_fd(&fd);
    return 1;
}

static int open_ids(int run_dirfd)
{
    if (mkdirat(run_dirfd, "ids", 0700) < 0 && errno != EEXIST)
        return -errno;
    _cleanup_close_ int fd = openat(run_dirfd, "ids", O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (st.st_uid != geteuid() || (st.st_mode & 022))
        return -EPERM;
    return sbxi_take_fd(&fd);
}

int sbxi_ids_take(int run_dirfd,
                  uint32_t hint,
                  int (*is_recorded)(uint32_t slice, void *userdata),
                  void *userdata,
                  uint32_t *ret_slice,
                  int *ret_fd)
{
    _cleanup_close_ int dirfd = open_ids(run_dirfd);
    if (dirfd < 0)
        return dirfd;
    for (uint32_t i = 0; i < SBXI_IDS_SLICES; i++) {
        uint32_t slice = (hint + i) % SBXI_IDS_SLICES;
        int r = try_slice(dirfd, slice, is_recorded, userdata, ret_fd);
        if (r < 0)
            return r;
        if (r > 0) {
            *ret_slice = slice;
            return 0;
        }
    }
    return -ENOSPC;
}

int sbxi_ids_drop(int run_dirfd, uint32_t slice, bool locked)
{
    _cleanup_close_ int dirfd = open_ids(run_dirfd);
    if (dirfd < 0)
        return dirfd;
    char name[16];
    slice_name(name, slice);
    _cleanup_close_ int fd = -1;
    if (!locked) {
        fd = openat(dirfd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            return errno == ENOENT ? 0 : -errno;
        int r = lock_linked(fd);
        if (r <= 0)
            return r < 0 ? r : -EBUSY;
    }
    return unlinkat(dirfd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}
