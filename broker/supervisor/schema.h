/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_SCHEMA_H
#define SUPERVISOR_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "document.h"

/*
 * Schema: tables that say which keys a map may have, and how each value is read into a field of a
 * struct. See schema.c. What a failed read has already stored in the struct stays there, for the
 * struct's own free function.
 */

/*
 * A list of texts, NULL-terminated. @line is where it stands in the file, 0 when it was not given.
 */
struct texts {
    char **v;
    size_t n;
    unsigned line;
};

struct reader {
    const char *file;
    struct sbx_error *error;
    char path[256]; /* "sandboxes.decoder.limits.cpu" */
};

/* Read @node into *@field. @arg is what the table says. 0 or -errno by schema_fail(). */
typedef int schema_reader(struct reader *r, const struct node *node, void *field, const void *arg);

struct schema_field {
    const char *key;
    schema_reader *read;
    size_t offset; /* of the field in the struct */
    const void *arg;
    bool required;
};

struct schema_map {
    const struct schema_field *fields;
    size_t n;
};

/* One line: "FILE:LINE:COLUMN: field 'PATH': what is wrong; what is allowed". Returns -EINVAL. */
__attribute__((format(printf, 3, 4))) int
schema_fail(struct reader *r, const struct node *node, const char *format, ...);
int schema_fail_memory(struct reader *r);

/*
 * Go into a child and come back: `size_t mark = schema_enter(r, ".%s", key); … schema_leave(r,
 * mark);`
 */
__attribute__((format(printf, 2, 3))) size_t
schema_enter(struct reader *r, const char *format, ...);
void schema_leave(struct reader *r, size_t mark);

/* Readers: what each wants as @arg, and of what type its field is. */
schema_reader schema_read_map;    /* struct schema_map; the struct */
schema_reader schema_read_text;   /* NULL or const schema_text_check *; char * */
schema_reader schema_read_texts;  /* struct schema_texts; struct texts */
schema_reader schema_read_bool;   /* NULL; bool */
schema_reader schema_read_number; /* struct schema_range; uint64_t */
schema_reader schema_read_u32;    /* struct schema_range; uint32_t */
schema_reader schema_read_choice; /* struct schema_words; int (an enum) */
schema_reader schema_read_bits;   /* const schema_bit_name *; uint32_t */

/* Returns NULL when @text is fine, else what is wrong and what is allowed. */
typedef const char *(*schema_text_check)(const char *text);

struct schema_texts {
    schema_text_check check; /* NULL = anything */
    bool not_empty;
};

/* The word for one bit, NULL = there is none. What knows the bits knows their words, so no table here repeats them. */
typedef const char *(*schema_bit_name)(uint32_t bit);

struct schema_range {
    uint64_t min, max;
};

struct schema_word {
    const char *word;
    uint32_t value;
};

struct schema_words {
    const struct schema_word *words;
    size_t n;
};

void texts_clear(struct texts *texts);
/* Append "@a@separator@b" (@separator and @b may be NULL). 0 or -ENOMEM. */
int texts_add(struct texts *texts, const char *a, const char *separator, const char *b);

#endif
