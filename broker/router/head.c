/* SPDX-License-Identifier: MIT */
/*
 * Heads in and out. libuds has checked that a received head is well-formed fields; here each field is held against the
 * frame it stands in (docs/protocol.md "Head fields"): unknown tags below 0x8000, tags of other frames, repeated fields
 * and text with control characters are a BAD_REQUEST; tags from 0x8000 on are skipped and not passed on.
 */
#include "head.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

static bool is_text(const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] < 0x20 || data[i] == 0x7f)
            return false;
    }
    return true;
}

static int copy_text(char *to, size_t size, const void *data, size_t len, const char **ret_problem)
{
    if (len >= size || !is_text(data, len)) {
        *ret_problem = "a text field is too long or holds control characters";
        return -EBADMSG;
    }
    memcpy(to, data, len);
    to[len] = '\0';
    return 0;
}

static int copy_u32(uint32_t *to, const void *data, size_t len, const char **ret_problem)
{
    if (len != sizeof(*to)) {
        *ret_problem = "a number field is not four bytes long";
        return -EBADMSG;
    }
    memcpy(to, data, len);
    *to = le32toh(*to);
    return 0;
}

static int copy_u64(uint64_t *to, const void *data, size_t len, const char **ret_problem)
{
    if (len != sizeof(*to)) {
        *ret_problem = "a number field is not eight bytes long";
        return -EBADMSG;
    }
    memcpy(to, data, len);
    *to = le64toh(*to);
    return 0;
}

static int check_header(const uint8_t *data, size_t len, const char **ret_problem)
{
    const uint8_t *nul = memchr(data, '\0', len);
    if (nul != NULL && nul != data && is_text(data, (size_t)(nul - data)) &&
        memchr(nul + 1, '\0', len - (size_t)(nul - data) - 1) == NULL)
        return 0;
    *ret_problem = "a HEADER is not name, NUL, value";
    return -EBADMSG;
}

static int
take_field(struct head *head, uint16_t tag, const void *data, size_t len, const char **ret_problem)
{
    switch (tag) {
    case UDS_FIELD_SUBJECT:
        return copy_text(head->subject, sizeof(head->subject), data, len, ret_problem);
    case UDS_FIELD_QUEUE:
        return copy_text(head->queue, sizeof(head->queue), data, len, ret_problem);
    case UDS_FIELD_METHOD:
        return copy_text(head->method, sizeof(head->method), data, len, ret_problem);
    case UDS_FIELD_DETAIL:
        return copy_text(head->detail, sizeof(head->detail), data, len, ret_problem);
    case UDS_FIELD_TIMEOUT_MS:
        head->has_timeout = true;
        return copy_u32(&head->timeout_ms, data, len, ret_problem);
    case UDS_FIELD_MODE:
        return copy_u32(&head->mode, data, len, ret_problem);
    case UDS_FIELD_STATUS:
        return copy_u32(&head->status, data, len, ret_problem);
    case UDS_FIELD_VALUE:
        head->has_value = true;
        return copy_u64(&head->value, data, len, ret_problem);
    case UDS_FIELD_WINDOW:
        head->has_window = true;
        return copy_u32(&head->window, data, len, ret_problem);
    case UDS_FIELD_HEADER:
        return check_header(data, len, ret_problem);
    default:
        return 0; /* allowed, of no interest */
    }
}

int head_parse(const uds_msg *msg, uint32_t fields, struct head *ret, const char **ret_problem)
{
    uint32_t seen = 0;
    size_t pos = 0, len;
    uint16_t tag;
    const void *data;
    ret->has_timeout = ret->has_value = ret->has_window = false;
    ret->timeout_ms = ret->mode = ret->status = ret->window = 0;
    ret->value = 0;
    ret->subject[0] = ret->queue[0] = ret->method[0] = ret->detail[0] = '\0';
    while (uds_msg_next(msg, &pos, &tag, &data, &len) > 0) {
        if ((tag & 0x8000u) != 0)
            continue;
        if (tag >= 32 || (fields & 1u << tag) == 0) {
            *ret_problem = "a field that this frame does not have";
            return -EBADMSG;
        }
        if ((seen & 1u << tag) != 0 && tag != UDS_FIELD_HEADER) {
            *ret_problem = "a field stands twice in the head";
            return -EBADMSG;
        }
        seen |= 1u << tag;
        int r = take_field(ret, tag, data, len, ret_problem);
        if (r < 0)
            return r;
    }
    return 0;
}

static void head_bytes(struct head_out *out, uint16_t tag, const void *data, size_t len)
{
    if (out->overflow || len > UINT16_MAX || sizeof(out->data) - out->len < len + 4) {
        out->overflow = true;
        return;
    }
    uint16_t prefix[2] = {htole16(tag), htole16((uint16_t)len)};
    memcpy(out->data + out->len, prefix, sizeof(prefix));
    if (len > 0)
        memcpy(out->data + out->len + sizeof(prefix), data, len);
    out->len += sizeof(prefix) + len;
}

void head_string(struct head_out *out, uint16_t tag, const char *text)
{
    if (text != NULL && text[0] != '\0')
        head_bytes(out, tag, text, strlen(text));
}

void head_u32(struct head_out *out, uint16_t tag, uint32_t value)
{
    value = htole32(value);
    head_bytes(out, tag, &value, sizeof(value));
}

void head_u64(struct head_out *out, uint16_t tag, uint64_t value)
{
    value = htole64(value);
    head_bytes(out, tag, &value, sizeof(value));
}

void head_headers(struct head_out *out, const uds_msg *msg)
{
    size_t pos = 0, len;
    uint16_t tag;
    const void *data;
    while (uds_msg_next(msg, &pos, &tag, &data, &len) > 0) {
        if (tag == UDS_FIELD_HEADER)
            head_bytes(out, tag, data, len);
    }
}
