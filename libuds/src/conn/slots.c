/* SPDX-License-Identifier: MIT */

/* The arithmetic of arenas: sizes, classes, bits. */

#include "conn/slots.h"

/* A small class has many slots, for many small bodies are on their way at once; a large one begins with two. */
#define PLAN_BYTES (1u << 20)
#define PLAN_MIN   2

static bool is_power_of_two(uint64_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

unsigned udsi_slots_count(uint64_t size, uint64_t slot_size)
{
    uint64_t count;

    if (slot_size < UDSI_SLOT_MIN || !is_power_of_two(slot_size) || size % slot_size != 0)
        return 0;
    count = size / slot_size;
    return count <= UDSI_SLOTS_MAX ? (unsigned)count : 0;
}

uint64_t udsi_slots_class(uint64_t len)
{
    uint64_t size = UDSI_SLOT_MIN_OWN;

    if (len > UINT32_MAX)
        return 0;
    while (size < len)
        size *= 2;
    return size;
}

unsigned udsi_slots_plan(uint64_t slot_size, uint64_t limit)
{
    uint64_t count = PLAN_BYTES / slot_size;

    if (count < PLAN_MIN)
        count = PLAN_MIN;
    if (count > UDSI_SLOTS_MAX)
        count = UDSI_SLOTS_MAX;
    if (count > limit / slot_size)
        count = limit / slot_size;
    return (unsigned)count;
}

bool udsi_slots_find(uint64_t offset, uint64_t slot_size, unsigned count, uint64_t *ret_bit)
{
    uint64_t index = offset / slot_size;

    if (offset % slot_size != 0 || index >= count)
        return false;
    *ret_bit = UINT64_C(1) << index;
    return true;
}
