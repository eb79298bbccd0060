/* SPDX-License-Identifier: MIT */
/*
 * --secret NAME=FD. What the descriptor holds becomes a file of the command's own, mode 0400, on a tmpfs that nobody else can
 * reach and that goes with the sandbox. It is never part of an argument or of the environment, which others can read.
 */
#include "secret-option.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "value.h"
#include "verbs.h"

#define PLACE "/run/secrets"

enum {
    MOST_BYTES = 1 << 20 /* of all secrets of a sandbox */
};

static bool is_name(const char *name, size_t length)
{
    static const char valid[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    return length > 0 && length <= 64 && name[0] != '.' && strspn(name, valid) >= length;
}

int run_add_secret(struct run_options *o, const char *text)
{
    struct sbx_mount secret = SBX_MOUNT_INIT;
    const char *equals = strchr(text, '=');
    unsigned long fd;
    char *target;
    if (!equals || !is_name(text, (size_t)(equals - text)) ||
        parse_number(equals + 1, 0, INT_MAX, &fd) < 0)
        return cli_usage("--secret %s: is not NAME=FD, NAME of 1 to 64 letters, digits, '.', '_' "
                         "and '-', FD the number "
                         "of an open descriptor",
                         text);
    if (fcntl((int)fd, F_GETFD) < 0)
        return cli_usage(
            "--secret %s: is not open here; open it in the shell, as in `uds run … 5<file`", text);
    if (asprintf(&target, PLACE "/%.*s", (int)(equals - text), text) < 0)
        return cli_no_memory(RUN_REFUSED);
    secret.type = SBX_MOUNT_FILE;
    secret.target = run_own(o, target);
    secret.fd = (int)fd;
    secret.mode = 0400;
    return secret.target && list_push(&o->secrets, &secret, sizeof secret)
               ? CLI_OK
               : cli_no_memory(RUN_REFUSED);
}

int run_end_secrets(struct run_options *o)
{
    struct sbx_mount place = SBX_MOUNT_INIT, sealed = SBX_MOUNT_INIT;
    const struct sbx_mount *secrets = o->secrets.items;
    place.type = SBX_MOUNT_TMPFS;
    place.mode = 0700;
    place.size_bytes = MOST_BYTES;
    sealed.type = SBX_MOUNT_REMOUNT_RO;
    place.target = sealed.target = PLACE;
    if (o->secrets.count == 0)
        return CLI_OK;
    bool pushed = list_push(&o->mounts.mounts, &place, sizeof place);
    for (size_t i = 0; pushed && i < o->secrets.count; i++)
        pushed = list_push(&o->mounts.mounts, &secrets[i], sizeof secrets[i]);
    return pushed && list_push(&o->mounts.mounts, &sealed, sizeof sealed)
               ? CLI_OK
               : cli_no_memory(RUN_REFUSED);
}
