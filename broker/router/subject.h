/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_SUBJECT_H
#define ROUTER_SUBJECT_H

#include <stdbool.h>
#include <stddef.h>

#define SUBJECT_MAX 255

struct subject_token {
    const char *text;
    size_t len;
};

/** subject_next() - the next token of a valid subject; *@rest starts at the subject. false at its end. */
bool subject_next(const char **rest, struct subject_token *ret_token);
/** subject_covers() - is every subject that @inner matches also matched by @outer? With a plain @inner: does @outer match it? */
bool subject_covers(const char *outer, const char *inner);
/** subject_overlaps() - is there a subject that both patterns match? */
bool subject_overlaps(const char *a, const char *b);
/** subject_is_sys() - "$SYS" and what is below it: the broker's own account. */
bool subject_is_sys(const char *subject);

#endif
