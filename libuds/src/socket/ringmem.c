/* SPDX-License-Identifier: MIT */

/*
 * A ring's memory. As both sides write it, it cannot be sealed against writing, so a peer can take pages out again
 * (FALLOC_FL_PUNCH_HOLE): they come back as zeroes, charged to whoever touches them first. That costs us what the ring's size
 * is at most, which is ours to limit, and never a SIGBUS: the file cannot shrink, and tmpfs is not hugetlb. So whether they
 * are there in the beginning is not asked.
 */

#include "socket/ringmem.h"

#include <errno.h>
#include <stdint.h>

#include <sys/mman.h>

#include "socket/memfd.h"

int udsi_ringmem_new(size_t size, void **ret_base)
{
    return udsi_memfd_new("uds-ring", UDSI_MEMFD_RING, size, ret_base);
}

int udsi_ringmem_map(int fd, size_t size, void **ret_base)
{
    uint64_t found = 0;
    void *base;

    if (udsi_memfd_check(fd, UDSI_MEMFD_RING, size, &found) < 0 || found != size)
        return -EINVAL;
    base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED)
        return errno == EACCES || errno == EPERM || errno == EBADF ? -EINVAL : -errno;
    *ret_base = base;
    return 0;
}

void udsi_ringmem_unmap(void *base, size_t size)
{
    (void)munmap(base, size);
}
