/* SPDX-License-Identifier: MIT */

/* The table of things by id, held against a plain array. */

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdlib.h>

#include "guard.h"
#include "rpc/ids.h"

#define ITEMS 3000

static unsigned next_random(unsigned *state)
{
    return *state = *state * 1664525u + 1013904223u;
}

Test(ids, finds_what_was_added_and_nothing_else)
{
    UDS_TEST_GUARD;
    struct udsi_id *items = calloc(ITEMS, sizeof(*items));
    bool *there = calloc(ITEMS, sizeof(*there));
    struct udsi_ids ids = {0};
    unsigned state = 1;
    size_t count = 0, seen = 0;

    cr_assert_null(udsi_ids_find(&ids, 1));
    for (int turn = 0; turn < 10 * ITEMS; turn++) {
        unsigned i = next_random(&state) % ITEMS;

        /* Ids as a hostile peer would choose them: far apart, and alike in their low bits. */
        items[i].id = (uint64_t)i << 48;
        cr_assert_eq(udsi_ids_find(&ids, items[i].id), there[i] ? &items[i] : NULL);
        if (there[i])
            udsi_ids_remove(&ids, &items[i]);
        else
            cr_assert_eq(udsi_ids_add(&ids, &items[i]), 0);
        count += there[i] ? (size_t)-1 : 1;
        there[i] = !there[i];
        cr_assert_eq(ids.count, count);
    }
    for (struct udsi_id *item = ids.first; item; item = item->next)
        seen++;
    cr_assert_eq(seen, count);
    udsi_ids_deinit(&ids);
    free(items);
    free(there);
}

Test(ids, are_walked_in_the_order_in_which_they_came)
{
    UDS_TEST_GUARD;
    struct udsi_id items[5] = {{.id = 9}, {.id = 2}, {.id = 7}, {.id = 1}, {.id = 5}};
    static const uint64_t order[] = {2, 7, 5, 1};
    struct udsi_ids ids = {0};
    size_t i = 0;

    for (size_t n = 0; n < 5; n++)
        cr_assert_eq(udsi_ids_add(&ids, &items[n]), 0);
    udsi_ids_remove(&ids, &items[0]);
    udsi_ids_remove(&ids, &items[3]);
    cr_assert_eq(udsi_ids_add(&ids, &items[3]), 0);
    for (struct udsi_id *item = ids.first; item; item = item->next)
        cr_assert_eq(item->id, order[i++]);
    cr_assert_eq(i, 4);
    for (size_t n = 1; n < 5; n++)
        udsi_ids_remove(&ids, &items[n]);
    cr_assert_null(ids.first);
    cr_assert_eq(udsi_ids_add(&ids, &items[0]), 0);
    cr_assert_eq(ids.first, &items[0]);
    udsi_ids_deinit(&ids);
}

Test(ids, keep_their_memory_when_they_get_empty)
{
    UDS_TEST_GUARD;
    struct udsi_id item = {.id = 1};
    struct udsi_ids ids = {0};

    cr_assert_eq(udsi_ids_add(&ids, &item), 0);
    struct udsi_id **buckets = ids.buckets;
    for (int i = 0; i < 1000; i++) {
        udsi_ids_remove(&ids, &item);
        item.id++;
        cr_assert_eq(udsi_ids_add(&ids, &item), 0);
    }
    cr_assert_eq(ids.buckets, buckets);
    udsi_ids_deinit(&ids);
}
