/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_LAUNCH_H
#define SUPERVISOR_LAUNCH_H

#include <sbx/notify.h>
#include <sbx/sandbox.h>
#include <sbx/warm.h>

#include <sys/resource.h>

#include "stack.h"
#include "vault.h"

/* From an entry of the stack file to a plan of libuds-sandbox. */

struct launch {
    const struct stack *stack;
    const struct stack_sandbox *entry;
    const char *place; /* host directory for /run/uds inside; NULL = none (--check) */
    const char *const
        *doors; /* sockets for the host's peers, NULL-terminated; NULL = none (--check) */
    int link,
        redial; /* the sandbox's ends; -1 = none (--check). Borrowed until sbx_start() has returned */
    const struct sbx_named_fd *fds; /* of `listen:`, borrowed like those two */
    size_t nfds;
    sbx_fdstore *fdstore; /* NULL = none */
    bool waits; /* for what is above, which is then left out, and stdio: launch_adoption() */
    const struct vault *vault; /* what `secrets:` has */
    struct rlimit
        nofile; /* the limit that we were started with: ours is raised, the payload's is not */
};

/* Makes the error say which sandbox it is about, if it does not yet. */
void launch_name_sandbox(const struct stack_sandbox *entry, struct sbx_error *error);

/* Are the files that the entry names there? Looks, touches nothing. */
int launch_check(const struct stack *stack,
                 const struct stack_sandbox *entry,
                 struct sbx_error *error);
int launch_plan(sbx_plan **ret, const struct launch *launch, struct sbx_error *error);
/* What one that waits is told. @env_fds: room for two; all else is borrowed from @launch. */
void launch_adoption(struct sbx_adoption *ret,
                     struct sbx_named_fd env_fds[2],
                     const struct launch *launch);

#endif
