/* SPDX-License-Identifier: MIT */

/* Frame headers: the layout byte for byte, and each rule broken alone. */

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include <uds/conn.h>
#include <uds/msg.h>

#include "conn/msg.h"
#include "guard.h"
#include "wire/frame.h"

static const struct udsi_limits limits = {.max_body = 1000, .max_fds = 16};

static void make_good(uint8_t bytes[UDSI_HEADER_SIZE])
{
    struct udsi_header header = {.type = UDS_MSG_REQUEST,
                                 .head_length = 0x1234,
                                 .fd_count = 3,
                                 .body_length = 999,
                                 .id = 0x1122334455667788};

    udsi_header_encode(&header, bytes);
}

static enum udsi_rule decode_with(size_t at, uint8_t value)
{
    uint8_t bytes[UDSI_HEADER_SIZE];
    struct udsi_header header;

    make_good(bytes);
    bytes[at] = value;
    return udsi_header_decode(bytes, &limits, &header);
}

Test(frame_encode, writes_the_layout_of_the_document)
{
    UDS_TEST_GUARD;
    static const uint8_t expected[UDSI_HEADER_SIZE] = {
        0xD5, 1, 16, 0, 0xe7, 3,    0,    0,    0x34, 0x12, 3,    0,
        0,    0, 0,  0, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11};
    uint8_t bytes[UDSI_HEADER_SIZE];

    make_good(bytes);
    cr_assert_arr_eq(bytes, expected, sizeof(expected));
}

Test(frame_decode, reads_back_what_encode_wrote)
{
    UDS_TEST_GUARD;
    uint8_t bytes[UDSI_HEADER_SIZE];
    struct udsi_header header;

    make_good(bytes);
    cr_assert_eq(udsi_header_decode(bytes, &limits, &header), UDSI_RULE_NONE);
    cr_assert_eq(header.type, UDS_MSG_REQUEST);
    cr_assert_eq(header.head_length, 0x1234);
    cr_assert_eq(header.fd_count, 3);
    cr_assert_eq(header.body_length, 999);
    cr_assert_eq(header.id, 0x1122334455667788);
}

Test(frame_decode, names_the_rule_that_one_wrong_byte_breaks)
{
    UDS_TEST_GUARD;
    cr_assert_eq(decode_with(0, 0xD4), UDSI_RULE_MAGIC);
    cr_assert_eq(decode_with(1, 2), UDSI_RULE_VERSION);
    cr_assert_eq(decode_with(1, 0), UDSI_RULE_VERSION);
    cr_assert_eq(decode_with(3, 1), UDSI_RULE_FLAGS);
    for (size_t at = 12; at < 16; at++)
        cr_assert_eq(decode_with(at, 1), UDSI_RULE_RESERVED);
    cr_assert_eq(decode_with(9, 0x21), UDSI_RULE_HEAD_LENGTH);
    cr_assert_eq(decode_with(7, 1), UDSI_RULE_BODY_LENGTH);
    cr_assert_eq(decode_with(10, 17), UDSI_RULE_FD_COUNT);
    cr_assert_eq(decode_with(11, 1), UDSI_RULE_FD_COUNT);
}

Test(frame_decode, accepts_lengths_at_their_limits)
{
    UDS_TEST_GUARD;
    struct udsi_header header = {
        .type = UDS_MSG_MESSAGE, .head_length = UDS_HEAD_MAX, .fd_count = 16, .body_length = 1000};
    uint8_t bytes[UDSI_HEADER_SIZE];

    udsi_header_encode(&header, bytes);
    cr_assert_eq(udsi_header_decode(bytes, &limits, &header), UDSI_RULE_NONE);
    header.body_length++;
    udsi_header_encode(&header, bytes);
    cr_assert_eq(udsi_header_decode(bytes, &limits, &header), UDSI_RULE_BODY_LENGTH);
}

Test(frame_decode, knows_exactly_the_defined_types)
{
    UDS_TEST_GUARD;
    static const uint8_t known[] = {1, 2, 8, 16, 17, 18, 32, 33, 34, 35, 36, 37};

    for (unsigned type = 0; type < 256; type++) {
        bool expected = memchr(known, (int)type, sizeof(known)) != NULL;

        cr_assert_eq(decode_with(2, (uint8_t)type) == UDSI_RULE_NONE, expected, "type %u", type);
    }
}

Test(frame_decode, knows_the_types_of_a_feature_while_it_is_in_use)
{
    UDS_TEST_GUARD;
    static const struct {
        uint8_t type;
        uint64_t feature;
    } known[] = {
        {UDS_MSG_PING, UDS_FEATURE_HEARTBEAT},
        {UDS_MSG_PONG, UDS_FEATURE_HEARTBEAT},
        {UDS_MSG_FINISH, UDS_FEATURE_FINISH},
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        struct udsi_limits with = limits;
        struct udsi_header header;
        uint8_t bytes[UDSI_HEADER_SIZE];

        make_good(bytes);
        bytes[2] = known[i].type;
        with.features = known[i].feature;
        cr_assert_eq(udsi_header_decode(bytes, &with, &header), UDSI_RULE_NONE);
        with.features = ~known[i].feature;
        cr_assert_eq(udsi_header_decode(bytes, &with, &header), UDSI_RULE_TYPE);
    }
}

static bool agree(const struct udsi_header *a, const struct udsi_header *b)
{
    return a->type == b->type && a->flags == b->flags && a->head_length == b->head_length &&
           a->fd_count == b->fd_count && a->body_length == b->body_length && a->id == b->id;
}

/* The short way may know less than the long one, but nothing else; and what it lets pass is the application's. */
Test(frame_is_common, says_so_only_of_what_decodes_alike)
{
    UDS_TEST_GUARD;
    unsigned common = 0;

    for (size_t at = 0; at < UDSI_HEADER_SIZE; at++)
        for (unsigned value = 0; value < 256; value++) {
            struct udsi_header quick, header;
            uint8_t bytes[UDSI_HEADER_SIZE];
            enum udsi_rule rule;

            make_good(bytes);
            bytes[at] = (uint8_t)value;
            rule = udsi_header_decode(bytes, &limits, &header);
            if (at != 2) /* of types it knows but those of the library itself */
                cr_assert_eq(udsi_header_is_common(bytes, &limits, &quick), rule == UDSI_RULE_NONE,
                             "byte %zu, value %u", at, value);
            if (!udsi_header_is_common(bytes, &limits, &quick))
                continue;
            common++;
            cr_assert(rule == UDSI_RULE_NONE && agree(&quick, &header), "byte %zu, value %u", at,
                      value);
            cr_assert(udsi_msg_is_free_type(header.type));
        }
    cr_assert_gt(common, 8 * 256);
}

Test(frame_decode, leaves_the_output_alone_on_failure)
{
    UDS_TEST_GUARD;
    uint8_t bytes[UDSI_HEADER_SIZE];
    struct udsi_header header, before;

    memset(&header, 0xA5, sizeof(header));
    before = header;
    make_good(bytes);
    bytes[0] = 0;
    cr_assert_neq(udsi_header_decode(bytes, &limits, &header), UDSI_RULE_NONE);
    cr_assert_eq(memcmp(&header, &before, sizeof(header)), 0);
}

Test(frame_rules, have_a_text_each_that_begins_with_their_number)
{
    UDS_TEST_GUARD;
    unsigned rules = 0;

    for (int rule = 1; rule < UDSI_RULE_COUNT; rule++) {
        const char *text = udsi_rule_text((enum udsi_rule)rule);

        if (text[0] == '\0')
            continue; /* no receiver of frames sees that one broken */
        rules++;
        cr_assert_eq(strncmp(text, "P-", 2), 0);
        cr_assert_eq(atoi(text + 2), rule, "%s", text);
    }
    cr_assert_geq(rules, 22);
    cr_assert_str_empty(udsi_rule_text(UDSI_RULE_NONE));
    cr_assert_str_empty(udsi_rule_text((enum udsi_rule)UDSI_RULE_COUNT));
}
