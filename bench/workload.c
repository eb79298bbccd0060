/* SPDX-License-Identifier: MIT */
/* The table of workloads. */
#include "workload.h"

#include <string.h>

const struct workload workloads[] = {
    {
        .name = "rtt",
        .summary = "round trips: a message goes, one of the same size comes back",
        .usual = true,
        .sizes = "64,4K,64K,1M",
        .media = "uds-stream,tcp,libuds",
        .drive = roundtrip_drive,
        .serve = roundtrip_serve,
    },
    {
        .name = "oneway",
        .summary = "one way, as fast as it goes, each message by itself and in batches",
        .one_way = true,
        .usual = true,
        .sizes = "64,4K,64K,1M",
        .media = "uds-stream,tcp,libuds",
        .drive = oneway_drive,
        .serve = oneway_serve,
    },
    {
        .name = "bulk",
        .summary = "a large message goes, 8 bytes come back",
        .reply_size = 8,
        .sizes = "64K,1M",
        .media = "uds-stream,tcp,libuds",
        .drive = roundtrip_drive,
        .serve = roundtrip_serve,
    },
    {
        .name = "fd",
        .summary = "round trips that hand a descriptor over each way",
        .with_fd = true,
        .sizes = "64",
        .media = "uds-stream,libuds",
        .drive = roundtrip_drive,
        .serve = roundtrip_serve,
    },
    {
        .name = "start",
        .summary = "a program starts, in a sandbox, ends, and all that was made for it is gone",
        .starts = true,
        .sizes = "1",
        .media = "exec,sandbox-bare,sandbox-net,sandbox,sandbox-warm,broker-warm,bare-command,"
                 "uds-run,uds-run-bare,bwrap,"
                 "uds-run-limits,runc",
        .drive = roundtrip_drive,
        .serve = roundtrip_serve,
    },
};
const size_t workload_count = sizeof(workloads) / sizeof(workloads[0]);

const struct workload *workload_find(const char *name)
{
    for (size_t i = 0; i < workload_count; i++)
        if (strcmp(workloads[i].name, name) == 0)
            return &workloads[i];
    return NULL;
}

const char *workload_refuses(const struct workload *workload, const struct medium *medium)
{
    if (medium->absent)
        return medium->absent;
    if (workload->starts != ((medium->traits & MEDIUM_STARTS) != 0))
        return workload->starts ? "starts no program" : "carries no messages";
    if (workload->with_fd && !(medium->traits & MEDIUM_CARRIES_FDS))
        return "carries no descriptors";
    if (medium->traits & MEDIUM_ROUND_TRIPS_ONLY && workload->one_way)
        return "does round trips only";
    if (medium->traits & MEDIUM_OWNS_ITS_LOOP && (workload->with_fd || workload->reply_size > 0))
        return "neither hands descriptors over nor sends short replies";
    return NULL;
}
