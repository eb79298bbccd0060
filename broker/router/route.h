/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_ROUTE_H
#define ROUTER_ROUTE_H

#include <stddef.h>

#include <sys/queue.h>

/* Who wants which subjects: a tree by token. */
struct route;
struct route_node;

/* Embedded in what is routed to. A zeroed entry is in no tree. */
struct route_entry {
    LIST_ENTRY(route_entry) link;
    struct route_node *node;
};

typedef void (*route_visit_fn)(struct route_entry *entry, void *arg);

/** route_new() - 0 or -ENOMEM. */
int route_new(struct route **ret);
/** route_free() - the entries must be gone. NULL is fine. Returns NULL. */
struct route *route_free(struct route *route);
/** route_add() - @pattern is valid. 0 or -ENOMEM. */
int route_add(struct route *route, const char *pattern, struct route_entry *entry);
/** route_remove() - an entry that is in no tree is fine. */
void route_remove(struct route *route, struct route_entry *entry);
/**
 * route_match() - visit every entry whose pattern matches; @visit must not change the tree
 * Returns how much work it was: a step for each node that was looked at, four for each entry that was visited.
 */
size_t route_match(struct route *route, const char *subject, route_visit_fn visit, void *arg);

#endif
