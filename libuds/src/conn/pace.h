/* SPDX-License-Identifier: MIT */
#ifndef UDSI_CONN_PACE_H
#define UDSI_CONN_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Which way bodies of one class go, found out by sending them: docs/decisions/0007 says why it takes that.
 *
 *   calm: all go the best way known ── a number of bursts ──▶ trial: bursts go each way in turn, by lot
 *     ▲   (at first: inside frames)                                         │ of each way it is clear whether it is faster
 *     └──────────── the fastest way, or the same as before ◀────────────────┘
 *
 * What is measured is what the application gets: the time from one body to the next while it sends many, in bursts that are
 * long enough for what is on its way to settle. With small bodies two processes can take much longer to fall into step (the
 * decision has figures), and a trial puts them out of it. So another way must be faster than the one in use was in the trial,
 * and faster than it was in the calm before: who runs well is left alone. Whoever waits for something else between bodies finds all ways equal
 * and keeps the first. A peer that lies about how fast it is chooses how its own bodies travel, between ways
 * that are all open to it, and the trials cost a bounded share of the traffic.
 *
 * No clock of its own, no memory beyond this: whoever calls says what time it is.
 */

enum udsi_way {
    UDSI_WAY_FRAME, /* inside the frame */
    UDSI_WAY_SLOT,  /* in a slot, written by ordinary stores */
    UDSI_WAY_PAST,  /* in a slot, written past the caches (slotcopy.h) */
};
#define UDSI_WAYS        3

#define UDSI_PACE_BURSTS 16 /* of each way in a trial, at most */
#define UDSI_PACE_CALM   32 /* bursts between the first trials … */
#define UDSI_PACE_CALM_MAX \
    1024 /* … doubled each time that one changes nothing; up to twice as many, by lot */

struct udsi_pace {
    bool fixed;         /* there is nothing to find out */
    bool has_slots;     /* trials may begin */
    enum udsi_way best; /* zero: inside frames, where all begins */
    enum udsi_way way;  /* of the burst that is going on */
    bool trial;
    unsigned left;      /* bodies of this burst that are still to come */
    unsigned calm;      /* bursts until the next trial … */
    unsigned calm_next; /* … and after it */
    uint64_t lot;

    uint64_t since, bytes; /* of this burst, what it needed to settle not counted */
    /* Bursts of this trial, and what a MiB took in each, ns; behind the ways the last of the calm before it, in no order. */
    unsigned bursts[UDSI_WAYS + 1];
    uint32_t took[UDSI_WAYS + 1][UDSI_PACE_BURSTS];
    unsigned turn; /* which of the calm is the oldest */
};

/* Does it wait for a slot to be had before it tries anything? */
static inline bool udsi_pace_needs_slots(const struct udsi_pace *pace)
{
    return !pace->fixed && !pace->has_slots;
}

/* The way of the next body. */
static inline enum udsi_way udsi_pace_way(const struct udsi_pace *pace)
{
    return pace->way;
}

/* A body of @len bytes, @slot_size the size of its class, goes that way at @now_ns. */
void udsi_pace_count(struct udsi_pace *pace, size_t len, uint64_t slot_size, uint64_t now_ns);

/* All bodies go that way from now on. */
void udsi_pace_fix(struct udsi_pace *pace, enum udsi_way way);

#endif
