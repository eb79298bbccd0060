/* SPDX-License-Identifier: MIT */
#ifndef FAILING_HEAP_H
#define FAILING_HEAP_H

#include <criterion/criterion.h>

#include <uds/rpc.h>

#include "block.h"
#include "heap.h"

/* Plays @scenario with the first, the second, … allocation failing, until none does. */
static inline void with_failing_heap(void (*scenario)(void), unsigned at_least)
{
    unsigned failures = 0;

    for (size_t nth = 1;; nth++) {
        udsi_block_trim(); /* what is cached would not fail */
        heap_fail(nth);
        scenario();
        if (!heap_has_failed())
            break;
        heap_fail(0);
        failures++;
    }
    heap_fail(0);
    cr_assert_geq(failures, at_least, "only %u allocations", failures);
}

static inline void count_reply(const struct uds_rpc_reply *reply, void *arg)
{
    (void)reply;
    ++*(unsigned *)arg;
}

#endif
