/* SPDX-License-Identifier: MIT */
/*
 * Document: YAML text → a tree of nodes with positions, by libyaml's events.
 *
 * Only the part of YAML that a configuration needs: one document of maps, lists and scalars.
 * Anchors, aliases and tags are refused where they stand (an alias turns a small file into a large
 * one), so are keys that are not scalars, duplicate keys (YAML says they are an error, most readers
 * silently take the last), and NULs inside scalars. Size, depth and number of nodes are bounded
 * before anything is allocated for them.
 *
 * Invariants: a node in the tree is complete; a builder's stack holds the open collections from the
 * root to the innermost; nodes belong to their parent, the root to the caller.
 */
#include "document.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct builder {
    const char *file;
    struct sbx_error *error;
    struct node *root;
    struct node *open[DOCUMENT_DEPTH_MAX]; /* collections that have not ended yet */
    size_t depth;
    struct node *key; /* of the innermost map: read, its value not yet */
    size_t nnodes;
};

struct node *document_free(struct node *node)
{
    if (!node)
        return NULL;
    for (size_t i = 0; i < node->n; i++) {
        if (node->keys)
            document_free(node->keys[i]);
        document_free(node->items[i]);
    }
    free(node->keys);
    free(node->items);
    free(node->text);
    free(node);
    return NULL;
}

const struct node *document_find(const struct node *map, const char *key)
{
    for (size_t i = 0; map->kind == NODE_MAP && i < map->n; i++)
        if (strcmp(map->keys[i]->text, key) == 0)
            return map->items[i];
    return NULL;
}

__attribute__((format(printf, 4, 5))) static int
fail_at(struct builder *b, size_t line, size_t column, const char *format, ...)
{
    char what[512];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    b->error->err = EINVAL;
    snprintf(b->error->text, sizeof(b->error->text), "%.400s:%zu:%zu: %s", b->file, line, column,
             what);
    return -EINVAL;
}

static int fail_memory(struct builder *b)
{
    b->error->err = ENOMEM;
    snprintf(b->error->text, sizeof(b->error->text), "%.400s: out of memory", b->file);
    return -ENOMEM;
}

static int fail_parser(struct builder *b, const yaml_parser_t *parser)
{
    const yaml_mark_t *mark = &parser->problem_mark;

    if (parser->error == YAML_MEMORY_ERROR)
        return fail_memory(b);
    /*
     * The reader (bad UTF-8, control characters) knows an offset only; its mark is where the
     * scanner stands.
     */
    if (parser->error == YAML_READER_ERROR)
        mark = &parser->mark;
    return fail_at(b, mark->line + 1, mark->column + 1, "not valid YAML: %s%s%s",
                   parser->context ? parser->context : "", parser->context ? ", " : "",
                   parser->problem ? parser->problem : "unknown problem");
}

static struct node *node_new(enum node_kind kind, const yaml_mark_t *mark)
{
    struct node *node = calloc(1, sizeof(*node));

    if (!node)
        return NULL;
    node->kind = kind;
    node->line = (unsigned)mark->line + 1;
    node->column = (unsigned)mark->column + 1;
    return node;
}

/*
 * Room for one more child. Grows by doubling: the number of children is bounded by
 * DOCUMENT_NODES_MAX.
 */
static int node_reserve(struct node *parent)
{
    struct node **items, **keys;
    size_t room;

    if (parent->n > 0 && (parent->n & (parent->n - 1)) != 0)
        return 0;
    room = parent->n ? parent->n * 2 : 1;
    items = reallocarray(parent->items, room, sizeof(struct node *));
    if (!items)
        return -ENOMEM;
    parent->items = items;
    if (parent->kind != NODE_MAP)
        return 0;
    keys = reallocarray(parent->keys, room, sizeof(struct node *));
    if (!keys)
        return -ENOMEM;
    parent->keys = keys;
    return 0;
}

/*
 * Hang a complete scalar or a just opened collection where the builder stands. Consumes @node in
 * every case.
 */
static int place(struct builder *b, struct node *node)
{
    struct node *parent = b->depth ? b->open[b->depth - 1] : NULL;
    const struct node *twin;

    if (!parent) {
        b->root = node;
        return 0;
    }
    if (parent->kind == NODE_MAP && !b->key) {
        int r = 0;

        if (node->kind != NODE_SCALAR)
            r = fail_at(b, node->line, node->column, "a key must be a plain word");
        else if ((twin = document_find(parent, node->text)))
            r = fail_at(b, node->line, node->column,
                        "duplicate key '%.64s': its first value is in line %u; keep one of them",
                        node->text, twin->line);
        if (r < 0) {
            document_free(node);
            return r;
        }
        b->key = node;
        return 0;
    }
    if (node_reserve(parent) < 0) {
        document_free(node);
        return fail_memory(b);
    }
    if (parent->kind == NODE_MAP) {
        parent->keys[parent->n] = b->key;
        b->key = NULL;
    }
    parent->items[parent->n++] = node;
    return 0;
}

static int on_scalar(struct builder *b, const yaml_event_t *event)
{
    struct node *node = node_new(NODE_SCALAR, &event->start_mark);
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;

    if (!node)
        return fail_memory(b);
    node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
    if (memchr(text, 0, len)) {
        document_free(node);
        return fail_at(b, event->start_mark.line + 1, event->start_mark.column + 1,
                       "a text may not hold a NUL character");
    }
    node->text = strndup(text, len);
    if (!node->text) {
        document_free(node);
        return fail_memory(b);
    }
    return place(b, node);
}

static int on_open(struct builder *b, const yaml_event_t *event, enum node_kind kind)
{
    struct node *node;
    int r;

    if (b->depth == DOCUMENT_DEPTH_MAX)
        return fail_at(b, event->start_mark.line + 1, event->start_mark.column + 1,
                       "nested more than %u levels deep", DOCUMENT_DEPTH_MAX);
    node = node_new(kind, &event->start_mark);
    if (!node)
        return fail_memory(b);
    r = place(b, node);
    if (r < 0)
        return r;
    b->open[b->depth++] = node;
    return 0;
}

/* Anchors and tags are on every event that begins a node. */
static int refuse_extras(struct builder *b, const yaml_event_t *event)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    const char *what = NULL;

    if (event->type == YAML_SCALAR_EVENT) {
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
    }
    if (event->type == YAML_ALIAS_EVENT)
        what = "aliases (*name) are not allowed in a stack file; write the value out";
    else if (anchor)
        what = "anchors (&name) are not allowed in a stack file; write the value out";
    else if (tag)
        what = "tags (!name) are not allowed in a stack file; remove it";
    else if (++b->nnodes > DOCUMENT_NODES_MAX)
        what = "too many values in one file";
    if (what)
        return fail_at(b, event->start_mark.line + 1, event->start_mark.column + 1, "%s", what);
    return 0;
}

static int on_event(struct builder *b, const yaml_event_t *event)
{
    int r = refuse_extras(b, event);

    if (r < 0)
        return r;
    /* NOLINTNEXTLINE: the remaining events (stream, document start and end) carry nothing. */
    if (event->type == YAML_SCALAR_EVENT)
        return on_scalar(b, event);
    if (event->type == YAML_SEQUENCE_START_EVENT)
        return on_open(b, event, NODE_LIST);
    if (event->type == YAML_MAPPING_START_EVENT)
        return on_open(b, event, NODE_MAP);
    if (event->type == YAML_SEQUENCE_END_EVENT || event->type == YAML_MAPPING_END_EVENT)
        b->depth--;
    if (event->type == YAML_DOCUMENT_START_EVENT && b->root)
        return fail_at(b, event->start_mark.line + 1, event->start_mark.column + 1,
                       "a second document begins here; a stack file is one document");
    return 0;
}

static int run_parser(struct builder *b, yaml_parser_t *parser)
{
    bool end = false;
    int r = 0;

    while (!end && r == 0) {
        yaml_event_t event;

        if (!yaml_parser_parse(parser, &event))
            return fail_parser(b, parser);
        end = event.type == YAML_STREAM_END_EVENT;
        r = on_event(b, &event);
        yaml_event_delete(&event);
    }
    return r;
}

int document_parse(
    struct node **ret, const char *file, const char *text, size_t len, struct sbx_error *error)
{
    struct builder b = {.file = file, .error = error};
    yaml_parser_t parser;
    int r;

    if (len > DOCUMENT_BYTES_MAX)
        return fail_at(&b, 1, 1, "larger than %u bytes", DOCUMENT_BYTES_MAX);
    if (!yaml_parser_initialize(&parser))
        return fail_memory(&b);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    r = run_parser(&b, &parser);
    yaml_parser_delete(&parser);
    if (r == 0 && !b.root)
        r = fail_at(&b, 1, 1, "the file is empty; it needs at least 'sandboxes:' or 'broker:'");
    if (r < 0) {
        document_free(b.key);
        document_free(b.root);
        return r;
    }
    *ret = b.root;
    return 0;
}
