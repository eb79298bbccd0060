/* SPDX-License-Identifier: MIT */
/*
 * Listeners. The supervisor binds them, in whatever namespace they belong to; we only accept.
 *
 * No descriptor left (EMFILE): the connection is taken with a spare one and closed at once, so that the peer hears of
 * it instead of waiting, and so that a full table never ends or stalls the router (dbus-broker#435).
 */
#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <uds/fdset.h>

#include "identity.h"
#include "peer.h"
#include "router.h"
#include "sandbox.h"
#include "sysevent.h"

static void shed(struct listener *listener)
{
    struct router *router = listener->router;
    if (router->spare_fd < 0)
        return;
    close(router->spare_fd);
    uds_fd_close(uds_listener_accept(listener->socket));
    router->spare_fd = fcntl(uds_listener_get_fd(listener->socket), F_DUPFD_CLOEXEC, 3);
}

/*
 * Who comes through a door of the host's with an id of a sandbox is that sandbox, with its rights and no others: no rule
 * about host peers is meant for it. An id of the block that is no sandbox's of ours is nobody's.
 */
static int identify(const struct router *router, int fd, struct identity *ret)
{
    struct identity identity;
    int r = identity_host(&identity, fd);
    if (r < 0)
        return r;
    if (!identity.uid_known || identity.uid < SANDBOX_UID_FIRST ||
        identity.uid > SANDBOX_UID_LAST) {
        *ret = identity;
        return 0;
    }
    const struct sandbox *sandbox;
    for (size_t pos = 0; (sandbox = table_next(&router->sandboxes, &pos)) != NULL;) {
        if (identity.uid >= sandbox->info->uid_first &&
            identity.uid - sandbox->info->uid_first < sandbox->info->uid_count)
            break;
    }
    identity_deinit(&identity);
    if (sandbox == NULL)
        return -EACCES;
    identity_sandbox(ret, sandbox->info->id, sandbox->info->generation, sandbox->info->name);
    return 0;
}

static void on_accept(int fd, void *arg)
{
    struct listener *listener = arg;
    struct router *router = listener->router;
    struct identity identity;
    struct peer *peer;
    if (fd < 0) {
        shed(listener);
        return;
    }
    if (listener->sandbox_id != 0) {
        const struct sandbox *sandbox = sandbox_get(router, listener->sandbox_id);
        identity_sandbox(&identity, listener->sandbox_id, sandbox->info->generation,
                         sandbox->info->name);
    } else if (identify(router, fd, &identity) < 0) {
        uds_fd_close(fd); /* it is gone already, or nobody can say who it is */
        return;
    }
    struct account *account;
    if (account_get(&router->quota, &identity, &account) < 0) {
        identity_deinit(&identity);
        uds_fd_close(fd);
        return;
    }
    if (peer_new(router, fd, &identity, listener->id, &peer) == -EDQUOT)
        sysevent_limit(router, account, QUOTA_CONNECTIONS);
    account_unref(account);
}

struct listener *listener_find(const struct router *router, uint32_t id)
{
    struct listener *listener;
    LIST_FOREACH(listener, &router->listeners, link)
    {
        if (listener->id == id)
            return listener;
    }
    return NULL;
}

/* The library adopts a duplicate of an fd: address. */
static int adopt(struct listener *listener, int fd)
{
    char text[32];
    struct uds_addr addr;
    snprintf(text, sizeof(text), "fd:%d", fd);
    int r = uds_addr_parse(text, &addr);
    if (r == 0)
        r = uds_listener_new(&listener->socket, &addr, NULL);
    if (r == 0)
        r = uds_event_listen(&listener->event, listener->socket, listener->router->base, on_accept,
                             listener);
    return r;
}

int listener_new(
    struct router *router, uint32_t id, uint32_t sandbox_id, const char *address, int fd)
{
    int r = -EEXIST;
    struct listener *listener = NULL;
    if (listener_find(router, id) != NULL)
        goto fail;
    r = -ENOENT;
    if (sandbox_id != 0 && sandbox_get(router, sandbox_id) == NULL)
        goto fail;
    r = -ENOMEM;
    listener = calloc(1, sizeof(*listener));
    if (listener == NULL || (listener->address = strdup(address)) == NULL)
        goto fail;
    listener->router = router;
    listener->id = id;
    listener->sandbox_id = sandbox_id;
    r = adopt(listener, fd);
    if (r < 0)
        goto fail;
    close(fd);
    LIST_INSERT_HEAD(&router->listeners, listener, link);
    return 0;
fail:
    close(fd);
    if (listener != NULL) {
        uds_event_detach(listener->event);
        uds_listener_abandon(listener->socket);
        free(listener->address);
        free(listener);
    }
    return r;
}

struct listener *listener_free(struct listener *listener)
{
    if (listener == NULL)
        return NULL;
    LIST_REMOVE(listener, link);
    uds_event_detach(listener->event);
    /* The file is the supervisor's. */
    uds_listener_abandon(listener->socket);
    free(listener->address);
    free(listener);
    return NULL;
}

void listener_serialise(const struct listener *listener, uds_snapshot *s)
{
    uds_snapshot_put_u32(s, listener->id);
    uds_snapshot_put_u32(s, listener->sandbox_id);
    uds_snapshot_put_string(s, listener->address);
    uds_snapshot_put_fd(s, uds_listener_get_fd(listener->socket));
}

int listener_restore(struct router *router, uds_snapshot *s)
{
    uint32_t id = uds_snapshot_get_u32(s);
    uint32_t sandbox_id = uds_snapshot_get_u32(s);
    char *address = uds_snapshot_get_string(s);
    int fd = uds_snapshot_get_fd(s), r = -EBADMSG;
    if (address != NULL && fd >= 0)
        r = listener_new(router, id, sandbox_id, address, fd);
    else if (fd >= 0)
        close(fd);
    free(address);
    return r;
}
