/* SPDX-License-Identifier: MIT */
#ifndef SBXI_IDS_H
#define SBXI_IDS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Host ids for sandboxes: 0x70000000 … 0x7ffeffff in slices of 65536. A slice is taken while <run>/ids/N exists; the
 * taker holds a lock on that file, and a record of its cleaner names N.
 */
#define SBXI_IDS_FIRST  0x70000000u
#define SBXI_IDS_COUNT  65536u
#define SBXI_IDS_SLICES 0x0fffu

/*
 * Takes a free slice: <@run_dirfd>/ids/N made (or an orphan of a crash taken over) and locked.
 * @is_recorded says whether a record, anybody's, names the slice: then it is not free although nobody locks it.
 * @ret_fd: holds the lock, the caller's. -ENOSPC: none left.
 */
int sbxi_ids_take(int run_dirfd,
                  uint32_t hint,
                  int (*is_recorded)(uint32_t slice, void *userdata),
                  void *userdata,
                  uint32_t *ret_slice,
                  int *ret_fd);
/* Removes <@run_dirfd>/ids/N. @locked: its lock is held for us; otherwise it is taken, -EBUSY if somebody holds it. */
int sbxi_ids_drop(int run_dirfd, uint32_t slice, bool locked);

#endif
