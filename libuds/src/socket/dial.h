/* SPDX-License-Identifier: MIT */
#ifndef UDSI_SOCKET_DIAL_H
#define UDSI_SOCKET_DIAL_H

#include <uds/addr.h>

/* Returns a connected, CLOEXEC fd that the caller owns, or -errno. Blocks for up to @timeout_ms (-1 forever). */
int udsi_connect(const struct uds_addr *addr, int timeout_ms);

#endif
