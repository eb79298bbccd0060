/* SPDX-License-Identifier: MIT */

/* memfds as cargo: made so that a stranger may map them, mapped if a stranger's is so, read if it is not. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/stat.h>

#include <uds/fdset.h>

#include "cleanup.h"
#include "guard.h"
#include "socket/kernel.h"

static int make(size_t size, const char *text, unsigned seals)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    cr_assert_eq(ftruncate(fd, (off_t)size), 0);
    if (seals)
        cr_assert_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

Test(memfd, that_we_make_is_one_that_we_would_map)
{
    UDS_TEST_GUARD;
    static uint8_t bytes[100000];
    _cleanup_close_ int fd = -1;
    const void *data = NULL;
    uint64_t size;
    size_t len = 0;

    memset(bytes, 5, sizeof(bytes));
    cr_assert_eq(uds_memfd_new(bytes, sizeof(bytes), &fd), 0);
    cr_assert_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    cr_assert_eq(uds_memfd_check(fd, sizeof(bytes), &size), 0);
    cr_assert_eq(uds_memfd_map(fd, sizeof(bytes), &data, &len), 0);
    cr_assert_eq(len, sizeof(bytes));
    cr_assert_eq(memcmp(data, bytes, len), 0);
    cr_assert_eq(write(fd, "x", 1), -1);
    cr_assert_eq(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), -1, "nothing can be added");
    uds_memfd_unmap(data, len);
    uds_memfd_unmap(NULL, 0);
}

Test(memfd, that_we_make_can_be_sealed_and_is_never_executable)
{
    UDS_TEST_GUARD;
    _cleanup_close_ int fd = -1;
    uint64_t size;
    struct stat st;

    cr_assert_eq(uds_memfd_create("uds-test", &fd), 0);
    cr_assert_eq(fcntl(fd, F_GETFD), FD_CLOEXEC);
    cr_assert_eq(write(fd, "x", 1), 1);
    cr_assert_eq(uds_memfd_seal(fd), 0);
    cr_assert_eq(uds_memfd_check(fd, 1, &size), 0);
    if (!(fcntl(fd, F_GET_SEALS) & UDSI_F_SEAL_EXEC))
        cr_skip_test("the kernel cannot say so (before 6.3)");
    cr_assert_eq(fstat(fd, &st), 0);
    cr_assert_eq(st.st_mode & 0111, 0);
    cr_assert_eq(fchmod(fd, 0755), -1);
}

Test(memfd, says_that_a_name_is_too_long)
{
    UDS_TEST_GUARD;
    char name[300];
    int fd = 7;

    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    cr_assert_eq(uds_memfd_create(name, &fd), -EINVAL);
    cr_assert_eq(fd, 7);
}

Test(memfd, may_be_empty_but_not_mapped_then)
{
    UDS_TEST_GUARD;
    _cleanup_close_ int fd = -1;
    _cleanup_free_ void *copy = NULL;
    const void *data;
    uint64_t size;
    size_t len = 7;

    cr_assert_eq(uds_memfd_new(NULL, 0, &fd), 0);
    cr_assert_eq(uds_memfd_check(fd, 0, &size), 0);
    cr_assert_eq(uds_memfd_map(fd, 10, &data, &len), -EINVAL);
    cr_assert_eq(uds_memfd_read(fd, 10, &copy, &len), 0);
    cr_assert_eq(len, 0);
    cr_assert_eq(uds_memfd_new(NULL, 1, &fd), -EINVAL);
}

Test(memfd, is_sealed_only_when_it_is_whole_and_nobody_writes)
{
    UDS_TEST_GUARD;
    _cleanup_close_ int whole = make(2, "ab", 0), sparse = make(1 << 20, "ab", 0);
    _cleanup_close_ int mapped = make(4096, "ab", 0), final = make(2, "ab", F_SEAL_SEAL);
    _cleanup_close_ int file = open("/dev/null", O_RDWR | O_CLOEXEC);
    void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, mapped, 0);

    cr_assert_neq(at, MAP_FAILED);
    cr_assert_eq(uds_memfd_seal(whole), 0);
    cr_assert_eq(uds_memfd_seal(sparse), -ENODATA);
    cr_assert_eq(uds_memfd_seal(mapped), -EBUSY);
    cr_assert_eq(uds_memfd_seal(final), -EPERM);
    cr_assert_eq(uds_memfd_seal(file), -EINVAL);
    cr_assert_eq(uds_memfd_seal(-1), -EBADF);
    cr_assert_eq(munmap(at, 4096), 0);
}

Test(memfd, from_a_stranger_is_mapped_only_if_that_is_safe)
{
    UDS_TEST_GUARD;
    const unsigned all = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    _cleanup_close_ int open_one = make(2, "ab", F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE);
    _cleanup_close_ int sparse = make(1 << 20, "ab", all), good = make(2, "ab", all);
    _cleanup_close_ int write_only = -1;
    const void *data;
    char path[64];
    size_t len;

    cr_assert_eq(uds_memfd_map(open_one, 100, &data, &len), -EPERM, "its sender can still write");
    cr_assert_eq(uds_memfd_map(sparse, 1 << 20, &data, &len), -ENODATA);
    cr_assert_eq(uds_memfd_map(good, 1, &data, &len), -EFBIG);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", good);
    write_only = open(path, O_WRONLY | O_CLOEXEC);
    cr_assert_geq(write_only, 0);
    cr_assert_eq(uds_memfd_map(write_only, 100, &data, &len), -EACCES);
}

Test(memfd, that_is_not_safe_to_map_is_read)
{
    UDS_TEST_GUARD;
    _cleanup_close_ int sparse = make(1 << 20, "ab", 0), pipe_end = -1, null = -1;
    _cleanup_free_ char *copy = NULL;
    void *data = NULL;
    size_t len = 0;
    int ends[2];

    cr_assert_eq(lseek(sparse, 77, SEEK_SET), 77);
    cr_assert_eq(uds_memfd_read(sparse, 1 << 20, &data, &len), 0);
    copy = data;
    cr_assert_eq(len, 1 << 20);
    cr_assert_eq(memcmp(copy, "ab\0", 3), 0);
    cr_assert_eq(copy[len], 0);
    cr_assert_eq(lseek(sparse, 0, SEEK_CUR), 77);
    cr_assert_eq(uds_memfd_read(sparse, (1 << 20) - 1, &data, &len), -EFBIG);
    cr_assert_eq(pipe2(ends, O_CLOEXEC), 0);
    pipe_end = ends[0];
    close(ends[1]);
    cr_assert_eq(uds_memfd_read(pipe_end, 100, &data, &len), -EINVAL);
    null = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    cr_assert_eq(uds_memfd_read(null, 100, &data, &len), -EINVAL);
    cr_assert_eq(uds_memfd_read(-1, 100, &data, &len), -EBADF);
}
