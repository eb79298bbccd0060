/* SPDX-License-Identifier: MIT */
#ifndef UDSI_WIRE_FRAME_H
#define UDSI_WIRE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uds/msg.h>

#include "wire/cursor.h"

/*
 * The frame header, 24 bytes, little-endian:
 *
 *    0 u8 magic 0xD5    1 u8 version 1    2 u8 type    3 u8 flags
 *    4 u32 body_length                    8 u16 head_length   10 u16 fd_count
 *   12 u32 reserved, 0                   16 u64 id
 *
 * followed by head_length bytes of fields (head.h) and body_length bytes of body.
 */

#define UDSI_FRAME_MAGIC   0xD5
#define UDSI_FRAME_VERSION 1
#define UDSI_HEADER_SIZE   24

/* Tags that only a HELLO may carry. */
#define UDSI_FIELD_MAX_BODY  32     /* u32 */
#define UDSI_FIELD_MAX_FDS   33     /* u32 */
#define UDSI_FIELD_FEATURES  34     /* u64 */
#define UDSI_FIELD_ARENA_MAX 0x8002 /* u64; who does not know arenas passes it over */

#define UDSI_FLAG_ARENA      0x01 /* the body is a reference, wire/bodyref.h */

/* Of RING alone. */
#define UDSI_FIELD_RING_STEP  40 /* u32 enum udsi_ring_step */
#define UDSI_FIELD_RING_BYTES 41 /* u32, of an OFFER: each direction */

enum udsi_ring_step {
    UDSI_RING_OFFER = 1,  /* with the memory */
    UDSI_RING_ACCEPT = 2, /* the last frame of its side on the stream */
    UDSI_RING_DECLINE = 3,
    UDSI_RING_SWITCH = 4, /* the same of the side that offered */
};

/* What a peer may break; the number is the one in docs/protocol.md (P-1 …), the words are in udsi_rule_text(). Numbers that are missing are rules that no receiver of frames can see broken. */
enum udsi_rule {
    UDSI_RULE_NONE = 0,
    UDSI_RULE_MAGIC = 1,
    UDSI_RULE_VERSION = 2,
    UDSI_RULE_FLAGS = 3,
    UDSI_RULE_RESERVED = 4,
    UDSI_RULE_TYPE = 5,
    UDSI_RULE_HEAD_LENGTH = 6,
    UDSI_RULE_BODY_LENGTH = 7,
    UDSI_RULE_FD_COUNT = 8,
    UDSI_RULE_HEAD_FIELDS = 9,
    UDSI_RULE_FDS_MISSING = 10,
    UDSI_RULE_FDS_UNCLAIMED = 11,
    UDSI_RULE_HELLO_FIRST = 12,
    UDSI_RULE_HELLO_ONCE = 13,
    UDSI_RULE_HELLO_PLAIN = 14,
    UDSI_RULE_HELLO_LIMITS = 15,
    UDSI_RULE_CRITICAL_FIELD = 16,
    UDSI_RULE_GOODBYE_PLAIN = 17,
    UDSI_RULE_RECORD = 18,
    UDSI_RULE_HEARTBEAT_PLAIN = 33,
    UDSI_RULE_HEARTBEAT_TURN = 34,
    UDSI_RULE_FINISH_PLAIN = 35,
    UDSI_RULE_FINISH_LAST = 36,
    UDSI_RULE_BODY_REF = 40,
    UDSI_RULE_ARENA_FRAME = 41,
    UDSI_RULE_ARENA_SLOTS = 42,
    UDSI_RULE_ARENA_MEMORY = 43,
    UDSI_RULE_ARENA_LIMITS = 44,
    UDSI_RULE_BODY_PLACE = 45,
    UDSI_RULE_BODY_IN_HAND = 46,
    UDSI_RULE_RELEASE = 47,
    UDSI_RULE_ARENA_WITHDRAWN = 48,
    UDSI_RULE_RING_FRAME = 50,
    UDSI_RULE_RING_TURN = 51,
    UDSI_RULE_RING_MEMORY = 52,
    UDSI_RULE_RING_INDEX = 53,
    UDSI_RULE_RING_FDS = 54,
    UDSI_RULE_DATAGRAM = 70,
    UDSI_RULE_DATAGRAM_TYPE = 71,
    UDSI_RULE_COUNT
};

struct udsi_header {
    uint8_t type; /* enum uds_msg_type */
    uint8_t flags;
    uint16_t head_length;
    uint16_t fd_count;
    uint32_t body_length;
    uint64_t id;
};

/* What we told the peer in our HELLO, and which features both HELLOs have: none before the peer's has come. */
struct udsi_limits {
    uint32_t max_body;
    uint32_t max_fds;
    uint64_t features; /* enum uds_feature bits */
};

/* Inline: with what is known where it is called, it is six stores. */
static inline void udsi_header_encode(const struct udsi_header *header,
                                      uint8_t out[UDSI_HEADER_SIZE])
{
    struct udsi_writer writer = {.at = out, .left = UDSI_HEADER_SIZE};

    udsi_write_u8(&writer, UDSI_FRAME_MAGIC);
    udsi_write_u8(&writer, UDSI_FRAME_VERSION);
    udsi_write_u8(&writer, header->type);
    udsi_write_u8(&writer, header->flags);
    udsi_write_u32(&writer, header->body_length);
    udsi_write_u16(&writer, header->head_length);
    udsi_write_u16(&writer, header->fd_count);
    udsi_write_u32(&writer, 0);
    udsi_write_u64(&writer, header->id);
}

/*
 * Reads a header. Returns UDSI_RULE_NONE and writes @ret, or the first rule that the bytes break. Nothing may be
 * allocated for a frame before this has said NONE.
 */
enum udsi_rule udsi_header_decode(const uint8_t bytes[UDSI_HEADER_SIZE],
                                  const struct udsi_limits *limits,
                                  struct udsi_header *ret);

/* Types of frames that mean something to the application, whatever features are in use: MESSAGE, REQUEST to CANCEL, SUBSCRIBE to NOTICE. */
#define UDSI_COMMON_TYPES UINT64_C(0x3f00070100)

/*
 * The same for headers as most are: of such a type, without flags. True: it keeps all rules, and @ret is what it says; false:
 * udsi_header_decode() knows more. Inline, because so it is a handful of comparisons.
 */
static inline bool udsi_header_is_common(const uint8_t bytes[UDSI_HEADER_SIZE],
                                         const struct udsi_limits *limits,
                                         struct udsi_header *ret)
{
    struct udsi_reader reader = {.at = bytes, .left = UDSI_HEADER_SIZE};
    uint8_t magic = udsi_read_u8(&reader);
    uint8_t version = udsi_read_u8(&reader);
    uint32_t reserved;

    ret->type = udsi_read_u8(&reader);
    ret->flags = udsi_read_u8(&reader);
    ret->body_length = udsi_read_u32(&reader);
    ret->head_length = udsi_read_u16(&reader);
    ret->fd_count = udsi_read_u16(&reader);
    reserved = udsi_read_u32(&reader);
    ret->id = udsi_read_u64(&reader);
    return magic == UDSI_FRAME_MAGIC && version == UDSI_FRAME_VERSION && ret->flags == 0 &&
           reserved == 0 && ret->type < 64 && (UDSI_COMMON_TYPES >> ret->type & 1) != 0 &&
           ret->head_length <= UDS_HEAD_MAX && ret->body_length <= limits->max_body &&
           ret->fd_count <= limits->max_fds;
}

/* "P-7: a body is no longer than the receiver's MAX_BODY"; static string, "" for a number that is not in use. */
const char *udsi_rule_text(enum udsi_rule rule);

#endif
