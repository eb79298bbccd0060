/* SPDX-License-Identifier: MIT */
/* Subjects and the tree that matches them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guard.h"
#include "route.h"
#include "subject.h"
#include "table.h"

struct item {
    struct route_entry entry;
    const char *pattern;
};

static void collect(struct route_entry *entry, void *arg)
{
    char *buf = arg;
    strcat(buf, ((struct item *)entry)->pattern);
    strcat(buf, " ");
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The patterns that match, sorted, so that the order in the tree does not matter. */
static const char *matches(struct route *route, const char *subject)
{
    static char out[512];
    char found[512] = "", *words[32];
    size_t n = 0;
    route_match(route, subject, collect, found);
    for (char *word = strtok(found, " "); word != NULL; word = strtok(NULL, " "))
        words[n++] = word;
    qsort(words, n, sizeof(words[0]), compare);
    out[0] = '\0';
    for (size_t i = 0; i < n; i++)
        strcat(strcat(out, i > 0 ? " " : ""), words[i]);
    return out;
}

Test(route, matches_tokens_stars_and_rests)
{
    UDS_TEST_GUARD;
    static struct item items[] = {
        {.pattern = "a"},     {.pattern = "a.b"},   {.pattern = "a.*"},    {.pattern = "*.b"},
        {.pattern = "*"},     {.pattern = ">"},     {.pattern = "a.>"},    {.pattern = "*.*"},
        {.pattern = "a.*.c"}, {.pattern = "*.*.>"}, {.pattern = "$SYS.>"}, {.pattern = "$SYS.*"},
        {.pattern = "a.b.c"}, {.pattern = "b.>"},
    };
    static const struct {
        const char *subject, *expect;
    } table[] = {
        {"a", "* > a"},
        {"b", "* >"},
        {"a.b", "*.* *.b > a.* a.> a.b"},
        {"x.b", "*.* *.b >"},
        {"a.b.c", "*.*.> > a.*.c a.> a.b.c"},
        {"a.x.c", "*.*.> > a.*.c a.>"},
        {"b.c", "*.* > b.>"},
        {"$SYS", ""},
        {"$SYS.x", "$SYS.* $SYS.>"},
        {"$SYS.x.y", "$SYS.>"},
        {"$JS.x", ""},
        {"a.$SYS", "*.* > a.* a.>"},
    };
    struct route *route;
    cr_assert_eq(route_new(&route), 0);
    for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++)
        cr_assert_eq(route_add(route, items[i].pattern, &items[i].entry), 0);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        cr_expect_str_eq(matches(route, table[i].subject), table[i].expect, "%s: %s",
                         table[i].subject, matches(route, table[i].subject));
    for (size_t i = 0; i < sizeof(items) / sizeof(items[0]); i++)
        route_remove(route, &items[i].entry);
    cr_expect_str_eq(matches(route, "a.b"), "");
    route_free(route);
}

Test(route, agrees_with_the_definition_on_random_patterns)
{
    UDS_TEST_GUARD;
    static struct item items[2000];
    static char texts[2000][32];
    static const char *const tokens[] = {"a", "b", "c", "*", ">", "$d"};
    struct route *route;
    srand(1);
    cr_assert_eq(route_new(&route), 0);
    for (size_t i = 0; i < 2000; i++) {
        int length = 1 + rand() % 4;
        for (int t = 0; t < length; t++) {
            const char *token = tokens[rand() % 6];
            strcat(strcat(texts[i], t > 0 ? "." : ""), token);
            if (token[0] == '>')
                break;
        }
        items[i].pattern = texts[i];
        cr_assert_eq(route_add(route, texts[i], &items[i].entry), 0);
    }
    /* Take every third out again, so that pruning is in it. */
    for (size_t i = 0; i < 2000; i += 3)
        route_remove(route, &items[i].entry);
    for (size_t i = 0; i < 2000; i++) {
        if (strpbrk(texts[i], "*>") != NULL)
            continue;
        char *found = calloc(1, 64u << 10);
        size_t count = 0, expect = 0;
        route_match(route, texts[i], collect, found);
        for (char *p = found; (p = strchr(p, ' ')) != NULL; p++)
            count++;
        for (size_t k = 0; k < 2000; k++)
            expect += k % 3 != 0 && subject_covers(texts[k], texts[i]);
        cr_expect_eq(count, expect, "%s: %zu of %zu", texts[i], count, expect);
        free(found);
    }
    for (size_t i = 0; i < 2000; i++)
        route_remove(route, &items[i].entry);
    route_free(route);
}

Test(subject, covers_only_what_lies_wholly_inside)
{
    static const struct {
        const char *outer, *inner;
        bool covers, overlaps;
    } table[] = {
        {"a.*", "a.b", true, true},       {"a.*", "a.*", true, true},
        {"a.*", "a.>", false, true},      {"a.>", "a.*", true, true},
        {"a.>", "a", false, false},       {">", "a.b.>", true, true},
        {">", "$SYS.x", false, false},    {"*.x", "$SYS.x", false, false},
        {"$SYS.>", "$SYS.x", true, true}, {"a.b", "a.*", false, true},
        {"*.b", "a.*", false, true},      {"a.b", "a.c", false, false},
        {"a.*.c", "a.b", false, false},   {">", "*", true, true},
        {"*", ">", false, true},          {"ab", "a", false, false},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        cr_expect_eq(subject_covers(table[i].outer, table[i].inner), table[i].covers,
                     "%s covers %s", table[i].outer, table[i].inner);
        cr_expect_eq(subject_overlaps(table[i].outer, table[i].inner), table[i].overlaps,
                     "%s overlaps %s", table[i].outer, table[i].inner);
    }
}

Test(table, keeps_what_was_put_through_growth_and_removal)
{
    UDS_TEST_GUARD;
    static int values[5000];
    struct table table = {0};
    for (uint64_t i = 0; i < 5000; i++)
        cr_assert_eq(table_put(&table, i * 64, &values[i]), 0);
    cr_assert_eq(table_put(&table, 64, &values[0]), -EEXIST);
    for (uint64_t i = 0; i < 5000; i += 2)
        cr_assert_eq(table_take(&table, i * 64), &values[i]);
    for (uint64_t i = 0; i < 5000; i++)
        cr_assert_eq(table_get(&table, i * 64), i % 2 == 0 ? NULL : &values[i]);
    size_t seen = 0;
    for (size_t pos = 0; table_next(&table, &pos) != NULL;)
        seen++;
    cr_assert_eq(seen, 2500);
    table_deinit(&table);
}
