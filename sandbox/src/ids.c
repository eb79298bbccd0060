/* SPDX-License-Identifier: MIT */
/*
 * Slices of host ids. State of slice N:
 *
 *   free      no file <home>/ids/N
 *   claimed   the file exists, its maker holds flock on it: from O_EXCL to sbxi_ids_drop()
 *   orphaned  the file exists and nobody locks it. If a record names N, processes under those ids may still live: not
 *             free until that record is swept. If no record does, its maker died between file and record: take it.
 *             Whose record that would be, the file says; only takers of the same run directory can look there.
 *
 * Invariant: a file is unlinked only under its lock, so whoever has locked a file that is still linked owns the slice.
 */

#include "ids.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/file.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "sweep.h"

static void slice_name(char name[16], uint32_t slice)
{
    snprintf(name, 16, "%u", slice);
}

/* 1 = locked and still linked, 0 = somebody else's. */
static int lock_linked(int fd, bool *ret_empty)
{
    if (flock(fd, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? 0 : -errno;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    *ret_empty = st.st_size == 0;
    return st.st_nlink > 0;
}

/* What is not just our name is somebody else's. */
static bool is_of(int fd, const char *run_dir)
{
    char text[PATH_MAX];
    ssize_t n = pread(fd, text, sizeof text, 0);
    return n >= 0 && (size_t)n == strlen(run_dir) && memcmp(text, run_dir, (size_t)n) == 0;
}

static int sign(int fd, const char *run_dir)
{
    size_t len = strlen(run_dir);
    ssize_t n = pwrite(fd, run_dir, len, 0);
    return n < 0 ? -errno : (size_t)n == len ? 0 : -ENOSPC;
}

static int try_slice(int dirfd,
                     const char *run_dir,
                     uint32_t slice,
                     int (*is_recorded)(uint32_t, void *),
                     void *userdata,
                     int *ret_fd)
{
    char name[16];
    slice_name(name, slice);
    bool empty;
    _cleanup_close_ int fd =
        openat(dirfd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST)
        fd = openat(dirfd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    int r = lock_linked(fd, &empty);
    if (r <= 0)
        return r;
    if (empty) { /* just made; or its maker died before it could say whose it is, let alone use it */
        r = sign(fd, run_dir);
    } else {
        r = is_of(fd, run_dir) ? is_recorded(slice, userdata) : 1;
        if (r > 0)
            return 0;
    }
    if (r < 0)
        return r;
    *ret_fd = sbxi_take_fd(&fd);
    return 1;
}

static int open_ids(int home)
{
    if (mkdirat(home, "ids", 0700) < 0 && errno != EEXIST)
        return -errno;
    _cleanup_close_ int fd = openat(home, "ids", O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (st.st_uid != geteuid() || (st.st_mode & 022))
        return -EPERM;
    return sbxi_take_fd(&fd);
}

int sbxi_ids_home(void)
{
    if (mkdir("/run/uds", 0755) < 0 && errno != EEXIST)
        return -errno;
    return sbxi_sweep_open_dir("/run/uds");
}

int sbxi_ids_take(int home,
                  const char *run_dir,
                  uint32_t hint,
                  int (*is_recorded)(uint32_t slice, void *userdata),
                  void *userdata,
                  uint32_t *ret_slice,
                  int *ret_fd)
{
    _cleanup_close_ int dirfd = open_ids(home);
    if (dirfd < 0)
        return dirfd;
    for (uint32_t i = 0; i < SBXI_IDS_SLICES; i++) {
        uint32_t slice = (hint + i) % SBXI_IDS_SLICES;
        int r = try_slice(dirfd, run_dir, slice, is_recorded, userdata, ret_fd);
        if (r < 0)
            return r;
        if (r > 0) {
            *ret_slice = slice;
            return 0;
        }
    }
    return -ENOSPC;
}

int sbxi_ids_drop(int home, uint32_t slice, bool locked)
{
    _cleanup_close_ int dirfd = open_ids(home);
    if (dirfd < 0)
        return dirfd;
    char name[16];
    slice_name(name, slice);
    _cleanup_close_ int fd = -1;
    if (!locked) {
        fd = openat(dirfd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            return errno == ENOENT ? 0 : -errno;
        bool empty;
        int r = lock_linked(fd, &empty);
        if (r <= 0)
            return r < 0 ? r : -EBUSY;
    }
    return unlinkat(dirfd, name, 0) < 0 && errno != ENOENT ? -errno : 0;
}
