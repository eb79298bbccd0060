/* SPDX-License-Identifier: MIT */
#ifndef THUMBNAIL_IMAGE_H
#define THUMBNAIL_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "thumb.h"

/*
 * An image file behind a descriptor, and the two decoders that turn it into rows of a thumbnail.
 *
 * Everything here works on hostile bytes: sizes are checked before they are multiplied, and what the libraries
 * complain about becomes a typed error, never an exit.
 */

#define IMAGE_EDGE_MAX \
    65500u /* JPEG's own limit; no product of two of these and 4 overflows 64 bits */

struct image_error {
    uint32_t status; /* enum uds_status */
    uint64_t value;  /* goes with it: the limit in bytes */
    char detail[256];
};

struct image_info {
    uint32_t width, height;
    const char *format; /* static */
};

/* Bytes of the file, read with pread(2): the description's offset is shared with whoever sent it. */
struct image_source {
    int fd; /* borrowed */
    uint64_t offset;
    size_t pos, len;
    uint8_t buf[16384];
};

/* Fills the buffer. Returns the bytes that are there, 0 at the end of the file, -errno. */
int image_source_fill(struct image_source *source);
/* Copies @size bytes out. 0, -ENODATA the file ends before, -errno. */
int image_source_read(struct image_source *source, void *out, size_t size);

/*
 * Decode the image in @fd into @thumb, which the caller has initialised and frees.
 * 0 with @ret_info, or -1 with @error filled in.
 */
int image_decode(int fd,
                 struct thumb *thumb,
                 struct image_info *ret_info,
                 struct image_error *error);

/* The two decoders, called by image_decode() at the start of the file. */
int png_decode(struct image_source *source,
               struct thumb *thumb,
               struct image_info *ret_info,
               struct image_error *error);
int jpeg_decode(struct image_source *source,
                struct thumb *thumb,
                struct image_info *ret_info,
                struct image_error *error);

/* Fill in @error and return -1, so that a caller can `return image_fail(…)`. */
int image_fail(struct image_error *error, uint32_t status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* An allocation failed: MEMORY_LIMIT with the limit if an rlimit is in force, else INTERNAL. */
int image_fail_memory(struct image_error *error, const struct image_info *info);
/* thumb_…() returned -@err. */
int image_fail_thumb(struct image_error *error, const struct image_info *info, int err);

#endif
