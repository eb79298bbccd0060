/* SPDX-License-Identifier: MIT */

/* What a descriptor is, and whether a memfd from a stranger may be mapped. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/io_uring.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/vfs.h>

#include <uds/fdset.h>

#include "guard.h"
#include "socket/kernel.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

/* Closes @fd. */
static void expect_kind(int fd, enum uds_fd_kind kind, const char *what)
{
    struct uds_fd_info info;

    cr_assert_geq(fd, 0, "%s: %s", what, strerror(errno));
    cr_assert_eq(uds_fd_classify(fd, &info), 0, "%s", what);
    cr_expect_eq(info.kind, kind, "%s is %s", what, uds_fd_kind_name(info.kind));
    close(fd);
}

/* A memfd with @size bytes that are all written, then sealed. */
static int make_memfd(size_t size, int seals)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    char page[4096];

    cr_assert_geq(fd, 0);
    memset(page, 7, sizeof(page));
    for (size_t done = 0; done < size;) {
        size_t part = size - done < sizeof(page) ? size - done : sizeof(page);
        ssize_t n = write(fd, page, part);
        cr_assert_gt(n, 0);
        done += (size_t)n;
    }
    if (seals)
        cr_assert_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

Test(fd_classify, knows_memfds_by_their_seals)
{
    UDS_TEST_GUARD;
    struct uds_fd_info info;
    int fd = make_memfd(5000, SEALS);

    cr_assert_eq(uds_fd_classify(fd, &info), 0);
    cr_expect_eq(info.kind, UDS_FD_MEMFD);
    cr_expect_eq(info.seals, (uint32_t)SEALS);
    cr_expect_eq(info.size, 5000);
    cr_expect_eq(info.access, O_RDWR);
    close(fd);
    expect_kind(make_memfd(10, 0), UDS_FD_MEMFD_OPEN, "memfd without seals");
    expect_kind(make_memfd(10, F_SEAL_SHRINK | F_SEAL_GROW), UDS_FD_MEMFD_OPEN, "writable memfd");
    expect_kind(make_memfd(10, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE),
                UDS_FD_MEMFD_OPEN, "memfd that an old mapping still writes to");
    expect_kind(memfd_create("x", MFD_CLOEXEC), UDS_FD_MEMFD_OPEN, "memfd that takes no seals");
}

Test(fd_classify, knows_files_by_their_access)
{
    UDS_TEST_GUARD;
    char path[] = "/tmp/uds-fdkind-XXXXXX";

    expect_kind(mkostemp(path, O_CLOEXEC), UDS_FD_FILE_RW, "file");
    expect_kind(open(path, O_RDONLY | O_CLOEXEC), UDS_FD_FILE_RO, "file, read-only");
    expect_kind(open(path, O_WRONLY | O_CLOEXEC), UDS_FD_FILE_RW, "file, write-only");
    expect_kind(open(path, O_PATH | O_CLOEXEC), UDS_FD_PATH, "O_PATH");
    unlink(path);
    expect_kind(open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC), UDS_FD_DIRECTORY, "directory");
    expect_kind(open("/tmp", O_PATH | O_CLOEXEC), UDS_FD_PATH, "O_PATH of a directory");
    expect_kind(open("/dev/null", O_RDWR | O_CLOEXEC), UDS_FD_DEVICE, "device");
}

Test(fd_classify, does_not_take_a_tmpfs_file_for_a_memfd)
{
    UDS_TEST_GUARD;
    char path[] = "/dev/shm/uds-fdkind-XXXXXX";
    struct statfs fs;

    if (statfs("/dev/shm", &fs) < 0 || (unsigned long)fs.f_type != UDSI_MAGIC_TMPFS)
        cr_skip_test("/dev/shm is no tmpfs here");
    expect_kind(mkostemp(path, O_CLOEXEC), UDS_FD_FILE_RW, "file on tmpfs");
    expect_kind(open(path, O_RDONLY | O_CLOEXEC), UDS_FD_FILE_RO, "file on tmpfs, read-only");
    int nameless = open(path, O_RDONLY | O_CLOEXEC);
    unlink(path);
    expect_kind(nameless, UDS_FD_FILE_RO, "file on tmpfs without a link");
}

Test(fd_classify, refuses_to_call_a_kernel_interface_a_file)
{
    UDS_TEST_GUARD;

    expect_kind(open("/proc/self/status", O_RDONLY | O_CLOEXEC), UDS_FD_OTHER, "/proc file");
    expect_kind(open("/proc/self/mem", O_RDWR | O_CLOEXEC), UDS_FD_OTHER, "/proc/self/mem");
    int fd = memfd_create("x", MFD_CLOEXEC | MFD_HUGETLB);
    if (fd >= 0)
        expect_kind(fd, UDS_FD_OTHER, "hugetlb memfd");
}

Test(fd_classify, tells_sockets_apart)
{
    UDS_TEST_GUARD;
    int pair[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    expect_kind(pair[0], UDS_FD_SOCKET_UNIX, "unix socket");
    expect_kind(pair[1], UDS_FD_SOCKET_UNIX, "unix socket");
    expect_kind(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), UDS_FD_SOCKET_STREAM, "tcp");
    expect_kind(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), UDS_FD_SOCKET_DGRAM, "udp");
    expect_kind(socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, 0), UDS_FD_OTHER, "netlink");
}

Test(fd_classify, knows_pipes_and_namespaces)
{
    UDS_TEST_GUARD;
    int fds[2];

    cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
    expect_kind(fds[0], UDS_FD_PIPE, "pipe");
    expect_kind(fds[1], UDS_FD_PIPE, "pipe");
    expect_kind(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), UDS_FD_NAMESPACE, "namespace");
}

Test(fd_classify, tells_an_eventfd_from_other_anonymous_inodes)
{
    UDS_TEST_GUARD;
    sigset_t none;
    int full = eventfd(0, EFD_CLOEXEC);
    uint64_t most = UINT64_MAX - 1;

    sigemptyset(&none);
    expect_kind(eventfd(0, EFD_CLOEXEC), UDS_FD_EVENTFD, "eventfd");
    expect_kind(eventfd(5, EFD_CLOEXEC), UDS_FD_EVENTFD, "eventfd with a count");
    cr_assert_eq(write(full, &most, sizeof(most)), 8);
    expect_kind(full, UDS_FD_OTHER, "full eventfd");
    expect_kind(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC), UDS_FD_OTHER, "timerfd");
    expect_kind(epoll_create1(EPOLL_CLOEXEC), UDS_FD_OTHER, "epoll");
    expect_kind(signalfd(-1, &none, SFD_CLOEXEC), UDS_FD_OTHER, "signalfd");
}

Test(fd_classify, knows_an_idle_io_uring)
{
    UDS_TEST_GUARD;
    struct io_uring_params params;

    memset(&params, 0, sizeof(params));
    int fd = (int)syscall(SYS_io_uring_setup, 4, &params);
    if (fd < 0)
        cr_skip_test("no io_uring here: %s", strerror(errno));
    expect_kind(fd, UDS_FD_IO_URING, "io_uring");
}

Test(fd_classify, knows_a_pidfd_where_pidfds_have_a_file_system)
{
    UDS_TEST_GUARD;
    struct statfs fs;
    int fd = (int)syscall(SYS_pidfd_open, getpid(), 0);

    cr_assert_eq(fstatfs(fd, &fs), 0);
    expect_kind(fd, (unsigned long)fs.f_type == UDSI_MAGIC_PIDFS ? UDS_FD_PIDFD : UDS_FD_OTHER,
                "pidfd");
}

Test(fd_classify, says_when_there_is_no_descriptor)
{
    UDS_TEST_GUARD;
    struct uds_fd_info info;

    cr_expect_eq(uds_fd_classify(-1, &info), -EBADF);
    cr_expect_eq(uds_fd_classify(4000, &info), -EBADF);
}

Test(fd_kind, has_a_name_that_parses_back)
{
    UDS_TEST_GUARD;
    enum uds_fd_kind kind;

    for (unsigned bit = 0; bit < 16; bit++) {
        const char *name = uds_fd_kind_name((enum uds_fd_kind)(1u << bit));
        cr_assert_eq(uds_fd_kind_parse(name, &kind), 0, "%s", name);
        cr_expect_eq(kind, (enum uds_fd_kind)(1u << bit), "%s", name);
    }
    cr_expect_eq(uds_fd_kind_parse("memf", &kind), -EINVAL);
    cr_expect_eq(uds_fd_kind_parse("", &kind), -EINVAL);
}

/* Closes @fd. */
static void expect_check(int fd, uint64_t limit, int result, const char *what)
{
    uint64_t size = 99;

    cr_expect_eq(uds_memfd_check(fd, limit, &size), result, "%s", what);
    if (result < 0)
        cr_expect_eq(size, 99, "%s: written though refused", what);
    close(fd);
}

Test(memfd_check, accepts_a_sealed_full_memfd)
{
    UDS_TEST_GUARD;
    uint64_t size;
    int fd = make_memfd(100000, SEALS);

    cr_assert_eq(lseek(fd, 123, SEEK_SET), 123);
    cr_assert_eq(uds_memfd_check(fd, 100000, &size), 0);
    cr_expect_eq(size, 100000);
    cr_expect_eq(lseek(fd, 0, SEEK_CUR), 123, "the shared offset moved");
    close(fd);
    expect_check(make_memfd(0, SEALS), 0, 0, "empty memfd");
}

Test(memfd_check, refuses_one_over_the_limit)
{
    UDS_TEST_GUARD;
    expect_check(make_memfd(4097, SEALS), 4096, -EFBIG, "a byte too large");
}

Test(memfd_check, refuses_one_without_all_seals)
{
    UDS_TEST_GUARD;
    expect_check(make_memfd(10, 0), 4096, -EPERM, "no seals");
    expect_check(make_memfd(10, F_SEAL_GROW | F_SEAL_WRITE), 4096, -EPERM, "can shrink");
    expect_check(make_memfd(10, F_SEAL_SHRINK | F_SEAL_WRITE), 4096, -EPERM, "can grow");
    expect_check(make_memfd(10, F_SEAL_SHRINK | F_SEAL_GROW), 4096, -EPERM, "can be written");
    expect_check(make_memfd(10, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE), 4096, -EPERM,
                 "an old mapping can write");
}

Test(memfd_check, refuses_a_sparse_one)
{
    UDS_TEST_GUARD;
    int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    cr_assert_eq(ftruncate(fd, 1 << 20), 0);
    cr_assert_eq(fcntl(fd, F_ADD_SEALS, SEALS), 0);
    expect_check(fd, 1 << 20, -ENODATA, "all hole");

    fd = make_memfd(8192, 0);
    cr_assert_eq(ftruncate(fd, 8192 + 4096), 0);
    cr_assert_eq(fcntl(fd, F_ADD_SEALS, SEALS), 0);
    expect_check(fd, 1 << 20, -ENODATA, "hole at the end");
}

/* To know better takes lseek(2), which a stranger can make wait: memfd_lock_test.c. */
Test(memfd_check, lets_nobody_have_us_pay_what_he_has_not_paid)
{
    UDS_TEST_GUARD;
    struct stat st;
    int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    cr_assert_eq(ftruncate(fd, 1 << 20), 0);
    cr_assert_eq(fallocate(fd, FALLOC_FL_KEEP_SIZE, 1 << 20, 1 << 20), 0);
    cr_assert_eq(fcntl(fd, F_ADD_SEALS, SEALS), 0);
    cr_assert_eq(fstat(fd, &st), 0);
    cr_assert_geq(st.st_blocks * 512, st.st_size, "the trick does not work here");
    cr_assert_eq(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1 << 20, 1 << 20), -1);
    cr_assert_eq(fstat(fd, &st), 0);
    cr_assert_geq(st.st_blocks * 512, st.st_size, "he has got it back");
    expect_check(fd, 1 << 20, 0, "as much behind the end");
}

Test(memfd_check, refuses_what_is_no_memfd)
{
    UDS_TEST_GUARD;
    char path[] = "/tmp/uds-fdkind-XXXXXX", shm[] = "/dev/shm/uds-fdkind-XXXXXX";
    int pair[2];

    expect_check(mkostemp(path, O_CLOEXEC), 4096, -EINVAL, "ordinary file");
    unlink(path);
    int fd = mkostemp(shm, O_CLOEXEC);
    if (fd >= 0) {
        expect_check(fd, 4096, -EINVAL, "file on tmpfs");
        unlink(shm);
    }
    cr_assert_eq(pipe2(pair, O_CLOEXEC), 0);
    expect_check(pair[0], 4096, -EINVAL, "pipe");
    close(pair[1]);
    expect_check(-1, 4096, -EBADF, "nothing");
}

Test(memfd_check, refuses_hugetlb_memory)
{
    UDS_TEST_GUARD;
    int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);

    if (fd < 0)
        cr_skip_test("no hugetlb memfds here: %s", strerror(errno));
    cr_assert_eq(fcntl(fd, F_ADD_SEALS, SEALS), 0);
    expect_check(fd, 1 << 20, -EINVAL, "hugetlb");
}
