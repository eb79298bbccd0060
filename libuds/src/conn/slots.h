/* SPDX-License-Identifier: MIT */
#ifndef UDSI_CONN_SLOTS_H
#define UDSI_CONN_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * An arena is an array of at most 64 slots of one size, a power of two, so that what is known about its slots is a word:
 * bit i stands for slot i. Pure: no memory behind it.
 */

#define UDSI_SLOTS_MAX    64
#define UDSI_SLOT_MIN     4096u       /* a page: smaller than that nobody gains */
#define UDSI_SLOT_MIN_OWN (32u << 10) /* of arenas that we make: the smallest class … */
#define UDSI_CLASSES      18          /* … of so many: the largest holds any body */

/* All of @count slots, 1 … 64. */
static inline uint64_t udsi_slots_all(unsigned count)
{
    return count >= UDSI_SLOTS_MAX ? UINT64_MAX : (UINT64_C(1) << count) - 1;
}

/* How many slots of @slot_size bytes fill @size bytes exactly: 1 … 64, or 0 if that is no arena. */
unsigned udsi_slots_count(uint64_t size, uint64_t slot_size);

/* The class of a body of @len bytes: the slot size that an arena for it would have. 0: there is none so large. */
uint64_t udsi_slots_class(uint64_t len);

/* The number of a class: 0 … UDSI_CLASSES − 1. */
static inline unsigned udsi_slots_rank(uint64_t slot_size)
{
    return (unsigned)__builtin_ctzll(slot_size / UDSI_SLOT_MIN_OWN);
}

/* How many slots an arena of a class gets that may have @limit bytes in all; 0: not even one fits. */
unsigned udsi_slots_plan(uint64_t slot_size, uint64_t limit);

/* Where @offset lies: true and the bit of the slot that begins there. */
bool udsi_slots_find(uint64_t offset, uint64_t slot_size, unsigned count, uint64_t *ret_bit);

/* The lowest of a set that is not empty: what was used last is still in a cache. */
static inline uint64_t udsi_slots_lowest(uint64_t slots)
{
    return slots & -slots;
}

/* The offset of the slot that @bit stands for. */
static inline uint64_t udsi_slots_offset(uint64_t bit, uint64_t slot_size)
{
    return (uint64_t)__builtin_ctzll(bit) * slot_size;
}

#endif
