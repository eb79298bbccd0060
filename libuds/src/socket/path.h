/* SPDX-License-Identifier: MIT */
#ifndef UDSI_SOCKET_PATH_H
#define UDSI_SOCKET_PATH_H

#include <limits.h>
#include <stdbool.h>

#include <sys/types.h>

#include <uds/addr.h>

/* The socket file of a listener or a datagram socket: where it is, and which inode it was when we made it. */
struct udsi_path {
    int dir_fd; /* O_PATH of the directory; -1 when the address is no path */
    char base[NAME_MAX + 1];
    dev_t dev;
    ino_t ino;
};

struct udsi_path_options {
    mode_t mode; /* of the file; 0 = 0600 */
    uid_t owner; /* (uid_t)-1 = leave */
    gid_t group; /* (gid_t)-1 = leave */
    int backlog; /* of listen(2), 0 = SOMAXCONN; unused for datagrams */
};

/*
 * Binds at @addr (kind path) and, unless it is for datagrams, listens. The file's ids and mode are in force before
 * anybody can connect, or send a datagram. Writes @ret on success only; the caller owns ret->dir_fd. Errors as
 * uds_listener_new().
 */
int udsi_path_bind(int fd,
                   const struct uds_addr *addr,
                   const struct udsi_path_options *options,
                   struct udsi_path *ret);

/* Unlinks the file if it still is the one that we made, and closes the directory. */
void udsi_path_release(struct udsi_path *path, bool unlink_file);

#endif
