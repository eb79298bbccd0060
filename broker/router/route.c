/* SPDX-License-Identifier: MIT */
/*
 * The subject tree. A node is a prefix of patterns; below it hang one node per literal token, one for '*', and the
 * list of entries whose pattern ends here or ends here with '>'.
 *
 * Literal children of all nodes live in one hash table keyed by (parent, token), so a lookup costs the same with ten
 * subscriptions and with a million; a match visits at most the nodes whose prefix matches.
 *
 * Invariants: a node but the root has at least one entry or child (empty ones are pruned at once, so a peer that
 * subscribes and unsubscribes leaves nothing behind); node->parent's children count includes it.
 */
#include "route.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "subject.h"
#include "table.h"

#define ENTRY_STEPS 4u

LIST_HEAD(route_list, route_entry);

struct route_node {
    struct route_node *parent;
    struct route_node *star;
    struct route_node *next; /* in its bucket */
    struct route_list here;  /* pattern ends at this node */
    struct route_list rest;  /* pattern ends with '>' below this node */
    uint64_t hash;
    uint32_t children; /* literal ones and '*' */
    uint16_t len;
    char token[];
};

struct route {
    struct route_node *root;
    struct route_node **buckets;
    size_t size; /* power of two */
    size_t count;
};

static struct route_node *node_new(struct route_node *parent, struct subject_token token)
{
    struct route_node *node = calloc(1, sizeof(*node) + token.len + 1);
    if (node == NULL)
        return NULL;
    node->parent = parent;
    node->len = (uint16_t)token.len;
    memcpy(node->token, token.text, token.len);
    return node;
}

static uint64_t edge_hash(const struct route_node *parent, struct subject_token token)
{
    return table_hash((uint64_t)(uintptr_t)parent, token.text, token.len);
}

static struct route_node *
child_find(const struct route *route, const struct route_node *parent, struct subject_token token)
{
    uint64_t hash = edge_hash(parent, token);
    struct route_node *node = route->buckets[hash & (route->size - 1)];
    while (node != NULL && (node->hash != hash || node->parent != parent ||
                            node->len != token.len || memcmp(node->token, token.text, token.len)))
        node = node->next;
    return node;
}

/* More buckets; without memory for them the tree only gets slower. */
static void buckets_grow(struct route *route)
{
    size_t size = route->size * 2;
    struct route_node **buckets = calloc(size, sizeof(struct route_node *));
    if (buckets == NULL)
        return;
    for (size_t i = 0; i < route->size; i++) {
        struct route_node *node = route->buckets[i];
        while (node != NULL) {
            struct route_node *next = node->next;
            node->next = buckets[node->hash & (size - 1)];
            buckets[node->hash & (size - 1)] = node;
            node = next;
        }
    }
    free(route->buckets);
    route->buckets = buckets;
    route->size = size;
}

static struct route_node *
child_get(struct route *route, struct route_node *parent, struct subject_token token)
{
    bool star = token.len == 1 && token.text[0] == '*';
    struct route_node *node = star ? parent->star : child_find(route, parent, token);
    if (node != NULL)
        return node;
    node = node_new(parent, token);
    if (node == NULL)
        return NULL;
    parent->children++;
    if (star) {
        parent->star = node;
        return node;
    }
    if (route->count >= route->size)
        buckets_grow(route);
    node->hash = edge_hash(parent, token);
    struct route_node **bucket = &route->buckets[node->hash & (route->size - 1)];
    node->next = *bucket;
    *bucket = node;
    route->count++;
    return node;
}

static void unlink_child(struct route *route, struct route_node *node)
{
    node->parent->children--;
    if (node->parent->star == node) {
        node->parent->star = NULL;
        return;
    }
    struct route_node **at = &route->buckets[node->hash & (route->size - 1)];
    while (*at != node)
        at = &(*at)->next;
    *at = node->next;
    route->count--;
}

static void prune(struct route *route, struct route_node *node)
{
    while (node != route->root && node->children == 0 && LIST_EMPTY(&node->here) &&
           LIST_EMPTY(&node->rest)) {
        struct route_node *parent = node->parent;
        unlink_child(route, node);
        free(node);
        node = parent;
    }
}

int route_new(struct route **ret)
{
    struct route *route = calloc(1, sizeof(*route));
    if (route == NULL)
        return -ENOMEM;
    route->size = 16;
    route->buckets = calloc(route->size, sizeof(struct route_node *));
    route->root = node_new(NULL, (struct subject_token){"", 0});
    if (route->buckets == NULL || route->root == NULL) {
        route_free(route);
        return -ENOMEM;
    }
    *ret = route;
    return 0;
}

struct route *route_free(struct route *route)
{
    if (route == NULL)
        return NULL;
    free(route->root);
    free(route->buckets);
    free(route);
    return NULL;
}

int route_add(struct route *route, const char *pattern, struct route_entry *entry)
{
    struct route_node *node = route->root;
    struct subject_token token;
    bool rest = false;
    while (!rest && subject_next(&pattern, &token)) {
        rest = token.len == 1 && token.text[0] == '>';
        if (rest)
            break;
        struct route_node *child = child_get(route, node, token);
        if (child == NULL) {
            prune(route, node);
            return -ENOMEM;
        }
        node = child;
    }
    entry->node = node;
    if (rest)
        LIST_INSERT_HEAD(&node->rest, entry, link);
    else
        LIST_INSERT_HEAD(&node->here, entry, link);
    return 0;
}

void route_remove(struct route *route, struct route_entry *entry)
{
    if (entry->node == NULL)
        return;
    struct route_node *node = entry->node;
    LIST_REMOVE(entry, link);
    entry->node = NULL;
    prune(route, node);
}

static size_t visit_list(struct route_list *list, route_visit_fn visit, void *arg)
{
    struct route_entry *entry;
    size_t steps = 0;
    LIST_FOREACH(entry, list, link)
    {
        visit(entry, arg);
        steps += ENTRY_STEPS;
    }
    return steps;
}

/* Depth is the number of tokens: at most 128 in 255 bytes. */
static size_t match(struct route *route,
                    struct route_node *node,
                    const char *subject,
                    bool fenced,
                    route_visit_fn visit,
                    void *arg)
{
    struct subject_token token;
    size_t steps = 1;
    if (!subject_next(&subject, &token))
        return steps + visit_list(&node->here, visit, arg);
    if (!fenced)
        steps += visit_list(&node->rest, visit, arg);
    struct route_node *child = child_find(route, node, token);
    if (child != NULL)
        steps += match(route, child, subject, false, visit, arg);
    if (node->star != NULL && !fenced)
        steps += match(route, node->star, subject, false, visit, arg);
    return steps;
}

size_t route_match(struct route *route, const char *subject, route_visit_fn visit, void *arg)
{
    return match(route, route->root, subject, subject[0] == '$', visit, arg);
}
