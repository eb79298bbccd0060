/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_WAITING_H
#define ROUTER_WAITING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uds/snapshot.h>

struct frame;
struct peer;

/** waiting_must_wait() - must a frame with @fds descriptors stay here for now? Also true behind one that does. */
bool waiting_must_wait(struct peer *peer, size_t fds);
/** waiting_add() - as peer_forward(), into the line of those that wait; @bytes and @fds are what it is charged. */
int waiting_add(struct peer *peer, const struct frame *frame, size_t bytes, size_t fds);
/** waiting_drop_parts() - PARTs of the peer's own call @id that wait: the word that it ended would overtake them. */
void waiting_drop_parts(struct peer *peer, uint64_t id);
void waiting_clear(struct peer *peer);
void waiting_serialise(const struct peer *peer, uds_snapshot *s);
int waiting_restore(struct peer *peer, uds_snapshot *s);

#endif
