/* SPDX-License-Identifier: MIT */

/* The decoders on good files, and on good files that were cut and scratched: always a typed answer. */

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/resource.h>

#include <uds/error.h>

#include "guard.h"
#include "image.h"

struct file {
    uint8_t *bytes;
    size_t len;
};

static struct file load(const char *name)
{
    struct file file = {.bytes = malloc(1 << 20), .len = 0};
    char path[4096];
    FILE *in;

    snprintf(path, sizeof(path), "%s/%s", THUMBNAIL_IMAGES, name);
    in = fopen(path, "re");
    cr_assert_not_null(in, "%s", path);
    file.len = fread(file.bytes, 1, 1 << 20, in);
    fclose(in);
    return file;
}

static int as_fd(const uint8_t *bytes, size_t len)
{
    int fd = memfd_create("image", MFD_CLOEXEC);

    cr_assert_eq(write(fd, bytes, len), (ssize_t)len);
    return fd;
}

/* 0, or the status. On success @ret_info is filled in and a thumbnail came out whole. */
static uint32_t decode(const uint8_t *bytes, size_t len, struct image_info *ret_info)
{
    struct image_error error = {.status = UDS_STATUS_OK, .detail = ""};
    struct thumb thumb;
    int fd = as_fd(bytes, len), r;

    thumb_init(&thumb, 64);
    r = image_decode(fd, &thumb, ret_info, &error);
    if (r == 0) {
        int out = thumb_finish(&thumb);

        cr_expect_geq(out, 0, "decoded, but not whole");
        close(out);
    } else {
        cr_expect_neq(error.status, UDS_STATUS_OK);
        cr_expect_neq(error.detail[0], '\0', "an error says why");
    }
    close(fd);
    thumb_deinit(&thumb);
    return r == 0 ? UDS_STATUS_OK : error.status;
}

Test(image_decode, knows_every_flavour)
{
    UDS_TEST_GUARD;
    static const struct {
        const char *name, *format;
        uint32_t width, height;
    } files[] = {{"colour.png", "PNG", 1200, 800},
                 {"palette.png", "PNG", 640, 480},
                 {"alpha.png", "PNG", 600, 600},
                 {"grey16.png", "PNG", 900, 300},
                 {"interlaced.png", "PNG interlaced", 800, 600},
                 {"baseline.jpg", "JPEG", 1600, 1067},
                 {"grey.jpg", "JPEG", 800, 533},
                 {"progressive.jpg", "JPEG progressive", 1200, 800}};

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct file file = load(files[i].name);
        struct image_info info = {.format = ""};

        cr_expect_eq(decode(file.bytes, file.len, &info), UDS_STATUS_OK, "%s", files[i].name);
        cr_expect_str_eq(info.format, files[i].format);
        cr_expect_eq(info.width, files[i].width);
        cr_expect_eq(info.height, files[i].height);
        free(file.bytes);
    }
}

static const char *const victims[] = {"palette.png", "interlaced.png", "grey.jpg",
                                      "progressive.jpg"};

Test(image_decode, calls_a_file_that_was_cut_off_a_bad_request)
{
    UDS_TEST_GUARD;
    for (size_t i = 0; i < sizeof(victims) / sizeof(victims[0]); i++) {
        struct file file = load(victims[i]);
        struct image_info info;

        for (size_t tenth = 0; tenth < 10; tenth++) {
            size_t len = file.len * tenth / 10;

            cr_expect_eq(decode(file.bytes, len, &info), UDS_STATUS_BAD_REQUEST, "%s cut to %zu",
                         victims[i], len);
        }
        free(file.bytes);
    }
}

/* Whatever comes out: it is an answer, in bounded time, and the sanitizers are silent. */
Test(image_decode, survives_scratched_files)
{
    UDS_TEST_GUARD;
    uint32_t random = 1;

    for (size_t i = 0; i < sizeof(victims) / sizeof(victims[0]); i++) {
        struct file file = load(victims[i]);

        for (int round = 0; round < 40; round++) {
            uint8_t *copy = malloc(file.len);
            struct image_info info;

            memcpy(copy, file.bytes, file.len);
            for (int k = 0; k < 8; k++) {
                random = random * 1664525u + 1013904223u;
                copy[16 + (random >> 8) % (k < 2 ? 600 : file.len - 16)] ^= (uint8_t)(random >> 3);
            }
            (void)decode(copy, file.len, &info);
            free(copy);
        }
        free(file.bytes);
    }
}

Test(image_decode, calls_anything_else_a_bad_request)
{
    UDS_TEST_GUARD;
    struct image_info info;
    struct image_error error;
    struct thumb thumb;
    int dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    cr_expect_eq(decode((const uint8_t *)"", 0, &info), UDS_STATUS_BAD_REQUEST);
    cr_expect_eq(decode((const uint8_t *)"GIF89a....", 10, &info), UDS_STATUS_BAD_REQUEST);
    cr_expect_eq(decode((const uint8_t *)"\x89PNG\r\n\x1a\n", 8, &info), UDS_STATUS_BAD_REQUEST);
    cr_expect_eq(decode((const uint8_t *)"\xff\xd8\xff", 3, &info), UDS_STATUS_BAD_REQUEST);
    thumb_init(&thumb, 64);
    cr_expect_eq(image_decode(dir, &thumb, &info, &error), -1);
    cr_expect_eq(error.status, UDS_STATUS_BAD_REQUEST);
    thumb_deinit(&thumb);
    close(dir);
}

#ifndef UDS_SANITIZED /* the shadow memory does not fit under RLIMIT_DATA */
Test(image_decode, calls_a_failed_allocation_the_rlimit_that_it_is)
{
    UDS_TEST_GUARD;
    static const char *const bombs[] = {"../bombs/interlaced-bomb.png",
                                        "../bombs/progressive-bomb.jpg"};
    struct rlimit limit, low;

    cr_assert_eq(getrlimit(RLIMIT_DATA, &limit), 0);
    low = limit;
    low.rlim_cur = 64u << 20;
    for (size_t i = 0; i < sizeof(bombs) / sizeof(bombs[0]); i++) {
        struct file file = load(bombs[i]);
        struct image_error error = {0};
        struct image_info info;
        struct thumb thumb;
        int fd = as_fd(file.bytes, file.len), r;

        free(file.bytes);
        thumb_init(&thumb, 64);
        cr_assert_eq(setrlimit(RLIMIT_DATA, &low), 0);
        r = image_decode(fd, &thumb, &info, &error);
        cr_assert_eq(setrlimit(RLIMIT_DATA, &limit), 0);
        cr_expect_eq(r, -1);
        cr_expect_eq(error.status, UDS_STATUS_MEMORY_LIMIT, "%s", error.detail);
        cr_expect_eq(error.value, 64u << 20);
        cr_expect_not_null(strstr(error.detail, "memory-limit (rlimit)"));
        thumb_deinit(&thumb);
        close(fd);
    }
}
#endif
