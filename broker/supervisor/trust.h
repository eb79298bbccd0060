/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_TRUST_H
#define SUPERVISOR_TRUST_H

#include <sbx/sandbox.h>

#include <sys/types.h>

/*
 * Open a file whose contents will be acted on with our rights. 0 and a read-only CLOEXEC fd, or
 * -errno with @error.
 */
int trust_open(const char *path, int *ret_fd, struct sbx_error *error);

/*
 * A directory to keep sockets and records in: made (0755 for root, 0700 otherwise) if its parent
 * exists, and then ours and not writable by others, or refused.
 */
int trust_directory(const char *path, struct sbx_error *error);

/*
 * What is wrong with an owner and a mode, or NULL: @us or root must own it, and nobody else may
 * write. A sticky directory is fine.
 */
const char *trust_judge(uid_t owner, mode_t mode, uid_t us);

#endif
