/* SPDX-License-Identifier: MIT */
/*
 * Box filter with whole source pixels: thumbnail column x is the average of source columns
 * [x·W/w, (x+1)·W/w), rows alike. Every source pixel counts exactly once, and since the thumbnail is never larger
 * than what comes in, no box is empty.
 *
 * The memfd is written, never mapped: F_SEAL_WRITE needs that nobody maps it writable, and written pages are
 * allocated pages, which the receiver insists on before it maps.
 */
#include "thumb.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <uds/fdset.h>

void thumb_init(struct thumb *thumb, uint32_t max_edge)
{
    *thumb = (struct thumb){.max_edge = max_edge, .fd = -1};
}

void thumb_deinit(struct thumb *thumb)
{
    if (thumb->fd >= 0)
        (void)close(thumb->fd);
    thumb->fd = -1;
    free(thumb->sums);
    thumb->sums = NULL;
    free(thumb->line);
    thumb->line = NULL;
}

static uint32_t scale(uint32_t edge, uint32_t max_edge, uint32_t longest)
{
    uint64_t scaled = ((uint64_t)edge * max_edge + longest / 2) / longest;

    return scaled == 0 ? 1 : (uint32_t)scaled;
}

void thumb_fit(
    uint32_t width, uint32_t height, uint32_t max_edge, uint32_t *ret_width, uint32_t *ret_height)
{
    uint32_t longest = width > height ? width : height;

    if (longest <= max_edge) {
        *ret_width = width;
        *ret_height = height;
        return;
    }
    *ret_width = scale(width, max_edge, longest);
    *ret_height = scale(height, max_edge, longest);
}

int thumb_begin(struct thumb *thumb,
                uint32_t width,
                uint32_t height,
                uint32_t row_width,
                uint32_t row_height,
                uint32_t channels)
{
    if (width == 0 || height == 0 || width > UINT16_MAX || height > UINT16_MAX)
        return -EINVAL;
    if (thumb->max_edge == 0 || thumb->max_edge > THUMB_EDGE_MAX)
        return -EINVAL;
    if ((channels != 3 && channels != 4) || thumb->fd >= 0)
        return -EINVAL;
    thumb_fit(width, height, thumb->max_edge, &thumb->width, &thumb->height);
    if (row_width < thumb->width || row_height < thumb->height)
        return -EINVAL;
    thumb->row_width = row_width;
    thumb->row_height = row_height;
    thumb->channels = channels;
    thumb->stride = thumb->width * channels;
    thumb->sums = calloc(thumb->stride, sizeof(*thumb->sums));
    thumb->line = malloc(thumb->stride);
    if (thumb->sums == NULL || thumb->line == NULL)
        return -ENOMEM;
    return uds_memfd_create("thumbnail", &thumb->fd);
}

/* First source position of box @i when @in positions fall into @out boxes. */
static uint32_t box_start(uint32_t i, uint32_t in, uint32_t out)
{
    return (uint32_t)((uint64_t)i * in / out);
}

static void sum_rgb(struct thumb *thumb, const uint8_t *p)
{
    uint64_t *sum = thumb->sums;

    for (uint32_t x = 0, from = 0; x < thumb->width; x++, sum += 3) {
        uint32_t to = box_start(x + 1, thumb->row_width, thumb->width);

        for (; from < to; from++, p += 3) {
            sum[0] += p[0];
            sum[1] += p[1];
            sum[2] += p[2];
        }
    }
}

/* Colours count as much as they are opaque, otherwise the colour of invisible pixels bleeds into the edges. */
static void sum_rgba(struct thumb *thumb, const uint8_t *p)
{
    uint64_t *sum = thumb->sums;

    for (uint32_t x = 0, from = 0; x < thumb->width; x++, sum += 4) {
        uint32_t to = box_start(x + 1, thumb->row_width, thumb->width);

        for (; from < to; from++, p += 4) {
            uint32_t alpha = p[3];

            sum[0] += p[0] * alpha;
            sum[1] += p[1] * alpha;
            sum[2] += p[2] * alpha;
            sum[3] += alpha;
        }
    }
}

static uint8_t average(uint64_t sum, uint64_t weight)
{
    if (weight == 0)
        return 0;
    return (uint8_t)((sum + weight / 2) / weight);
}

static void average_row(struct thumb *thumb)
{
    const uint64_t *sum = thumb->sums;
    uint8_t *out = thumb->line;

    for (uint32_t x = 0; x < thumb->width; x++) {
        uint32_t columns = box_start(x + 1, thumb->row_width, thumb->width) -
                           box_start(x, thumb->row_width, thumb->width);
        uint64_t pixels = (uint64_t)columns * thumb->rows_summed;
        uint64_t weight = thumb->channels == 4 ? sum[3] : pixels;

        for (uint32_t c = 0; c < 3; c++)
            out[c] = average(sum[c], weight);
        if (thumb->channels == 4)
            out[3] = average(sum[3], pixels);
        sum += thumb->channels;
        out += thumb->channels;
    }
}

static int write_row(struct thumb *thumb)
{
    size_t done = 0;

    while (done < thumb->stride) {
        ssize_t n = write(thumb->fd, thumb->line + done, thumb->stride - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        done += (size_t)n;
    }
    return 0;
}

int thumb_row(struct thumb *thumb, const uint8_t *pixels)
{
    int r;

    if (thumb->fd < 0 || thumb->row >= thumb->row_height)
        return -EINVAL;
    if (thumb->channels == 4)
        sum_rgba(thumb, pixels);
    else
        sum_rgb(thumb, pixels);
    thumb->rows_summed++;
    thumb->row++;
    if (thumb->row < box_start(thumb->out_row + 1, thumb->row_height, thumb->height))
        return 0;
    average_row(thumb);
    r = write_row(thumb);
    if (r < 0)
        return r;
    memset(thumb->sums, 0, thumb->stride * sizeof(*thumb->sums));
    thumb->rows_summed = 0;
    thumb->out_row++;
    return 0;
}

int thumb_finish(struct thumb *thumb)
{
    int fd = thumb->fd;

    if (fd < 0 || thumb->out_row != thumb->height)
        return -EINVAL;
    int r = uds_memfd_seal(fd);
    if (r < 0)
        return r;
    thumb->fd = -1;
    return fd;
}
