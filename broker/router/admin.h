/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_ADMIN_H
#define ROUTER_ADMIN_H

#include <uds/msg.h>

#include "head.h"

struct peer;
struct router;

#define ADMIN_SUBJECT "$SYS.broker"

/** admin_on_request() - service uds.admin.Broker, for peers with admin. @msg is the REQUEST, @head what it says. */
void admin_on_request(struct peer *peer, uds_msg *msg, const struct head *head);
/** admin_end_all() - answer them now: the router is about to move. */
void admin_end_all(struct router *router);
/** admin_free_all() - listings that still wait for the supervisor. */
void admin_free_all(struct router *router);

#endif
