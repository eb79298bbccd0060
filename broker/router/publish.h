/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_PUBLISH_H
#define ROUTER_PUBLISH_H

#include <stddef.h>

#include <uds/msg.h>

#include "fdpolicy.h"

struct peer;
struct router;

void publish_on_message(struct peer *peer, uds_msg *msg, const struct fdpolicy_copies *copies);
/** publish_own() - a message of the broker itself, sender "broker". */
void publish_own(struct router *router, const char *subject, const void *body, size_t len);

/** publish_refuse_copy() - tell the sender of @msg that it does not go on, as a file could not be copied: -errno of fdcopy.h. */
void publish_refuse_copy(struct peer *peer, uds_msg *msg, int error);
/**
 * publish_check_fds() - may the fds of @msg go from @peer to @receiver?
 * 1 go on; 0 not now: refused and told, or being copied and dispatched again later.
 */
int publish_check_fds(struct peer *peer,
                      uds_msg *msg,
                      const struct fdpolicy_receiver *receiver,
                      const struct fdpolicy_copies *copies);

#endif
