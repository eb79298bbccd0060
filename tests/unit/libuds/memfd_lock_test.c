/* SPDX-License-Identifier: MIT */

/*
 * Whoever made a memfd can hold the locks of its inode and of its descriptions, by a write(2) or read(2) whose own memory does not
 * come. Looking at what he has sent must not wait for them: it could not even be killed.
 */

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <sys/mman.h>

#include <uds/fdset.h>

#include "cleanup.h"
#include "guard.h"
#include "holder.h"
#include "socket/memfd.h"
#include "socket/ringmem.h"

#define SIZE       (64u * 1024)
#define SIZE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

static int make_memory(size_t size)
{
    int fd = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    cr_assert_eq(ftruncate(fd, (off_t)size), 0);
    cr_assert_eq(fallocate(fd, 0, 0, (off_t)size), 0);
    return fd;
}

/* A description of its own: one that memfd_create(2) makes has no lock on its offset. */
static int reopen(int fd)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    return fd;
}

Test(memfd_lock, of_a_description_holds_nobody_up, .timeout = 10)
{
    UDS_TEST_GUARD;
    _cleanup_close_ int fd = make_memory(SIZE), again = reopen(fd);
    struct holder holder;
    uint64_t size;

    cr_assert_eq(fcntl(fd, F_ADD_SEALS, SIZE_SEALS | F_SEAL_WRITE), 0);
    holder_begin(&holder, again, holder_read);
    cr_assert_eq(uds_memfd_check(again, SIZE, &size), 0);
    cr_assert_eq(udsi_memfd_check(again, UDSI_MEMFD_ARENA, SIZE, &size), 0);
    holder_end(&holder);
}

Test(memfd_lock, of_an_inode_holds_nobody_up, .timeout = 10)
{
    UDS_TEST_GUARD;
    _cleanup_close_ int fd = make_memory(SIZE);
    struct holder holder;
    void *base;

    cr_assert_eq(fcntl(fd, F_ADD_SEALS, SIZE_SEALS | F_SEAL_SEAL), 0);
    holder_begin(&holder, fd, holder_pwrite);
    cr_assert_eq(udsi_ringmem_map(fd, SIZE, &base), 0);
    udsi_ringmem_unmap(base, SIZE);
    holder_end(&holder);
}
