/* SPDX-License-Identifier: MIT */
#ifndef THUMBNAIL_THUMB_H
#define THUMBNAIL_THUMB_H

#include <stdint.h>

/*
 * A thumbnail in the making: takes the rows of an image from top to bottom, averages them down with a box filter and
 * writes the small rows into a memfd. Memory is one row of sums and one row of pixels, whatever the image's height.
 *
 *   init ──▶ begin (sizes are known) ──▶ row × row_height ──▶ finish (sealed memfd) ──▶ deinit
 */

#define THUMB_EDGE_MAX 1024u

struct thumb {
    uint32_t max_edge;
    uint32_t width, height; /* of the thumbnail; from begin() on */
    uint32_t channels;      /* 3 or 4 */
    uint32_t stride;        /* bytes */
    /* private */
    int fd;
    uint32_t row_width, row_height; /* of the rows that come in */
    uint32_t row, out_row;          /* next of each */
    uint32_t rows_summed;
    uint64_t *sums; /* width × channels; colours weighted by alpha if there is one */
    uint8_t *line;  /* stride bytes */
};

/* @max_edge: 1 … THUMB_EDGE_MAX. */
void thumb_init(struct thumb *thumb, uint32_t max_edge);
void thumb_deinit(struct thumb *thumb);

/* The size that an image of @width × @height gets: its longer edge at most @max_edge, never enlarged, at least 1 × 1. */
void thumb_fit(
    uint32_t width, uint32_t height, uint32_t max_edge, uint32_t *ret_width, uint32_t *ret_height);

/*
 * @width, @height:         of the image, 1 … 65535
 * @row_width, @row_height: of the rows that will come: the image's, or less if a decoder scales by itself, but not
 *                          less than the thumbnail's
 * -EINVAL, -ENOMEM, or why there is no memfd.
 */
int thumb_begin(struct thumb *thumb,
                uint32_t width,
                uint32_t height,
                uint32_t row_width,
                uint32_t row_height,
                uint32_t channels);
/* One more row of row_width × channels bytes. -EINVAL after the last; -errno of write(2). */
int thumb_row(struct thumb *thumb, const uint8_t *pixels);
/* Seals the memfd for good. Returns it, which the caller owns from now on; -EINVAL rows are missing; -errno. */
int thumb_finish(struct thumb *thumb);

#endif
