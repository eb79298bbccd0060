/* SPDX-License-Identifier: MIT */
#ifndef SBXI_CLEANER_SPAWN_H
#define SBXI_CLEANER_SPAWN_H

#include <sys/types.h>

/*
 * A cleaner is born, and becomes uds-cleaner while its owner goes on: an execve of 0.15 ms that nobody waits for but who is
 * about to make something, sbxi_spawned_wait().
 */
struct sbxi_spawned;

/* Everything is borrowed; @program is an O_PATH descriptor. *@ret: free it, once the process is reaped. 0 or -errno. */
int sbxi_cleaner_spawn(struct sbxi_spawned **ret,
                       int program,
                       const char *run_dir,
                       const char *record_name,
                       int control,
                       int record,
                       pid_t *ret_pid,
                       int *ret_pidfd);
/* Till it is another program: 0, or -errno: it could not be executed, and ends. */
int sbxi_spawned_wait(struct sbxi_spawned *spawned);
/* NULL is fine. */
struct sbxi_spawned *sbxi_spawned_free(struct sbxi_spawned *spawned);

#endif
