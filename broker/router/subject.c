/* SPDX-License-Identifier: MIT */
/*
 * Subjects and patterns as in NATS: tokens separated by dots, '*' is one token, '>' is the rest (one token at least).
 * A wildcard as first token never stands for a token that begins with '$': those are other accounts, reached by name only.
 *
 * Pure functions on subjects that uds_subject_is_valid() has accepted.
 */
#include "subject.h"

#include <string.h>

bool subject_next(const char **rest, struct subject_token *ret_token)
{
    if (**rest == '\0')
        return false;
    const char *dot = strchrnul(*rest, '.');
    *ret_token = (struct subject_token){*rest, (size_t)(dot - *rest)};
    *rest = *dot == '.' ? dot + 1 : dot;
    return true;
}

static bool is(struct subject_token token, char wildcard)
{
    return token.len == 1 && token.text[0] == wildcard;
}

static bool same(struct subject_token a, struct subject_token b)
{
    return a.len == b.len && memcmp(a.text, b.text, a.len) == 0;
}

/* Does a leading wildcard stop at the other side's "$…"? */
static bool fenced(const char *wild, const char *other)
{
    return (wild[0] == '*' || wild[0] == '>') && (wild[1] == '.' || wild[1] == '\0') &&
           other[0] == '$';
}

bool subject_covers(const char *outer, const char *inner)
{
    struct subject_token o, i;
    if (fenced(outer, inner))
        return false;
    for (;;) {
        bool more_outer = subject_next(&outer, &o);
        bool more_inner = subject_next(&inner, &i);
        if (!more_outer || !more_inner)
            return more_outer == more_inner;
        if (is(o, '>'))
            return true;
        if (is(i, '>'))
            return false;
        if (!is(o, '*') && !same(o, i))
            return false;
    }
}

bool subject_overlaps(const char *a, const char *b)
{
    struct subject_token x, y;
    if (fenced(a, b) || fenced(b, a))
        return false;
    for (;;) {
        bool more_a = subject_next(&a, &x);
        bool more_b = subject_next(&b, &y);
        if (!more_a || !more_b)
            return more_a == more_b;
        if (is(x, '>') || is(y, '>'))
            return true;
        if (!is(x, '*') && !is(y, '*') && !same(x, y))
            return false;
    }
}

bool subject_is_sys(const char *subject)
{
    return strncmp(subject, "$SYS", 4) == 0 && (subject[4] == '.' || subject[4] == '\0');
}
