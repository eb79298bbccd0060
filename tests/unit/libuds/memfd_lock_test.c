/* SPDX-License-Identifier: MIT */

/*
 * Whoever made a memfd can hold the locks of its inode and of its descriptions, by a write(2) or read(2) whose own memory does not
 * come. Looking at what he has sent must not wait for them: it could not even be killed.
 */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <uds/fdset.h>

#include "cleanup.h"
#include "guard.h"
#include "socket/memfd.h"
#include "socket/ringmem.h"

#define SIZE       (64u * 1024)
#define SIZE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

/* A thread that reads or writes @fd, from or to a page that does not come until somebody lets it. */
struct holder {
    int uffd, fd;
    bool writes;
    void *page;
    pthread_t thread;
};

static void *hold(void *arg)
{
    const struct holder *holder = arg;
    ssize_t n =
        holder->writes ? pwrite(holder->fd, holder->page, 8, 0) : read(holder->fd, holder->page, 8);

    return n == 8 ? arg : NULL;
}

/* Returns when the thread waits for its page. */
static void holder_begin(struct holder *holder)
{
    struct uffdio_api api = {.api = UFFD_API};
    struct uffdio_register range;
    struct uffd_msg fault;

    holder->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
    if (holder->uffd < 0)
        cr_skip_test("no userfaultfd for us: %s", strerror(errno));
    holder->page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(holder->page, MAP_FAILED);
    range = (struct uffdio_register){.range = {(uintptr_t)holder->page, 4096},
                                     .mode = UFFDIO_REGISTER_MODE_MISSING};
    cr_assert_eq(ioctl(holder->uffd, UFFDIO_API, &api), 0);
    cr_assert_eq(ioctl(holder->uffd, UFFDIO_REGISTER, &range), 0);
    cr_assert_eq(pthread_create(&holder->thread, NULL, hold, holder), 0);
    cr_assert_eq(read(holder->uffd, &fault, sizeof(fault)), sizeof(fault));
    cr_assert_eq(fault.event, UFFD_EVENT_PAGEFAULT);
}

static void holder_end(struct holder *holder)
{
    struct uffdio_zeropage zero = {.range = {(uintptr_t)holder->page, 4096}};
    void *done;

    cr_assert_eq(ioctl(holder->uffd, UFFDIO_ZEROPAGE, &zero), 0);
    cr_assert_eq(pthread_join(holder->thread, &done), 0);
    cr_assert_eq(done, holder, "it has not held anything");
    (void)munmap(holder->page, 4096);
    udsi_close(holder->uffd);
}

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
    struct holder holder = {.fd = again};
    uint64_t size;

    cr_assert_eq(fcntl(fd, F_ADD_SEALS, SIZE_SEALS | F_SEAL_WRITE), 0);
    holder_begin(&holder);
    cr_assert_eq(uds_memfd_check(again, SIZE, &size), 0);
    cr_assert_eq(udsi_memfd_check(again, UDSI_MEMFD_ARENA, SIZE, &size), 0);
    holder_end(&holder);
}

Test(memfd_lock, of_an_inode_holds_nobody_up, .timeout = 10)
{
    UDS_TEST_GUARD;
    _cleanup_close_ int fd = make_memory(SIZE);
    struct holder holder = {.fd = fd, .writes = true};
    void *base;

    cr_assert_eq(fcntl(fd, F_ADD_SEALS, SIZE_SEALS | F_SEAL_SEAL), 0);
    holder_begin(&holder);
    cr_assert_eq(udsi_ringmem_map(fd, SIZE, &base), 0);
    udsi_ringmem_unmap(base, SIZE);
    holder_end(&holder);
}
