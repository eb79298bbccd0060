/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <uds/pb.h>

#include "guard.h"
#include "test.pb-c.h"

static const ProtobufCMessageDescriptor *const knot = &uds__test__knot__descriptor;
static const ProtobufCMessageDescriptor *const words = &uds__test__words__descriptor;

#define SCAN(desc, bytes) uds_pb_scan(desc, bytes, sizeof(bytes) - 1, UDS_PB_DEPTH_MAX, 65536)

/* Knots in knots, @levels messages including the outermost, innermost empty. Returns its length, at the end of @buf. */
static size_t nest(uint8_t *buf, size_t size, size_t levels, const uint8_t **ret)
{
    size_t at = size, len = 0;

    for (size_t i = 1; i < levels; i++) {
        size_t rest = len;
        uint8_t varint[10];
        size_t n = 0;

        do
            varint[n++] = (uint8_t)((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
        while (rest >>= 7);
        cr_assert_geq(at, n + 1);
        at -= n;
        memcpy(buf + at, varint, n);
        buf[--at] = 0x0a; /* field 1, length-prefixed */
        len = size - at;
    }
    *ret = buf + at;
    return len;
}

/* 10 000 levels in 34 453 bytes overflow the stack of protobuf_c_message_unpack(): this test ends in SIGSEGV without the scan. */
Test(pb_scan, refuses_ten_thousand_levels_before_unpack_sees_them)
{
    UDS_TEST_GUARD;
    static uint8_t buf[64 * 1024];
    const uint8_t *data;
    size_t len = nest(buf, sizeof(buf), 10000, &data);
    ProtobufCMessage *message = NULL;

    cr_assert_gt(len, 29000);
    cr_assert_eq(uds_pb_unpack(knot, data, len, &message), -ELOOP);
    cr_assert_null(message);
}

Test(pb_scan, needs_no_stack_for_a_megabyte_of_nesting)
{
    UDS_TEST_GUARD;
    size_t size = 2 << 20;
    uint8_t *buf = malloc(size);
    const uint8_t *data;
    size_t len = nest(buf, size, 300000, &data);

    /* Asked for more levels than it has entries it still says too deep, and does not recurse. */
    cr_assert_eq(uds_pb_scan(knot, data, len, 1000000, SIZE_MAX), -ELOOP);
    free(buf);
}

Test(pb_scan, accepts_exactly_the_depth_that_is_allowed)
{
    UDS_TEST_GUARD;
    uint8_t buf[512];
    const uint8_t *data;
    size_t len = nest(buf, sizeof(buf), UDS_PB_DEPTH_MAX, &data);
    ProtobufCMessage *message = NULL;

    cr_assert_eq(uds_pb_unpack(knot, data, len, &message), 0);
    protobuf_c_message_free_unpacked(message, NULL);
    len = nest(buf, sizeof(buf), UDS_PB_DEPTH_MAX + 1, &data);
    cr_assert_eq(uds_pb_unpack(knot, data, len, &message), -ELOOP);
    len = nest(buf, sizeof(buf), 1, &data);
    cr_assert_eq(uds_pb_scan(knot, data, len, 1, 10), 0);
    cr_assert_eq(uds_pb_scan(knot, data, len, 0, 10), -ELOOP);
}

Test(pb_scan, counts_siblings_as_no_depth)
{
    UDS_TEST_GUARD;
    uint8_t bytes[200];

    for (size_t i = 0; i < sizeof(bytes); i += 2) {
        bytes[i] = 0x1a; /* children, empty */
        bytes[i + 1] = 0;
    }
    cr_assert_eq(uds_pb_scan(knot, bytes, sizeof(bytes), 2, 100), 0);
    cr_assert_eq(uds_pb_scan(knot, bytes, sizeof(bytes), 2, 99), -E2BIG);
}

Test(pb_scan, does_not_look_into_strings_bytes_and_unknown_fields)
{
    UDS_TEST_GUARD;
    cr_assert_eq(SCAN(knot, "\x12\x04\x0a\x7f\xff\xff"), 0);     /* name */
    cr_assert_eq(SCAN(knot, "\xa2\x06\x04\x0a\x7f\xff\xff"), 0); /* field 100 */
    cr_assert_eq(SCAN(words, "\x1a\x02\xff\xff"), 0);            /* data */
    cr_assert_eq(SCAN(words, ""), 0);
}

Test(pb_scan, refuses_what_runs_over_an_end)
{
    UDS_TEST_GUARD;
    cr_assert_eq(SCAN(knot, "\x0a"), -EBADMSG);                 /* no length */
    cr_assert_eq(SCAN(knot, "\x0a\x01"), -EBADMSG);             /* no content */
    cr_assert_eq(SCAN(knot, "\x0a\x02\x0a\x01\x00"), -EBADMSG); /* inner over outer */
    cr_assert_eq(SCAN(knot, "\x0a\x01\x12\x00"), -EBADMSG);     /* a tag cut by the inner end */
    cr_assert_eq(SCAN(knot, "\x12\xff\xff\xff\xff\x0f"), -EBADMSG);
    cr_assert_eq(SCAN(words, "\x41\x01\x02\x03"), -EBADMSG); /* fixed64 of three bytes */
    cr_assert_eq(SCAN(words, "\x4d\x01\x02"), -EBADMSG);     /* fixed32 of two */
    cr_assert_eq(SCAN(words, "\x10"), -EBADMSG);             /* varint of none */
}

Test(pb_scan, refuses_tags_and_numbers_that_are_none)
{
    UDS_TEST_GUARD;
    cr_assert_eq(SCAN(words, "\x00\x00"), -EBADMSG);                 /* field number 0 */
    cr_assert_eq(SCAN(words, "\x0b\x0c"), -EBADMSG);                 /* group */
    cr_assert_eq(SCAN(words, "\x0f\x00"), -EBADMSG);                 /* wire type 7 */
    cr_assert_eq(SCAN(words, "\x80\x80\x80\x80\x80\x01"), -EBADMSG); /* tag of six bytes */
    cr_assert_eq(SCAN(words, "\x90\x80\x80\x80\x7f\x00"), -EBADMSG); /* tag over 32 bits */
    cr_assert_eq(SCAN(words, "\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), -EBADMSG);
    cr_assert_eq(SCAN(words, "\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), 0);
}

Test(pb_scan, and_unpack_agree_about_random_bytes)
{
    UDS_TEST_GUARD;
    uint32_t state = 0x5eed;
    unsigned accepted = 0;

    /* Whatever unpack takes the scan has taken before: a scan that is stricter by accident would lose messages. */
    for (unsigned round = 0; round < 200000; round++) {
        uint8_t bytes[12];
        size_t len;
        ProtobufCMessage *message;

        for (size_t i = 0; i < sizeof(bytes); i++) {
            state = state * 1664525u + 1013904223u;
            bytes[i] = (uint8_t)(state >> 24) & (i % 2 ? 0x0f : 0x7f);
        }
        len = (state >> 8) % (sizeof(bytes) + 1);
        message = protobuf_c_message_unpack(words, NULL, len, bytes);
        if (!message)
            continue;
        accepted++;
        protobuf_c_message_free_unpacked(message, NULL);
        cr_assert_eq(uds_pb_scan(words, bytes, len, UDS_PB_DEPTH_MAX, 100), 0);
    }
    cr_assert_gt(accepted, 1000);
}

Test(pb_scan, unpack_gives_the_message)
{
    UDS_TEST_GUARD;
    static const uint8_t bytes[] = "\x0a\x02hi\x10\x2a\x22\x02\x08\x07";
    ProtobufCMessage *message = NULL;
    const Uds__Test__Words *w;

    cr_assert_eq(uds_pb_unpack(words, bytes, sizeof(bytes) - 1, &message), 0);
    w = (const Uds__Test__Words *)message;
    cr_assert_str_eq(w->text, "hi");
    cr_assert_eq(w->number, 42);
    cr_assert_eq(w->n_leaves, 1);
    cr_assert_eq(w->leaves[0]->number, 7);
    protobuf_c_message_free_unpacked(message, NULL);
    /* Well-formed, but no string where the schema has one. */
    cr_assert_eq(uds_pb_unpack(words, "\x08\x01", 2, &message), -EBADMSG);
}
