/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CHECK_H
#define SUPERVISOR_CHECK_H

#include <sbx/sandbox.h>
#include <stdio.h>

#include "stack.h"
#include "supervisor.h"
#include "vault.h"

/*
 * Can each declared sandbox be planned, and are its files there? @out gets the plans; NULL = none.
 */
int check_sandboxes(const struct stack *stack,
                    const struct vault *vault,
                    FILE *out,
                    struct sbx_error *error);

/* Without root router and sandboxes need user namespaces: are there any? 0 or -errno with @error. */
int check_user_namespaces(struct sbx_error *error);

#endif
