/* SPDX-License-Identifier: MIT */
/*
 * Sockets: `listen:` of a sandbox. Bound before it is started for the first time and kept until the broker ends or it has
 * failed for good: who connects while it is down waits in the queue, and is served by its next life. After a life that ended well there is none until
 * somebody wants it: the first who connects, or sends.
 */
#include "sockets.h"

#include <errno.h>
#include <event2/event.h>
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

static void on_wanted(evutil_socket_t fd, short what, void *arg)
{
    struct sockets *sockets = arg;

    (void)fd;
    (void)what;
    sockets_unwatch(sockets);
    sockets->wanted(sockets->arg);
}

int sockets_watch(struct sockets *sockets,
                  struct event_base *base,
                  void (*wanted)(void *arg),
                  void *arg)
{
    if (sockets->n == 0 || sockets->events)
        return 0;
    sockets->wanted = wanted;
    sockets->arg = arg;
    sockets->events = calloc(sockets->n, sizeof(struct event *));
    for (size_t i = 0; sockets->events && i < sockets->n; i++) {
        sockets->events[i] = event_new(base, sockets->fds[i].fd, EV_READ, on_wanted, sockets);
        if (!sockets->events[i] || event_add(sockets->events[i], NULL) < 0)
            sockets_unwatch(sockets);
    }
    return sockets->events ? 0 : -ENOMEM;
}

void sockets_unwatch(struct sockets *sockets)
{
    for (size_t i = 0; sockets->events && i < sockets->n; i++)
        if (sockets->events[i])
            event_free(sockets->events[i]);
    free(sockets->events);
    sockets->events = NULL;
}

void sockets_close(struct sockets *sockets)
{
    sockets_unwatch(sockets);
    for (size_t i = 0; i < sockets->n; i++) {
        sbx_listen_free(sockets->v[i]);
        free((char *)(uintptr_t)sockets->fds[i].name);
    }
    free(sockets->v);
    free(sockets->fds);
    *sockets = (struct sockets){0};
}
