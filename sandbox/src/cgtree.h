/* SPDX-License-Identifier: MIT */
#ifndef SBXI_CGTREE_H
#define SBXI_CGTREE_H

#include <stdbool.h>
#include <stddef.h>

/*
 * One cgroup directory with all below it, by fd: killed, asked whether it lives, removed. What the owner, the cleaner
 * and the sweep have in common; linked into uds-cleaner too.
 */

/* Opens @path without following a symlink, and only on a cgroup file system (not checked if @fake). */
int sbxi_cgtree_open(const char *path, bool fake);
/*
 * Kills everything in it and below: cgroup.kill; else frozen, killed, thawed; else process by process. One pass: what
 * it did not catch is caught by the next one. -ENOENT never: what is gone is killed.
 */
int sbxi_cgtree_kill(int fd);
/* 1: somebody lives in it or below, 0: nobody, -errno. */
int sbxi_cgtree_is_populated(int fd);
/* Kills and waits for all of @fds (-1 entries are skipped) to be empty, at most @timeout_ms. 0 or -ETIMEDOUT. */
int sbxi_cgtree_kill_all(const int *fds, size_t n, int timeout_ms);
/* Stops everybody in it and below (cgroup.freeze, freezer.state), or lets them go on. -ENOENT: it has neither; -ETIMEDOUT:
 * not all stopped within @timeout_ms, and now all go on. */
int sbxi_cgtree_freeze(int fd, bool frozen, int timeout_ms);
int sbxi_cgtree_is_frozen(int fd);
/* Removes directory @path deepest first. 0 also when it does not exist; -EBUSY: somebody lives in it. One attempt. */
int sbxi_cgtree_remove(const char *path, bool fake);
/* Removes the directory @fd, called @name, if it is empty, by the way that it was made. 0, or -errno. */
int sbxi_cgtree_remove_open(int fd, const char *name);
/* The same as by path for several, until all are gone or @timeout_ms is over. Returns how many remain. */
int sbxi_cgtree_remove_all(const char *const *paths, size_t n, bool fake, int timeout_ms);

#endif
