/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_LISTING_H
#define ROUTER_LISTING_H

#include <stddef.h>
#include <stdint.h>

#include "supervisor.pb-c.h"

struct router;

struct listing_stats {
    uint32_t sandbox_id;
    Uds__Supervisor__SandboxStats stats;
};

/** listing_pack() - the router as a ListReply. The caller frees *@ret_body. 0 or -ENOMEM. */
int listing_pack(const struct router *router,
                 const struct listing_stats *stats,
                 size_t nstats,
                 uint8_t **ret_body,
                 size_t *ret_len);

#endif
