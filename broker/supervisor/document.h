/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_DOCUMENT_H
#define SUPERVISOR_DOCUMENT_H

#include <sbx/sandbox.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * A YAML document as a tree of nodes, each of which knows where in the file it stands. See
 * document.c.
 */

#define DOCUMENT_BYTES_MAX (1u << 20)
#define DOCUMENT_DEPTH_MAX 16u
#define DOCUMENT_NODES_MAX 20000u

enum node_kind {
    NODE_SCALAR = 1,
    NODE_LIST,
    NODE_MAP,
};

struct node {
    enum node_kind kind;
    unsigned line, column; /* from 1, as editors count */
    bool quoted;           /* scalar: written in quotes, so never a number, a boolean or null */
    char *text;            /* scalar: never NULL, holds no NUL */
    size_t n;              /* list and map */
    struct node **keys;    /* map: scalars, no two alike */
    struct node **items;   /* list: items; map: values */
};

/* @file is only named in errors. 0 or -errno with @error "FILE:LINE:COLUMN: what". */
int document_parse(
    struct node **ret, const char *file, const char *text, size_t len, struct sbx_error *error);
struct node *document_free(struct node *node);

/* The value of @key in a map, or NULL. */
const struct node *document_find(const struct node *map, const char *key);

#endif
