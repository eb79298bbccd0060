/* SPDX-License-Identifier: MIT */
/* See meter.h. */
#include "meter.h"

#include "clock.h"

void meter_start(struct meter *meter)
{
    meter->begin = meter->last = now_ns();
}

bool meter_read(struct meter *meter)
{
    uint64_t now = now_ns();
    uint32_t n = meter->pending;

    meter->pending = 0;
    meter->ticks += n;
    if (meter->measuring) {
        histogram_add(meter->histogram, (now - meter->last) / n);
        meter->messages += n;
    } else if (now - meter->begin >= meter->warm_ns) {
        meter->measuring = true;
        meter->begin = now;
    }
    meter->last = now;
    if (meter->limit > 0)
        return meter->ticks < meter->limit;
    return !meter->measuring || now - meter->begin < meter->run_ns;
}

void meter_skip(struct meter *meter)
{
    meter->last = now_ns();
}
