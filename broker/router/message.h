/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_MESSAGE_H
#define ROUTER_MESSAGE_H

#include <uds/msg.h>
#include <uds/snapshot.h>

/** message_serialise() - type, id, head, body and fds; NULL is kept as NULL. */
void message_serialise(const uds_msg *msg, uds_snapshot *s);
/** message_restore() - writes NULL where NULL was put. 0, -EBADMSG, -ENOMEM. */
int message_restore(uds_msg **ret, uds_snapshot *s);

#endif
