/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_NOTIFY_H
#define SUPERVISOR_NOTIFY_H

/*
 * Tell a service manager, sd_notify(3): one datagram to $NOTIFY_SOCKET, if that is set. Best
 * effort.
 */
void notify_send(const char *state);

#endif
