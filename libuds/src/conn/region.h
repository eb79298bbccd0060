/* SPDX-License-Identifier: MIT */
#ifndef UDSI_CONN_REGION_H
#define UDSI_CONN_REGION_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The memory of one arena as this process sees it, and the leases of messages on its slots.
 *
 * A region is shared by its connection and by every message whose body lies in it, and goes with the last of them: a message may
 * outlive its connection, and may belong to another thread. So the two words that both sides touch are atomic, and a
 * lease that ends does nothing but set its bit in @let_go: the connection takes that up when it next runs.
 */
struct udsi_region {
    _Atomic unsigned refs;
    _Atomic uint64_t
        let_go; /* slots whose lease has ended and that the connection has not taken note of */
    uint8_t *base;
    size_t size;
};

/* What a message holds: one slot. @region is NULL once the body was copied out. */
struct udsi_lease {
    struct udsi_region *region;
    uint64_t bit;
    uint8_t *at; /* the slot's first byte; writable only in a region of ours */
};

/* Takes the mapping at @base. One reference; NULL: no memory, the mapping stays the caller's. */
struct udsi_region *udsi_region_new(void *base, size_t size);
struct udsi_region *udsi_region_unref(struct udsi_region *region);

/* A lease takes a reference of its own. NULL: no memory. */
struct udsi_lease *udsi_lease_new(struct udsi_region *region, uint64_t bit, uint64_t offset);

/* Copies what is in the slot, unless that was done, and lets the slot go: @to is stable from then on. */
void udsi_lease_copy_out(struct udsi_lease *lease, void *to, size_t len);

/* NULL is fine. */
void udsi_lease_free(struct udsi_lease *lease);

#endif
