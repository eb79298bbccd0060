/* SPDX-License-Identifier: MIT */
#ifndef THUMBNAIL_TEXT_H
#define THUMBNAIL_TEXT_H

#include <stdio.h>

/*
 * Text from strangers on its way out. A decoder that was taken over may answer with anything, and a file may be called
 * anything; neither may steer the terminal or break the document.
 */

/* Prints @text as a JSON string with its quotes. What is no UTF-8 becomes U+FFFD: the document stays valid. */
void json_string(FILE *out, const char *text);
/* "name": "text" — the two together, no comma. */
void json_member(FILE *out, const char *name, const char *text);

/* For terminals: replaces control characters (C1 ones too) by '?', in place. Returns @text. */
char *text_clean(char *text);

#endif
