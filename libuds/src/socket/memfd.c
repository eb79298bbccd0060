/* SPDX-License-Identifier: MIT */

/*
 * Memory behind a descriptor: made so that a stranger may map it, and checked before a stranger's is mapped.
 *
 * Two things can go wrong for who maps foreign memory. SIGBUS, when a page cannot be had: the file was cut, or it lies in
 * hugetlbfs whose pool is empty. And the bill: tmpfs charges a page to the cgroup of the process that touches it first,
 * so a sparse file of 10 GiB costs its maker nothing and kills its reader. Both are out of the way when the file is on
 * tmpfs, cannot shrink or grow, and somebody has paid for as many pages; and when no page can be taken out again.
 *
 * For the last, F_SEAL_FUTURE_WRITE is as good as F_SEAL_WRITE (mm/shmem.c, shmem_fallocate(), since 5.1; measured on 6.18):
 * either makes fallocate(FALLOC_FL_PUNCH_HOLE), madvise(MADV_REMOVE) through a mapping that was writable before, write(2) and
 * every new writable mapping -EPERM; so it does O_TRUNC and ftruncate(2) with the size seals. MADV_DONTNEED and
 * MADV_PAGEOUT leave the pages the file's. What was swapped out is charged to who was charged before when it comes back.
 */

#include "socket/memfd.h"

#include <errno.h>
#include <fcntl.h>

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <uds/fdset.h>

#include "cleanup.h"
#include "socket/kernel.h"

#define SIZE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

/*
 * Are there as many pages as the file is long? fallocate(2) with KEEP_SIZE puts some behind the end, which are counted while
 * the file is one hole (measured); but then its maker has paid as much as it costs us, and cannot take it back.
 *
 * Not lseek(2) with SEEK_HOLE, which would know: it waits, unkillable, for the lock of the inode or of the description, and who
 * made them holds either for as long as he likes, by a write(2) or read(2) whose own memory does not come (userfaultfd,
 * FUSE; measured). Nothing here may take a lock that a stranger holds: fcntl(2), fstat(2) and mmap(2) do not.
 */
static int check_allocated(const struct stat *st)
{
    return (uint64_t)st->st_blocks * 512 < (uint64_t)st->st_size ? -ENODATA : 0;
}

/* Which seals who makes such memory puts on it. */
static int seals_of(enum udsi_memfd_use use)
{
    switch (use) {
    case UDSI_MEMFD_ARENA:
        return SIZE_SEALS | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
    case UDSI_MEMFD_RING:
        return SIZE_SEALS | F_SEAL_SEAL;
    case UDSI_MEMFD_CARGO:
        break;
    }
    return SIZE_SEALS | F_SEAL_WRITE | F_SEAL_SEAL;
}

/*
 * The seals come first: without them whatever is found out next may have changed when it is told. That it may not be executed
 * is welcome; the kernel sees to that by itself where vm.memfd_noexec says so.
 */
static bool has_seals(enum udsi_memfd_use use, int seals)
{
    if ((seals & SIZE_SEALS) != SIZE_SEALS)
        return false;
    if (use == UDSI_MEMFD_RING)
        return (seals & ~UDSI_F_SEAL_EXEC) == seals_of(use);
    return (seals & F_SEAL_WRITE) || (use == UDSI_MEMFD_ARENA && (seals & F_SEAL_FUTURE_WRITE));
}

int udsi_memfd_check(int fd, enum udsi_memfd_use use, uint64_t limit_bytes, uint64_t *ret_size)
{
    struct stat st;
    struct statfs fs;
    int seals = fcntl(fd, F_GET_SEALS);

    if (seals < 0)
        return errno == EBADF ? -EBADF : -EINVAL;
    if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
        return -errno;
    if (((unsigned long)fs.f_type & 0xffffffffUL) != UDSI_MAGIC_TMPFS || !S_ISREG(st.st_mode))
        return -EINVAL;
    if (!has_seals(use, seals))
        return st.st_nlink == 0 ? -EPERM : -EINVAL;
    if (st.st_size < 0 || (uint64_t)st.st_size > limit_bytes)
        return -EFBIG;

    int r = use == UDSI_MEMFD_RING ? 0 : check_allocated(&st);
    if (r < 0)
        return r;
    *ret_size = (uint64_t)st.st_size;
    return 0;
}

int uds_memfd_check(int fd, uint64_t limit_bytes, uint64_t *ret_size)
{
    return udsi_memfd_check(fd, UDSI_MEMFD_CARGO, limit_bytes, ret_size);
}

int uds_memfd_create(const char *name, int *ret_fd)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | UDSI_MFD_NOEXEC_SEAL);

    if (fd < 0 && errno == EINVAL) /* before 6.3 */
        fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

/* Zeroes and maps what fallocate(2) has made, all at once, which is cheaper than page by page when bodies come. */
static int touch_all(void *base, size_t size)
{
    volatile uint8_t *at = base;

    if (madvise(base, size, UDSI_MADV_POPULATE_WRITE) == 0)
        return 0;
    if (errno != EINVAL) /* -ENOMEM, -EFAULT: a limit; before 5.14 there is no such advice */
        return -ENOMEM;
    for (size_t i = 0; i < size; i += 4096)
        at[i] = 0;
    return 0;
}

int udsi_memfd_new(const char *name, enum udsi_memfd_use use, size_t size, void **ret_base)
{
    _cleanup_close_ int fd = -1;
    void *base;
    int r = uds_memfd_create(name, &fd);

    if (r < 0)
        return r;
    /* fallocate(2) fails where a page that is touched would kill: nothing is left to chance by the time of the mapping. */
    if (ftruncate(fd, (off_t)size) < 0 || fallocate(fd, 0, 0, (off_t)size) < 0)
        return errno == ENOSPC ? -ENOMEM : -errno;
    base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return -errno;
    r = touch_all(base, size);
    if (r == 0 && fcntl(fd, F_ADD_SEALS, seals_of(use)) < 0)
        r = -errno;
    if (r < 0) {
        (void)munmap(base, size);
        return r;
    }
    *ret_base = base;
    return udsi_take_fd(&fd);
}

int udsi_memfd_map(int fd, size_t size, void **ret_base)
{
    void *base = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);

    if (base == MAP_FAILED)
        return -errno;
    *ret_base = base;
    return 0;
}

void udsi_memfd_unmap(void *base, size_t size)
{
    (void)munmap(base, size);
}

/* Writes all of it, so that every page is there. A write to tmpfs is only cut short by a limit. */
static int write_all(int fd, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0 || errno == ENOSPC || errno == EFBIG ? -ENOMEM : -errno;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

int uds_memfd_seal(int fd)
{
    uint64_t size;

    if (fcntl(fd, F_ADD_SEALS, SIZE_SEALS | F_SEAL_WRITE) < 0)
        return -errno;
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL) < 0)
        return -errno;
    return uds_memfd_check(fd, UINT64_MAX, &size);
}

int uds_memfd_new(const void *data, size_t len, int *ret_fd)
{
    _cleanup_close_ int fd = -1;
    int r;

    if (!data && len > 0)
        return -EINVAL;
    r = uds_memfd_create("uds-cargo", &fd);
    if (r == 0)
        r = write_all(fd, data, len);
    if (r == 0)
        r = uds_memfd_seal(fd);
    if (r < 0)
        return r;
    *ret_fd = udsi_take_fd(&fd);
    return 0;
}

int uds_memfd_map(int fd, uint64_t limit_bytes, const void **ret_data, size_t *ret_size)
{
    uint64_t size = 0;
    void *base = NULL;
    int r = uds_memfd_check(fd, limit_bytes < SIZE_MAX ? limit_bytes : SIZE_MAX, &size);

    if (r == 0 && size == 0)
        r = -EINVAL;
    if (r == 0)
        r = udsi_memfd_map(fd, (size_t)size, &base);
    if (r < 0)
        return r;
    *ret_data = base;
    *ret_size = (size_t)size;
    return 0;
}

void uds_memfd_unmap(const void *data, size_t size)
{
    union {
        const void *in;
        void *out;
    } base = {.in = data};

    if (data)
        udsi_memfd_unmap(base.out, size);
}

/* A read of such a file never waits: its pages are memory, or swap. */
static int check_readable(int fd, struct stat *ret)
{
    struct statfs fs;
    unsigned long magic;

    if (fstat(fd, ret) < 0 || fstatfs(fd, &fs) < 0)
        return -errno;
    magic = (unsigned long)fs.f_type & 0xffffffffUL;
    if (!S_ISREG(ret->st_mode) || (magic != UDSI_MAGIC_TMPFS && magic != UDSI_MAGIC_HUGETLBFS))
        return -EINVAL;
    return 0;
}

int uds_memfd_read(int fd, uint64_t limit_bytes, void **ret_data, size_t *ret_len)
{
    _cleanup_free_ uint8_t *data = NULL;
    struct stat st;
    size_t size, len = 0;
    int r = check_readable(fd, &st);

    if (r < 0)
        return r;
    if (st.st_size < 0 || (uint64_t)st.st_size > limit_bytes || (uint64_t)st.st_size >= SIZE_MAX)
        return -EFBIG;
    size = (size_t)st.st_size;
    data = malloc(size + 1);
    if (!data)
        return -ENOMEM;
    while (len < size) {
        ssize_t n = pread(fd, data + len, size - len, (off_t)len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0) /* it has shrunk */
            break;
        len += (size_t)n;
    }
    data[len] = 0;
    *ret_data = UDSI_TAKE(data);
    *ret_len = len;
    return 0;
}
