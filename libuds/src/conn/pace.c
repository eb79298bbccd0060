/* SPDX-License-Identifier: MIT */

/* Trials of ways: pace.h. */

#include "conn/pace.h"

/*
 * Until a burst has settled the peer still works on what came the way before: at most an arena of 1 MiB, or two slots (slots.c
 * plans so), and what a socket holds, which is less.
 */
#define SETTLE_BYTES  (1u << 20)
#define SETTLE_BODIES 2
#define COUNT_BODIES  4 /* at least, of which the time is taken */

/* Clearly faster: each of its bursts was, by an eighth at least. With equal ways that happens by chance once in 70 trials. */
#define CLEARLY(ns) ((ns) - (ns) / 8)

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

/* Can this way still win? Not after one burst that was not clearly faster than all of the way in use. */
static bool is_in(const struct udsi_pace *pace, int way)
{
    return way != (int)pace->best && pace->most[way] < CLEARLY(pace->least[pace->best]);
}

static unsigned bursts_left(const struct udsi_pace *pace, int way)
{
    return way == (int)pace->best || is_in(pace, way) ? UDSI_PACE_BURSTS - pace->bursts[way] : 0;
}

/* A way that has bursts left in this trial, by lot. False: nothing is left to find out. */
static bool draw_way(struct udsi_pace *pace)
{
    unsigned left = 0, pick;
    bool open = false;

    for (int way = 0; way < UDSI_WAYS; way++) {
        left += bursts_left(pace, way);
        open |= is_in(pace, way);
    }
    if (left == 0 || !open)
        return false;
    pick = (unsigned)(draw(pace) % left);
    for (int way = 0; way < UDSI_WAYS; way++) {
        unsigned here = bursts_left(pace, way);

        if (pick < here) {
            pace->way = (enum udsi_way)way;
            return true;
        }
        pick -= here;
    }
    return false;
}

static void begin_trial(struct udsi_pace *pace)
{
    pace->trial = true;
    for (int way = 0; way < UDSI_WAYS; way++) {
        pace->bursts[way] = 0;
        pace->least[way] = UINT64_MAX;
        pace->most[way] = 0;
    }
    (void)draw_way(pace);
}

static void note(struct udsi_pace *pace, uint64_t now_ns)
{
    uint64_t ns = ((now_ns - pace->since) << 10) / ((pace->bytes >> 10) + 1);

    pace->bursts[pace->way]++;
    if (ns < pace->least[pace->way])
        pace->least[pace->way] = ns;
    if (ns > pace->most[pace->way])
        pace->most[pace->way] = ns;
}

/* The fastest of those that are clearly faster than the one in use. */
static void end_trial(struct udsi_pace *pace)
{
    enum udsi_way best = pace->best;

    for (int way = 0; way < UDSI_WAYS; way++) {
        if (is_in(pace, way) && pace->least[way] < pace->least[best])
            best = (enum udsi_way)way;
    }
    pace->calm_next = best != pace->best || pace->calm_next == 0 ? UDSI_PACE_CALM
                      : pace->calm_next < UDSI_PACE_CALM_MAX     ? 2 * pace->calm_next
                                                                 : UDSI_PACE_CALM_MAX;
    /* Not as long as the other side's, or both would always try at the same time. */
    pace->calm = pace->calm_next + (unsigned)(draw(pace) % pace->calm_next);
    pace->best = pace->way = best;
    pace->trial = false;
}

static void end_burst(struct udsi_pace *pace, uint64_t now_ns)
{
    if (pace->lot == 0) { /* the first body */
        pace->lot = now_ns | 1;
        begin_trial(pace);
    } else if (pace->trial) {
        note(pace, now_ns);
        if (!draw_way(pace))
            end_trial(pace);
    } else if (pace->calm > 0) {
        pace->calm--;
    } else {
        begin_trial(pace);
    }
}

void udsi_pace_count(struct udsi_pace *pace, size_t len, uint64_t slot_size, uint64_t now_ns)
{
    if (pace->fixed)
        return;
    if (pace->left == 0) {
        end_burst(pace, now_ns);
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
