/* SPDX-License-Identifier: MIT */

/* Mappings of arenas, counted, and leases on their slots: region.h. */

#include "conn/region.h"

#include <stdlib.h>

#include <sys/mman.h>

#include "block.h"
#include "conn/slotcopy.h"

struct udsi_region *udsi_region_new(void *base, size_t size)
{
    struct udsi_region *region = malloc(sizeof(*region));

    if (!region)
        return NULL;
    atomic_init(&region->refs, 1);
    atomic_init(&region->let_go, 0);
    region->base = base;
    region->size = size;
    return region;
}

struct udsi_region *udsi_region_unref(struct udsi_region *region)
{
    if (region && atomic_fetch_sub_explicit(&region->refs, 1, memory_order_acq_rel) == 1) {
        (void)munmap(region->base, region->size);
        free(region);
    }
    return NULL;
}

struct udsi_lease *udsi_lease_new(struct udsi_region *region, uint64_t bit, uint64_t offset)
{
    struct udsi_lease *lease = udsi_block_alloc(sizeof(*lease));

    if (!lease)
        return NULL;
    atomic_fetch_add_explicit(&region->refs, 1, memory_order_relaxed);
    *lease = (struct udsi_lease){.region = region, .bit = bit, .at = region->base + offset};
    return lease;
}

/* Release order: what was read or written in the slot is over before the connection sees the bit. */
static void let_go(struct udsi_lease *lease)
{
    atomic_fetch_or_explicit(&lease->region->let_go, lease->bit, memory_order_release);
    lease->region = udsi_region_unref(lease->region);
}

void udsi_lease_copy_out(struct udsi_lease *lease, void *to, size_t len)
{
    if (!lease->region)
        return;
    udsi_slot_copy_out(to, lease->at, len);
    let_go(lease);
}

void udsi_lease_free(struct udsi_lease *lease)
{
    if (!lease)
        return;
    if (lease->region)
        let_go(lease);
    udsi_block_free(lease, sizeof(*lease));
}
