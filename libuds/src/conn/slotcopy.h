/* SPDX-License-Identifier: MIT */
#ifndef UDSI_CONN_SLOTCOPY_H
#define UDSI_CONN_SLOTCOPY_H

#include <stddef.h>

/*
 * Bytes into slots and out of them.
 *
 * A slot that comes back has been read, so its lines are still in the cache of the core that read them. Where that is
 * another core than ours, each ordinary store waits until it has given its line up. Stores that go past the caches (x86:
 * movntdq) do not wait, but the bytes have to come back from memory, for whoever reads them.
 */

/* memcpy() past the caches: the bytes are there for who is told of them afterwards. */
void udsi_slot_copy_past(void *to, const void *from, size_t len);

/* Takes the lines of @len bytes away from all caches, so that ordinary stores to them do not wait. The bytes are lost. */
void udsi_slot_wipe_past(void *to, size_t len);

/* memcpy() of what another core has written. */
void udsi_slot_copy_out(void *to, const void *from, size_t len);

#endif
