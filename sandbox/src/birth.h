/* SPDX-License-Identifier: MIT */
#ifndef SBXI_BIRTH_H
#define SBXI_BIRTH_H

#include <stdbool.h>

#include "running.h"

/*
 * A child that has our memory instead of a copy of it, until it is uds-sandbox-init. Copying takes 0.2 ms of a process of a
 * few MB and grows with it (measured: 1 MB 300 µs, 20 MB 820 µs, from fork to gone; shared 83 µs), and each page that we
 * write to meanwhile is one fault more. What sharing asks for:
 *
 *   - it runs on a stack of its own, and what it reads stays as it is until it has become another program or is gone;
 *   - it has our thread's errno and whatever else a C library keeps there: it calls the kernel and nobody else (raw.h);
 *   - its change of ids makes our memory not dumpable, which is put back: to what it was before. What another thread says
 *     meanwhile cannot be told from that, where fs.suid_dumpable is 0, so the contract of sbx_start() asks it not to;
 *   - the kernel's killer takes all who share a memory: so it must not be where a limit of the sandbox's memory is. That of
 *     a cgroup in which we are too may take either of us in any case.
 */
struct sbxi_birth;
struct clone_args;

/* Whether that can be done here. */
bool sbxi_birth_can_share(void);
/* clone3 with @args; the child runs @child, which is copied. Its pid or -errno. *@ret: free it, or it is over. */
long sbxi_birth_clone(struct sbxi_birth **ret,
                      struct clone_args *args,
                      const struct sbxi_child *child);
/* The child runs another program, or there is none. NULL is fine. Returns NULL. */
struct sbxi_birth *sbxi_birth_over(struct sbxi_birth *birth);

#endif
