/* SPDX-License-Identifier: MIT */
/*
 * Vault: the secrets of all sandboxes and templates, each in sealed memory of its own.
 *
 * All are read once, before anything is made: so whether a restart succeeds does not depend on who has touched a file since,
 * every life of a sandbox and whatever waits for one has the same, and the environment can lose what came from it before
 * router and sandboxes are started. What is in them is read by nobody here but the kernel.
 */
#include "vault.h"

#include <errno.h>
#include <sbx/secret.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "error.h"

static const struct stack_sandbox *entry_of(const struct stack *stack, size_t i)
{
    return i < stack->nsandboxes ? &stack->sandboxes[i] : &stack->templates[i - stack->nsandboxes];
}

static int refuse(const struct stack *stack,
                  const struct stack_sandbox *entry,
                  const struct stack_secret *secret,
                  int r,
                  struct sbx_error *error)
{
    bool declared = stack_find_sandbox(stack, entry->name) == entry;
    const struct sbx_error why = *error;

    return error_set(error, -r, "%.200s:%u:%u: field '%s.%s.secrets.%s': %.600s",
                     stack->file ? stack->file : "", secret->line, secret->column,
                     declared ? "sandboxes" : "templates", entry->name, secret->name,
                     why.text[0] ? why.text : strerror(-r));
}

static int fill(struct vault_shelf *shelf, const struct stack *stack, struct sbx_error *error)
{
    const struct stack_secrets *secrets = &shelf->entry->secrets;
    size_t left = SBX_SECRETS_MAX_BYTES, size;

    shelf->secrets = calloc(secrets->n, sizeof(*shelf->secrets));
    if (!shelf->secrets)
        return -ENOMEM;
    for (size_t i = 0; i < secrets->n; i++) {
        struct sbx_named_fd *place = &shelf->secrets[shelf->n];
        int r = sbx_secret_open(secrets->v[i].source, left, &place->fd, &size, error);

        if (r < 0)
            return refuse(stack, shelf->entry, &secrets->v[i], r, error);
        place->name = secrets->v[i].name;
        shelf->n++;
        left -= size;
    }
    return 0;
}

int vault_open(struct vault *vault, const struct stack *stack, struct sbx_error *error)
{
    size_t n = stack->nsandboxes + stack->ntemplates;
    int r = 0;

    *vault = (struct vault){.shelves = calloc(n + 1, sizeof(struct vault_shelf))};
    if (!vault->shelves)
        return -ENOMEM;
    for (size_t i = 0; r == 0 && i < n; i++) {
        if (entry_of(stack, i)->secrets.n == 0)
            continue;
        vault->shelves[vault->n].entry = entry_of(stack, i);
        r = fill(&vault->shelves[vault->n++], stack, error);
    }
    return r;
}

void vault_forget(const struct stack *stack)
{
    for (size_t i = 0; i < stack->nsandboxes + stack->ntemplates; i++) {
        const struct stack_secrets *secrets = &entry_of(stack, i)->secrets;

        for (size_t k = 0; k < secrets->n; k++)
            sbx_secret_forget(secrets->v[k].source);
    }
}

const struct sbx_named_fd *
vault_get(const struct vault *vault, const struct stack_sandbox *entry, size_t *ret_n)
{
    *ret_n = 0;
    for (size_t i = 0; vault && i < vault->n; i++)
        if (vault->shelves[i].entry == entry) {
            *ret_n = vault->shelves[i].n;
            return vault->shelves[i].secrets;
        }
    return NULL;
}

void vault_close(struct vault *vault)
{
    for (size_t i = 0; i < vault->n; i++) {
        for (size_t k = 0; k < vault->shelves[i].n; k++)
            close(vault->shelves[i].secrets[k].fd);
        free(vault->shelves[i].secrets);
    }
    free(vault->shelves);
    *vault = (struct vault){0};
}
