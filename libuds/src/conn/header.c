/* SPDX-License-Identifier: MIT */

/*
 * The application's own fields of a head: HEADER, "name\0value", as often as it likes and in its order. What is added here
 * is always well-formed; what comes from a peer is read as if a HEADER that is not were not there.
 */

#include "conn/header.h"

#include <errno.h>
#include <string.h>

/* Not empty, no control characters. */
static bool is_name(const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return false;
    }
    return len > 0;
}

int uds_msg_add_header(uds_msg *msg, const char *name, const char *value)
{
    size_t name_len = strlen(name), value_len = strlen(value);
    char field[UDS_HEAD_MAX];

    if (!is_name(name, name_len))
        return -EINVAL;
    if (name_len >= sizeof(field) || value_len > sizeof(field) - name_len - 1)
        return -ENOSPC;
    memcpy(field, name, name_len + 1);
    memcpy(field + name_len + 1, value, value_len);
    return uds_msg_add_bytes(msg, UDS_FIELD_HEADER, field, name_len + 1 + value_len);
}

int udsi_headers_add(uds_msg *msg, const char *const *headers)
{
    for (const char *const *h = headers; h && h[0]; h += 2) {
        int r = h[1] ? uds_msg_add_header(msg, h[0], h[1]) : -EINVAL;

        if (r < 0)
            return r;
    }
    return 0;
}

int udsi_headers_copy(uds_msg *msg, const uds_msg *from)
{
    size_t pos = 0, len;
    const void *data;
    uint16_t tag;

    while (from && uds_msg_next(from, &pos, &tag, &data, &len) == 1) {
        int r = uds_msg_add_bytes(msg, tag, data, len);

        if (r < 0)
            return r;
    }
    return 0;
}

int uds_msg_next_header(
    const uds_msg *msg, size_t *pos, const char **ret_name, const char **ret_value, size_t *ret_len)
{
    const void *data;
    uint16_t tag;
    size_t len;

    while (uds_msg_next(msg, pos, &tag, &data, &len) == 1) {
        const char *name = data;
        size_t name_len = tag == UDS_FIELD_HEADER ? strnlen(name, len) : len;

        if (name_len == len || !is_name(name, name_len) ||
            memchr(name + name_len + 1, '\0', len - name_len - 1))
            continue;
        *ret_name = name;
        *ret_value = name + name_len + 1;
        *ret_len = len - name_len - 1;
        return 1;
    }
    return 0;
}

int uds_msg_find_header(const uds_msg *msg,
                        const char *name,
                        const char **ret_value,
                        size_t *ret_len)
{
    const char *found, *value;
    size_t pos = 0, len;

    while (uds_msg_next_header(msg, &pos, &found, &value, &len) == 1) {
        if (strcmp(found, name) != 0)
            continue;
        *ret_value = value;
        *ret_len = len;
        return 0;
    }
    return -ENOENT;
}
