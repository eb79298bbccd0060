/* SPDX-License-Identifier: MIT */

/* Head fields: well-formed, cut off, and lying about their length. */

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "guard.h"
#include "wire/cursor.h"
#include "wire/head.h"

Test(head, is_valid_when_empty_and_when_fields_fill_it)
{
    UDS_TEST_GUARD;
    static const uint8_t two[] = {1, 0, 2, 0, 'a', 'b', 7, 0, 0, 0};

    cr_assert(udsi_head_is_valid(NULL, 0));
    cr_assert(udsi_head_is_valid(two, sizeof(two)));
    cr_assert(udsi_head_is_valid(two, 6));
}

Test(head, is_invalid_at_every_other_cut)
{
    UDS_TEST_GUARD;
    static const uint8_t two[] = {1, 0, 2, 0, 'a', 'b', 7, 0, 0, 0};

    for (size_t len = 1; len < sizeof(two); len++)
        cr_assert_eq(udsi_head_is_valid(two, len), len == 6, "length %zu", len);
}

Test(head, does_not_follow_a_length_past_its_end)
{
    UDS_TEST_GUARD;
    static const uint8_t lying[] = {1, 0, 0xff, 0xff, 'a'};
    const void *data;
    size_t len, pos = 0;
    uint16_t tag;

    cr_assert_not(udsi_head_is_valid(lying, sizeof(lying)));
    cr_assert_eq(udsi_head_next(lying, sizeof(lying), &pos, &tag, &data, &len), 0);
    cr_assert_eq(pos, 0);
    cr_assert_eq(udsi_head_find(lying, sizeof(lying), 1, &data, &len), -ENOENT);
}

Test(head, walks_fields_in_order_and_finds_the_first_of_a_tag)
{
    UDS_TEST_GUARD;
    uint8_t head[64];
    uint16_t tag;
    const void *data;
    size_t len, pos = 0;
    uint32_t number;

    udsi_head_put(head, 12, "a", 1);
    udsi_head_put(head + 5, 12, "bc", 2);
    udsi_head_put_u32(head + 11, 4, 0xdeadbeef);
    cr_assert_eq(udsi_head_next(head, 19, &pos, &tag, &data, &len), 1);
    cr_assert_eq(tag, 12);
    cr_assert_eq(len, 1);
    cr_assert_eq(udsi_head_next(head, 19, &pos, &tag, &data, &len), 1);
    cr_assert_eq(len, 2);
    cr_assert_eq(udsi_head_find(head, 19, 12, &data, &len), 0);
    cr_assert_eq(*(const char *)data, 'a');
    cr_assert_eq(udsi_head_get_u32(head, 19, 4, &number), 0);
    cr_assert_eq(number, 0xdeadbeef);
}

Test(head, refuses_a_number_of_another_width)
{
    UDS_TEST_GUARD;
    uint8_t head[12];
    uint32_t small = 7;
    uint64_t big = 7;

    udsi_head_put_u64(head, 3, 1);
    cr_assert_eq(udsi_head_get_u32(head, sizeof(head), 3, &small), -EBADMSG);
    cr_assert_eq(small, 7, "an output is written on success only");
    cr_assert_eq(udsi_head_get_u64(head, sizeof(head), 3, &big), 0);
    cr_assert_eq(big, 1);
}

Test(cursor, reads_zeroes_past_the_end_and_remembers)
{
    UDS_TEST_GUARD;
    static const uint8_t bytes[3] = {1, 2, 3};
    struct udsi_reader reader = {.at = bytes, .left = sizeof(bytes)};

    cr_assert_eq(udsi_read_u16(&reader), 0x0201);
    cr_assert_eq(udsi_read_u32(&reader), 0);
    cr_assert(reader.bad);
    cr_assert_eq(udsi_read_u8(&reader), 0, "bad is sticky although a byte is left");
}

Test(cursor, writes_nothing_past_the_end)
{
    UDS_TEST_GUARD;
    uint8_t bytes[4] = {9, 9, 9, 9};
    struct udsi_writer writer = {.at = bytes, .left = 3};

    udsi_write_u16(&writer, 0x0201);
    udsi_write_u32(&writer, 0x55555555);
    cr_assert(writer.bad);
    cr_assert_eq(bytes[0], 1);
    cr_assert_eq(bytes[2], 9);
    cr_assert_eq(bytes[3], 9);
}
