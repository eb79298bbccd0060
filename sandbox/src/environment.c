/* SPDX-License-Identifier: MIT */
/* The variables that tell a program which descriptors it was passed. */

#include "environment.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_called(const char *entry, const char *name)
{
    size_t length = strlen(name);
    return strncmp(entry, name, length) == 0 && entry[length] == '=';
}

bool sbxi_passed_names(const struct sbxi_passed *passed, const char *entry)
{
    static const char *const listen[] = {"LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID"};
    for (size_t i = 0; i < passed->nenv_fds; i++)
        if (is_called(entry, passed->env_fds[i].name))
            return true;
    for (size_t i = 0; passed->nfds && i < sizeof listen / sizeof listen[0]; i++)
        if (is_called(entry, listen[i]))
            return true;
    return false;
}

void sbxi_passed_add(const struct sbxi_passed *passed, struct sbxi_block *block)
{
    char number[32];
    for (size_t i = 0; i < passed->nenv_fds; i++) {
        char key[256];
        snprintf(key, sizeof key, "%s=", passed->env_fds[i].name);
        snprintf(number, sizeof number, "fd:%zu", 3 + passed->nfds + i);
        sbxi_block_add(block, key, number);
    }
    if (!passed->nfds)
        return;
    struct sbxi_block names = {0};
    for (size_t i = 0; i < passed->nfds; i++) {
        sbxi_block_add(&names, i ? ":" : "", passed->fds[i].name);
        if (!names.failed && i + 1 < passed->nfds)
            names.length--; /* the next one goes over this NUL */
    }
    snprintf(number, sizeof number, "%zu", passed->nfds);
    sbxi_block_add(block, "LISTEN_FDS=", number);
    sbxi_block_add(block, "LISTEN_FDNAMES=", names.failed ? "" : names.bytes);
    sbxi_block_add(block, "LISTEN_PID=", ""); /* known when it is forked */
    block->failed |= names.failed;
    free(names.bytes);
}
