/* SPDX-License-Identifier: MIT */
/*
 * Subjects as in NATS: tokens joined by dots. In a pattern a token '*' stands for exactly one token, and '>' as the last
 * token for one or more. A '*' or '>' inside a longer token is an ordinary character. Subjects that begin with '$' are
 * the system's: a pattern reaches them only if it spells out the first token.
 */

#include <string.h>

#include <uds/client.h>

#define SUBJECT_MAX 255

static bool is_token(const char *token, size_t len, char c)
{
    return len == 1 && token[0] == c;
}

bool uds_subject_is_valid(const char *subject, size_t len, bool allow_wildcards)
{
    size_t start = 0;

    if (len == 0 || len > SUBJECT_MAX)
        return false;
    for (size_t i = 0; i <= len; i++) {
        if (i < len && subject[i] != '.') {
            /* ASCII: what a terminal shows is what a policy compares. */
            if (subject[i] <= ' ' || subject[i] >= 0x7f)
                return false;
            continue;
        }
        size_t token_len = i - start;
        const char *token = subject + start;
        bool star = is_token(token, token_len, '*'), rest = is_token(token, token_len, '>');

        if (token_len == 0 || ((star || rest) && !allow_wildcards) || (rest && i < len))
            return false;
        start = i + 1;
    }
    return true;
}

bool uds_subject_matches(const char *pattern, const char *subject)
{
    if (subject[0] == '$' && pattern[0] != '$')
        return false;
    for (;;) {
        size_t p = strcspn(pattern, "."), s = strcspn(subject, ".");

        if (is_token(pattern, p, '>') && pattern[p] == '\0')
            return s > 0;
        if (is_token(pattern, p, '*') ? s == 0 : (p != s || memcmp(pattern, subject, p) != 0))
            return false;
        if (pattern[p] == '\0' || subject[s] == '\0')
            return pattern[p] == subject[s];
        pattern += p + 1;
        subject += s + 1;
    }
}
