/* SPDX-License-Identifier: MIT */
/*
 * Queue groups by name, as in NATS: members may have different patterns; a group lives while it has members.
 *
 * Groups of different peers share a name on purpose: that is how servers share work. Who may join is who may subscribe
 * the pattern.
 */
#include "group.h"

#include <stdlib.h>
#include <string.h>

#include "router.h"
#include "table.h"

static uint64_t key_of(const char *name)
{
    return table_hash(0, name, strlen(name));
}

struct group *group_get(struct router *router, const char *name)
{
    uint64_t key = key_of(name);
    struct group *first = table_get(&router->groups, key);
    for (struct group *group = first; group != NULL; group = group->next) {
        if (strcmp(group->name, name) == 0) {
            group->refs++;
            return group;
        }
    }
    struct group *group = calloc(1, sizeof(*group) + strlen(name) + 1);
    if (group == NULL)
        return NULL;
    group->refs = 1;
    memcpy(group->name, name, strlen(name) + 1);
    if (first != NULL) {
        group->next = first->next;
        first->next = group;
    } else if (table_put(&router->groups, key, group) < 0) {
        free(group);
        return NULL;
    }
    return group;
}

void group_unref(struct router *router, struct group *group)
{
    if (group == NULL || --group->refs > 0)
        return;
    uint64_t key = key_of(group->name);
    struct group *first = table_take(&router->groups, key);
    struct group **at = &first;
    while (*at != group)
        at = &(*at)->next;
    *at = group->next;
    /* The slot was there a moment ago: putting back needs no memory. */
    if (first != NULL)
        (void)table_put(&router->groups, key, first);
    free(group);
}
