/* SPDX-License-Identifier: MIT */
/*
 * Things by their id: calls, subscriptions, publishes. Chained buckets, as many as there were ever items, and a list of
 * all for walks.
 *
 * A peer chooses the ids of its calls, and could choose them so that all fall into one bucket. It cannot: an id is
 * multiplied by a secret odd number, and the top bits of the product choose the bucket. For ids that were chosen without
 * knowing the number two meet with a chance of 2 in the number of buckets.
 */

#include "rpc/ids.h"

#include <errno.h>
#include <stdlib.h>

#include <sys/random.h>

#include "clock.h"

#define FIRST_BITS 4

static struct udsi_id **bucket_of(const struct udsi_ids *ids, uint64_t id)
{
    return &ids->buckets[(id * ids->secret) >> (64 - ids->bits)];
}

/* Not from AT_RANDOM: the bytes there are the guard of every stack, and a table tells something of its secret by its speed. */
static uint64_t choose_secret(const struct udsi_ids *ids)
{
    uint64_t secret;

    /* Before the kernel has any, right after boot, there is an address and a clock. */
    if (getrandom(&secret, sizeof(secret), GRND_NONBLOCK) != sizeof(secret))
        secret = (uintptr_t)ids * 0x9e3779b97f4a7c15ULL + udsi_now_ms();
    return secret | 1;
}

static int grow(struct udsi_ids *ids)
{
    unsigned bits = ids->buckets ? ids->bits + 1 : FIRST_BITS;
    struct udsi_id **buckets = calloc((size_t)1 << bits, sizeof(struct udsi_id *));

    if (!buckets)
        return -ENOMEM;
    if (!ids->buckets)
        ids->secret = choose_secret(ids);
    free(ids->buckets);
    ids->buckets = buckets;
    ids->bits = bits;
    for (struct udsi_id *item = ids->first; item; item = item->next) {
        struct udsi_id **bucket = bucket_of(ids, item->id);

        item->chain = *bucket;
        *bucket = item;
    }
    return 0;
}

int udsi_ids_add(struct udsi_ids *ids, struct udsi_id *item)
{
    if (!ids->buckets || ids->count >= (size_t)1 << ids->bits) {
        int r = grow(ids);

        /* Without memory for more buckets the table only gets slower. */
        if (r < 0 && !ids->buckets)
            return r;
    }

    struct udsi_id **bucket = bucket_of(ids, item->id);
    item->chain = *bucket;
    *bucket = item;
    item->next = NULL;
    item->link = ids->first ? ids->last : &ids->first;
    *item->link = item;
    ids->last = &item->next;
    ids->count++;
    return 0;
}

void *udsi_ids_find(const struct udsi_ids *ids, uint64_t id)
{
    struct udsi_id *item = ids->buckets ? *bucket_of(ids, id) : NULL;

    while (item && item->id != id)
        item = item->chain;
    return item;
}

void udsi_ids_remove(struct udsi_ids *ids, struct udsi_id *item)
{
    struct udsi_id **at = bucket_of(ids, item->id);

    while (*at != item)
        at = &(*at)->chain;
    *at = item->chain;
    *item->link = item->next;
    if (item->next)
        item->next->link = item->link;
    else
        ids->last = item->link;
    item->chain = item->next = NULL;
    item->link = NULL;
    ids->count--;
}

void udsi_ids_deinit(struct udsi_ids *ids)
{
    free(ids->buckets);
    *ids = (struct udsi_ids){0};
}
