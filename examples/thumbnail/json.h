/* SPDX-License-Identifier: MIT */
#ifndef THUMBNAIL_JSON_H
#define THUMBNAIL_JSON_H

#include <stdio.h>

/* Prints @text as a JSON string with its quotes. What is no UTF-8 becomes U+FFFD: the document stays valid. */
void json_string(FILE *out, const char *text);
/* "name": "text" — the two together, no comma. */
void json_member(FILE *out, const char *name, const char *text);

#endif
