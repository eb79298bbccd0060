/* SPDX-License-Identifier: MIT */
/*
 * Descriptors kept for a payload's next life. They are a stranger's: looked at by fstat and the like only, closed the
 * careful way (uds_fd_close). What could reach out of the sandbox that gets it back, or could not be told, is refused.
 *
 * Nobody polls them while nobody asks: whether one is dead matters when it would be passed on, or when there is no room.
 */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <uds/fdset.h>

#include "notify.h"

struct stored {
    int fd;
    bool poll;
    char name[256];
};

struct sbx_fdstore {
    unsigned max, n;
    struct stored v[];
};

int sbx_fdstore_new(sbx_fdstore **ret, unsigned max)
{
    if (max == 0 || max > SBX_FDSTORE_MAX)
        return -EINVAL;
    sbx_fdstore *store = calloc(1, sizeof *store + max * sizeof store->v[0]);
    if (!store)
        return -ENOMEM;
    store->max = max;
    *ret = store;
    return 0;
}

void sbx_fdstore_clear(sbx_fdstore *store)
{
    while (store && store->n > 0)
        uds_fd_close(store->v[--store->n].fd);
}

sbx_fdstore *sbx_fdstore_free(sbx_fdstore *store)
{
    sbx_fdstore_clear(store);
    free(store);
    return NULL;
}

/* Drops those that @want does; order is kept. */
static size_t
drop(sbx_fdstore *store, bool (*want)(const struct stored *, const void *), const void *arg)
{
    unsigned kept = 0, before = store->n;
    for (unsigned i = 0; i < before; i++) {
        if (want(&store->v[i], arg))
            uds_fd_close(store->v[i].fd);
        else
            store->v[kept++] = store->v[i];
    }
    store->n = kept;
    return before - kept;
}

static bool is_dead(const struct stored *stored, const void *arg)
{
    struct pollfd fd = {.fd = stored->fd};
    (void)arg;
    return stored->poll && poll(&fd, 1, 0) > 0 && (fd.revents & (POLLHUP | POLLERR));
}

static bool is_called(const struct stored *stored, const void *name)
{
    return strcmp(stored->name, name) == 0;
}

size_t sbx_fdstore_list(sbx_fdstore *store, struct sbx_named_fd ret[SBX_FDSTORE_MAX])
{
    drop(store, is_dead, NULL);
    for (unsigned i = 0; i < store->n; i++)
        ret[i] = (struct sbx_named_fd){.name = store->v[i].name, .fd = store->v[i].fd};
    return store->n;
}

const char *sbxi_fdstore_add(sbx_fdstore *store, const char *name, int fd, bool poll)
{
    const uint32_t fine = UDS_FD_MEMFD | UDS_FD_MEMFD_OPEN | UDS_FD_FILE_RO | UDS_FD_FILE_RW |
                          UDS_FD_PIPE | UDS_FD_EVENTFD | UDS_FD_SOCKET_STREAM |
                          UDS_FD_SOCKET_DGRAM | UDS_FD_SOCKET_UNIX | UDS_FD_PIDFD;
    struct uds_fd_info info;
    if (uds_fd_classify(fd, &info) < 0 || !((uint32_t)info.kind & fine))
        return "it is of no kind that can be stored";
    if (store->n == store->max)
        drop(store, is_dead, NULL);
    if (store->n == store->max)
        return "its store is full";
    struct stored *stored = &store->v[store->n++];
    *stored = (struct stored){.fd = fd, .poll = poll};
    strncpy(stored->name, name, sizeof stored->name - 1);
    return NULL;
}

size_t sbxi_fdstore_remove(sbx_fdstore *store, const char *name)
{
    return drop(store, is_called, name);
}

unsigned sbxi_fdstore_get_max(const sbx_fdstore *store)
{
    return store->max;
}
