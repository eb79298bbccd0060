/* SPDX-License-Identifier: MIT */
#ifndef BENCH_METER_H
#define BENCH_METER_H

#include <stdbool.h>
#include <stdint.h>

#include "histogram.h"

/*
 * Times one run from inside its loop.
 *
 *   WARMING ── warm_ns have passed ──▶ MEASURING ── run_ns have passed, or limit reached ──▶ over
 *
 * The loop calls meter_tick() after every message or round trip. The clock is read once in @block of them, and the
 * time of that block divided by its messages is one sample: a block is 1 where a sample is long beside the cost of the
 * clock, more where it is not. The end of one sample is the begin of the next, so nothing falls between.
 */
struct meter {
    /* Set before the start. */
    struct histogram *histogram; /* ns for each message */
    uint64_t warm_ns, run_ns;
    uint64_t limit; /* messages after which a verifying pass is over; 0: time decides */
    uint32_t block;
    /* The meter's own. */
    bool measuring;
    uint32_t pending;
    uint64_t ticks; /* messages, warming included */
    uint64_t begin, last;
    uint64_t messages; /* while measuring */
};

void meter_start(struct meter *meter);
/* The slow half of meter_tick(): a block is full. */
bool meter_read(struct meter *meter);

/* What was done since the last sample is not timed. Between samples only. */
void meter_skip(struct meter *meter);

/* @n more messages. True: go on. */
static inline bool meter_tick(struct meter *meter, uint32_t n)
{
    meter->pending += n;
    return meter->pending < meter->block || meter_read(meter);
}

#endif
