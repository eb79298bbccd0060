/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_GUESTS_H
#define SUPERVISOR_GUESTS_H

#include <sbx/admin.h>
#include <stddef.h>

#include "cell.h"
#include "reserve.h"
#include "status.h"

/*
 * What runs in sandboxes of templates: undeclared, started and waited for through the admin socket. See guests.c. All zero:
 * no templates.
 */

#define GUESTS_MAX     256u
#define GUESTS_DUE_MAX 32u

struct guest;

struct template
{
    struct guests *guests;
    const struct stack_sandbox *entry;
    struct reserve reserve;       /* one at least waits; starts are cold while none does */
    struct guest *due, **due_end; /* who asked when none did, the first first */
};

struct guests {
    const struct cell_env *env;
    const struct status *status;
    struct template *templates;
    size_t n;
    struct guest *first;
    size_t count, due; /* of all of them; who is not started yet */
};

/* 0 or -errno with @error; guests_clear() is right after both. */
int guests_make(struct guests *guests,
                const struct cell_env *env,
                const struct status *status,
                struct sbx_error *error);
bool guests_has(const struct guests *guests, const char *name);
/* Takes @request on success, when it runs or will, or its end says why not. -ENOENT: there is no such template. */
int guests_start(struct guests *guests,
                 const char *name,
                 sbx_request *request,
                 struct sbx_error *error);
/* All end now, and who asked for them is told. */
void guests_clear(struct guests *guests);

#endif
