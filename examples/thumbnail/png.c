/* SPDX-License-Identifier: MIT */
/*
 * PNG by libpng. A plain PNG is read row by row; an interlaced one brings its pixels in seven passes over the whole
 * image and must be held whole: width × height × channels bytes, which is what the bomb is about.
 *
 * libpng reports errors by longjmp(3). Everything that must survive one lives in struct job, and png_decode() is the
 * only function with a setjmp: it has no locals that change.
 */
#include <errno.h>
#include <png.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <uds/error.h>

#include "image.h"

struct job {
    struct image_source *source;
    struct thumb *thumb;
    struct image_info info;
    struct image_error *error;
    png_structp png;
    png_infop png_info;
    uint8_t *pixels; /* one row, or all of them */
    png_bytep *rows; /* interlaced only */
    bool out_of_memory;
    char message[128]; /* of libpng */
};

static void on_error(png_structp png, png_const_charp message)
{
    struct job *job = png_get_error_ptr(png);

    (void)strncpy(job->message, message, sizeof(job->message) - 1);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp message)
{
    (void)png;
    (void)message;
}

static png_voidp on_malloc(png_structp png, png_alloc_size_t size)
{
    struct job *job = png_get_mem_ptr(png);
    void *p = malloc(size);

    if (p == NULL)
        job->out_of_memory = true;
    return p;
}

static void on_free(png_structp png, png_voidp p)
{
    (void)png;
    free(p);
}

static void on_read(png_structp png, png_bytep out, size_t size)
{
    struct job *job = png_get_io_ptr(png);
    int r = image_source_read(job->source, out, size);

    if (r == -ENODATA)
        png_error(png, "the file ends in the middle of the image");
    if (r < 0)
        png_error(png, strerror(-r));
}

/* Whatever the file holds, rows come out as 8-bit RGB or RGBA. */
static void normalise(struct job *job)
{
    png_byte colour = png_get_color_type(job->png, job->png_info);

    png_set_expand(job->png); /* palette → RGB, grey → 8 bit, tRNS → alpha */
    png_set_scale_16(job->png);
    if (!(colour & PNG_COLOR_MASK_COLOR))
        png_set_gray_to_rgb(job->png);
}

/* 0, or -1 with job->error. libpng's own errors leave by longjmp. */
static int read_header(struct job *job)
{
    struct image_info *info = &job->info;
    uint32_t channels;
    int r;

    png_set_user_limits(job->png, IMAGE_EDGE_MAX, IMAGE_EDGE_MAX);
    png_read_info(job->png, job->png_info);
    info->width = png_get_image_width(job->png, job->png_info);
    info->height = png_get_image_height(job->png, job->png_info);
    if (png_get_interlace_type(job->png, job->png_info) != PNG_INTERLACE_NONE)
        info->format = "PNG interlaced";
    normalise(job);
    (void)png_set_interlace_handling(job->png);
    png_read_update_info(job->png, job->png_info);
    channels = png_get_channels(job->png, job->png_info);
    if (png_get_rowbytes(job->png, job->png_info) != (size_t)info->width * channels)
        return image_fail(job->error, UDS_STATUS_INTERNAL, "libpng gives rows of an odd size");
    r = thumb_begin(job->thumb, info->width, info->height, info->width, info->height, channels);
    return r < 0 ? image_fail_thumb(job->error, info, -r) : 0;
}

static int read_rows(struct job *job)
{
    job->pixels = malloc((size_t)job->info.width * job->thumb->channels);
    if (job->pixels == NULL)
        return image_fail_memory(job->error, &job->info);
    for (uint32_t y = 0; y < job->info.height; y++) {
        int r;

        png_read_row(job->png, job->pixels, NULL);
        r = thumb_row(job->thumb, job->pixels);
        if (r < 0)
            return image_fail_thumb(job->error, &job->info, -r);
    }
    return 0;
}

static int read_whole(struct job *job)
{
    size_t row_size = (size_t)job->info.width * job->thumb->channels;

    job->rows = calloc(job->info.height, sizeof(*job->rows));
    job->pixels = calloc(job->info.height, row_size);
    if (job->rows == NULL || job->pixels == NULL)
        return image_fail_memory(job->error, &job->info);
    for (uint32_t y = 0; y < job->info.height; y++)
        job->rows[y] = job->pixels + y * row_size;
    png_read_image(job->png, job->rows);
    for (uint32_t y = 0; y < job->info.height; y++) {
        int r = thumb_row(job->thumb, job->rows[y]);

        if (r < 0)
            return image_fail_thumb(job->error, &job->info, -r);
    }
    return 0;
}

static int decode(struct job *job)
{
    if (read_header(job) < 0)
        return -1;
    if (png_get_interlace_type(job->png, job->png_info) != PNG_INTERLACE_NONE)
        return read_whole(job);
    return read_rows(job);
}

static int guarded(struct job *job)
{
    if (setjmp(png_jmpbuf(job->png)) == 0)
        return decode(job);
    if (job->out_of_memory)
        return image_fail_memory(job->error, &job->info);
    return image_fail(job->error, UDS_STATUS_BAD_REQUEST, "libpng: %s", job->message);
}

int png_decode(struct image_source *source,
               struct thumb *thumb,
               struct image_info *ret_info,
               struct image_error *error)
{
    struct job job = {
        .source = source, .thumb = thumb, .info = {.format = "PNG"}, .error = error, .png = NULL};
    int r = -1;

    job.png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &job, on_error, on_warning, &job,
                                       on_malloc, on_free);
    job.png_info = job.png == NULL ? NULL : png_create_info_struct(job.png);
    if (job.png_info == NULL) {
        (void)image_fail_memory(error, &job.info);
    } else {
        png_set_read_fn(job.png, &job, on_read);
        r = guarded(&job);
    }
    png_destroy_read_struct(&job.png, &job.png_info, NULL);
    free(job.rows);
    free(job.pixels);
    if (r == 0)
        *ret_info = job.info;
    return r;
}
