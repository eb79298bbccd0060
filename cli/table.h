/* SPDX-License-Identifier: MIT */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * Rows and columns that know two ways out: aligned text for people, an array of objects for programs. The caller fills
 * cells from left to right, row after row; a cell that is not filled is empty.
 */
struct table;

struct table_column {
    const char *title; /* for people, e.g. "CPU"; NULL = for programs only */
    const char *key;   /* for programs, e.g. "cpu_usec"; NULL = for people only */
    bool right;        /* align at the right: numbers */
    bool optional;     /* people do not see it if it says "-" or nothing in every row */
};

/* @columns is borrowed. NULL: out of memory, as every later call with it then does nothing. */
struct table *table_new(const struct table_column *columns, size_t count);
struct table *table_free(struct table *table);

void table_row(struct table *table); /* starts a row */
/* A cell: what people read, and what programs read (a string, a number, a list). */
void table_text(struct table *table, const char *text);
void table_uint(struct table *table, uint64_t value);                      /* the number for both */
void table_uint_as(struct table *table, uint64_t value, const char *text); /* people read @text */
void table_bool_as(struct table *table, bool value, const char *text);
void table_list(struct table *table, char *const *items, size_t count); /* "a, b" and ["a", "b"] */
void table_none(struct table *table);                                   /* "-" and null */

size_t table_get_rows(const struct table *table);
/* Bytes of the character at @text that a terminal may be shown; 0: a control character, also one of U+0080 to U+009F, or
 * none of UTF-8. */
size_t table_character(const char *text);
/* Without rows only the titles. What table_character() does not take is printed as '?'. */
void table_print(const struct table *table, FILE *out);
struct json;
void table_print_json(const struct table *table, struct json *json);

/* "1.5 MiB", "832 B"; "12.3 s", "4.1 ms". @buf holds at least 24 bytes. */
const char *format_bytes(uint64_t bytes, char *buf, size_t size);
const char *format_usec(uint64_t usec, char *buf, size_t size);
/* "3d 4h", "2h 5m", "41s" */
const char *format_age(uint64_t ms, char *buf, size_t size);

#endif
