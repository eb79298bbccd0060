/* SPDX-License-Identifier: MIT */
/* JSON (RFC 8259), the writing half. See json.h. */
#include "json.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Length of the well-formed sequence at @p (RFC 3629: no surrogates, nothing overlong, up to U+10FFFF), 0 if none. */
static size_t sequence_length(const unsigned char *p, size_t left)
{
    unsigned char low = 0x80, high = 0xbf;
    size_t length;

    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xc2 && p[0] <= 0xdf)
        length = 2;
    else if (p[0] >= 0xe0 && p[0] <= 0xef)
        length = 3;
    else if (p[0] >= 0xf0 && p[0] <= 0xf4)
        length = 4;
    else
        return 0;
    if (length > left)
        return 0;
    if (p[0] == 0xe0)
        low = 0xa0;
    else if (p[0] == 0xed)
        high = 0x9f;
    else if (p[0] == 0xf0)
        low = 0x90;
    else if (p[0] == 0xf4)
        high = 0x8f;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

bool json_is_utf8(const void *data, size_t len)
{
    const unsigned char *p = data;

    while (len > 0) {
        size_t length = sequence_length(p, len);

        if (length == 0)
            return false;
        p += length;
        len -= length;
    }
    return true;
}

static void before_value(struct json *json)
{
    if (json->comma && !json->after_key)
        (void)fputs(", ", json->out);
    json->comma = true;
    json->after_key = false;
}

void json_open(struct json *json, char bracket)
{
    before_value(json);
    (void)putc(bracket, json->out);
    json->comma = false;
}

void json_close(struct json *json, char bracket)
{
    (void)putc(bracket, json->out);
    json->comma = true;
}

void json_key(struct json *json, const char *name)
{
    json_string(json, name);
    (void)fputs(": ", json->out);
    json->after_key = true;
}

static void put_escaped(FILE *out, unsigned char c)
{
    static const char names[] = "\"\"\\\\\bb\ff\nn\rr\tt";

    for (const char *p = names; *p != '\0'; p += 2) {
        if ((unsigned char)*p == c) {
            (void)putc('\\', out);
            (void)putc(p[1], out);
            return;
        }
    }
    if (c < ' ' || c == 0x7f)
        (void)fprintf(out, "\\u%04x", c);
    else
        (void)putc(c, out);
}

void json_bytes(struct json *json, const void *data, size_t len)
{
    const unsigned char *p = data;

    before_value(json);
    (void)putc('"', json->out);
    while (len > 0) {
        size_t length = sequence_length(p, len);

        if (length == 1)
            put_escaped(json->out, *p);
        else if (length > 1)
            (void)fwrite(p, 1, length, json->out);
        else
            (void)fputs("\xef\xbf\xbd", json->out);
        length = length == 0 ? 1 : length;
        p += length;
        len -= length;
    }
    (void)putc('"', json->out);
}

void json_string(struct json *json, const char *text)
{
    json_bytes(json, text, strlen(text));
}

void json_base64(struct json *json, const void *data, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *p = data;

    before_value(json);
    (void)putc('"', json->out);
    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        unsigned bits = (unsigned)p[i] << 16;

        if (left > 1)
            bits |= (unsigned)p[i + 1] << 8;
        if (left > 2)
            bits |= p[i + 2];
        (void)putc(digits[bits >> 18], json->out);
        (void)putc(digits[bits >> 12 & 63], json->out);
        (void)putc(left > 1 ? digits[bits >> 6 & 63] : '=', json->out);
        (void)putc(left > 2 ? digits[bits & 63] : '=', json->out);
    }
    (void)putc('"', json->out);
}

void json_uint(struct json *json, uint64_t value)
{
    before_value(json);
    (void)fprintf(json->out, "%" PRIu64, value);
}

void json_int(struct json *json, int64_t value)
{
    before_value(json);
    (void)fprintf(json->out, "%" PRId64, value);
}

void json_double(struct json *json, double value)
{
    if (!isfinite(value)) {
        json_null(json);
        return;
    }
    before_value(json);
    (void)fprintf(json->out, "%.6g", value);
}

void json_bool(struct json *json, bool value)
{
    before_value(json);
    (void)fputs(value ? "true" : "false", json->out);
}

void json_null(struct json *json)
{
    before_value(json);
    (void)fputs("null", json->out);
}

void json_end(struct json *json)
{
    (void)putc('\n', json->out);
    json->comma = false;
}
