/* SPDX-License-Identifier: MIT */
#ifndef UDSI_WIRE_CURSOR_H
#define UDSI_WIRE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Bounded cursors over little-endian bytes. Reading past the end yields zeroes and makes @bad sticky; writing past the
 * end writes nothing and makes @bad sticky: a chain of calls needs one check at its end.
 */

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

uint8_t udsi_read_u8(struct udsi_reader *reader);
uint16_t udsi_read_u16(struct udsi_reader *reader);
uint32_t udsi_read_u32(struct udsi_reader *reader);
uint64_t udsi_read_u64(struct udsi_reader *reader);
const uint8_t *udsi_read_bytes(struct udsi_reader *reader, size_t len); /* NULL when too short */

void udsi_write_u8(struct udsi_writer *writer, uint8_t value);
void udsi_write_u16(struct udsi_writer *writer, uint16_t value);
void udsi_write_u32(struct udsi_writer *writer, uint32_t value);
void udsi_write_u64(struct udsi_writer *writer, uint64_t value);
void udsi_write_bytes(struct udsi_writer *writer, const void *data, size_t len);

#endif
