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
 * Moves @pids into a new scope "uds-@name-PID.scope" with Delegate=yes, PID being the caller's, and waits until all
 * are there. @ret_path: its cgroup, below the mount.
 * -EOPNOTSUPP: nobody to ask; -EACCES and others: it was refused; -ETIMEDOUT. @error says so.
 */
int sbxi_scope_enter(const char *name,
                     const pid_t *pids,
                     size_t n,
                     char *ret_path,
                     size_t size,
                     struct sbx_error *error);

/*
 * Weights of a scope that we asked for, against what lies beside it; 0 = as it is. -EACCES and others: refused, @error says so.
 */
int sbxi_scope_weigh(const char *unit,
                     uint32_t cpu_weight,
                     uint32_t io_weight,
                     struct sbx_error *error);

/* The requests as they go out, for tests. Returns the length, 0: does not fit. */
size_t sbxi_scope_encode(uint8_t *ret, size_t size, const char *unit, const pid_t *pids, size_t n);
size_t sbxi_scope_encode_weights(
    uint8_t *ret, size_t size, const char *unit, uint32_t cpu_weight, uint32_t io_weight);

#endif
