/* SPDX-License-Identifier: MIT */

/* Slices of host ids: one taker each, orphans taken over only when no record names them. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

#include "guard.h"
#include "ids.h"

static char run_dir[] = "/tmp/uds-ids-test-XXXXXX";

static int open_run_dir(void)
{
    strcpy(run_dir, "/tmp/uds-ids-test-XXXXXX");
    cr_assert_not_null(mkdtemp(run_dir));
    return open(run_dir, O_DIRECTORY | O_CLOEXEC);
}

static void close_run_dir(int fd)
{
    cr_assert_eq(unlinkat(fd, "ids", AT_REMOVEDIR), 0, "a slice is left");
    close(fd);
    cr_assert_eq(rmdir(run_dir), 0);
}

static int nobody(uint32_t slice, void *userdata)
{
    (void)slice, (void)userdata;
    return 0;
}

static int says(uint32_t slice, void *userdata)
{
    return slice == *(const uint32_t *)userdata;
}

Test(ids_take, gives_two_takers_two_slices)
{
    UDS_TEST_GUARD;
    uint32_t a, b;
    int fd_a, fd_b, dir = open_run_dir();
    cr_assert_eq(sbxi_ids_take(dir, run_dir, 7, nobody, NULL, &a, &fd_a), 0);
    cr_assert_eq(sbxi_ids_take(dir, run_dir, 7, nobody, NULL, &b, &fd_b), 0);
    cr_assert_eq(a, 7);
    cr_assert_eq(b, 8);
    cr_assert_eq(sbxi_ids_drop(dir, a, true), 0);
    cr_assert_eq(sbxi_ids_drop(dir, b, true), 0);
    close(fd_a);
    close(fd_b);
    close_run_dir(dir);
}

Test(ids_take, wraps_around_within_the_block)
{
    UDS_TEST_GUARD;
    uint32_t a, b;
    int fd_a, fd_b, dir = open_run_dir();
    cr_assert_eq(sbxi_ids_take(dir, run_dir, SBXI_IDS_SLICES - 1, nobody, NULL, &a, &fd_a), 0);
    cr_assert_eq(sbxi_ids_take(dir, run_dir, SBXI_IDS_SLICES - 1, nobody, NULL, &b, &fd_b), 0);
    cr_assert_eq(a, SBXI_IDS_SLICES - 1);
    cr_assert_eq(b, 0);
    cr_assert_leq(SBXI_IDS_FIRST + (a + 1) * (uint64_t)SBXI_IDS_COUNT, 0x7fff0000u);
    sbxi_ids_drop(dir, a, true);
    sbxi_ids_drop(dir, b, true);
    close(fd_a);
    close(fd_b);
    close_run_dir(dir);
}

Test(ids_take, takes_an_orphan_over_unless_a_record_names_it)
{
    UDS_TEST_GUARD;
    uint32_t slice, named = 7;
    int fd, dir = open_run_dir();
    cr_assert_eq(sbxi_ids_take(dir, run_dir, 7, nobody, NULL, &slice, &fd), 0);
    close(fd); /* its taker died */
    cr_assert_eq(sbxi_ids_take(dir, run_dir, 7, says, &named, &slice, &fd), 0);
    cr_assert_eq(slice, 8);
    sbxi_ids_drop(dir, 8, true);
    close(fd);
    cr_assert_eq(sbxi_ids_take(dir, run_dir, 7, nobody, NULL, &slice, &fd), 0);
    cr_assert_eq(slice, 7);
    sbxi_ids_drop(dir, 7, true);
    close(fd);
    close_run_dir(dir);
}

Test(ids_take, takes_over_what_nobody_has_signed)
{
    UDS_TEST_GUARD;
    uint32_t slice, other;
    int fd, fd_other, dir = open_run_dir();
    cr_assert_eq(mkdirat(dir, "ids", 0700), 0);
    fd = openat(dir, "ids/7", O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
    close(fd); /* its maker died here */
    cr_assert_eq(sbxi_ids_take(dir, run_dir, 7, nobody, NULL, &slice, &fd), 0);
    cr_assert_eq(slice, 7);
    cr_assert_eq(sbxi_ids_take(dir, "/elsewhere", 7, nobody, NULL, &other, &fd_other), 0);
    cr_assert_eq(other, 8, "now it is somebody's");
    sbxi_ids_drop(dir, 7, true);
    sbxi_ids_drop(dir, 8, true);
    close(fd);
    close(fd_other);
    close_run_dir(dir);
}

Test(ids_drop, leaves_a_slice_that_somebody_holds)
{
    UDS_TEST_GUARD;
    uint32_t slice;
    int fd, dir = open_run_dir();
    cr_assert_eq(sbxi_ids_take(dir, run_dir, 3, nobody, NULL, &slice, &fd), 0);
    cr_assert_eq(sbxi_ids_drop(dir, slice, false), -EBUSY);
    close(fd);
    cr_assert_eq(sbxi_ids_drop(dir, slice, false), 0);
    cr_assert_eq(sbxi_ids_drop(dir, slice, false), 0, "dropping what is gone is no error");
    close_run_dir(dir);
}

Test(ids_take, refuses_a_directory_that_others_may_write)
{
    UDS_TEST_GUARD;
    uint32_t slice;
    int fd, dir = open_run_dir();
    cr_assert_eq(mkdirat(dir, "ids", 0700), 0);
    cr_assert_eq(fchmodat(dir, "ids", 0777, 0), 0);
    cr_assert_eq(sbxi_ids_take(dir, run_dir, 3, nobody, NULL, &slice, &fd), -EPERM);
    close_run_dir(dir);
}

Test(ids_take, leaves_an_orphan_of_another_run_directory_alone)
{
    UDS_TEST_GUARD;
    uint32_t slice;
    int fd, dir = open_run_dir();
    cr_assert_eq(sbxi_ids_take(dir, "/run/another", 7, nobody, NULL, &slice, &fd), 0);
    cr_assert_eq(slice, 7);
    close(fd); /* its taker died; only a sweep of its own run directory knows what lives */
    cr_assert_eq(sbxi_ids_take(dir, run_dir, 7, nobody, NULL, &slice, &fd), 0);
    cr_expect_eq(slice, 8);
    cr_assert_eq(sbxi_ids_drop(dir, 8, true), 0);
    close(fd);
    cr_assert_eq(sbxi_ids_drop(dir, 7, false), 0);
    close_run_dir(dir);
}
