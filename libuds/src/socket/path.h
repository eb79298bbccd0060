/* SPDX-License-Identifier: MIT */
#ifndef UDSI_SOCKET_PATH_H
#define UDSI_SOCKET_PATH_H

#include <limits.h>
#include <stdbool.h>

#include <sys/types.h>

#include <uds/addr.h>
#include <uds/listener.h>

/* The socket file of a listener: where it is, and which inode it was when we made it. */
struct udsi_path {
    int dir_fd; /* O_PATH of the directory; -1 when the address is no path */
    char base[NAME_MAX + 1];
    dev_t dev;
    ino_t ino;
};

/*
 * Binds and listens at @addr (kind path) with the file's mode and ids in force before listen(2). Writes @ret on success
 * only; the caller owns ret->dir_fd. Errors as uds_listener_new().
 */
int udsi_path_listen(int fd,
                     const struct uds_addr *addr,
                     const struct uds_listener_options *options,
                     struct udsi_path *ret);

/* Unlinks the file if it still is the one that we made, and closes the directory. */
void udsi_path_release(struct udsi_path *path, bool unlink_file);

#endif
