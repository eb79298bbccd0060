/* SPDX-License-Identifier: MIT */
/*
 * Open addressing with linear probing; a removed slot becomes a tomb until the next growth.
 *
 * Peers choose ids and subjects. So that nobody can choose colliding ones, every hash starts from a seed that is drawn
 * once per process (CVE-2014-3638: linear search over what a peer made).
 */
#include "table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <sys/random.h>

struct table_slot {
    uint64_t key;
    void *value; /* NULL: free; &tomb: was in use */
};

static char tomb;

static uint64_t seed(void)
{
    static uint64_t value;
    if (value == 0 && getrandom(&value, sizeof(value), GRND_NONBLOCK) != sizeof(value)) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        value = (uint64_t)now.tv_nsec * 0x9e3779b97f4a7c15u;
    }
    value |= 1;
    return value;
}

static uint64_t mix(uint64_t x)
{
    x ^= seed();
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

uint64_t table_hash(uint64_t start, const void *data, size_t len)
{
    const uint8_t *bytes = data;
    uint64_t hash = mix(start ^ len);
    for (; len >= 8; bytes += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, bytes, sizeof(word));
        hash = mix(hash ^ word);
    }
    uint64_t rest = 0;
    if (len > 0)
        memcpy(&rest, bytes, len);
    return mix(hash ^ rest);
}

void table_deinit(struct table *table)
{
    free(table->slots);
    *table = (struct table){0};
}

/* The slot of @key, or where the search ended. The table is never full, so the walk ends. */
static struct table_slot *find(const struct table *table, uint64_t key)
{
    size_t mask = table->size - 1;
    size_t i = (size_t)mix(key) & mask;
    while (table->slots[i].value != NULL &&
           (table->slots[i].value == &tomb || table->slots[i].key != key))
        i = (i + 1) & mask;
    return &table->slots[i];
}

static int grow(struct table *table)
{
    size_t size = table->size == 0 ? 8 : table->size;
    while ((table->count + 1) * 2 > size)
        size *= 2;
    struct table next = {.slots = calloc(size, sizeof(struct table_slot)), .size = size};
    if (next.slots == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < table->size; i++) {
        struct table_slot *slot = &table->slots[i];
        if (slot->value != NULL && slot->value != &tomb)
            *find(&next, slot->key) = *slot;
    }
    next.count = next.filled = table->count;
    free(table->slots);
    *table = next;
    return 0;
}

void *table_get(const struct table *table, uint64_t key)
{
    return table->count == 0 ? NULL : find(table, key)->value;
}

int table_put(struct table *table, uint64_t key, void *value)
{
    if (table_get(table, key) != NULL)
        return -EEXIST;
    if ((table->filled + 1) * 4 > table->size * 3) {
        int r = grow(table);
        if (r < 0)
            return r;
    }
    struct table_slot *slot = find(table, key);
    slot->key = key;
    slot->value = value;
    table->count++;
    table->filled++;
    return 0;
}

void *table_take(struct table *table, uint64_t key)
{
    if (table->count == 0)
        return NULL;
    struct table_slot *slot = find(table, key);
    void *value = slot->value;
    if (value == NULL)
        return NULL;
    slot->value = &tomb;
    if (--table->count == 0) {
        memset(table->slots, 0, table->size * sizeof(struct table_slot));
        table->filled = 0;
    }
    return value;
}

void *table_next(const struct table *table, size_t *pos)
{
    while (*pos < table->size) {
        void *value = table->slots[(*pos)++].value;
        if (value != NULL && value != &tomb)
            return value;
    }
    return NULL;
}
