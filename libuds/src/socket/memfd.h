/* SPDX-License-Identifier: MIT */
#ifndef UDSI_SOCKET_MEMFD_H
#define UDSI_SOCKET_MEMFD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum udsi_memfd_use {
    UDSI_MEMFD_CARGO, /* nobody can change it any more: F_SEAL_WRITE */
    UDSI_MEMFD_ARENA, /* whoever has mapped it before the seals can: F_SEAL_FUTURE_WRITE is enough */
    UDSI_MEMFD_RING,  /* both sides write it, and nobody can forbid the other that */
};

/* May @fd be mapped for this use, whoever made it? uds_memfd_check() (uds/fdset.h) has the errors. */
int udsi_memfd_check(int fd, enum udsi_memfd_use use, uint64_t limit_bytes, uint64_t *ret_size);

/*
 * A memfd of @size bytes that udsi_memfd_check() finds fit for @use, an arena or a ring, mapped for writing at *@ret_base. The
 * caller owns the fd that is returned and the mapping. -ENOMEM, -EMFILE, -ENFILE, -EPERM.
 */
int udsi_memfd_new(const char *name, enum udsi_memfd_use use, size_t size, void **ret_base);

/* Maps @size bytes of a memfd that was checked, for reading. The caller unmaps them. -EACCES not open for reading, -ENOMEM. */
int udsi_memfd_map(int fd, size_t size, void **ret_base);
void udsi_memfd_unmap(void *base, size_t size);

#endif
