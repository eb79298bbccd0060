/* SPDX-License-Identifier: MIT */

/* Trials of ways: pace.h. */

#include "conn/pace.h"

/*
 * Until a burst has settled the peer still works on what came the way before: at most an arena of 1 MiB, or two slots (slots.c
 * plans so), and what a socket holds, which is less.
 */
#define SETTLE_BYTES  (1u << 20)
#define SETTLE_BODIES 2
#define COUNT_BODIES  2 /* at least, of which the time is taken */

/*
 * Two processes that exchange bodies smaller than STEP fall into step, after up to FIRST_BYTES of them. So much goes inside
 * frames before their first trial. With larger ones nothing of the kind was seen, but all the noise of bursts of a few bodies.
 */
#define STEP        (256u << 10)
#define FIRST_BYTES (32u << 20)

/*
 * Is another way faster? Each of its bursts meets each of the way in use, and wins if it took a thirty-second less at
 * least. What counts is how far from even the meetings went, as Mann and Whitney have it: with 4 bursts of both none
 * may be lost, with 8 one in six, with 16 one in four. So it does not matter by how much a burst was slow that was
 * interrupted, or in which the other side tried a way of its own.
 *
 * A small difference matters: where both sides send such bodies in turn, each sees half of what both would gain.
 */
#define CLEARLY(ns)   ((ns) - (ns) / 32)
#define SQUARE_OF_Z   4
#define MEETINGS_VAIN 6  /* enough if not one was won: a slow way is left soon … */
#define MEETINGS_HALF 16 /* … or if no more than half were … */
#define LEFT_AFTER    3  /* … but not because of one burst or two */
#define CALM          UDSI_WAYS

static unsigned settling(uint64_t slot_size)
{
    unsigned bodies = (unsigned)(SETTLE_BYTES / slot_size);

    return bodies < SETTLE_BODIES ? SETTLE_BODIES : bodies;
}

static unsigned counting(uint64_t slot_size)
{
    unsigned bodies = settling(slot_size);

    return bodies < COUNT_BODIES ? COUNT_BODIES : bodies;
}

/* xorshift64. Both sides of a connection may be in a trial: their bursts must not march in step. */
static uint64_t draw(struct udsi_pace *pace)
{
    pace->lot ^= pace->lot << 13;
    pace->lot ^= pace->lot >> 7;
    pace->lot ^= pace->lot << 17;
    return pace->lot;
}

enum standing {
    OPEN, /* more bursts will tell */
    FASTER,
    OUT,
};

/* How many meetings with @other's bursts @way's have lost. */
static unsigned meetings_lost(const struct udsi_pace *pace, int way, int other)
{
    unsigned lost = 0;

    for (unsigned i = 0; i < pace->bursts[way]; i++)
        for (unsigned k = 0; k < pace->bursts[other]; k++)
            lost += pace->took[way][i] >= CLEARLY(pace->took[other][k]) ? 1 : 0;
    return lost;
}

static enum standing standing_against(const struct udsi_pace *pace, int way, int other)
{
    unsigned ours = pace->bursts[way], theirs = pace->bursts[other], all = ours * theirs;
    unsigned lost = meetings_lost(pace, way, other);

    if (2 * lost < all &&
        3 * (all - 2 * lost) * (all - 2 * lost) >= SQUARE_OF_Z * all * (ours + theirs + 1))
        return FASTER;
    if (ours >= LEFT_AFTER &&
        ((lost == all && all >= MEETINGS_VAIN) || (2 * lost >= all && all >= MEETINGS_HALF)))
        return OUT;
    return ours == UDSI_PACE_BURSTS ? OUT : OPEN;
}

/* Of a way that is not the one in use: against what that does in the trial, and what it did in the calm before, if we know. */
static enum standing standing_of(const struct udsi_pace *pace, int way)
{
    enum standing now = standing_against(pace, way, (int)pace->best), before = now;

    if (pace->bursts[CALM] > 0)
        before = standing_against(pace, way, CALM);
    if (now == OUT || before == OUT)
        return OUT;
    return now == FASTER && before == FASTER ? FASTER : OPEN;
}

/* A way that has bursts left in this trial, by lot. False: nothing is left to find out. */
static bool draw_way(struct udsi_pace *pace)
{
    unsigned left[UDSI_WAYS] = {0}, all = 0, pick;
    bool open = false;
    int way;

    for (way = 0; way < UDSI_WAYS; way++) {
        bool rival = way != (int)pace->best;

        if (rival && standing_of(pace, way) != OPEN)
            continue;
        left[way] = UDSI_PACE_BURSTS - pace->bursts[way];
        all += left[way];
        open |= rival;
    }
    if (!open)
        return false;
    /* The rivals have bursts left, or they would not be open; the way in use may have none. */
    pick = (unsigned)(draw(pace) % all);
    for (way = 0; pick >= left[way]; way++)
        pick -= left[way];
    pace->way = (enum udsi_way)way;
    return true;
}

static void begin_trial(struct udsi_pace *pace)
{
    pace->trial = true;
    for (int way = 0; way < UDSI_WAYS; way++)
        pace->bursts[way] = 0;
    (void)draw_way(pace);
}

static void note(struct udsi_pace *pace, uint64_t now_ns)
{
    uint64_t ns = ((now_ns - pace->since) << 10) / ((pace->bytes >> 10) + 1);

    unsigned set = pace->trial ? pace->way : CALM, at = pace->bursts[set];

    if (at < UDSI_PACE_BURSTS)
        pace->bursts[set]++;
    else
        at = pace->turn++ % UDSI_PACE_BURSTS;
    pace->took[set][at] = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
}

/* The fastest of those that are faster than the one in use. */
static void end_trial(struct udsi_pace *pace)
{
    enum udsi_way best = pace->best;

    for (int way = 0; way < UDSI_WAYS; way++) {
        if (way == (int)pace->best || standing_of(pace, way) != FASTER)
            continue;
        if (best == pace->best ||
            2 * meetings_lost(pace, way, (int)best) < pace->bursts[way] * pace->bursts[best])
            best = (enum udsi_way)way;
    }
    pace->calm_next = best != pace->best || pace->calm_next == 0 ? UDSI_PACE_CALM
                      : pace->calm_next < UDSI_PACE_CALM_MAX     ? 2 * pace->calm_next
                                                                 : UDSI_PACE_CALM_MAX;
    /* Not as long as the other side's, or both would always try at the same time. */
    pace->calm = pace->calm_next + (unsigned)(draw(pace) % pace->calm_next);
    pace->best = pace->way = best;
    pace->trial = false;
    pace->bursts[CALM] = 0;
}

static void begin(struct udsi_pace *pace, uint64_t slot_size, uint64_t now_ns)
{
    pace->lot = now_ns | 1;
    if (slot_size < STEP)
        pace->calm =
            FIRST_BYTES / (unsigned)slot_size / (settling(slot_size) + counting(slot_size));
}

static void end_burst(struct udsi_pace *pace, uint64_t slot_size, uint64_t now_ns)
{
    if (pace->trial || slot_size < STEP)
        note(pace, now_ns);
    if (pace->trial) {
        if (!draw_way(pace))
            end_trial(pace);
    } else if (pace->calm > 0) {
        pace->calm--;
    } else if (pace->has_slots) {
        begin_trial(pace);
    }
}

void udsi_pace_count(struct udsi_pace *pace, size_t len, uint64_t slot_size, uint64_t now_ns)
{
    if (pace->fixed)
        return;
    if (pace->left == 0) {
        if (pace->lot == 0)
            begin(pace, slot_size, now_ns);
        else
            end_burst(pace, slot_size, now_ns);
        pace->left = settling(slot_size) + counting(slot_size);
    }
    if (pace->left == counting(slot_size)) {
        pace->since = now_ns;
        pace->bytes = 0;
    }
    pace->bytes += len;
    pace->left--;
}

void udsi_pace_fix(struct udsi_pace *pace, enum udsi_way way)
{
    pace->fixed = true;
    pace->way = way;
}
