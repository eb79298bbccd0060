/* SPDX-License-Identifier: MIT */
#ifndef UDSI_WIRE_HEAD_H
#define UDSI_WIRE_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The head of a frame: fields {u16 tag, u16 length, bytes}, one after the other, in the order they were added. */

#define UDSI_FIELD_OVERHEAD 4 /* tag and length */

/* Is @head a whole number of fields? Whoever walks it afterwards needs no further checks. */
bool udsi_head_is_valid(const void *head, size_t len);

/* Walks fields: start with *@pos = 0. Returns 1 and the field, or 0 at the end (also where the bytes are malformed). */
int udsi_head_next(const void *head,
                   size_t len,
                   size_t *pos,
                   uint16_t *ret_tag,
                   const void **ret_data,
                   size_t *ret_len);

/* The first field with @tag: 0, or -ENOENT. */
int udsi_head_find(
    const void *head, size_t len, uint16_t tag, const void **ret_data, size_t *ret_len);
/* 0, -ENOENT, or -EBADMSG when the field has another length. */
int udsi_head_get_u32(const void *head, size_t len, uint16_t tag, uint32_t *ret);
int udsi_head_get_u64(const void *head, size_t len, uint16_t tag, uint64_t *ret);

/* Encodes one field into @out, which has UDSI_FIELD_OVERHEAD + @data_len bytes of room. */
void udsi_head_put(uint8_t *out, uint16_t tag, const void *data, uint16_t data_len);
void udsi_head_put_u32(uint8_t out[UDSI_FIELD_OVERHEAD + 4], uint16_t tag, uint32_t value);
void udsi_head_put_u64(uint8_t out[UDSI_FIELD_OVERHEAD + 8], uint16_t tag, uint64_t value);

#endif
