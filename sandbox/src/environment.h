/* SPDX-License-Identifier: MIT */
#ifndef SBXI_ENVIRONMENT_H
#define SBXI_ENVIRONMENT_H

#include <sbx/sandbox.h>

#include "plan.h"

/* Descriptors of a program by name: @fds are 3, 4, …, @env_fds come behind them. */
struct sbxi_passed {
    const struct sbx_named_fd *fds;
    size_t nfds;
    const struct sbx_named_fd *env_fds;
    size_t nenv_fds;
};

/* "K=V" would be about descriptors: of two in an environment the first counts, so only ours may be there. */
bool sbxi_passed_names(const struct sbxi_passed *passed, const char *entry);
/* The @i-th of all; NULL past the last. */
const struct sbx_named_fd *sbxi_passed_get(const struct sbxi_passed *passed, size_t i);
/* UDS_BROKER=fd:N …, LISTEN_FDS, LISTEN_FDNAMES, LISTEN_PID. */
void sbxi_passed_add(const struct sbxi_passed *passed, struct sbxi_block *block);
/* spec.c: are there not too many, are they open and sensibly named? */
int sbxi_passed_check(const struct sbxi_passed *passed, const char *name, struct sbx_error *error);
/* spec.c: are 0 to 2 open or -1, and no way out, unless @any will do? */
int sbxi_stdio_check(const int stdio[3], bool any, const char *name, struct sbx_error *error);

#endif
