/* SPDX-License-Identifier: MIT */
#ifndef UDSI_SOCKET_DIAL_H
#define UDSI_SOCKET_DIAL_H

#include <uds/addr.h>

#include "socket/sockaddr.h"

/* Returns a connected, CLOEXEC fd that the caller owns, or -errno. Blocks for up to @timeout_ms (-1 forever). */
int udsi_connect(const struct uds_addr *addr, int timeout_ms);

/* An address on its way into one system call. */
struct udsi_target {
    struct sockaddr_un sa;
    socklen_t len;
    int file; /* O_PATH of a path that is too long for @sa, which names it; otherwise -1 */
};

/* 0 and a @ret to be closed after the call; -EINVAL kind fd; the -errno of open(2) for a long path. */
int udsi_target_open(const struct uds_addr *addr, struct udsi_target *ret);
void udsi_target_close(struct udsi_target *target);

/* What the call's -errno means: where the file is held open, only a missing /proc can be -ENOENT. */
int udsi_target_error(const struct udsi_target *target, int error);

#endif
