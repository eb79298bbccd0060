/* SPDX-License-Identifier: MIT */
#ifndef SBXI_HOLDER_H
#define SBXI_HOLDER_H

#include <sys/types.h>

/*
 * A scope of systemd's lasts as long as a process lives in it, a named group until it is deleted: so a process that does
 * nothing, the holder, lives in a leaf beside the group.
 */

/*
 * Starts one: its pid, or -errno. It ends with its starter until sbxi_holder_keep(), for which *@ret_leash is: who is
 * killed before it has written down that there is a holder leaves none behind.
 */
pid_t sbxi_holder_new(int *ret_leash);
/* From now on it stays. Closes *@leash; -1: there is no holder. */
void sbxi_holder_keep(int *leash);
/* Ends a holder that is a child of ours. Closes *@leash. */
void sbxi_holder_free(pid_t holder, int *leash);

#endif
