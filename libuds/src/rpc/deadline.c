/* SPDX-License-Identifier: MIT */
/*
 * Deadlines of calls: absolute, CLOCK_MONOTONIC milliseconds, in a binary heap. items[i]->slot == i always holds, and
 * no item is earlier than its parent items[(i - 1) / 2].
 */

#include "rpc/deadline.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "clock.h"

uint64_t udsi_deadline_after(int timeout_ms)
{
    return timeout_ms < 0 ? UDSI_DEADLINE_NONE : udsi_now_ms() + (uint64_t)timeout_ms;
}

int udsi_deadline_left(uint64_t at)
{
    if (at == UDSI_DEADLINE_NONE)
        return -1;

    uint64_t now = udsi_now_ms();
    if (at <= now)
        return 0;
    return at - now > INT_MAX ? INT_MAX : (int)(at - now);
}

static void put(struct udsi_deadlines *heap, size_t slot, struct udsi_deadline *item)
{
    heap->items[slot] = item;
    item->slot = slot;
}

static void sift_up(struct udsi_deadlines *heap, struct udsi_deadline *item)
{
    size_t i = item->slot;

    while (i > 0 && heap->items[(i - 1) / 2]->at > item->at) {
        put(heap, i, heap->items[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    put(heap, i, item);
}

static void sift_down(struct udsi_deadlines *heap, struct udsi_deadline *item)
{
    size_t i = item->slot;

    for (;;) {
        size_t child = 2 * i + 1;

        if (child + 1 < heap->count && heap->items[child + 1]->at < heap->items[child]->at)
            child++;
        if (child >= heap->count || heap->items[child]->at >= item->at)
            break;
        put(heap, i, heap->items[child]);
        i = child;
    }
    put(heap, i, item);
}

int udsi_deadlines_add(struct udsi_deadlines *heap, struct udsi_deadline *item)
{
    if (item->at == UDSI_DEADLINE_NONE)
        return 0;
    if (heap->count == heap->room) {
        size_t room = heap->room ? heap->room * 2 : 16;
        struct udsi_deadline **items =
            reallocarray(heap->items, room, sizeof(struct udsi_deadline *));

        if (!items)
            return -ENOMEM;
        heap->items = items;
        heap->room = room;
    }
    put(heap, heap->count++, item);
    sift_up(heap, item);
    return 0;
}

void udsi_deadlines_remove(struct udsi_deadlines *heap, struct udsi_deadline *item)
{
    if (item->at == UDSI_DEADLINE_NONE)
        return;

    struct udsi_deadline *last = heap->items[--heap->count];
    if (last == item)
        return;
    put(heap, item->slot, last);
    sift_up(heap, last);
    sift_down(heap, last);
}

struct udsi_deadline *udsi_deadlines_peek(const struct udsi_deadlines *heap)
{
    return heap->count > 0 ? heap->items[0] : NULL;
}

void udsi_deadlines_deinit(struct udsi_deadlines *heap)
{
    free(heap->items);
    heap->items = NULL;
    heap->count = heap->room = 0;
}
