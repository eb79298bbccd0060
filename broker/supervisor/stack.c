/* SPDX-License-Identifier: MIT */
/*
 * Stack: what a stack file says, as plain structs.
 *
 * A stack is complete and consistent or it does not exist: stack_parse() gives one only when every
 * key is known, every value in its range, every rule names exactly one kind of peer, and every
 * sandbox that a rule names is declared. It refers to nothing outside: paths are not opened, users
 * not looked up. It does not change after it is read; members and policy point into it.
 */
#include "stack.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "document.h"
#include "trust.h"

static void verbs_clear(struct stack_verbs *verbs)
{
    texts_clear(&verbs->publish);
    texts_clear(&verbs->subscribe);
    texts_clear(&verbs->call);
    texts_clear(&verbs->serve);
}

static void secrets_clear(struct stack_secrets *secrets)
{
    for (size_t i = 0; i < secrets->n; i++) {
        free(secrets->v[i].name);
        free(secrets->v[i].source);
    }
    free(secrets->v);
}

static void sandbox_clear(struct stack_sandbox *sandbox)
{
    free(sandbox->name);
    texts_clear(&sandbox->command);
    texts_clear(&sandbox->jail);
    texts_clear(&sandbox->layers);
    free(sandbox->dir);
    free(sandbox->upper);
    texts_clear(&sandbox->env);
    secrets_clear(&sandbox->secrets);
    texts_clear(&sandbox->listen);
    stack_confine_clear(&sandbox->confine);
    verbs_clear(&sandbox->verbs);
}

int stack_new(struct stack **ret)
{
    struct stack *stack = calloc(1, sizeof(*stack));

    if (!stack)
        return -ENOMEM;
    *ret = stack;
    return 0;
}

struct stack *stack_free(struct stack *stack)
{
    if (!stack)
        return NULL;
    for (size_t i = 0; i < stack->nsandboxes; i++)
        sandbox_clear(&stack->sandboxes[i]);
    for (size_t i = 0; i < stack->nrules; i++) {
        free(stack->rules[i].sandbox);
        verbs_clear(&stack->rules[i].verbs);
    }
    for (size_t i = 0; i < stack->ntemplates; i++)
        sandbox_clear(&stack->templates[i]);
    free(stack->templates);
    free(stack->sandboxes);
    free(stack->rules);
    texts_clear(&stack->listen);
    free(stack->run_dir);
    free(stack->file);
    free(stack);
    return NULL;
}

const struct stack_sandbox *stack_find_sandbox(const struct stack *stack, const char *name)
{
    for (size_t i = 0; i < stack->nsandboxes; i++)
        if (strcmp(stack->sandboxes[i].name, name) == 0)
            return &stack->sandboxes[i];
    return NULL;
}

static int fail_memory(const char *file, struct sbx_error *error)
{
    error->err = ENOMEM;
    snprintf(error->text, sizeof(error->text), "%.400s: out of memory", file);
    return -ENOMEM;
}

int stack_parse(
    struct stack **ret, const char *file, const char *text, size_t len, struct sbx_error *error)
{
    struct stack *stack = NULL;
    struct node *root;
    int r = document_parse(&root, file, text, len, error);

    if (r < 0)
        return r;
    if (stack_new(&stack) < 0 || !(stack->file = strdup(file)))
        r = fail_memory(file, error);
    else
        r = stack_read_document(stack, root, error);
    document_free(root);
    if (r < 0) {
        stack_free(stack);
        return r;
    }
    *ret = stack;
    return 0;
}

/*
 * The whole file, at most DOCUMENT_BYTES_MAX + 1 bytes of it: document_parse() then says that it is
 * too large.
 */
static int read_all(int fd, char **ret, size_t *ret_len)
{
    size_t room = DOCUMENT_BYTES_MAX + 1, len = 0;
    char *text = malloc(room);
    ssize_t n = 1;

    if (!text)
        return -ENOMEM;
    while (len < room && n != 0) {
        n = read(fd, text + len, room - len);
        if (n < 0 && errno != EINTR) {
            n = -errno;
            free(text);
            return (int)n;
        }
        len += n > 0 ? (size_t)n : 0;
    }
    *ret = text;
    *ret_len = len;
    return 0;
}

int stack_load(struct stack **ret, const char *file, struct sbx_error *error)
{
    char *text = NULL;
    size_t len = 0;
    int fd, r = trust_open(file, &fd, error);

    if (r < 0)
        return r;
    r = read_all(fd, &text, &len);
    close(fd);
    if (r < 0) {
        error->err = -r;
        snprintf(error->text, sizeof(error->text), "read: %.400s: %s", file, strerror(-r));
        return r;
    }
    r = stack_parse(ret, file, text, len, error);
    free(text);
    return r;
}
