/* SPDX-License-Identifier: MIT */
#include "holder.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define PAGE  4096u
#define BYTES 8

ssize_t holder_read(int fd, void *page)
{
    return read(fd, page, BYTES);
}

ssize_t holder_pwrite(int fd, void *page)
{
    return pwrite(fd, page, BYTES, 0);
}

ssize_t holder_send(int fd, void *page)
{
    return send(fd, page, BYTES, MSG_NOSIGNAL);
}

static void *hold(void *arg)
{
    const struct holder *holder = arg;

    return holder->call(holder->fd, holder->page) > 0 ? arg : NULL;
}

void holder_begin(struct holder *holder, int fd, ssize_t (*call)(int fd, void *page))
{
    struct uffdio_api api = {.api = UFFD_API};
    struct uffdio_register range;
    struct uffd_msg fault;

    *holder = (struct holder){.fd = fd, .call = call};
    holder->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
    if (holder->uffd < 0)
        cr_skip_test("no userfaultfd for us: %s", strerror(errno));
    holder->page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(holder->page, MAP_FAILED);
    range = (struct uffdio_register){.range = {(uintptr_t)holder->page, PAGE},
                                     .mode = UFFDIO_REGISTER_MODE_MISSING};
    cr_assert_eq(ioctl(holder->uffd, UFFDIO_API, &api), 0);
    cr_assert_eq(ioctl(holder->uffd, UFFDIO_REGISTER, &range), 0);
    cr_assert_eq(pthread_create(&holder->thread, NULL, hold, holder), 0);
    cr_assert_eq(read(holder->uffd, &fault, sizeof(fault)), sizeof(fault));
    cr_assert_eq(fault.event, UFFD_EVENT_PAGEFAULT);
}

void holder_end(struct holder *holder)
{
    struct uffdio_zeropage zero = {.range = {(uintptr_t)holder->page, PAGE}};
    void *done;

    cr_assert_eq(ioctl(holder->uffd, UFFDIO_ZEROPAGE, &zero), 0);
    cr_assert_eq(pthread_join(holder->thread, &done), 0);
    cr_assert_eq(done, holder, "it has not held anything");
    (void)munmap(holder->page, PAGE);
    (void)close(holder->uffd);
}
