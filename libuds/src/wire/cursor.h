/* SPDX-License-Identifier: MIT */
#ifndef UDSI_WIRE_CURSOR_H
#define UDSI_WIRE_CURSOR_H

/*
 * Bounded cursors over little-endian bytes: the only code that turns bytes into numbers and back. No overlay of structs,
 * no alignment, no dependence on the machine's byte order. Inline, because a header is ten of these calls.
 *
 * Reading past the end yields zeroes and makes @bad sticky; writing past the end writes nothing and makes @bad sticky: a
 * chain of calls needs one check at its end.
 */

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct udsi_reader {
    const uint8_t *at;
    size_t left;
    bool bad;
};

struct udsi_writer {
    uint8_t *at;
    size_t left;
    bool bad;
};

/* NULL when there are not so many. */
static inline const uint8_t *udsi_read_bytes(struct udsi_reader *reader, size_t len)
{
    const uint8_t *at = reader->at;

    if (reader->bad || len > reader->left) {
        reader->bad = true;
        return NULL;
    }
    reader->at += len;
    reader->left -= len;
    return at;
}

static inline uint8_t udsi_read_u8(struct udsi_reader *reader)
{
    const uint8_t *at = udsi_read_bytes(reader, 1);

    return at ? *at : 0;
}

static inline uint16_t udsi_read_u16(struct udsi_reader *reader)
{
    const uint8_t *at = udsi_read_bytes(reader, sizeof(uint16_t));
    uint16_t value = 0;

    if (at)
        memcpy(&value, at, sizeof(value));
    return le16toh(value);
}

static inline uint32_t udsi_read_u32(struct udsi_reader *reader)
{
    const uint8_t *at = udsi_read_bytes(reader, sizeof(uint32_t));
    uint32_t value = 0;

    if (at)
        memcpy(&value, at, sizeof(value));
    return le32toh(value);
}

static inline uint64_t udsi_read_u64(struct udsi_reader *reader)
{
    const uint8_t *at = udsi_read_bytes(reader, sizeof(uint64_t));
    uint64_t value = 0;

    if (at)
        memcpy(&value, at, sizeof(value));
    return le64toh(value);
}

static inline void udsi_write_bytes(struct udsi_writer *writer, const void *data, size_t len)
{
    if (writer->bad || len > writer->left) {
        writer->bad = true;
        return;
    }
    if (len > 0)
        memcpy(writer->at, data, len);
    writer->at += len;
    writer->left -= len;
}

static inline void udsi_write_u8(struct udsi_writer *writer, uint8_t value)
{
    udsi_write_bytes(writer, &value, sizeof(value));
}

static inline void udsi_write_u16(struct udsi_writer *writer, uint16_t value)
{
    value = htole16(value);
    udsi_write_bytes(writer, &value, sizeof(value));
}

static inline void udsi_write_u32(struct udsi_writer *writer, uint32_t value)
{
    value = htole32(value);
    udsi_write_bytes(writer, &value, sizeof(value));
}

static inline void udsi_write_u64(struct udsi_writer *writer, uint64_t value)
{
    value = htole64(value);
    udsi_write_bytes(writer, &value, sizeof(value));
}

#endif
