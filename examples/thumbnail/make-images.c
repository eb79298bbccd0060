/* SPDX-License-Identifier: MIT */
/*
 * thumbnail-images DIR: draws the images of the default run into DIR/images, and into DIR/bombs two small files of huge
 * dimensions that a decoder can only hold whole. Run at build time, so that the tree carries no binaries.
 *
 * The same little landscape is drawn in every flavour a decoder has to know: grey, palette, alpha, 16 bit, interlaced;
 * baseline, progressive.
 */
#include <errno.h>
#include <math.h>
#include <png.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <sys/stat.h>

/* jpeglib.h does not include what it needs. */
/* clang-format off */
#include <stdio.h>
#include <jpeglib.h>
/* clang-format on */

#define BOMB_EDGE 12000u

static void die(const char *what, const char *path)
{
    (void)fprintf(stderr, "thumbnail-images: %s: %s: %s\n", what, path, strerror(errno));
    exit(1);
}

static FILE *create(const char *dir, const char *name)
{
    char path[4096];
    FILE *file;
    int len = snprintf(path, sizeof(path), "%s/%s", dir, name);

    if (len < 0 || (size_t)len >= sizeof(path)) {
        errno = ENAMETOOLONG;
        die("create", name);
    }
    file = fopen(path, "we");
    if (file == NULL)
        die("create", path);
    return file;
}

static void finish(FILE *file, const char *name)
{
    bool failed = ferror(file) != 0;

    if (fclose(file) != 0 || failed)
        die("write", name);
}

/* ---- the picture ---- */

static double ridge(double x, double height, double roughness, double phase)
{
    return height + 0.06 * sin(x * 5.1 + phase) + 0.03 * sin(x * 13.7 * roughness + 2 * phase) +
           0.012 * sin(x * 41.3 + 3 * phase);
}

static uint8_t clamp(double value)
{
    return value < 0 ? 0 : value > 255 ? 255 : (uint8_t)value;
}

/* Sky, sun and three ridges; @rgba gets 4 bytes, opaque. */
static void draw(uint32_t px, uint32_t py, uint32_t width, uint32_t height, uint8_t *rgba)
{
    double x = (double)px / width, y = (double)py / height;
    double dx = (x - 0.72) * width / height, dy = y - 0.27;
    double glow = exp(-(dx * dx + dy * dy) * 22);
    double red = 70 + 150 * y + 110 * glow, green = 120 + 80 * y + 90 * glow, blue = 190 - 20 * y;

    rgba[3] = 255;
    if (dx * dx + dy * dy < 0.0064) {
        red = 255;
        green = 244;
        blue = 214;
    }
    for (int i = 0; i < 3; i++) {
        double top = ridge(x, 0.52 + 0.15 * i, 1 + 0.4 * i, 1.7 * i);
        double depth = y - top;

        if (depth < 0)
            continue;
        red = 88 - 28 * i + 60 * depth;
        green = 110 - 24 * i + 80 * depth;
        blue = 130 - 40 * i + 20 * depth;
    }
    rgba[0] = clamp(red);
    rgba[1] = clamp(green);
    rgba[2] = clamp(blue);
}

/* ---- PNG ---- */

struct png_flavour {
    const char *name;
    uint32_t width, height;
    int colour, depth, interlace;
};

static void png_failed(png_structp png, png_const_charp message)
{
    (void)png;
    (void)fprintf(stderr, "thumbnail-images: libpng: %s\n", message);
    exit(1);
}

/* One row in the flavour's own layout. */
static void png_fill(const struct png_flavour *flavour, uint32_t y, uint8_t *row)
{
    for (uint32_t x = 0; x < flavour->width; x++) {
        uint8_t p[4];
        uint8_t grey;

        draw(x, y, flavour->width, flavour->height, p);
        grey = (uint8_t)((p[0] * 77u + p[1] * 151u + p[2] * 28u) >> 8);
        if (flavour->colour == PNG_COLOR_TYPE_PALETTE) {
            *row++ = (uint8_t)((p[0] & 0xe0u) | (p[1] & 0xe0u) >> 3 | p[2] >> 6);
        } else if (flavour->colour == PNG_COLOR_TYPE_GRAY) {
            *row++ = grey;
            if (flavour->depth == 16)
                *row++ = grey;
        } else {
            memcpy(row, p, 3);
            row += 3;
            if (flavour->colour == PNG_COLOR_TYPE_RGBA) /* a vignette of transparency */
                *row++ = clamp(
                    340 - 340 * hypot(2.0 * x / flavour->width - 1, 2.0 * y / flavour->height - 1));
        }
    }
}

static void png_write_palette(png_structp png, png_infop info)
{
    png_color palette[256];

    for (unsigned i = 0; i < 256; i++) {
        palette[i].red = (png_byte)((i >> 5) * 255u / 7u);
        palette[i].green = (png_byte)((i >> 2 & 7u) * 255u / 7u);
        palette[i].blue = (png_byte)((i & 3u) * 255u / 3u);
    }
    png_set_PLTE(png, info, palette, 256);
}

static void write_png(const char *dir, const struct png_flavour *flavour, bool blank)
{
    FILE *file = create(dir, flavour->name);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, png_failed, NULL);
    png_infop info = png == NULL ? NULL : png_create_info_struct(png);
    uint8_t *row = calloc(flavour->width, 8);
    int passes;

    if (info == NULL || row == NULL)
        die("allocate", flavour->name);
    png_init_io(png, file);
    png_set_IHDR(png, info, flavour->width, flavour->height, flavour->depth, flavour->colour,
                 flavour->interlace, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (flavour->colour == PNG_COLOR_TYPE_PALETTE)
        png_write_palette(png, info);
    if (blank)
        png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_FILTER_NONE);
    png_write_info(png, info);
    passes = png_set_interlace_handling(png);
    for (int pass = 0; pass < passes; pass++) {
        for (uint32_t y = 0; y < flavour->height; y++) {
            if (!blank)
                png_fill(flavour, y, row);
            png_write_row(png, row);
        }
    }
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    free(row);
    finish(file, flavour->name);
}

/* ---- JPEG ---- */

static void write_jpeg(
    const char *dir, const char *name, uint32_t width, uint32_t height, bool grey, bool progressive)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    FILE *file = create(dir, name);
    uint8_t *row = malloc((size_t)width * 3);

    if (row == NULL)
        die("allocate", name);
    jpeg.err = jpeg_std_error(&errors); /* prints and exits: right for a tool of the build */
    jpeg_create_compress(&jpeg);
    jpeg_stdio_dest(&jpeg, file);
    jpeg.image_width = width;
    jpeg.image_height = height;
    jpeg.input_components = 3;
    jpeg.in_color_space = JCS_RGB;
    jpeg_set_defaults(&jpeg);
    if (grey)
        jpeg_set_colorspace(&jpeg, JCS_GRAYSCALE);
    jpeg_set_quality(&jpeg, 88, TRUE);
    if (progressive)
        jpeg_simple_progression(&jpeg);
    jpeg_start_compress(&jpeg, TRUE);
    for (uint32_t y = 0; y < height; y++) {
        JSAMPROW rows = row;

        for (uint32_t x = 0; x < width; x++) {
            uint8_t p[4];

            draw(x, y, width, height, p);
            memcpy(row + (size_t)x * 3, p, 3);
        }
        (void)jpeg_write_scanlines(&jpeg, &rows, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    free(row);
    finish(file, name);
}

/*
 * A progressive JPEG put together by hand: one grey component, one DC scan in which every block says "no difference"
 * in one bit. Complete and valid; a decoder holds 64 coefficients of 2 bytes for each of those bits.
 */
static void write_jpeg_bomb(const char *dir, const char *name)
{
    static const uint8_t start[] = {0xff, 0xd8, 0xff, 0xdb, 0, 67, 0};
    static const uint8_t frame[] = {
        0xff, 0xc2, 0,    11, 8, BOMB_EDGE >> 8, BOMB_EDGE & 0xff, BOMB_EDGE >> 8, BOMB_EDGE & 0xff,
        1,    1,    0x11, 0};
    /* One code of one bit: category 0. */
    static const uint8_t huffman[] = {0xff, 0xc4, 0, 20, 0, 1, 0, 0, 0, 0, 0,
                                      0,    0,    0, 0,  0, 0, 0, 0, 0, 0, 0};
    static const uint8_t scan[] = {0xff, 0xda, 0, 8, 1, 1, 0, 0, 0, 0};
    static const uint8_t end[] = {0xff, 0xd9};
    FILE *file = create(dir, name);
    uint32_t edge = (BOMB_EDGE + 7) / 8;

    (void)fwrite(start, 1, sizeof(start), file);
    for (int i = 0; i < 64; i++)
        (void)putc(16, file);
    (void)fwrite(frame, 1, sizeof(frame), file);
    (void)fwrite(huffman, 1, sizeof(huffman), file);
    (void)fwrite(scan, 1, sizeof(scan), file);
    for (uint32_t i = 0; i < (edge * edge + 7) / 8; i++)
        (void)putc(0, file);
    (void)fwrite(end, 1, sizeof(end), file);
    finish(file, name);
}

static void make_directory(const char *path)
{
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        die("make directory", path);
}

int main(int argc, char **argv)
{
    static const struct png_flavour flavours[] = {
        {"colour.png", 1200, 800, PNG_COLOR_TYPE_RGB, 8, PNG_INTERLACE_NONE},
        {"palette.png", 640, 480, PNG_COLOR_TYPE_PALETTE, 8, PNG_INTERLACE_NONE},
        {"alpha.png", 600, 600, PNG_COLOR_TYPE_RGBA, 8, PNG_INTERLACE_NONE},
        {"grey16.png", 900, 300, PNG_COLOR_TYPE_GRAY, 16, PNG_INTERLACE_NONE},
        {"interlaced.png", 800, 600, PNG_COLOR_TYPE_RGB, 8, PNG_INTERLACE_ADAM7},
    };
    static const struct png_flavour bomb = {"interlaced-bomb.png", BOMB_EDGE, BOMB_EDGE,
                                            PNG_COLOR_TYPE_GRAY,   8,         PNG_INTERLACE_ADAM7};
    char images[4096], bombs[4096];

    if (argc != 2 || argv[1][0] == '-') {
        (void)fputs("usage: thumbnail-images DIR\n"
                    "Draws the example images into DIR/images and the bombs into DIR/bombs.\n",
                    stderr);
        return 2;
    }
    (void)snprintf(images, sizeof(images), "%s/images", argv[1]);
    (void)snprintf(bombs, sizeof(bombs), "%s/bombs", argv[1]);
    make_directory(argv[1]);
    make_directory(images);
    make_directory(bombs);
    for (size_t i = 0; i < sizeof(flavours) / sizeof(flavours[0]); i++)
        write_png(images, &flavours[i], false);
    write_jpeg(images, "baseline.jpg", 1600, 1067, false, false);
    write_jpeg(images, "grey.jpg", 800, 533, true, false);
    write_jpeg(images, "progressive.jpg", 1200, 800, false, true);
    write_png(bombs, &bomb, true);
    write_jpeg_bomb(bombs, "progressive-bomb.jpg");
    return 0;
}
