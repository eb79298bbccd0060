/* SPDX-License-Identifier: MIT */
/* Round trips: rtt, bulk (a short reply) and fd (with a descriptor each way) differ in sizes and in what rides along. */
#include <errno.h>

#include "workload.h"

static int go_and_come(struct link *link)
{
    int r = link->medium->send(link, 1);

    if (r < 0)
        return r;
    r = link->medium->receive(link);
    if (r < 0)
        return r;
    return r == 0 ? link_fail(link, -ECONNRESET, "receive: the other side has gone") : 0;
}

int roundtrip_drive(struct link *link, struct meter *meter)
{
    int r;

    if (link->medium->drive)
        return link->medium->drive(link, meter);
    /* The first one also waits until both sides are there: it is not timed. */
    r = go_and_come(link);
    meter_start(meter);
    while (r == 0) {
        r = go_and_come(link);
        if (r == 0 && !meter_tick(meter, 1))
            return link->medium->finish(link);
    }
    return r;
}

int roundtrip_serve(struct link *link)
{
    if (link->medium->serve)
        return link->medium->serve(link);
    for (;;) {
        int r = link->medium->receive(link);

        if (r <= 0)
            return r;
        r = link->medium->send(link, 1);
        if (r < 0)
            return r;
    }
}
