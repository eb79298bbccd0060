/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_STACK_RULES_H
#define SUPERVISOR_STACK_RULES_H

#include "schema.h"

struct stack;

/* `policy`; field: struct stack. */
schema_reader stack_read_policy;
/* `fds` of a rule and of a sandbox; field: struct stack_fds. */
schema_reader stack_read_fds;
/* A rule may stand before the sandbox that it names, so names are looked up at the end. */
int stack_check_names(struct reader *r, const struct stack *stack, const struct node *root);

#endif
