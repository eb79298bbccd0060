/* SPDX-License-Identifier: MIT */
#ifndef LOOP_H
#define LOOP_H

#include <sbx/warm.h>

/* Has @command read each of @files, NULL-terminated, in a sandbox of its own, and prints what it answers. */
void run(sbx_pool *pool, const char *const *command, char **files);
/* Says what went wrong. Returns an exit status. */
int fail(const char *what, const char *why);

#endif
