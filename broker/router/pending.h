/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_PENDING_H
#define ROUTER_PENDING_H

#include <stddef.h>

#include <uds/msg.h>
#include <uds/snapshot.h>

#include "fdpolicy.h"

struct peer;

/**
 * pending_copy() - replace descriptor @index of @msg by a sealed copy, then dispatch @msg again
 * Nothing else of the peer is handled before. -errno of fdcopy_start(); -EDQUOT of the peer, -ENOSPC of sandbox @receiver.
 */
int pending_copy(struct peer *peer,
                 uds_msg *msg,
                 size_t index,
                 uint32_t receiver,
                 const struct fdpolicy_copies *copies);
/** pending_add() - a message that must wait behind the copy; consumes @msg. */
void pending_add(struct peer *peer, uds_msg *msg, const struct fdpolicy_copies *copies);
/** pending_hold() - the same for the first in line: from here on the peer is not read until pending_run(). */
void pending_hold(struct peer *peer, uds_msg *msg);
void pending_clear(struct peer *peer);

void pending_serialise(const struct peer *peer, uds_snapshot *s);
/** pending_restore() - what was put; pending_run() dispatches it once everybody is back. */
int pending_restore(struct peer *peer, uds_snapshot *s);
void pending_run(struct peer *peer);

#endif
