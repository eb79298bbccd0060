/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_GROUP_H
#define ROUTER_GROUP_H

#include <stddef.h>
#include <stdint.h>

struct router;
struct sub;

/* A queue group: of all members that match a subject, one gets the message. */
struct group {
    struct group *next; /* same hash */
    unsigned refs;
    uint64_t stamp;   /* the match that saw it last */
    struct sub *best; /* of that match */
    char name[];
};

/** group_get() - by name, one reference. NULL without memory. */
struct group *group_get(struct router *router, const char *name);
void group_unref(struct router *router, struct group *group);

#endif
