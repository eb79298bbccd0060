/* SPDX-License-Identifier: MIT */
#ifndef SBXI_SCOPE_H
#define SBXI_SCOPE_H

#include <sbx/sandbox.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * On a systemd host cgroups belong to systemd, but for subtrees that it has delegated. A launcher in a login shell lives
 * in one that is not: it asks the manager, the system's as root, its user's otherwise, for a transient scope of its own.
 */

/* Does systemd run this machine? */
bool sbxi_scope_is_possible(void);
/*
 * Moves @pids into a new scope "uds-@name-PID.scope" with Delegate=yes, PID being the caller's, and waits until the first
 * is there. @ret_path: its cgroup, below the mount.
 * -EOPNOTSUPP: nobody to ask; -EACCES and others: it was refused; -ETIMEDOUT. @error says so.
 */
int sbxi_scope_enter(const char *name,
                     const pid_t *pids,
                     size_t n,
                     char *ret_path,
                     size_t size,
                     struct sbx_error *error);

/* The request as it goes out, for tests. Returns its length, 0: does not fit. */
size_t sbxi_scope_encode(uint8_t *ret, size_t size, const char *unit, const pid_t *pids, size_t n);

#endif
