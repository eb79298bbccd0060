/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_POLICY_H
#define SUPERVISOR_POLICY_H

#include <sys/types.h>

#include "stack.h"
#include "supervisor.pb-c.h"

/*
 * What the router shall obey, made of a stack: rules with labels, quota, owner. The table of
 * sandboxes is left empty, members fill it. Free with
 * uds__supervisor__configuration__free_unpacked(…, NULL). 0 or -ENOMEM.
 */
int policy_compile(Uds__Supervisor__Configuration **ret, const struct stack *stack, uid_t owner);

/*
 * Does any rule name a host peer that is neither root nor @owner? Then the listening sockets must
 * be open to everybody.
 */
bool policy_names_strangers(const struct stack *stack, uid_t owner);

#endif
