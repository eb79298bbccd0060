/* SPDX-License-Identifier: MIT */

/* The arithmetic of arenas, which everything that a peer says about them goes through. */

#include <criterion/criterion.h>

#include "conn/slots.h"
#include "guard.h"

Test(slots, are_counted_only_where_they_fill_an_arena_exactly)
{
    UDS_TEST_GUARD;
    static const struct {
        uint64_t size, slot_size;
        unsigned count;
    } cases[] = {
        {4096, 4096, 1},
        {64 * 4096, 4096, 64},
        {65 * 4096, 4096, 0},
        {0, 4096, 0},
        {4096, 0, 0},
        {4096, 2048, 0},
        {3 * 4096, 3 * 4096, 0},
        {8191, 4096, 0},
        {4096, 8192, 0},
        {UINT64_MAX, UINT64_C(1) << 63, 0},
        {UINT64_C(1) << 63, UINT64_C(1) << 63, 1},
        {UINT64_MAX, UINT64_MAX, 0},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_assert_eq(udsi_slots_count(cases[i].size, cases[i].slot_size), cases[i].count,
                     "case %zu", i);
}

Test(slots, have_the_smallest_class_that_a_body_fits_in)
{
    UDS_TEST_GUARD;
    cr_assert_eq(udsi_slots_class(1), UDSI_SLOT_MIN_OWN);
    cr_assert_eq(udsi_slots_class(UDSI_SLOT_MIN_OWN), UDSI_SLOT_MIN_OWN);
    cr_assert_eq(udsi_slots_class(UDSI_SLOT_MIN_OWN + 1), 2 * UDSI_SLOT_MIN_OWN);
    cr_assert_eq(udsi_slots_class(UINT32_MAX), UINT64_C(1) << 32);
    cr_assert_eq(udsi_slots_class(UINT64_MAX), 0);
}

Test(slots, are_as_many_as_the_limit_leaves_room_for)
{
    UDS_TEST_GUARD;
    cr_assert_eq(udsi_slots_plan(32 << 10, 8 << 20), 32);
    cr_assert_eq(udsi_slots_plan(1 << 20, 8 << 20), 2);
    cr_assert_eq(udsi_slots_plan(1 << 20, 1 << 20), 1);
    cr_assert_eq(udsi_slots_plan(1 << 20, (1 << 20) - 1), 0);
    for (uint64_t size = UDSI_SLOT_MIN_OWN; size <= UINT64_C(1) << 32; size *= 2) {
        unsigned count = udsi_slots_plan(size, UINT64_MAX);

        cr_assert_eq(udsi_slots_count(count * size, size), count, "a plan is an arena");
    }
}

Test(slots, are_found_by_their_first_byte_alone)
{
    UDS_TEST_GUARD;
    uint64_t bit = 0;

    cr_assert(udsi_slots_find(0, 4096, 64, &bit));
    cr_assert_eq(bit, 1);
    cr_assert(udsi_slots_find(63 * 4096, 4096, 64, &bit));
    cr_assert_eq(bit, UINT64_C(1) << 63);
    cr_assert_eq(udsi_slots_offset(bit, 4096), 63 * 4096);
    cr_assert_not(udsi_slots_find(64 * 4096, 4096, 64, &bit));
    cr_assert_not(udsi_slots_find(1, 4096, 64, &bit));
    cr_assert_not(udsi_slots_find(UINT64_MAX, 4096, 64, &bit));
    cr_assert_not(udsi_slots_find(UINT64_C(1) << 63, 4096, 64, &bit));
    cr_assert_not(udsi_slots_find(4096, 4096, 1, &bit));
}

Test(slots, are_a_set_of_the_lowest_bits)
{
    UDS_TEST_GUARD;
    cr_assert_eq(udsi_slots_all(1), 1);
    cr_assert_eq(udsi_slots_all(63), UINT64_MAX >> 1);
    cr_assert_eq(udsi_slots_all(64), UINT64_MAX);
    cr_assert_eq(udsi_slots_lowest(0x30), 0x10);
}
