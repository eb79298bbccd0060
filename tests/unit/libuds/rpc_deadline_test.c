/* SPDX-License-Identifier: MIT */
/* The heap of deadlines. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "guard.h"
#include "rpc/deadline.h"

Test(rpc_deadlines, come_out_in_order_and_leave_from_anywhere)
{
    UDS_TEST_GUARD;
    enum {
        COUNT = 500
    };
    static struct udsi_deadline items[COUNT];
    static bool gone[COUNT];
    struct udsi_deadlines heap = {0};
    struct udsi_deadline none = {.at = UDSI_DEADLINE_NONE}, *first;
    uint64_t last = 0;
    size_t seen = 0, removed = 0;

    srand(7);
    for (size_t i = 0; i < COUNT; i++) {
        items[i].at = (uint64_t)rand() % 1000;
        cr_assert_eq(udsi_deadlines_add(&heap, &items[i]), 0);
    }
    cr_assert_eq(udsi_deadlines_add(&heap, &none), 0);
    cr_expect_eq(heap.count, COUNT);
    for (size_t i = 0; i < COUNT; i += 3) {
        udsi_deadlines_remove(&heap, &items[i]);
        gone[i] = true;
        removed++;
        for (size_t k = 0; k < heap.count; k++) {
            cr_assert_eq(heap.items[k]->slot, k);
            cr_assert_leq(heap.items[k == 0 ? 0 : (k - 1) / 2]->at, heap.items[k]->at);
        }
    }
    while ((first = udsi_deadlines_peek(&heap))) {
        cr_assert_geq(first->at, last);
        cr_assert_not(gone[first - items]);
        last = first->at;
        udsi_deadlines_remove(&heap, first);
        seen++;
    }
    cr_expect_eq(seen + removed, COUNT);
    udsi_deadlines_deinit(&heap);
}
