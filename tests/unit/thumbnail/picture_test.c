/* SPDX-License-Identifier: MIT */

/* What the client takes from a decoder that lies: nothing is mapped that is not sealed, whole and as large as claimed. */

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>

#include "guard.h"
#include "picture.h"

#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL)

static int memfd_of(size_t size, int seals)
{
    static const char zeros[4096];
    int fd = memfd_create("picture", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    for (size_t done = 0; done < size;) {
        size_t part = size - done < sizeof(zeros) ? size - done : sizeof(zeros);

        cr_assert_eq(write(fd, zeros, part), (ssize_t)part);
        done += part;
    }
    if (seals != 0)
        cr_assert_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

static Thumbnail__MakeReply
reply_of(uint32_t width, uint32_t height, uint32_t stride, uint32_t channels)
{
    Thumbnail__MakeReply reply;

    thumbnail__make_reply__init(&reply);
    reply.width = width;
    reply.height = height;
    reply.stride = stride;
    reply.channels = channels;
    return reply;
}

static int map(const Thumbnail__MakeReply *reply, int fd, char *error, size_t size)
{
    struct picture picture;
    int r = picture_map(&picture, reply, fd, 256, error, size);

    if (r == 0)
        picture_unmap(&picture);
    close(fd);
    return r;
}

#define EXPECT_REFUSED(reply, fd, words)                               \
    do {                                                               \
        char error_[256] = "";                                         \
        const Thumbnail__MakeReply reply_ = reply;                     \
        cr_expect_eq(map(&reply_, fd, error_, sizeof(error_)), -1);    \
        cr_expect_not_null(strstr(error_, words), "got '%s'", error_); \
    } while (0)

Test(picture_map, takes_what_an_honest_decoder_sends)
{
    UDS_TEST_GUARD;
    const Thumbnail__MakeReply reply = reply_of(100, 60, 300, 3);
    char error[256] = "";

    cr_expect_eq(map(&reply, memfd_of(18000, SEALS), error, sizeof(error)), 0, "%s", error);
}

Test(picture_map, refuses_memory_that_could_change_or_cost)
{
    UDS_TEST_GUARD;
    int sparse = memfd_create("sparse", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    FILE *file = tmpfile();

    EXPECT_REFUSED(reply_of(100, 60, 300, 3), memfd_of(18000, 0), "seal is missing");
    EXPECT_REFUSED(reply_of(100, 60, 300, 3), memfd_of(18000, F_SEAL_SHRINK | F_SEAL_GROW),
                   "seal is missing");
    cr_assert_eq(ftruncate(sparse, 180000), 0);
    cr_assert_eq(fcntl(sparse, F_ADD_SEALS, SEALS), 0);
    EXPECT_REFUSED(reply_of(100, 60, 300, 3), sparse, "sparse");
    EXPECT_REFUSED(reply_of(100, 60, 300, 3), memfd_of(256 * 256 * 4 + 1, SEALS), "larger than");
    cr_assert_eq(ftruncate(fileno(file), 18000), 0);
    EXPECT_REFUSED(reply_of(100, 60, 300, 3), dup(fileno(file)), "refused");
    fclose(file);
}

Test(picture_map, refuses_dimensions_that_do_not_fit)
{
    UDS_TEST_GUARD;
    static const struct {
        uint32_t width, height, stride, channels;
    } lies[] = {{100, 61, 300, 3},        {100, 60, 301, 3},
                {101, 60, 300, 3}, /* a row is longer than its stride */
                {100, 60, 300, 4},        {100, 60, 300, 0},
                {100, 60, 300, 5},        {0, 60, 300, 3},
                {100, 0, 300, 3},         {257, 1, 1028, 4}, /* larger than what was asked for */
                {1, 257, 4, 4},           {256, 256, 0x01000000, 4}, /* 2^24 · 2^8 = 2^32 */
                {0x55555556, 1, 300, 3},                             /* · 3 = 2 in 32 bits */
                {100, 60, UINT32_MAX, 3}, {UINT32_MAX, UINT32_MAX, UINT32_MAX, 4}};

    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++)
        EXPECT_REFUSED(reply_of(lies[i].width, lies[i].height, lies[i].stride, lies[i].channels),
                       memfd_of(18000, SEALS), "lies");
}
