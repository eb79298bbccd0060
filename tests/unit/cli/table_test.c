/* SPDX-License-Identifier: MIT */

/* Tables: aligned for people, complete for programs. */

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "guard.h"
#include "json.h"
#include "table.h"

static const struct table_column columns[] = {{"NAME", "name", false, false},
                                              {"COUNT", "count", true, false},
                                              {"LAST", "last", false, false}};

static char *text_of(const struct table *table)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    table_print(table, out);
    fclose(out);
    return text;
}

static char *json_of(const struct table *table)
{
    char *text = NULL;
    size_t size;
    struct json json = {.out = open_memstream(&text, &size)};

    table_print_json(table, &json);
    fclose(json.out);
    return text;
}

static struct table *make(void)
{
    struct table *table = table_new(columns, 3);

    table_row(table);
    table_text(table, "gr\xc3\xbcn");
    table_uint(table, 7);
    table_text(table, "x");
    table_row(table);
    table_text(table, "longer name");
    table_uint_as(table, 123456, "121 KiB");
    table_none(table);
    return table;
}

Test(table_print, aligns_by_what_is_seen_and_not_by_bytes)
{
    UDS_TEST_GUARD;
    struct table *table = make();
    char *text = text_of(table);

    cr_expect_str_eq(text,
                     "NAME           COUNT  LAST\n"
                     "gr\xc3\xbcn               7  x\n"
                     "longer name  121 KiB  -\n",
                     "got\n%s", text);
    free(text);
    table_free(table);
}

Test(table_print_json, gives_numbers_in_full_and_null_for_nothing)
{
    UDS_TEST_GUARD;
    struct table *table = make();
    char *text = json_of(table);

    cr_expect_str_eq(text,
                     "[{\"name\": \"gr\xc3\xbcn\", \"count\": 7, \"last\": \"x\"}, "
                     "{\"name\": \"longer name\", \"count\": 123456, \"last\": null}]",
                     "got %s", text);
    free(text);
    table_free(table);
}

Test(table_print, keeps_control_characters_off_the_terminal)
{
    UDS_TEST_GUARD;
    struct table *table = table_new(columns, 1);
    char *text;

    table_row(table);
    table_text(table, "a\x1b[31m\nb");
    table_row(table);
    table_text(table,
               "\xc2\x9b"
               "31m \x9b \xe2\x82 \xc2\xa0"); /* U+009B is CSI to some; bytes that are no UTF-8 */
    text = text_of(table);
    cr_expect_str_eq(text, "NAME\na?[31m?b\n??31m ? ?? \xc2\xa0\n", "got %s", text);
    free(text);
    table_free(table);
}

Test(table, fills_a_row_that_was_left_short)
{
    UDS_TEST_GUARD;
    struct table *table = table_new(columns, 3);
    char *text;

    table_row(table);
    table_text(table, "a");
    text = json_of(table);
    cr_expect_str_eq(text, "[{\"name\": \"a\", \"count\": null, \"last\": null}]", "got %s", text);
    free(text);
    table_free(table);
}

Test(table_list, is_words_for_people_and_an_array_for_programs)
{
    UDS_TEST_GUARD;
    char a[] = "cgroup", b[] = "cpu";
    char *items[] = {a, b};
    struct table *table = table_new(columns, 2);
    char *text;

    table_row(table);
    table_list(table, items, 2);
    table_list(table, items, 0);
    text = text_of(table);
    cr_expect_str_eq(text, "NAME         COUNT\ncgroup, cpu      -\n", "got %s", text);
    free(text);
    text = json_of(table);
    cr_expect_str_eq(text, "[{\"name\": [\"cgroup\", \"cpu\"], \"count\": []}]", "got %s", text);
    free(text);
    table_free(table);
}

Test(format, writes_sizes_and_times_short)
{
    UDS_TEST_GUARD;
    char buf[32];

    cr_expect_str_eq(format_bytes(0, buf, sizeof(buf)), "0 B");
    cr_expect_str_eq(format_bytes(1023, buf, sizeof(buf)), "1023 B");
    cr_expect_str_eq(format_bytes(1536, buf, sizeof(buf)), "1.5 KiB");
    cr_expect_str_eq(format_bytes(64u << 20, buf, sizeof(buf)), "64 MiB");
    cr_expect_str_eq(format_bytes((64u << 20) - 1, buf, sizeof(buf)), "64 MiB");
    cr_expect_str_eq(format_bytes(UINT64_MAX, buf, sizeof(buf)), "16 EiB");
    cr_expect_str_eq(format_usec(999, buf, sizeof(buf)), "999 us");
    cr_expect_str_eq(format_usec(1500, buf, sizeof(buf)), "1.5 ms");
    cr_expect_str_eq(format_usec(2500000, buf, sizeof(buf)), "2.5 s");
    cr_expect_str_eq(format_age(41000, buf, sizeof(buf)), "41s");
    cr_expect_str_eq(format_age(7500000, buf, sizeof(buf)), "2h 5m");
}

Test(table_print, leaves_out_what_is_for_programs_and_what_is_empty)
{
    UDS_TEST_GUARD;
    static const struct table_column some[] = {{"A", NULL, false, false},
                                               {NULL, "b", true, false},
                                               {"C", "c", false, true},
                                               {"D", "d", false, true}};
    struct table *table = table_new(some, 4);
    char *text;

    for (unsigned i = 0; i < 2; i++) {
        table_row(table);
        table_text(table, "people");
        table_uint(table, i);
        table_none(table);
        if (i == 1)
            table_text(table, "once");
    }
    text = text_of(table);
    cr_expect_str_eq(text, "A       D\npeople  \npeople  once\n", "got\n%s", text);
    free(text);
    text = json_of(table);
    cr_expect_str_eq(text,
                     "[{\"b\": 0, \"c\": null, \"d\": null}, "
                     "{\"b\": 1, \"c\": null, \"d\": \"once\"}]",
                     "got %s", text);
    free(text);
    table_free(table);
}
