/* SPDX-License-Identifier: MIT */
/*
 * Schema: a node of a document → a field of a struct, by tables.
 *
 * A table lists the keys of one kind of map. Reading a map means: every key in the file must be in
 * the table, every required key of the table must be in the file, and each value goes through the
 * reader that its line of the table names. The reader keeps the path of where it is
 * ("policy[2].fds.send[0]"), so that every complaint names position and field in one form.
 */
#include "schema.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNKNOWN_WORD "'%.64s' is unknown; allowed: %s"

int schema_fail(struct reader *r, const struct node *node, const char *format, ...)
{
    char what[512];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    /* The words come from a file and go to a terminal. */
    for (char *p = what; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 127)
            *p = '?';
    r->error->err = EINVAL;
    snprintf(r->error->text, sizeof(r->error->text), "%.200s:%u:%u: %s%s%s%s", r->file, node->line,
             node->column, r->path[0] ? "field '" : "", r->path, r->path[0] ? "': " : "", what);
    return -EINVAL;
}

int schema_fail_memory(struct reader *r)
{
    r->error->err = ENOMEM;
    snprintf(r->error->text, sizeof(r->error->text), "%.200s: out of memory", r->file);
    return -ENOMEM;
}

size_t schema_enter(struct reader *r, const char *format, ...)
{
    size_t mark = strlen(r->path);
    va_list args;

    /* The top map has no name: its children begin without the dot. */
    if (mark == 0 && format[0] == '.')
        format++;
    va_start(args, format);
    vsnprintf(r->path + mark, sizeof(r->path) - mark, format, args);
    va_end(args);
    return mark;
}

void schema_leave(struct reader *r, size_t mark)
{
    r->path[mark] = 0;
}

void texts_clear(struct texts *texts)
{
    for (size_t i = 0; i < texts->n; i++)
        free(texts->v[i]);
    free(texts->v);
    *texts = (struct texts){0};
}

int texts_add(struct texts *texts, const char *a, const char *separator, const char *b)
{
    char **v = reallocarray(texts->v, texts->n + 2, sizeof(char *));
    char *text;

    if (!v)
        return -ENOMEM;
    texts->v = v;
    v[texts->n] = NULL;
    if (asprintf(&text, "%s%s%s", a, separator ? separator : "", b ? b : "") < 0)
        return -ENOMEM;
    v[texts->n++] = text;
    v[texts->n] = NULL;
    return 0;
}

static const char *kind_name(const struct node *node)
{
    if (node->kind == NODE_MAP)
        return "a map";
    return node->kind == NODE_LIST ? "a list" : "one value";
}

/* "a, b or c" of a table's words, for "allowed: …". */
static void list_words(
    char *buf, size_t size, const char *(*word)(const void *, size_t), const void *of, size_t n)
{
    size_t used = 0;

    buf[0] = 0;
    for (size_t i = 0; i < n && used < size; i++)
        used += (size_t)snprintf(buf + used, size - used, "%s%s",
                                 i == 0 ? "" : (i + 1 == n ? " or " : ", "), word(of, i));
}

static const char *word_of_map(const void *of, size_t i)
{
    return ((const struct schema_map *)of)->fields[i].key;
}

static const char *word_of_words(const void *of, size_t i)
{
    return ((const struct schema_words *)of)->words[i].word;
}

struct bit_words {
    size_t n;
    const char *v[32];
};

static const char *word_of_bits(const void *of, size_t i)
{
    return ((const struct bit_words *)of)->v[i];
}

static const struct schema_field *find_field(const struct schema_map *map, const char *key)
{
    for (size_t i = 0; i < map->n; i++)
        if (strcmp(map->fields[i].key, key) == 0)
            return &map->fields[i];
    return NULL;
}

static int fail_unknown_key(struct reader *r, const struct node *key, const struct schema_map *map)
{
    size_t mark = schema_enter(r, ".%.64s", key->text);
    char known[384];
    int result;

    list_words(known, sizeof(known), word_of_map, map, map->n);
    result = schema_fail(r, key, "unknown key; allowed here: %s", known);
    schema_leave(r, mark);
    return result;
}

int schema_read_map(struct reader *r, const struct node *node, void *field, const void *arg)
{
    const struct schema_map *map = arg;

    if (node->kind != NODE_MAP)
        return schema_fail(r, node, "is %s; must be a map of keys and values", kind_name(node));
    for (size_t i = 0; i < node->n; i++) {
        const struct schema_field *f = find_field(map, node->keys[i]->text);
        size_t mark;
        int result;

        if (!f)
            return fail_unknown_key(r, node->keys[i], map);
        mark = schema_enter(r, ".%s", f->key);
        result = f->read(r, node->items[i], (char *)field + f->offset, f->arg);
        schema_leave(r, mark);
        if (result < 0)
            return result;
    }
    for (size_t i = 0; i < map->n; i++)
        if (map->fields[i].required && !document_find(node, map->fields[i].key)) {
            schema_enter(r, ".%s", map->fields[i].key);
            return schema_fail(r, node, "is missing; it is required here");
        }
    return 0;
}

static int want_scalar(struct reader *r, const struct node *node, const char *wanted)
{
    if (node->kind != NODE_SCALAR)
        return schema_fail(r, node, "is %s; must be %s", kind_name(node), wanted);
    if (!node->quoted && (node->text[0] == 0 || strcmp(node->text, "~") == 0))
        return schema_fail(r, node, "has no value; must be %s", wanted);
    return 0;
}

int schema_read_text(struct reader *r, const struct node *node, void *field, const void *arg)
{
    schema_text_check check = arg ? *(const schema_text_check *)arg : NULL;
    char **text = field;
    const char *wrong;
    int result = want_scalar(r, node, "a text");

    if (result < 0)
        return result;
    wrong = check ? check(node->text) : NULL;
    if (wrong)
        return schema_fail(r, node, "'%.100s' %s", node->text, wrong);
    free(*text);
    *text = strdup(node->text);
    return *text ? 0 : schema_fail_memory(r);
}

static int read_item(struct reader *r,
                     const struct node *item,
                     struct texts *texts,
                     const struct schema_texts *want)
{
    const char *wrong;
    int result = want_scalar(r, item, "a text");

    if (result < 0)
        return result;
    wrong = want && want->check ? want->check(item->text) : NULL;
    if (wrong)
        return schema_fail(r, item, "'%.100s' %s", item->text, wrong);
    return texts_add(texts, item->text, NULL, NULL) < 0 ? schema_fail_memory(r) : 0;
}

int schema_read_texts(struct reader *r, const struct node *node, void *field, const void *arg)
{
    const struct schema_texts *want = arg;
    struct texts *texts = field;

    if (node->kind != NODE_LIST)
        return schema_fail(r, node, "is %s; must be a list of texts: [a, b]", kind_name(node));
    if (want && want->not_empty && node->n == 0)
        return schema_fail(r, node, "is an empty list; needs at least one text");
    texts->line = node->line;
    for (size_t i = 0; i < node->n; i++) {
        size_t mark = schema_enter(r, "[%zu]", i);
        int result = read_item(r, node->items[i], texts, want);

        schema_leave(r, mark);
        if (result < 0)
            return result;
    }
    return 0;
}

int schema_read_bool(struct reader *r, const struct node *node, void *field, const void *arg)
{
    int result = want_scalar(r, node, "true or false");
    bool *value = field;

    (void)arg;
    if (result < 0)
        return result;
    if (!node->quoted && strcmp(node->text, "true") == 0)
        *value = true;
    else if (!node->quoted && strcmp(node->text, "false") == 0)
        *value = false;
    else
        return schema_fail(r, node, "'%.64s' is neither true nor false", node->text);
    return 0;
}

int schema_read_number(struct reader *r, const struct node *node, void *field, const void *arg)
{
    const struct schema_range *range = arg;
    unsigned long long value;
    char *end;
    int result = want_scalar(r, node, "a whole number");

    if (result < 0)
        return result;
    errno = 0;
    value = strtoull(node->text, &end, 10);
    if (node->text[0] < '0' || node->text[0] > '9' || *end)
        return schema_fail(r, node, "'%.64s' is not a whole number", node->text);
    if (errno || value < range->min || value > range->max)
        return schema_fail(r, node, "%.64s is out of range; allowed: %llu to %llu", node->text,
                           (unsigned long long)range->min, (unsigned long long)range->max);
    *(uint64_t *)field = value;
    return 0;
}

int schema_read_u32(struct reader *r, const struct node *node, void *field, const void *arg)
{
    uint64_t value = 0;
    int result = schema_read_number(r, node, &value, arg);

    if (result == 0)
        *(uint32_t *)field = (uint32_t)value;
    return result;
}

int schema_read_choice(struct reader *r, const struct node *node, void *field, const void *arg)
{
    const struct schema_words *words = arg;
    char known[384];
    int result = want_scalar(r, node, "a word");

    if (result < 0)
        return result;
    for (size_t i = 0; i < words->n; i++)
        if (strcmp(words->words[i].word, node->text) == 0) {
            *(int *)field = (int)words->words[i].value;
            return 0;
        }
    list_words(known, sizeof(known), word_of_words, words, words->n);
    return schema_fail(r, node, UNKNOWN_WORD, node->text, known);
}

static int
read_bit(struct reader *r, const struct node *node, schema_bit_name name, uint32_t *ret_bit)
{
    struct bit_words words = {.n = 0};
    char known[384];
    int result = want_scalar(r, node, "a word");

    if (result < 0)
        return result;
    for (unsigned i = 0; i < 32; i++) {
        const char *word = name(UINT32_C(1) << i);

        if (word && strcmp(word, node->text) == 0) {
            *ret_bit = UINT32_C(1) << i;
            return 0;
        }
        if (word)
            words.v[words.n++] = word;
    }
    list_words(known, sizeof(known), word_of_bits, &words, words.n);
    return schema_fail(r, node, UNKNOWN_WORD, node->text, known);
}

int schema_read_bits(struct reader *r, const struct node *node, void *field, const void *arg)
{
    schema_bit_name name = *(const schema_bit_name *)arg;
    uint32_t bits = 0;

    if (node->kind != NODE_LIST)
        return schema_fail(r, node, "is %s; must be a list of words: [a, b]", kind_name(node));
    for (size_t i = 0; i < node->n; i++) {
        size_t mark = schema_enter(r, "[%zu]", i);
        uint32_t bit = 0;
        int result = read_bit(r, node->items[i], name, &bit);

        schema_leave(r, mark);
        if (result < 0)
            return result;
        bits |= bit;
    }
    *(uint32_t *)field = bits;
    return 0;
}
