/* SPDX-License-Identifier: MIT */
/*
 * Sockets: `listen:` of a sandbox. Bound before it is started for the first time and kept until the broker ends or it has
 * failed for good: who connects while it is down waits in the queue, and is served by its next life.
 */
#include "sockets.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail_memory(struct sbx_error *error)
{
    error->err = ENOMEM;
    snprintf(error->text, sizeof(error->text), "listen: out of memory");
    return -ENOMEM;
}

int sockets_open(struct sockets *sockets,
                 const struct stack_sandbox *entry,
                 sbx_cleaner *cleaner,
                 struct sbx_error *error)
{
    *sockets = (struct sockets){0};
    if (entry->listen.n == 0)
        return 0;
    sockets->v = calloc(entry->listen.n, sizeof(*sockets->v));
    sockets->fds = calloc(entry->listen.n, sizeof(*sockets->fds));
    if (!sockets->v || !sockets->fds)
        return fail_memory(error);
    for (size_t i = 0; i < entry->listen.n; i++) {
        const char *text = entry->listen.v[i], *equals = strchr(text, '=');
        char *name = strndup(text, (size_t)(equals - text));
        int r;

        if (!name)
            return fail_memory(error);
        r = sbx_listen_new(&sockets->v[i], equals + 1, cleaner, error);
        if (r < 0) {
            free(name);
            return r;
        }
        sockets->n++;
        sockets->fds[i] =
            (struct sbx_named_fd){.name = name, .fd = sbx_listen_get_fd(sockets->v[i])};
    }
    return 0;
}

void sockets_close(struct sockets *sockets)
{
    for (size_t i = 0; i < sockets->n; i++) {
        sbx_listen_free(sockets->v[i]);
        free((char *)(uintptr_t)sockets->fds[i].name);
    }
    free(sockets->v);
    free(sockets->fds);
    *sockets = (struct sockets){0};
}
