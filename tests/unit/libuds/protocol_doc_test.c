/* SPDX-License-Identifier: MIT */
/*
 * docs/protocol.md against the code and the tests: every rule that the code can name is in the document with the same
 * number, every MUST of the document has a number, and every number is named by some test as a tag, in C a comment that
 * holds P-n alone, in Python the same after a '#'.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fts.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guard.h"
#include "wire/frame.h"

#define RULES_MAX 100

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "re");
    char *text;
    long size;

    cr_assert_not_null(f, "%s: %s", path, strerror(errno));
    fseek(f, 0, SEEK_END);
    size = ftell(f);
    rewind(f);
    text = malloc((size_t)size + 1);
    cr_assert_not_null(text);
    cr_assert_eq(fread(text, 1, (size_t)size, f), (size_t)size);
    text[size] = '\0';
    fclose(f);
    return text;
}

/* Marks every P-n that stands between @before and @after. */
static void mark(const char *text, const char *before, const char *after, bool seen[RULES_MAX])
{
    char pattern[32];

    for (unsigned n = 1; n < RULES_MAX; n++) {
        snprintf(pattern, sizeof(pattern), "%sP-%u%s", before, n, after);
        if (strstr(text, pattern))
            seen[n] = true;
    }
}

static void rules_in_doc(bool ret_seen[RULES_MAX])
{
    char *text = read_file(UDS_TEST_DATA "/../docs/protocol.md");

    mark(text, "**", "** ", ret_seen);
    free(text);
}

Test(protocol_doc, has_every_rule_that_the_code_names)
{
    UDS_TEST_GUARD;
    bool in_doc[RULES_MAX] = {false};

    rules_in_doc(in_doc);
    for (unsigned rule = 1; rule < UDSI_RULE_COUNT; rule++) {
        char prefix[16];

        if (udsi_rule_text((enum udsi_rule)rule)[0] == '\0')
            continue;
        snprintf(prefix, sizeof(prefix), "P-%u: ", rule);
        cr_assert_eq(strncmp(udsi_rule_text((enum udsi_rule)rule), prefix, strlen(prefix)), 0);
        cr_assert(in_doc[rule], "not in docs/protocol.md: %s",
                  udsi_rule_text((enum udsi_rule)rule));
    }
}

Test(protocol_doc, numbers_every_must)
{
    UDS_TEST_GUARD;
    char *text = read_file(UDS_TEST_DATA "/../docs/protocol.md");
    char *save = NULL;

    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        if (!strstr(line, "MUST") || strstr(line, "RFC 2119"))
            continue;
        cr_assert_not_null(strstr(line, "**P-"), "a MUST without a number: %s", line);
    }
    free(text);
}

static bool has_suffix(const char *text, const char *suffix)
{
    size_t n = strlen(text), m = strlen(suffix);

    return n >= m && strcmp(text + n - m, suffix) == 0;
}

Test(protocol_doc, every_rule_has_a_test)
{
    UDS_TEST_GUARD;
    bool in_doc[RULES_MAX] = {false}, tested[RULES_MAX] = {false};
    char root[] = UDS_TEST_DATA;
    char *roots[] = {root, NULL};
    char untested[1024] = "";
    FTSENT *entry;
    FTS *fts;

    rules_in_doc(in_doc);
    fts = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    cr_assert_not_null(fts);
    while ((entry = fts_read(fts))) {
        char *text;

        if (entry->fts_info != FTS_F)
            continue;
        if (!has_suffix(entry->fts_name, ".c") && !has_suffix(entry->fts_name, ".py"))
            continue;
        text = read_file(entry->fts_accpath);
        mark(text, "/* ", " */", tested);
        if (has_suffix(entry->fts_name, ".py"))
            mark(text, "# ", "\n", tested);
        free(text);
    }
    fts_close(fts);
    for (unsigned n = 1; n < RULES_MAX; n++)
        if (in_doc[n] && !tested[n])
            snprintf(untested + strlen(untested), sizeof(untested) - strlen(untested), " P-%u", n);
    cr_assert_str_empty(untested, "rules of docs/protocol.md that no test names:%s", untested);
}
