/* SPDX-License-Identifier: MIT */
#ifndef UDSI_WIRE_BODYREF_H
#define UDSI_WIRE_BODYREF_H

#include "wire/cursor.h"

/*
 * What stands for a body that lies in an arena (frame flag bit 0): 24 bytes, little-endian.
 *
 *    0 u64 arena    8 u64 offset    16 u64 length
 */

#define UDSI_BODYREF_SIZE 24

struct udsi_bodyref {
    uint64_t arena, offset, length;
};

static inline void udsi_bodyref_encode(const struct udsi_bodyref *ref,
                                       uint8_t out[UDSI_BODYREF_SIZE])
{
    struct udsi_writer writer = {.at = out, .left = UDSI_BODYREF_SIZE};

    udsi_write_u64(&writer, ref->arena);
    udsi_write_u64(&writer, ref->offset);
    udsi_write_u64(&writer, ref->length);
}

static inline struct udsi_bodyref udsi_bodyref_decode(const uint8_t bytes[UDSI_BODYREF_SIZE])
{
    struct udsi_reader reader = {.at = bytes, .left = UDSI_BODYREF_SIZE};
    struct udsi_bodyref ref;

    ref.arena = udsi_read_u64(&reader);
    ref.offset = udsi_read_u64(&reader);
    ref.length = udsi_read_u64(&reader);
    return ref;
}

#endif
