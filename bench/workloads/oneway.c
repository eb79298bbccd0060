/* SPDX-License-Identifier: MIT */
/*
 * One way: the peer sends as fast as it can, the driver receives and measures. What is measured is what arrives. When
 * the driver has seen enough it says so by a flag in shared memory and takes what is still on its way.
 */
#include <errno.h>

#include "workload.h"

int oneway_drive(struct link *link, struct meter *meter)
{
    int r;

    if (link->medium->drive)
        return link->medium->drive(link, meter);
    r = link->medium->receive(link);
    if (r == 0)
        return link_fail(link, -ECONNRESET, "receive: the other side has gone");
    meter_start(meter);
    while (r > 0 && meter_tick(meter, (uint32_t)r))
        r = link->medium->receive(link);
    if (r == 0)
        return link_fail(link, -ECONNRESET, "receive: the other side ended first");
    atomic_store(link->stop, true);
    while (r > 0)
        r = link->medium->receive(link);
    return r;
}

int oneway_serve(struct link *link)
{
    if (link->medium->serve)
        return link->medium->serve(link);
    while (!atomic_load_explicit(link->stop, memory_order_relaxed)) {
        int r = link->medium->send(link, link->batch);

        if (r < 0)
            return r;
    }
    return link->medium->finish(link);
}
