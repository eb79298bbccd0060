/* SPDX-License-Identifier: MIT */

/*
 * Frame headers as pure functions, and the list of rules that a peer can break. The order of the checks is part of the
 * contract: magic and version first, so that a stranger who speaks something else is told that and nothing subtler.
 */

#include "wire/frame.h"

#include <stdbool.h>

#include <uds/conn.h>
#include <uds/msg.h>

#include "wire/bodyref.h"
#include "wire/cursor.h"

static const char *const rule_texts[] = {
    [UDSI_RULE_NONE] = "",
    [UDSI_RULE_MAGIC] = "P-1: a frame begins with the byte 0xD5",
    [UDSI_RULE_VERSION] = "P-2: the protocol version is 1",
    [UDSI_RULE_FLAGS] = "P-3: flags are those of a feature in use, all others zero",
    [UDSI_RULE_RESERVED] = "P-4: reserved bytes are zero",
    [UDSI_RULE_TYPE] = "P-5: the frame type is defined, and its feature in use",
    [UDSI_RULE_HEAD_LENGTH] = "P-6: a head is at most 8192 bytes",
    [UDSI_RULE_BODY_LENGTH] = "P-7: a body is no longer than the receiver's MAX_BODY",
    [UDSI_RULE_FD_COUNT] = "P-8: a frame carries no more fds than the receiver's MAX_FDS",
    [UDSI_RULE_HEAD_FIELDS] = "P-9: the head is a whole number of well-formed fields",
    [UDSI_RULE_FDS_MISSING] = "P-10: exactly fd_count fds come with the first byte of a frame",
    [UDSI_RULE_FDS_UNCLAIMED] = "P-11: fds come only with a frame that claims them",
    [UDSI_RULE_HELLO_FIRST] = "P-12: the first frame is HELLO",
    [UDSI_RULE_HELLO_ONCE] = "P-13: HELLO is sent once",
    [UDSI_RULE_HELLO_PLAIN] = "P-14: HELLO has id 0, no body and no fds",
    [UDSI_RULE_HELLO_LIMITS] = "P-15: HELLO carries MAX_BODY (u32) and MAX_FDS (u32, at most 253); "
                               "FEATURES and ARENA_MAX are u64",
    [UDSI_RULE_CRITICAL_FIELD] = "P-16: HELLO and GOODBYE carry no unknown field without bit 15",
    [UDSI_RULE_GOODBYE_PLAIN] = "P-17: GOODBYE has id 0, no body and no fds",
    [UDSI_RULE_RECORD] = "P-18: a record of a SEQPACKET socket is exactly one frame",
    [UDSI_RULE_HEARTBEAT_PLAIN] = "P-33: PING and PONG have no head, no body and no fds",
    [UDSI_RULE_HEARTBEAT_TURN] = "P-34: one PING at a time, and one PONG of its id for each",
    [UDSI_RULE_FINISH_PLAIN] = "P-35: FINISH has id 0, no head, no body and no fds",
    [UDSI_RULE_FINISH_LAST] = "P-36: no message follows FINISH",
    [UDSI_RULE_BODY_REF] = "P-40: a body that lies in an arena is 24 bytes on the wire",
    [UDSI_RULE_ARENA_FRAME] = "P-41: ARENA announces a number above all before, with one fd and "
                              "the slots' length, or withdraws a live one, with neither",
    [UDSI_RULE_ARENA_SLOTS] =
        "P-42: an arena is 1 to 64 slots, whose length is a power of two and at least 4096",
    [UDSI_RULE_ARENA_MEMORY] = "P-43: an arena is memory on tmpfs, sealed against shrinking, "
                               "growing and writing from now on, with every page there",
    [UDSI_RULE_ARENA_LIMITS] =
        "P-44: there are at most 16 arenas, together no larger than the receiver's ARENA_MAX",
    [UDSI_RULE_BODY_PLACE] = "P-45: a body lies at the beginning of a slot of a live arena and is "
                             "1 byte to a slot long, and no longer than MAX_BODY",
    [UDSI_RULE_BODY_IN_HAND] = "P-46: a body lies in a slot that the receiver has released",
    [UDSI_RULE_RELEASE] = "P-47: RELEASE names slots that its sender has, or none of an arena that "
                          "it refuses at once",
    [UDSI_RULE_ARENA_WITHDRAWN] = "P-48: an arena is withdrawn when all its slots are released",
    [UDSI_RULE_RING_FRAME] =
        "P-50: RING has an id, no body, a step, and with an OFFER the length and one fd",
    [UDSI_RULE_RING_TURN] =
        "P-51: a side offers one ring, and each is answered and gone over to once",
    [UDSI_RULE_RING_MEMORY] =
        "P-52: a ring's memory is a memfd of the announced length on tmpfs, sealed against "
        "shrinking, growing and sealing only",
    [UDSI_RULE_RING_INDEX] =
        "P-53: an index of a ring only grows, never past what was written or room is for",
    [UDSI_RULE_RING_FDS] = "P-54: fds come beside a ring right before the frame that claims them",
    [UDSI_RULE_DATAGRAM] = "P-70: a datagram is exactly one frame",
    [UDSI_RULE_DATAGRAM_TYPE] = "P-71: a datagram is no HELLO and no GOODBYE",
};
_Static_assert(sizeof(rule_texts) / sizeof(rule_texts[0]) == UDSI_RULE_COUNT, "a text per rule");

const char *udsi_rule_text(enum udsi_rule rule)
{
    return (unsigned)rule < UDSI_RULE_COUNT && rule_texts[rule] ? rule_texts[rule] : "";
}

/* Is @type defined, and the feature in use that it belongs to, if any? */
static bool is_known_type(uint8_t type, uint64_t features)
{
    if (type == UDS_MSG_MESSAGE)
        return true;
    if (type == UDS_MSG_PING || type == UDS_MSG_PONG)
        return (features & UDS_FEATURE_HEARTBEAT) != 0;
    if (type == UDS_MSG_FINISH)
        return (features & UDS_FEATURE_FINISH) != 0;
    if (type == UDS_MSG_ARENA || type == UDS_MSG_RELEASE)
        return (features & UDS_FEATURE_ARENA) != 0;
    if (type == UDS_MSG_RING)
        return (features & UDS_FEATURE_RING) != 0;
    if (type == UDS_MSG_PART || type == UDS_MSG_CREDIT)
        return (features & UDS_FEATURE_STREAMING) != 0;
    return type == UDS_MSG_HELLO || type == UDS_MSG_GOODBYE ||
           (type >= UDS_MSG_REQUEST && type <= UDS_MSG_CANCEL) ||
           (type >= UDS_MSG_SUBSCRIBE && type <= UDS_MSG_NOTICE);
}

/* The flags that a frame of @type may have. */
static uint8_t known_flags(uint8_t type, uint64_t features)
{
    return (features & UDS_FEATURE_ARENA) && type >= UDS_MSG_MESSAGE ? UDSI_FLAG_ARENA : 0;
}

enum udsi_rule udsi_header_decode(const uint8_t bytes[UDSI_HEADER_SIZE],
                                  const struct udsi_limits *limits,
                                  struct udsi_header *ret)
{
    struct udsi_reader reader = {.at = bytes, .left = UDSI_HEADER_SIZE};
    uint8_t magic = udsi_read_u8(&reader);
    uint8_t version = udsi_read_u8(&reader);
    uint8_t type = udsi_read_u8(&reader);
    uint8_t flags = udsi_read_u8(&reader);
    uint32_t body_length = udsi_read_u32(&reader);
    uint16_t head_length = udsi_read_u16(&reader);
    uint16_t fd_count = udsi_read_u16(&reader);
    uint32_t reserved = udsi_read_u32(&reader);
    uint64_t id = udsi_read_u64(&reader);

    if (magic != UDSI_FRAME_MAGIC)
        return UDSI_RULE_MAGIC;
    if (version != UDSI_FRAME_VERSION)
        return UDSI_RULE_VERSION;
    if (flags & ~known_flags(type, limits->features))
        return UDSI_RULE_FLAGS;
    if (reserved != 0)
        return UDSI_RULE_RESERVED;
    if (!is_known_type(type, limits->features))
        return UDSI_RULE_TYPE;
    if (head_length > UDS_HEAD_MAX)
        return UDSI_RULE_HEAD_LENGTH;
    if (body_length > limits->max_body)
        return UDSI_RULE_BODY_LENGTH;
    if (fd_count > limits->max_fds)
        return UDSI_RULE_FD_COUNT;
    if ((flags & UDSI_FLAG_ARENA) && body_length != UDSI_BODYREF_SIZE)
        return UDSI_RULE_BODY_REF;
    *ret = (struct udsi_header){
        .type = type,
        .flags = flags,
        .head_length = head_length,
        .fd_count = fd_count,
        .body_length = body_length,
        .id = id,
    };
    return UDSI_RULE_NONE;
}
