/* SPDX-License-Identifier: MIT */
/*
 * JPEG by libjpeg(-turbo). A baseline file is decoded row by row; the scans of a progressive one each go over the
 * whole image, so that libjpeg holds all coefficients, two bytes each: what the second bomb is about.
 *
 * If the thumbnail is much smaller than the image, libjpeg decodes at 1/2, 1/4 or 1/8 of the size in the first place.
 * Errors leave by longjmp(3); everything that must survive one lives in struct job.
 */
#include <setjmp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <uds/error.h>

#include "image.h"

/* jpeglib.h does not include what it needs. */
/* clang-format off */
#include <stdio.h>
#include <jpeglib.h>
#include <jerror.h>
/* clang-format on */

struct job {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr reader;
    jmp_buf jump;
    struct image_source *source;
    struct thumb *thumb;
    struct image_info info;
    struct image_error *error;
    uint8_t *pixels; /* one row as libjpeg gives it; converted in place */
};

static struct job *job_of(j_common_ptr jpeg)
{
    return jpeg->client_data;
}

static void on_error(j_common_ptr jpeg)
{
    longjmp(job_of(jpeg)->jump, 1);
}

static void on_message(j_common_ptr jpeg, int level)
{
    (void)jpeg;
    (void)level;
}

static void on_output(j_common_ptr jpeg)
{
    (void)jpeg;
}

static void reader_init(j_decompress_ptr jpeg)
{
    jpeg->src->bytes_in_buffer = 0;
}

static boolean reader_fill(j_decompress_ptr jpeg)
{
    struct job *job = job_of((j_common_ptr)jpeg);
    struct image_source *source = job->source;
    int n = image_source_fill(source);

    if (n <= 0)
        ERREXIT(jpeg, n == 0 ? JERR_INPUT_EOF : JERR_FILE_READ);
    jpeg->src->next_input_byte = source->buf + source->pos;
    jpeg->src->bytes_in_buffer = (size_t)n;
    source->pos = source->len;
    return TRUE;
}

static void reader_skip(j_decompress_ptr jpeg, long count)
{
    struct jpeg_source_mgr *src = jpeg->src;

    while (count > 0) {
        size_t part;

        if (src->bytes_in_buffer == 0)
            (void)reader_fill(jpeg);
        part = (size_t)count < src->bytes_in_buffer ? (size_t)count : src->bytes_in_buffer;
        src->next_input_byte += part;
        src->bytes_in_buffer -= part;
        count -= (long)part;
    }
}

static void reader_term(j_decompress_ptr jpeg)
{
    (void)jpeg;
}

/* The smallest eighth that still leaves two pixels for one of the thumbnail. */
static void choose_scale(struct job *job)
{
    uint32_t width, height;

    thumb_fit(job->info.width, job->info.height, job->thumb->max_edge, &width, &height);
    job->jpeg.scale_num = 1;
    job->jpeg.scale_denom = 8;
    while (job->jpeg.scale_denom > 1 && (job->info.width / job->jpeg.scale_denom < 2 * width ||
                                         job->info.height / job->jpeg.scale_denom < 2 * height))
        job->jpeg.scale_denom /= 2;
}

static int read_header(struct job *job)
{
    struct jpeg_decompress_struct *jpeg = &job->jpeg;
    int r;

    (void)jpeg_read_header(jpeg, TRUE);
    job->info.width = jpeg->image_width;
    job->info.height = jpeg->image_height;
    if (jpeg->progressive_mode)
        job->info.format = "JPEG progressive";
    if (job->info.width > IMAGE_EDGE_MAX || job->info.height > IMAGE_EDGE_MAX)
        return image_fail(job->error, UDS_STATUS_BAD_REQUEST, "an edge is over %u pixels",
                          IMAGE_EDGE_MAX);
    if (jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK)
        jpeg->out_color_space = JCS_CMYK;
    else
        jpeg->out_color_space = JCS_RGB;
    choose_scale(job);
    (void)jpeg_start_decompress(jpeg);
    r = thumb_begin(job->thumb, job->info.width, job->info.height, jpeg->output_width,
                    jpeg->output_height, 3);
    return r < 0 ? image_fail_thumb(job->error, &job->info, -r) : 0;
}

/* Adobe writes CMYK inverted; everybody follows. */
static void cmyk_to_rgb(struct job *job)
{
    bool inverted = job->jpeg.saw_Adobe_marker;
    const uint8_t *in = job->pixels;
    uint8_t *out = job->pixels;

    for (uint32_t x = 0; x < job->jpeg.output_width; x++, in += 4, out += 3) {
        unsigned k = inverted ? in[3] : 255u - in[3];

        for (unsigned c = 0; c < 3; c++) {
            unsigned ink = inverted ? in[c] : 255u - in[c];

            out[c] = (uint8_t)(ink * k / 255u);
        }
    }
}

static int read_rows(struct job *job)
{
    struct jpeg_decompress_struct *jpeg = &job->jpeg;

    job->pixels = malloc((size_t)jpeg->output_width * (size_t)jpeg->output_components);
    if (job->pixels == NULL)
        return image_fail_memory(job->error, &job->info);
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW row = job->pixels;
        int r;

        (void)jpeg_read_scanlines(jpeg, &row, 1);
        if (jpeg->out_color_space == JCS_CMYK)
            cmyk_to_rgb(job);
        r = thumb_row(job->thumb, job->pixels);
        if (r < 0)
            return image_fail_thumb(job->error, &job->info, -r);
    }
    return 0;
}

static int decode(struct job *job)
{
    jpeg_create_decompress(&job->jpeg);
    job->jpeg.client_data = job; /* create() keeps it, by contract; said again for the reader */
    job->jpeg.src = &job->reader;
    if (read_header(job) < 0)
        return -1;
    return read_rows(job);
}

static int guarded(struct job *job)
{
    char message[JMSG_LENGTH_MAX];

    if (setjmp(job->jump) == 0)
        return decode(job);
    if (job->errors.msg_code == JERR_OUT_OF_MEMORY)
        return image_fail_memory(job->error, &job->info);
    job->errors.format_message((j_common_ptr)&job->jpeg, message);
    return image_fail(job->error, UDS_STATUS_BAD_REQUEST, "libjpeg: %s", message);
}

int jpeg_decode(struct image_source *source,
                struct thumb *thumb,
                struct image_info *ret_info,
                struct image_error *error)
{
    struct job job = {.source = source,
                      .thumb = thumb,
                      .info = {.format = "JPEG"},
                      .error = error,
                      .pixels = NULL};
    int r;

    job.jpeg.err = jpeg_std_error(&job.errors);
    job.errors.error_exit = on_error;
    job.errors.emit_message = on_message;
    job.errors.output_message = on_output;
    job.jpeg.client_data = &job;
    job.reader.init_source = reader_init;
    job.reader.fill_input_buffer = reader_fill;
    job.reader.skip_input_data = reader_skip;
    job.reader.resync_to_restart = jpeg_resync_to_restart;
    job.reader.term_source = reader_term;
    r = guarded(&job);
    jpeg_destroy_decompress(&job.jpeg);
    free(job.pixels);
    if (r == 0)
        *ret_info = job.info;
    return r;
}
