/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_TABLE_H
#define ROUTER_TABLE_H

#include <stddef.h>
#include <stdint.h>

/* Hash table from 64-bit keys to pointers. Keys may be chosen by a peer: slots depend on a secret seed. */
struct table {
    struct table_slot *slots;
    size_t size; /* power of two, 0 before the first put */
    size_t count;
    size_t filled; /* count and tombs */
};

/** table_deinit() - frees the slots; the values are the caller's. */
void table_deinit(struct table *table);
/** table_get() - NULL when @key is not there. */
void *table_get(const struct table *table, uint64_t key);
/** table_put() - @value not NULL. 0, -EEXIST, -ENOMEM. */
int table_put(struct table *table, uint64_t key, void *value);
/** table_take() - removes and returns the value; NULL when @key is not there. */
void *table_take(struct table *table, uint64_t key);
/** table_next() - walk: start with *@pos = 0; NULL at the end. Nothing may be put meanwhile. */
void *table_next(const struct table *table, size_t *pos);

/** table_hash() - keyed hash of bytes, for tables of other shapes. */
uint64_t table_hash(uint64_t start, const void *data, size_t len);

#endif
