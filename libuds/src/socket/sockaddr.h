/* SPDX-License-Identifier: MIT */
#ifndef UDSI_SOCKET_SOCKADDR_H
#define UDSI_SOCKET_SOCKADDR_H

#include <stdbool.h>

#include <sys/socket.h>
#include <sys/un.h>

#include <uds/addr.h>

/* A uds_addr as the kernel takes it. A path over sun_path's 108 bytes does not fit: -ENAMETOOLONG. */
int udsi_sockaddr_fill(const struct uds_addr *addr, struct sockaddr_un *ret, socklen_t *ret_len);

/*
 * The name by which an O_PATH fd's file can be connected to or changed, whatever the length of its own path. Works only
 * where /proc is mounted; without it the system calls say ENOENT, which callers turn into -ENAMETOOLONG.
 */
void udsi_sockaddr_fill_fd(int path_fd, struct sockaddr_un *ret, socklen_t *ret_len);

/* The reverse, of what the kernel wrote. False, and a @ret of kind 0, when the socket has no name. @ret keeps no other bytes. */
bool udsi_sockaddr_read(const struct sockaddr_un *sa,
                        socklen_t len,
                        int sock_type,
                        struct uds_addr *ret);

#endif
