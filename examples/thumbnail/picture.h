/* SPDX-License-Identifier: MIT */
#ifndef THUMBNAIL_PICTURE_H
#define THUMBNAIL_PICTURE_H

#include <stddef.h>
#include <stdint.h>

#include "thumbnail.pb-c.h"

/* Pixels that came from the decoder: checked, mapped read-only, written out as PNG. */
struct picture {
    uint32_t width, height, stride, channels;
    const uint8_t *pixels;
    size_t size; /* of the mapping */
};

/*
 * Is the memfd @fd what @reply says it is, and safe to map? Then map it. The decoder is not trusted: it may lie about
 * everything. @fd stays the caller's. 0, or -1 with one line in @error.
 */
int picture_map(struct picture *picture,
                const Thumbnail__MakeReply *reply,
                int fd,
                uint32_t max_edge,
                char *error,
                size_t size);
void picture_unmap(struct picture *picture);
/* 0, or -1 with one line in @error. */
int picture_write_png(const struct picture *picture, const char *path, char *error, size_t size);

#endif
