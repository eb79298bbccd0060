/* SPDX-License-Identifier: MIT */
/* The one part of writing JSON that goes wrong by hand, strings; and what a terminal must not get to see. */
#include "text.h"

#include <stddef.h>

/* Length of the well-formed UTF-8 sequence at @p, 0 if there is none (RFC 3629: no surrogates, nothing overlong). */
static size_t sequence_length(const unsigned char *p)
{
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
    if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
        (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f))
        return 0;
    for (size_t i = 1; i < length; i++) /* stops at the NUL: it is no continuation byte */
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

void json_string(FILE *out, const char *text)
{
    const unsigned char *p = (const unsigned char *)text;

    (void)putc('"', out);
    while (*p != '\0') {
        size_t length = sequence_length(p);

        if (length == 0) {
            (void)fputs("\xef\xbf\xbd", out);
            p++;
            continue;
        }
        if (*p == '"' || *p == '\\')
            (void)fprintf(out, "\\%c", *p);
        else if (*p < ' ' || *p == 0x7f)
            (void)fprintf(out, "\\u%04x", *p);
        else
            (void)fwrite(p, 1, length, out);
        p += length;
    }
    (void)putc('"', out);
}

void json_member(FILE *out, const char *name, const char *text)
{
    (void)fprintf(out, "\"%s\": ", name);
    json_string(out, text);
}

char *text_clean(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p != '\0'; p++) {
        if (*p < ' ' || *p == 0x7f)
            *p = '?';
        else if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f) /* U+0080 … U+009F */
            p[0] = p[1] = '?';
    }
    return text;
}
