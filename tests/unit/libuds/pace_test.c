/* SPDX-License-Identifier: MIT */

/* Which way large bodies go, with a clock of our own: each way costs what the test says. */

#include <criterion/criterion.h>

#include "conn/pace.h"
#include "guard.h"

#define SLOT   (64u << 10)
#define BODIES 20000

struct world {
    struct udsi_pace pace;
    uint64_t now;
    uint64_t cost[UDSI_WAYS]; /* ns of a body */
    unsigned sent[UDSI_WAYS];
};

static void send_bodies(struct world *world, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        enum udsi_way way = udsi_pace_way(&world->pace);

        udsi_pace_count(&world->pace, SLOT, SLOT, world->now);
        world->now += world->cost[way];
        world->sent[way]++;
    }
}

static struct world world_of(uint64_t slot, uint64_t past, uint64_t frame)
{
    return (struct world){
        .pace = {.has_slots = true},
        .now = 12345,
        .cost = {[UDSI_WAY_SLOT] = slot, [UDSI_WAY_PAST] = past, [UDSI_WAY_FRAME] = frame},
    };
}

Test(pace, finds_the_fastest_way)
{
    UDS_TEST_GUARD;
    for (int fastest = 0; fastest < UDSI_WAYS; fastest++) {
        struct world world = world_of(60000, 60000, 60000);

        world.cost[fastest] = 40000;
        send_bodies(&world, BODIES);
        cr_assert_eq(world.pace.best, (enum udsi_way)fastest);
    }
}

Test(pace, costs_little_of_the_traffic_to_know)
{
    UDS_TEST_GUARD;
    struct world world = world_of(40000, 80000, 120000);

    send_bodies(&world, 50 * BODIES);
    cr_assert_gt(world.sent[UDSI_WAY_SLOT], 50 * BODIES / 100 * 97, "%u of %u went the best way",
                 world.sent[UDSI_WAY_SLOT], 50 * BODIES);
}

Test(pace, changes_its_mind_when_the_machine_does)
{
    UDS_TEST_GUARD;
    struct world world = world_of(40000, 80000, 60000);

    send_bodies(&world, 50 * BODIES);
    cr_assert_eq(world.pace.best, UDSI_WAY_SLOT);
    world.cost[UDSI_WAY_SLOT] = 130000; /* the two cores are far apart now */
    send_bodies(&world, 5 * BODIES);
    cr_assert_eq(world.pace.best, UDSI_WAY_FRAME);
}

Test(pace, keeps_its_way_for_a_small_gain)
{
    UDS_TEST_GUARD;
    struct world world = world_of(58500, 59000, 60000);

    send_bodies(&world, BODIES);
    cr_assert_eq(world.pace.best, UDSI_WAY_FRAME);
}

Test(pace, tries_nothing_before_there_are_slots)
{
    UDS_TEST_GUARD;
    struct world world = world_of(10000, 20000, 60000);

    world.pace.has_slots = false;
    send_bodies(&world, BODIES);
    cr_assert_eq(world.sent[UDSI_WAY_FRAME], BODIES);
    world.pace.has_slots = true;
    send_bodies(&world, BODIES);
    cr_assert_eq(world.pace.best, UDSI_WAY_SLOT);
}

/* What was measured: round trips of 32 KiB inside frames take 42 µs, and 24 when nothing has disturbed them for a while. */
Test(pace, leaves_processes_alone_that_have_fallen_into_step)
{
    UDS_TEST_GUARD;
    struct world world = world_of(42000, 38000, 42000);

    for (unsigned i = 0, undisturbed = 0; i < 50 * BODIES; i++) {
        undisturbed = udsi_pace_way(&world.pace) == UDSI_WAY_FRAME ? undisturbed + 1 : 0;
        world.cost[UDSI_WAY_FRAME] = undisturbed > 300 ? 24000 : 42000;
        send_bodies(&world, 1);
    }
    cr_assert_eq(world.pace.best, UDSI_WAY_FRAME);
    cr_assert_gt(world.sent[UDSI_WAY_FRAME], 50 * BODIES / 100 * 97);
}

/* One burst that an interrupt or another process has slowed down says nothing, whichever way it went. */
Test(pace, is_not_moved_by_one_slow_burst)
{
    UDS_TEST_GUARD;
    for (unsigned hit = 0; hit < 12 * 32; hit += 8) {
        struct world world = world_of(60000, 60000, 60000);

        send_bodies(&world, hit);
        world.now += 5000000;
        send_bodies(&world, BODIES);
        cr_assert_eq(world.pace.best, UDSI_WAY_FRAME, "hit after %u bodies", hit);
    }
}

/* On a busy machine most bursts are interrupted, of either way. */
Test(pace, finds_the_fastest_way_while_others_interrupt)
{
    UDS_TEST_GUARD;
    for (unsigned seed = 1; seed <= 20; seed++) {
        struct world world = world_of(60000, 45000, 90000);
        uint32_t dice = seed;

        for (unsigned i = 0; i < 5 * BODIES; i++) {
            send_bodies(&world, 1);
            dice = dice * 1664525 + 1013904223;
            world.now += dice >> 24 < 4 ? dice % 3000000 : 0; /* one body in 64 */
        }
        cr_assert_eq(world.pace.best, UDSI_WAY_PAST, "seed %u", seed);
    }
}

Test(pace, finds_nothing_where_the_application_waits_for_something_else)
{
    UDS_TEST_GUARD;
    struct world world = world_of(10 * 1000000, 10 * 1000000 + 40000, 10 * 1000000 - 40000);

    send_bodies(&world, BODIES);
    cr_assert_eq(world.pace.best, UDSI_WAY_FRAME);
}

/* Bodies in turn, so each side sees half of what both gain: 1400 µs instead of 1500, in the end 1300. */
Test(pace, finds_a_way_that_pays_in_full_when_both_sides_take_it)
{
    UDS_TEST_GUARD;
    static const uint64_t cost[UDSI_WAYS] = {
        [UDSI_WAY_SLOT] = 750000, [UDSI_WAY_PAST] = 650000, [UDSI_WAY_FRAME] = 950000};
    const uint64_t slot = 4u << 20;
    struct udsi_pace here = {.has_slots = true}, there = {.has_slots = true};
    uint64_t now = 999;

    for (unsigned i = 0; i < 3000; i++) {
        udsi_pace_count(&here, slot, slot, now);
        now += cost[udsi_pace_way(&here)];
        udsi_pace_count(&there, slot, slot, now);
        now += cost[udsi_pace_way(&there)];
    }
    cr_assert_eq(here.best, UDSI_WAY_PAST);
    cr_assert_eq(there.best, UDSI_WAY_PAST);
}

/* Two sides whose trials coincide: what each measures is its own way and the other's. */
Test(pace, does_not_take_the_other_sides_trials_for_its_own)
{
    UDS_TEST_GUARD;
    static const uint64_t cost[UDSI_WAYS] = {
        [UDSI_WAY_SLOT] = 60000, [UDSI_WAY_PAST] = 20000, [UDSI_WAY_FRAME] = 40000};

    for (unsigned ahead = 0; ahead < 12 * 32; ahead += 16) {
        struct udsi_pace here = {.has_slots = true}, there = {.has_slots = true};
        uint64_t now = 999;

        for (unsigned i = 0; i < 3 * BODIES; i++) {
            uint64_t one = cost[udsi_pace_way(&here)], other = cost[udsi_pace_way(&there)];

            if (i >= ahead)
                udsi_pace_count(&here, SLOT, SLOT, now);
            udsi_pace_count(&there, SLOT, SLOT, now + one);
            now += one + other;
        }
        cr_assert_eq(here.best, UDSI_WAY_PAST, "%u bodies ahead", ahead);
        cr_assert_eq(there.best, UDSI_WAY_PAST, "%u bodies ahead", ahead);
    }
}

Test(pace, survives_any_clock_and_any_length)
{
    UDS_TEST_GUARD;
    struct udsi_pace pace = {.has_slots = true};
    uint64_t now = 0, length = 1;

    for (unsigned i = 0; i < BODIES; i++) {
        udsi_pace_count(&pace, (size_t)(length >> 33), UINT64_C(1) << 32, now);
        cr_assert_lt((int)udsi_pace_way(&pace), UDSI_WAYS);
        length = length * 6364136223846793005u + 1;
        now = i % 3 == 0 ? 0 : length; /* backwards, too */
    }
}

Test(pace, stays_where_it_was_fixed)
{
    UDS_TEST_GUARD;
    struct world world = world_of(10000, 20000, 60000);

    udsi_pace_fix(&world.pace, UDSI_WAY_FRAME);
    send_bodies(&world, BODIES);
    cr_assert_eq(world.sent[UDSI_WAY_FRAME], BODIES);
}
