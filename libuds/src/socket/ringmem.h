/* SPDX-License-Identifier: MIT */
#ifndef UDSI_SOCKET_RINGMEM_H
#define UDSI_SOCKET_RINGMEM_H

#include <stddef.h>

/*
 * Memory that both sides of a ring write: a memfd of @size bytes, every page there, sealed so that it stays that long and
 * nobody adds seals that would keep the other from mapping it anew. Returns the fd, which is the caller's like the mapping at
 * *@ret_base; -ENOMEM, -EMFILE, -ENFILE, -EPERM.
 */
int udsi_ringmem_new(size_t size, void **ret_base);

/*
 * Maps what a stranger sent as such memory. The fd stays the caller's. -EINVAL: it is not what udsi_ringmem_new() makes,
 * with exactly @size bytes; -ENOMEM and others: it is, but it cannot be mapped now.
 */
int udsi_ringmem_map(int fd, size_t size, void **ret_base);

void udsi_ringmem_unmap(void *base, size_t size);

#endif
