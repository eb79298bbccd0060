/* SPDX-License-Identifier: MIT */

/*
 * A ring's memory. As both sides write it, it cannot be sealed against writing, so a peer can take pages out again
 * (FALLOC_FL_PUNCH_HOLE): they come back as zeroes, charged to whoever touches them first. That costs us what the ring's size
 * is at most, which is ours to limit, and never a SIGBUS: the file cannot shrink, and tmpfs is not hugetlb. So whether they
 * are there in the beginning is not asked; lseek(2) with SEEK_HOLE would wait for a lock that the peer can hold (memfd.c).
 *
 * The seals are asked for first: only tmpfs and hugetlb files have them, so that no call below reaches a file system
 * that a peer serves and could stall.
 */

#include "socket/ringmem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "cleanup.h"
#include "socket/kernel.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static int map(int fd, size_t size, void **ret_base)
{
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (base == MAP_FAILED)
        return -errno;
    *ret_base = base;
    return 0;
}

int udsi_ringmem_new(size_t size, void **ret_base)
{
    _cleanup_close_ int fd = memfd_create("uds-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    void *base = NULL;
    int r;

    if (fd < 0)
        return -errno;
    /* fallocate(2) fails where touching a page would kill. */
    if (ftruncate(fd, (off_t)size) < 0 || fallocate(fd, 0, 0, (off_t)size) < 0)
        return errno == ENOSPC ? -ENOMEM : -errno;
    r = map(fd, size, &base);
    if (r < 0)
        return r;
    memset(base, 0, size); /* mapped now, not one by one with the first messages */
    if (fcntl(fd, F_ADD_SEALS, SEALS) < 0) {
        r = -errno;
        udsi_ringmem_unmap(base, size);
        return r;
    }
    *ret_base = base;
    return udsi_take_fd(&fd);
}

int udsi_ringmem_map(int fd, size_t size, void **ret_base)
{
    struct stat st;
    struct statfs fs;
    int r;

    if (fcntl(fd, F_GET_SEALS) != SEALS || fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
        return -EINVAL;
    if (((unsigned long)fs.f_type & 0xffffffffUL) != UDSI_MAGIC_TMPFS || !S_ISREG(st.st_mode) ||
        st.st_size != (off_t)size)
        return -EINVAL;
    r = map(fd, size, ret_base);
    return r == -EACCES || r == -EPERM || r == -EBADF ? -EINVAL : r;
}

void udsi_ringmem_unmap(void *base, size_t size)
{
    (void)munmap(base, size);
}
