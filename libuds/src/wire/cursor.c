/* SPDX-License-Identifier: MIT */

/*
 * The only code that turns bytes into numbers and back. Byte by byte: no overlay of structs, no alignment, no
 * dependence on the machine's byte order (compilers make single loads of it).
 */

#include "wire/cursor.h"

#include <string.h>

const uint8_t *udsi_read_bytes(struct udsi_reader *reader, size_t len)
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

static uint64_t read_le(struct udsi_reader *reader, size_t size)
{
    const uint8_t *at = udsi_read_bytes(reader, size);
    uint64_t value = 0;

    if (!at)
        return 0;
    for (size_t i = 0; i < size; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

uint8_t udsi_read_u8(struct udsi_reader *reader)
{
    return (uint8_t)read_le(reader, 1);
}

uint16_t udsi_read_u16(struct udsi_reader *reader)
{
    return (uint16_t)read_le(reader, 2);
}

uint32_t udsi_read_u32(struct udsi_reader *reader)
{
    return (uint32_t)read_le(reader, 4);
}

uint64_t udsi_read_u64(struct udsi_reader *reader)
{
    return read_le(reader, 8);
}

static uint8_t *room_for(struct udsi_writer *writer, size_t len)
{
    uint8_t *at = writer->at;

    if (writer->bad || len > writer->left) {
        writer->bad = true;
        return NULL;
    }
    writer->at += len;
    writer->left -= len;
    return at;
}

static void write_le(struct udsi_writer *writer, uint64_t value, size_t size)
{
    uint8_t *at = room_for(writer, size);

    if (!at)
        return;
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

void udsi_write_u8(struct udsi_writer *writer, uint8_t value)
{
    write_le(writer, value, 1);
}

void udsi_write_u16(struct udsi_writer *writer, uint16_t value)
{
    write_le(writer, value, 2);
}

void udsi_write_u32(struct udsi_writer *writer, uint32_t value)
{
    write_le(writer, value, 4);
}

void udsi_write_u64(struct udsi_writer *writer, uint64_t value)
{
    write_le(writer, value, 8);
}

void udsi_write_bytes(struct udsi_writer *writer, const void *data, size_t len)
{
    uint8_t *at = room_for(writer, len);

    if (at && len > 0)
        memcpy(at, data, len);
}
