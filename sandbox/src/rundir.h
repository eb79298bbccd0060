/* SPDX-License-Identifier: MIT */
#ifndef SBXI_RUNDIR_H
#define SBXI_RUNDIR_H

#include <limits.h>
#include <sbx/sandbox.h>
#include <stdbool.h>

/*
 * Opens the run directory: @run_dir, or by default /run/uds (root), $XDG_RUNTIME_DIR/uds, /tmp/uds-UID. @ret_path is
 * absolute without a symlink above its last component, because records hold it and are resolved without following any.
 * @make: made if missing. -ENOENT (only if not @make) without an error text; -EPERM: not ours alone.
 */
int sbxi_rundir_open(char ret_path[PATH_MAX],
                     const char *run_dir,
                     bool make,
                     struct sbx_error *error);
/* What that would open, unless there is nothing. 0 or -errno. */
int sbxi_rundir_resolve(char ret[PATH_MAX], const char *run_dir);
/* Opens its directory @name, which must be ours alone (-EPERM); made if missing and @make, otherwise -ENOENT. */
int sbxi_rundir_open_sub(int run_dirfd, const char *name, bool make);

#endif
