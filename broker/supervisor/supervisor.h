/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_SUPERVISOR_H
#define SUPERVISOR_SUPERVISOR_H

#include <sbx/sandbox.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "stack.h"

/* The whole broker from the privileged side. See supervisor.c. */

struct supervisor_options {
    const struct stack *stack; /* borrowed */
    const char *const *listen; /* addresses; used instead of the stack's when there are any */
    size_t nlisten;
    const char *router;  /* program */
    const char *run_dir; /* NULL = the stack's, or the default */
    bool json;
    int ready_fd; /* gets one byte when all is up; -1 = none. Moves to the supervisor */
};

/*
 * Runs until a signal ends it. 0 = ended in order; -errno with @error = could not start, or could
 * not go on. Everything that was made is gone on return.
 */
int supervisor_run(const struct supervisor_options *options, struct sbx_error *error);

/* --check: print what would be started. Touches nothing. */
int supervisor_check(const struct supervisor_options *options, FILE *out, struct sbx_error *error);

#endif
