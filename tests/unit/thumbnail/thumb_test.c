/* SPDX-License-Identifier: MIT */

/* The box filter and the memfd that it ends in. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <uds/fdset.h>

#include "guard.h"
#include "thumb.h"

Test(thumb_fit, keeps_the_shape_and_never_enlarges)
{
    UDS_TEST_GUARD;
    static const struct {
        uint32_t w, h, max, to_w, to_h;
    } cases[] = {{1600, 1067, 256, 256, 171}, {100, 50, 256, 100, 50},
                 {1, 65535, 256, 1, 256},     {65535, 1, 16, 16, 1},
                 {65535, 65535, 1, 1, 1},     {257, 256, 256, 256, 255},
                 {256, 256, 256, 256, 256},   {12000, 12000, 1024, 1024, 1024}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t w = 0, h = 0;

        thumb_fit(cases[i].w, cases[i].h, cases[i].max, &w, &h);
        cr_expect_eq(w, cases[i].to_w, "case %zu: %u", i, w);
        cr_expect_eq(h, cases[i].to_h, "case %zu: %u", i, h);
    }
}

Test(thumb, averages_whole_pixels)
{
    UDS_TEST_GUARD;
    /* 4×2 → 2×1: each box is 2×2. */
    static const uint8_t rows[2][12] = {{0, 0, 0, 100, 0, 0, 255, 255, 255, 255, 255, 255},
                                        {0, 40, 0, 100, 0, 3, 255, 255, 255, 255, 255, 255}};
    static const uint8_t expected[6] = {50, 10, 1, 255, 255, 255};
    struct thumb thumb;
    uint8_t out[6];
    int fd;

    thumb_init(&thumb, 2);
    cr_assert_eq(thumb_begin(&thumb, 4, 2, 4, 2, 3), 0);
    cr_assert_eq(thumb_row(&thumb, rows[0]), 0);
    cr_assert_eq(thumb_row(&thumb, rows[1]), 0);
    cr_expect_eq(thumb_row(&thumb, rows[1]), -EINVAL, "there is no third row");
    fd = thumb_finish(&thumb);
    cr_assert_geq(fd, 0);
    cr_expect_eq(pread(fd, out, sizeof(out), 0), (ssize_t)sizeof(out));
    cr_expect_arr_eq(out, expected, sizeof(out));
    close(fd);
    thumb_deinit(&thumb);
}

Test(thumb, does_not_let_invisible_pixels_colour_the_visible)
{
    UDS_TEST_GUARD;
    static const uint8_t row[8] = {250, 0, 0, 255, 10, 255, 90, 0};
    static const uint8_t expected[4] = {250, 0, 0, 128};
    struct thumb thumb;
    uint8_t out[4];
    int fd;

    thumb_init(&thumb, 1);
    cr_assert_eq(thumb_begin(&thumb, 2, 1, 2, 1, 4), 0);
    cr_assert_eq(thumb_row(&thumb, row), 0);
    fd = thumb_finish(&thumb);
    cr_assert_geq(fd, 0);
    cr_expect_eq(pread(fd, out, sizeof(out), 0), (ssize_t)sizeof(out));
    cr_expect_arr_eq(out, expected, sizeof(out));
    close(fd);
    thumb_deinit(&thumb);
}

Test(thumb, ends_in_a_memfd_that_a_stranger_may_map)
{
    UDS_TEST_GUARD;
    uint8_t row[100 * 3] = {1};
    struct thumb thumb;
    uint64_t size = 0;
    int fd;

    thumb_init(&thumb, 256);
    cr_assert_eq(thumb_begin(&thumb, 100, 60, 100, 60, 3), 0);
    for (int i = 0; i < 60; i++)
        cr_assert_eq(thumb_row(&thumb, row), 0);
    fd = thumb_finish(&thumb);
    cr_assert_geq(fd, 0);
    cr_expect_eq(uds_memfd_check(fd, 1u << 20, &size), 0);
    cr_expect_eq(size, 100 * 60 * 3);
    cr_expect_eq(write(fd, row, 1), -1, "sealed");
    close(fd);
    thumb_deinit(&thumb);
}

Test(thumb, refuses_sizes_that_make_no_sense)
{
    UDS_TEST_GUARD;
    struct thumb thumb;

    thumb_init(&thumb, 256);
    cr_expect_eq(thumb_begin(&thumb, 0, 1, 0, 1, 3), -EINVAL);
    cr_expect_eq(thumb_begin(&thumb, 65536, 1, 65536, 1, 3), -EINVAL);
    cr_expect_eq(thumb_begin(&thumb, 10, 10, 5, 10, 3), -EINVAL,
                 "rows narrower than the thumbnail");
    cr_expect_eq(thumb_begin(&thumb, 10, 10, 10, 10, 2), -EINVAL);
    cr_expect_eq(thumb_finish(&thumb), -EINVAL, "nothing was begun");
    thumb_deinit(&thumb);
    thumb_init(&thumb, THUMB_EDGE_MAX + 1);
    cr_expect_eq(thumb_begin(&thumb, 10, 10, 10, 10, 3), -EINVAL);
    thumb_deinit(&thumb);
}
