/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_IDMAP_H
#define ROUTER_IDMAP_H

#include <stdbool.h>
#include <stdint.h>

/* Which of the ids that the kernel shows us are what they seem. Set once by confinement, before the first peer. */
enum idmap_kind {
    IDMAP_UID,
    IDMAP_GID
};

/** idmap_probe() - as root: does our user namespace map every id? Reads /proc/self/uid_map, while there is one. */
void idmap_probe(void);
/**
 * idmap_choose() - the id by which a namespace that maps only @own shall show it
 * Remembers the choice. It is @own itself unless that is the overflow id, which every other id looks like.
 */
uint32_t idmap_choose(enum idmap_kind kind, uint32_t own);
/** idmap_host() - the host's id of one that the kernel showed us. False: it may be anybody's. */
bool idmap_host(enum idmap_kind kind, uint32_t seen, uint32_t *ret_host);

#endif
