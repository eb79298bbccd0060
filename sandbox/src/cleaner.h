/* SPDX-License-Identifier: MIT */
#ifndef SBXI_CLEANER_H
#define SBXI_CLEANER_H

#include <sbx/sandbox.h>

#include "record.h"

/*
 * The owner's side of the cleaner beyond sbx/sandbox.h. Everything is registered before it is made and unregistered
 * after it is gone; each call is one write to the record file. Not thread-safe: one owner, one thread at a time.
 */

/* All of @records or none. -EPIPE: the cleaner is dead and could not be started again; as of sbxi_slots_add(). */
int sbxi_cleaner_add(sbx_cleaner *cleaner, const struct sbxi_record *records, size_t n);
int sbxi_cleaner_remove(sbx_cleaner *cleaner, const struct sbxi_record *records, size_t n);
/*
 * Closes @n descriptors, SBXI_CONTROL_HOLD_MOST at most. Where that is the end of something that takes the kernel long, the
 * cleaner waits for that in our place; when it is behind by some sixteen calls, or dead, we do.
 */
void sbxi_cleaner_close(sbx_cleaner *cleaner, const int *fds, size_t n);
/* "/run/uds" or what sbx_cleaner_new() was given; borrowed. */
const char *sbxi_cleaner_get_run_dir(const sbx_cleaner *cleaner);
/* As sbx_cleaner_take_ids(): the range that begins at @wanted if it is one and free, or another. */
int sbxi_cleaner_take_ids_near(sbx_cleaner *cleaner,
                               uint32_t wanted,
                               uint32_t *ret_first,
                               struct sbx_error *error);
/* "12-abcdef00.record", below "records" there; borrowed. */
const char *sbxi_cleaner_get_record_name(const sbx_cleaner *cleaner);

#endif
