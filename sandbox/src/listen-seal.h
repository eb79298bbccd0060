/* SPDX-License-Identifier: MIT */
#ifndef SBXI_LISTEN_SEAL_H
#define SBXI_LISTEN_SEAL_H

#include <netinet/in.h>
#include <sys/socket.h>

/* From now on TCP socket @fd, bound to @name, is good for nothing but listening. 0, or -errno; -EPERM: filters are root's here. */
int sbxi_listen_seal(int fd, const struct sockaddr *name, in_port_t port);

#endif
