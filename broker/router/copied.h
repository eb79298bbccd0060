/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_COPIED_H
#define ROUTER_COPIED_H

#include <stdint.h>

#include <uds/snapshot.h>

struct account;
struct router;

/** copied_init() - before the first copy; without the kernel's help charges last as long as the sandbox's generation. */
void copied_init(struct router *router);
void copied_deinit(struct router *router);

/**
 * copied_add() - @memfd of @bytes is made for sandbox @sandbox_id because of @sender: charge it while it exists
 * -EDQUOT the sandbox holds too much of this sender, or of all; -ENOMEM.
 */
int copied_add(
    struct router *router, int memfd, uint64_t bytes, uint32_t sandbox_id, struct account *sender);
/** copied_sandbox_changed() - a generation may be over: what could not be watched is no longer charged to it. */
void copied_sandbox_changed(struct router *router, uint32_t sandbox_id);

void copied_serialise(const struct router *router, uds_snapshot *s);
/** copied_restore() - after the sandboxes. */
int copied_restore(struct router *router, uds_snapshot *s);

#endif
