/* SPDX-License-Identifier: MIT */
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * Writes one JSON value after the other to a stream; commas and colons come by themselves.
 *
 *   json_open(&j, '{'); json_key(&j, "name"); json_string(&j, name); json_close(&j, '}');
 *
 * Strings are arbitrary bytes: what is no UTF-8 becomes U+FFFD, so that the document is valid whatever a peer sent.
 */
struct json {
    FILE *out;
    bool comma;     /* before the next value */
    bool after_key; /* the next value belongs to a key */
};

void json_open(struct json *json, char bracket); /* '{' or '[' */
void json_close(struct json *json, char bracket);
void json_key(struct json *json, const char *name);
void json_string(struct json *json, const char *text);
void json_bytes(struct json *json, const void *data, size_t len);
void json_base64(struct json *json, const void *data, size_t len);
void json_uint(struct json *json, uint64_t value);
void json_int(struct json *json, int64_t value);
void json_double(struct json *json, double value); /* 6 digits; null if it is no number */
void json_bool(struct json *json, bool value);
void json_null(struct json *json);
void json_end(
    struct json *json); /* newline after the outermost value; ready for another document */

/* Is all of it well-formed UTF-8 (RFC 3629)? */
bool json_is_utf8(const void *data, size_t len);

#endif
