/* SPDX-License-Identifier: MIT */
/*
 * The decoder was fed hostile bytes, so what comes back is hostile too. A memfd is mapped only if it is sealed for good
 * and every page is there (otherwise touching it kills us, or costs us its memory), and only if the dimensions that the
 * reply claims fit into it, with arithmetic that cannot wrap around.
 */
#include "picture.h"

#include <errno.h>
#include <png.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>

#include <uds/fdset.h>

static int fail(char *error, size_t size, const char *what, const char *why)
{
    (void)snprintf(error, size, "%s: %s", what, why);
    return -1;
}

static const char *memfd_problem(int r)
{
    switch (-r) {
    case EINVAL:
        return "it is no memfd";
    case EPERM:
        return "a seal is missing, it could change under us";
    case EFBIG:
        return "it is larger than any thumbnail";
    case ENODATA:
        return "it is sparse, touching it would cost us its memory";
    default:
        return strerror(-r);
    }
}

static bool dimensions_fit(const Thumbnail__MakeReply *reply, uint32_t max_edge, uint64_t size)
{
    uint32_t row;
    uint64_t total;

    if (reply->channels != 3 && reply->channels != 4)
        return false;
    if (reply->width == 0 || reply->width > max_edge)
        return false;
    if (reply->height == 0 || reply->height > max_edge)
        return false;
    if (__builtin_mul_overflow(reply->width, reply->channels, &row) || row > reply->stride)
        return false;
    if (__builtin_mul_overflow((uint64_t)reply->stride, (uint64_t)reply->height, &total))
        return false;
    return total <= size;
}

int picture_map(struct picture *picture,
                const Thumbnail__MakeReply *reply,
                int fd,
                uint32_t max_edge,
                char *error,
                size_t size)
{
    uint64_t bytes, limit = (uint64_t)max_edge * max_edge * 4;
    void *map;
    int r;

    r = uds_memfd_check(fd, limit, &bytes);
    if (r < 0)
        return fail(error, size, "the decoder's memfd is refused", memfd_problem(r));
    if (!dimensions_fit(reply, max_edge, bytes))
        return fail(error, size, "the decoder lies", "its dimensions do not fit its memfd");
    /* Private: a shared mapping of a write-sealed memfd is refused before Linux 6.7. */
    map = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map == MAP_FAILED)
        return fail(error, size, "map", strerror(errno));
    *picture = (struct picture){.width = reply->width,
                                .height = reply->height,
                                .stride = reply->stride,
                                .channels = reply->channels,
                                .pixels = map,
                                .size = bytes};
    return 0;
}

void picture_unmap(struct picture *picture)
{
    (void)munmap((void *)(uintptr_t)picture->pixels, picture->size);
    picture->pixels = NULL;
}

int picture_write_png(const struct picture *picture, const char *path, char *error, size_t size)
{
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = picture->width,
                       .height = picture->height,
                       .format = picture->channels == 4 ? PNG_FORMAT_RGBA : PNG_FORMAT_RGB};
    FILE *file = fopen(path, "we");

    if (file == NULL)
        return fail(error, size, path, strerror(errno));
    if (!png_image_write_to_stdio(&image, file, 0, picture->pixels, (png_int_32)picture->stride,
                                  NULL)) {
        (void)fclose(file);
        (void)unlink(path);
        return fail(error, size, path, image.message);
    }
    if (fclose(file) != 0) {
        int err = errno;

        (void)unlink(path);
        return fail(error, size, path, strerror(err));
    }
    return 0;
}
