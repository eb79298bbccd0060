/* SPDX-License-Identifier: MIT */
/* See secret-option.h. */
#include "secret-option.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sbx/secret.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "env-options.h"
#include "value.h"
#include "verbs.h"

static int add(struct run_options *o, char *name, int fd)
{
    const struct sbx_named_fd secret = {.name = run_own(o, name), .fd = fd};
    return secret.name && list_push(&o->secrets, &secret, sizeof secret)
               ? CLI_OK
               : cli_no_memory(RUN_REFUSED);
}

/* "NAME=file:/PATH": opened when all options are known, so that --help needs none. */
static int add_source(struct run_options *o, char *name, const char *source)
{
    int r = add(o, name, -1);
    return r == CLI_OK ? run_push_text(&o->secret_sources, source) : r;
}

int run_add_secret(struct run_options *o, const char *text)
{
    const char *equals = strchr(text, '='), *why = NULL;
    char *name = equals ? strndup(text, (size_t)(equals - text)) : NULL;
    unsigned long fd = 0;
    if (!equals)
        return cli_usage("--secret %s: is not NAME=FD, NAME=file:/PATH or NAME=env:VARIABLE", text);
    if (!name)
        return cli_no_memory(RUN_REFUSED);
    if (sbx_secret_check_name(name, &why) == 0 && strchr(equals + 1, ':') &&
        sbx_secret_check_source(equals + 1, &why) == 0)
        return add_source(o, name, equals + 1);
    if (!why && parse_number(equals + 1, 0, INT_MAX, &fd) < 0)
        why = "is not NAME=FD, FD the number of an open descriptor";
    if (!why && fcntl((int)fd, F_GETFD) < 0)
        why = "is not open here; open it in the shell, as in `uds run … 5<file`";
    if (!why)
        return add(o, name, (int)fd);
    int r = cli_usage("--secret %s: %s", name, why); /* what follows may be the secret itself */
    free(name);
    return r;
}

static int open_one(struct run_options *o, struct sbx_named_fd *secret, const char *source)
{
    struct sbx_error error = {0};
    size_t size;
    int r = sbx_secret_open(source, SBX_SECRETS_MAX_BYTES - o->secret_bytes, &secret->fd, &size,
                            &error);
    if (r < 0 && error.text[0] == '\0')
        return cli_no_memory(RUN_REFUSED);
    if (r < 0) {
        cli_error("--secret %s: %s", secret->name, error.text);
        return RUN_REFUSED;
    }
    o->secret_bytes += size;
    if (list_push(&o->secret_fds, &secret->fd, sizeof secret->fd))
        return CLI_OK;
    (void)close(secret->fd);
    return cli_no_memory(RUN_REFUSED);
}

/* --keep-env may have kept it. */
static void forget(struct run_options *o, const char *source)
{
    if (strncmp(source, "env:", strlen("env:")) == 0)
        run_env_leave_out(o, source + strlen("env:"));
    sbx_secret_forget(source);
}

int run_open_secrets(struct run_options *o)
{
    struct sbx_named_fd *secrets = o->secrets.items;
    const char *const *sources = o->secret_sources.items;
    size_t next = 0;
    int r = CLI_OK;
    for (size_t i = 0; r == CLI_OK && i < o->secrets.count; i++)
        if (secrets[i].fd < 0)
            r = open_one(o, &secrets[i], sources[next++]);
    for (size_t i = 0; i < o->secret_sources.count; i++)
        forget(o, sources[i]);
    o->spec.secrets = secrets;
    o->spec.nsecrets = o->secrets.count;
    return r;
}

void run_free_secrets(struct run_options *o)
{
    const int *fds = o->secret_fds.items;
    for (size_t i = 0; i < o->secret_fds.count; i++)
        (void)close(fds[i]);
    free(o->secret_fds.items);
    free(o->secret_sources.items);
    free(o->secrets.items);
}
