/* SPDX-License-Identifier: MIT */
/*
 * In a user namespace that does not map every id the kernel shows all others as the overflow id, 65534
 * (/proc/sys/kernel/overflowuid). There it says "unknown" and nothing else, so no rule may match it; and a broker that
 * is run by nobody, whose own id is just that number, must show it as another to know its owner again.
 *
 * In the initial namespace every id is mapped, and 65534 is nobody.
 */
#include "idmap.h"

#include <stdio.h>

#include <uds/cred.h>

#define OVERFLOW_ID 65534u

static bool complete;             /* all ids are mapped: what we see is what is */
static uint32_t own[2], shown[2]; /* otherwise the one that is mapped, and how it looks */

static bool maps_all(const char *path)
{
    unsigned inside, outside, count;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    bool all = fscanf(file, "%u %u %u", &inside, &outside, &count) == 3 && inside == 0 &&
               outside == 0 && count == UINT32_MAX;
    (void)fclose(file);
    return all;
}

void idmap_probe(void)
{
    complete = maps_all("/proc/self/uid_map") && maps_all("/proc/self/gid_map");
    (void)uds_cred_init(); /* without it 65534 stays unknown, which is the safe side */
}

uint32_t idmap_choose(enum idmap_kind kind, uint32_t id)
{
    own[kind] = id;
    shown[kind] = id == OVERFLOW_ID ? OVERFLOW_ID - 1 : id;
    return shown[kind];
}

bool idmap_host(enum idmap_kind kind, uint32_t seen, uint32_t *ret_host)
{
    if (seen == OVERFLOW_ID && !complete)
        return false;
    *ret_host = !complete && seen == shown[kind] && shown[kind] != own[kind] ? own[kind] : seen;
    return true;
}
