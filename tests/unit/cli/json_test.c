/* SPDX-License-Identifier: MIT */

/* JSON as we write it: whatever bytes a peer sends, the document stays well-formed. */

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "guard.h"
#include "json.h"

/* The document that @write makes; the caller frees it. */
static char *document(void (*write)(struct json *json))
{
    char *text = NULL;
    size_t size;
    struct json json = {.out = open_memstream(&text, &size)};

    write(&json);
    fclose(json.out);
    return text;
}

static char *string_of(const void *data, size_t len)
{
    char *text = NULL;
    size_t size;
    struct json json = {.out = open_memstream(&text, &size)};

    json_bytes(&json, data, len);
    fclose(json.out);
    return text;
}

#define EXPECT_STRING(bytes, expected)                      \
    do {                                                    \
        char *text_ = string_of(bytes, sizeof(bytes) - 1);  \
        cr_expect_str_eq(text_, expected, "got %s", text_); \
        free(text_);                                        \
    } while (0)

Test(json_string, escapes_what_json_forbids)
{
    UDS_TEST_GUARD;
    EXPECT_STRING("plain", "\"plain\"");
    EXPECT_STRING("a\"b\\c", "\"a\\\"b\\\\c\"");
    EXPECT_STRING("\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\"");
    EXPECT_STRING("\x01\x1f\x7f", "\"\\u0001\\u001f\\u007f\"");
    EXPECT_STRING("a\0b", "\"a\\u0000b\"");
}

Test(json_string, keeps_utf8_and_replaces_what_is_none)
{
    UDS_TEST_GUARD;
    EXPECT_STRING("gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\"");
    EXPECT_STRING("\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\"");
    EXPECT_STRING("\xff", "\"\xef\xbf\xbd\"");
    EXPECT_STRING("\xc3", "\"\xef\xbf\xbd\"");                                 /* cut off */
    EXPECT_STRING("\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\"");                 /* overlong */
    EXPECT_STRING("\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""); /* surrogate */
    EXPECT_STRING("\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    EXPECT_STRING("\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void write_nested(struct json *json)
{
    json_open(json, '{');
    json_key(json, "a");
    json_uint(json, UINT64_MAX);
    json_key(json, "b");
    json_open(json, '[');
    json_bool(json, true);
    json_null(json);
    json_open(json, '[');
    json_close(json, ']');
    json_int(json, -5);
    json_close(json, ']');
    json_key(json, "c");
    json_string(json, "");
    json_close(json, '}');
    json_end(json);
}

static void write_two(struct json *json)
{
    json_open(json, '{');
    json_close(json, '}');
    json_end(json);
    json_open(json, '{');
    json_close(json, '}');
    json_end(json);
}

Test(json, puts_commas_and_colons_where_they_belong)
{
    UDS_TEST_GUARD;
    char *text = document(write_nested);

    cr_expect_str_eq(text,
                     "{\"a\": 18446744073709551615, \"b\": [true, null, [], -5], \"c\": \"\"}\n",
                     "got %s", text);
    free(text);
}

Test(json, starts_a_new_document_after_the_end)
{
    UDS_TEST_GUARD;
    char *text = document(write_two);

    cr_expect_str_eq(text, "{}\n{}\n", "got %s", text);
    free(text);
}

static void write_base64(struct json *json)
{
    json_open(json, '[');
    json_base64(json, "", 0);
    json_base64(json, "f", 1);
    json_base64(json, "fo", 2);
    json_base64(json, "foo", 3);
    json_base64(json, "\xff\xfe\xfd\x00", 4);
    json_close(json, ']');
}

Test(json_base64, is_that_of_rfc_4648)
{
    UDS_TEST_GUARD;
    char *text = document(write_base64);

    cr_expect_str_eq(text, "[\"\", \"Zg==\", \"Zm8=\", \"Zm9v\", \"//79AA==\"]", "got %s", text);
    free(text);
}

Test(json_is_utf8, tells_text_from_bytes)
{
    UDS_TEST_GUARD;
    cr_expect(json_is_utf8("", 0));
    cr_expect(json_is_utf8("\xe2\x82\xac", 3));
    cr_expect_not(json_is_utf8("\xe2\x82", 2));
    cr_expect_not(json_is_utf8("\x80", 1));
}
