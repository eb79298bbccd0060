/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_VAULT_H
#define SUPERVISOR_VAULT_H

#include <sbx/sandbox.h>

#include "stack.h"

/* What `secrets:` of all entries name, as it was when the broker started. See vault.c. All zero: nothing. */

struct vault_shelf { /* one entry's */
    const struct stack_sandbox *entry;
    struct sbx_named_fd *secrets;
    size_t n;
};

struct vault {
    struct vault_shelf *shelves; /* of entries that have any */
    size_t n;
};

/* 0 or -errno with @error "FILE:LINE:COLUMN: field …"; vault_close() is right after both. @stack must outlive it. */
int vault_open(struct vault *vault, const struct stack *stack, struct sbx_error *error);
/* Variables that secrets came from go out of our own environment. */
void vault_forget(const struct stack *stack);
/* NULL and 0: it has none. */
const struct sbx_named_fd *
vault_get(const struct vault *vault, const struct stack_sandbox *entry, size_t *ret_n);
void vault_close(struct vault *vault);

#endif
