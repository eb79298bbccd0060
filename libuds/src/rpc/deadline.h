/* SPDX-License-Identifier: MIT */
#ifndef UDSI_RPC_DEADLINE_H
#define UDSI_RPC_DEADLINE_H

#include <stddef.h>
#include <stdint.h>

#include "conn/conn.h" /* udsi_now_ms() */

#define UDSI_DEADLINE_NONE UINT64_MAX /* at: no deadline, not in the heap */

/* A member of whatever has a deadline. */
struct udsi_deadline {
    uint64_t at; /* ms of CLOCK_MONOTONIC */
    size_t slot; /* in the heap; only while it is there */
};

/* A binary heap: the earliest is items[0]. Every item knows its slot, so that it can leave from anywhere. */
struct udsi_deadlines {
    struct udsi_deadline **items;
    size_t count, room;
};

/* When @timeout_ms from now is over; -1 is never. */
uint64_t udsi_deadline_after(int timeout_ms);

/* What is left of it for poll(2): -1 never, 0 over. */
int udsi_deadline_left(uint64_t at);

/* 0 or -ENOMEM. An item with UDSI_DEADLINE_NONE is not kept. */
int udsi_deadlines_add(struct udsi_deadlines *heap, struct udsi_deadline *item);
void udsi_deadlines_remove(struct udsi_deadlines *heap, struct udsi_deadline *item);

/* Borrow the earliest; NULL if there is none. */
struct udsi_deadline *udsi_deadlines_peek(const struct udsi_deadlines *heap);
void udsi_deadlines_deinit(struct udsi_deadlines *heap);

#endif
