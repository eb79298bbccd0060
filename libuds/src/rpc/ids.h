/* SPDX-License-Identifier: MIT */
#ifndef UDSI_RPC_IDS_H
#define UDSI_RPC_IDS_H

#include <stddef.h>
#include <stdint.h>

/* First member of whatever is found by its id. Zeroed: in no table. */
struct udsi_id {
    uint64_t id;
    struct udsi_id *chain;        /* in its bucket */
    struct udsi_id *next, **link; /* in the list of all */
};

/* A table keyed by ids. Zeroed: empty. Its memory stays when it gets empty, so that one call after the other costs none. */
struct udsi_ids {
    struct udsi_id **buckets;
    unsigned bits; /* 1 << bits buckets */
    size_t count;
    uint64_t secret;
    struct udsi_id *first,
        **last; /* in the order in which they were added; last: where the next one goes */
};

/* @item->id is set and not in the table. 0 or -ENOMEM. */
int udsi_ids_add(struct udsi_ids *ids, struct udsi_id *item);
/* NULL if it is not there. */
void *udsi_ids_find(const struct udsi_ids *ids, uint64_t id);
/* @item is in the table. */
void udsi_ids_remove(struct udsi_ids *ids, struct udsi_id *item);
/* The table's memory; the items are the caller's. */
void udsi_ids_deinit(struct udsi_ids *ids);

#endif
