/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_PROFILE_H
#define SUPERVISOR_PROFILE_H

#include <stdio.h>

#include "stack.h"

/*
 * An entry of a stack file as options of `uds run`, each word with its NUL, and after "--" its command. What only a broker
 * can do (verbs, descriptors, restarts) is left out. @name: NULL = the file has only one.
 * 0 or -errno with @error: -ENOENT no such entry; -EINVAL several, and none named; -EIO.
 */
int profile_print(const struct stack *stack, const char *name, FILE *out, struct sbx_error *error);

#endif
