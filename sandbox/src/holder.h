/* SPDX-License-Identifier: MIT */
#ifndef SBXI_HOLDER_H
#define SBXI_HOLDER_H

#include <stddef.h>

#include <sys/types.h>

/*
 * A scope of systemd's lasts as long as a process lives in it, a named group until it is deleted: so a process that does
 * nothing, the holder, lives in a leaf beside the group.
 */

/* Starts one, in a new scope of @name: its pid, and the scope's cgroup in @ret_path. -errno: there is none then. */
pid_t sbxi_holder_new(const char *name, char *ret_path, size_t size);
/* Ends a holder that is a child of ours. */
void sbxi_holder_free(pid_t holder);

#endif
