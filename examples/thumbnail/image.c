/* SPDX-License-Identifier: MIT */
/*
 * What both decoders share: reading the file, telling the formats apart by their first bytes, typed errors.
 *
 * An allocation that fails is interesting: under a cgroup limit it never does (the kernel kills later, and the broker
 * reports OOM); under RLIMIT_DATA malloc(3) returns NULL, and that is reported as the rlimit that it is.
 */
#include "image.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/resource.h>
#include <sys/stat.h>

#include <uds/error.h>

int image_fail(struct image_error *error, uint32_t status, const char *format, ...)
{
    va_list args;

    error->status = status;
    error->value = 0;
    va_start(args, format);
    (void)vsnprintf(error->detail, sizeof(error->detail), format, args);
    va_end(args);
    /* A library's message may quote the file; a detail is one line of text. */
    for (char *p = error->detail; *p != '\0'; p++)
        if (*p < ' ' || *p > '~')
            *p = '?';
    return -1;
}

int image_fail_memory(struct image_error *error, const struct image_info *info)
{
    static const struct {
        __rlimit_resource_t resource;
        const char *name;
    } limits[] = {{RLIMIT_DATA, "RLIMIT_DATA"}, {RLIMIT_AS, "RLIMIT_AS"}};

    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        struct rlimit limit;

        if (getrlimit(limits[i].resource, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
            continue;
        (void)image_fail(error, UDS_STATUS_MEMORY_LIMIT,
                         "memory-limit (rlimit): %ux%u %s does not fit into %s %llu MiB",
                         info->width, info->height, info->format, limits[i].name,
                         (unsigned long long)(limit.rlim_cur >> 20));
        error->value = limit.rlim_cur;
        return -1;
    }
    return image_fail(error, UDS_STATUS_INTERNAL, "out of memory for a %ux%u %s", info->width,
                      info->height, info->format);
}

int image_fail_thumb(struct image_error *error, const struct image_info *info, int err)
{
    if (err == ENOMEM)
        return image_fail_memory(error, info);
    return image_fail(error, UDS_STATUS_INTERNAL, "thumbnail: %s", strerror(err));
}

static void image_source_init(struct image_source *source, int fd)
{
    source->fd = fd;
    source->offset = 0;
    source->pos = 0;
    source->len = 0;
}

int image_source_fill(struct image_source *source)
{
    ssize_t n;

    if (source->pos < source->len)
        return (int)(source->len - source->pos);
    do
        n = pread(source->fd, source->buf, sizeof(source->buf), (off_t)source->offset);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    source->offset += (uint64_t)n;
    source->pos = 0;
    source->len = (size_t)n;
    return (int)n;
}

int image_source_read(struct image_source *source, void *out, size_t size)
{
    uint8_t *to = out;

    while (size > 0) {
        int n = image_source_fill(source);
        size_t part;

        if (n < 0)
            return n;
        if (n == 0)
            return -ENODATA;
        part = (size_t)n < size ? (size_t)n : size;
        memcpy(to, source->buf + source->pos, part);
        source->pos += part;
        to += part;
        size -= part;
    }
    return 0;
}

int image_decode(int fd,
                 struct thumb *thumb,
                 struct image_info *ret_info,
                 struct image_error *error)
{
    static const uint8_t png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    static const uint8_t jpeg[3] = {0xff, 0xd8, 0xff};
    struct image_source source;
    struct stat st;
    int n;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return image_fail(error, UDS_STATUS_BAD_REQUEST, "the descriptor is no regular file");
    image_source_init(&source, fd);
    n = image_source_fill(&source);
    if (n < 0)
        return image_fail(error, UDS_STATUS_BAD_REQUEST, "cannot read the image: %s", strerror(-n));
    if ((size_t)n >= sizeof(png) && memcmp(source.buf, png, sizeof(png)) == 0)
        return png_decode(&source, thumb, ret_info, error);
    if ((size_t)n >= sizeof(jpeg) && memcmp(source.buf, jpeg, sizeof(jpeg)) == 0)
        return jpeg_decode(&source, thumb, ret_info, error);
    return image_fail(error, UDS_STATUS_BAD_REQUEST, "neither PNG nor JPEG by its first bytes");
}
