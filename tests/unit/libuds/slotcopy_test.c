/* SPDX-License-Identifier: MIT */

/* Copies into slots and out of them, at every length and alignment near a cache line: each is memcpy(). */

#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

#include "conn/slotcopy.h"
#include "guard.h"

#define ROOM 1024

static void check(void (*copy)(void *to, const void *from, size_t len))
{
    static uint8_t from[ROOM], to[ROOM], wanted[ROOM];

    for (size_t i = 0; i < ROOM; i++)
        from[i] = (uint8_t)(i * 7 + 1);
    for (size_t at = 0; at < 130; at++)
        for (size_t len = 0; len < 270; len++) {
            memset(to, 0, sizeof(to));
            memset(wanted, 0, sizeof(wanted));
            memcpy(wanted + at, from + len % 67, len);
            copy(to + at, from + len % 67, len);
            cr_assert_arr_eq(to, wanted, ROOM, "%zu bytes to offset %zu", len, at);
        }
}

Test(slotcopy, past_the_caches_is_a_copy)
{
    UDS_TEST_GUARD;
    check(udsi_slot_copy_past);
}

Test(slotcopy, out_of_a_slot_is_a_copy)
{
    UDS_TEST_GUARD;
    check(udsi_slot_copy_out);
}

Test(slotcopy, wiping_stays_inside)
{
    UDS_TEST_GUARD;
    static _Alignas(64) uint8_t slot[ROOM];

    for (size_t len = 0; len <= 512; len++) {
        memset(slot, 0xaa, sizeof(slot));
        udsi_slot_wipe_past(slot, len);
        for (size_t i = len; i < ROOM; i++)
            cr_assert_eq(slot[i], 0xaa, "byte %zu of a slot of which %zu are wiped", i, len);
    }
}
