/* SPDX-License-Identifier: MIT */

/*
 * Head fields as pure functions. The receive path validates a head once, whole; every reader after that may walk it
 * without looking for errors, and stops at the end of the bytes whatever they hold.
 */

#include "wire/head.h"

#include <errno.h>

#include "wire/cursor.h"

int udsi_head_next(const void *head,
                   size_t len,
                   size_t *pos,
                   uint16_t *ret_tag,
                   const void **ret_data,
                   size_t *ret_len)
{
    if (*pos >= len)
        return 0;

    struct udsi_reader reader = {.at = (const uint8_t *)head + *pos, .left = len - *pos};
    uint16_t tag = udsi_read_u16(&reader);
    uint16_t data_len = udsi_read_u16(&reader);
    const uint8_t *data = udsi_read_bytes(&reader, data_len);

    if (reader.bad)
        return 0;
    *pos = len - reader.left;
    *ret_tag = tag;
    *ret_data = data;
    *ret_len = data_len;
    return 1;
}

bool udsi_head_is_valid(const void *head, size_t len)
{
    size_t pos = 0, data_len;
    const void *data;
    uint16_t tag;

    while (udsi_head_next(head, len, &pos, &tag, &data, &data_len) > 0)
        ;
    return pos == len;
}

int udsi_head_find(
    const void *head, size_t len, uint16_t tag, const void **ret_data, size_t *ret_len)
{
    size_t pos = 0, data_len;
    const void *data;
    uint16_t found;

    while (udsi_head_next(head, len, &pos, &found, &data, &data_len) > 0) {
        if (found == tag) {
            *ret_data = data;
            *ret_len = data_len;
            return 0;
        }
    }
    return -ENOENT;
}

int udsi_head_get_u32(const void *head, size_t len, uint16_t tag, uint32_t *ret)
{
    const void *data;
    size_t data_len;
    int r = udsi_head_find(head, len, tag, &data, &data_len);

    if (r < 0)
        return r;
    if (data_len != sizeof(uint32_t))
        return -EBADMSG;
    *ret = udsi_read_u32(&(struct udsi_reader){.at = data, .left = data_len});
    return 0;
}

int udsi_head_get_u64(const void *head, size_t len, uint16_t tag, uint64_t *ret)
{
    const void *data;
    size_t data_len;
    int r = udsi_head_find(head, len, tag, &data, &data_len);

    if (r < 0)
        return r;
    if (data_len != sizeof(uint64_t))
        return -EBADMSG;
    *ret = udsi_read_u64(&(struct udsi_reader){.at = data, .left = data_len});
    return 0;
}

void udsi_head_put(uint8_t *out, uint16_t tag, const void *data, uint16_t data_len)
{
    struct udsi_writer writer = {.at = out, .left = UDSI_FIELD_OVERHEAD + (size_t)data_len};

    udsi_write_u16(&writer, tag);
    udsi_write_u16(&writer, data_len);
    udsi_write_bytes(&writer, data, data_len);
}

void udsi_head_put_u32(uint8_t out[UDSI_FIELD_OVERHEAD + 4], uint16_t tag, uint32_t value)
{
    struct udsi_writer writer = {.at = out, .left = UDSI_FIELD_OVERHEAD + sizeof(value)};

    udsi_write_u16(&writer, tag);
    udsi_write_u16(&writer, sizeof(value));
    udsi_write_u32(&writer, value);
}

void udsi_head_put_u64(uint8_t out[UDSI_FIELD_OVERHEAD + 8], uint16_t tag, uint64_t value)
{
    struct udsi_writer writer = {.at = out, .left = UDSI_FIELD_OVERHEAD + sizeof(value)};

    udsi_write_u16(&writer, tag);
    udsi_write_u16(&writer, sizeof(value));
    udsi_write_u64(&writer, value);
}
