/* SPDX-License-Identifier: MIT */
#ifndef SBXI_IDS_H
#define SBXI_IDS_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Host ids for sandboxes: 0x70000000 … 0x7ffeffff in slices of 65536. A slice is taken while <home>/ids/N exists; the
 * taker holds a lock on that file, which says in whose run directory a record of its cleaner names N.
 */
#define SBXI_IDS_FIRST  0x70000000u
#define SBXI_IDS_COUNT  65536u
#define SBXI_IDS_SLICES 0x0fffu

/*
 * Opens the home of all slices of this host, /run/uds, whatever the run directories of their takers are: ids are the
 * host's. Made if missing. The fd is the caller's; -EPERM not ours alone, -errno.
 */
int sbxi_ids_home(void);
/*
 * Takes a free slice: <@home>/ids/N made (or an orphan of a crash taken over) and locked.
 * @run_dir: absolute path of the taker's run directory. An orphan of another's is left alone: its records are there.
 * @is_recorded says whether a record in our run directory names the slice: then it is not free although nobody locks it.
 * @ret_fd: holds the lock, the caller's. -ENOSPC: none left.
 */
int sbxi_ids_take(int home,
                  const char *run_dir,
                  uint32_t hint,
                  int (*is_recorded)(uint32_t slice, void *userdata),
                  void *userdata,
                  uint32_t *ret_slice,
                  int *ret_fd);
/* Removes <@home>/ids/N. @locked: its lock is held for us; otherwise it is taken, -EBUSY if somebody holds it. */
int sbxi_ids_drop(int home, uint32_t slice, bool locked);

#endif
