/* SPDX-License-Identifier: MIT */
/*
 * The router on its way into the next process: everything that router.h holds, in an order in which each object finds
 * those that it refers to:
 *
 *   header, configuration, sandboxes, listeners, peers, subscriptions, calls, copies of files
 *
 * Charges are not written: each restored object takes its own again, over the limit if need be (backlog.c, waiting.c, and
 * charge_force). Times are CLOCK_MONOTONIC of the same machine. Listings that wait for the supervisor are answered with what
 * is known, because their questions stay with the old process.
 */
#include <errno.h>
#include <stdlib.h>

#include <uds/snapshot.h>

#include "admin.h"
#include "call.h"
#include "copied.h"
#include "listener.h"
#include "peer.h"
#include "pending.h"
#include "router.h"
#include "sandbox.h"
#include "sub.h"

#define STATE_MAGIC   0x52534455u /* "UDSR" */
#define STATE_VERSION 3u

static void put_configuration(const struct router *router, uds_snapshot *s)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    if (router->configuration != NULL) {
        len = uds__supervisor__configuration__get_packed_size(router->configuration);
        bytes = malloc(len + 1);
        if (bytes == NULL)
            uds_snapshot_fail(s);
        else
            uds__supervisor__configuration__pack(router->configuration, bytes);
    }
    uds_snapshot_put_u32(s, router->configuration != NULL);
    uds_snapshot_put_bytes(s, bytes, bytes != NULL ? len : 0);
    free(bytes);
}

static void put_header(const struct router *router, uds_snapshot *s)
{
    uds_snapshot_put_u32(s, STATE_MAGIC);
    uds_snapshot_put_u32(s, STATE_VERSION);
    uds_snapshot_put_u64(s, router->next_peer);
    uds_snapshot_put_u64(s, router->next_call);
    uds_snapshot_put_u64(s, router->turn);
    uds_snapshot_put_u64(s, router->started_usec);
}

static void put_subscriptions(const struct router *router, uds_snapshot *s)
{
    struct peer *peer;
    struct sub *sub;
    uint32_t count = 0;
    for (size_t pos = 0; (peer = table_next(&router->peers, &pos)) != NULL;)
        count += (uint32_t)peer->subs.count;
    uds_snapshot_put_u32(s, count);
    for (size_t pos = 0; (peer = table_next(&router->peers, &pos)) != NULL;) {
        TAILQ_FOREACH(sub, &peer->sub_list, by_peer)
        sub_serialise(sub, s);
    }
}

int router_serialise(struct router *router, uds_snapshot *s)
{
    void *object;
    uint32_t listeners = 0;
    struct listener *listener;
    admin_end_all(router);
    put_header(router, s);
    put_configuration(router, s);
    uds_snapshot_put_u32(s, (uint32_t)router->sandboxes.count);
    for (size_t pos = 0; (object = table_next(&router->sandboxes, &pos)) != NULL;)
        sandbox_serialise(object, s);
    LIST_FOREACH(listener, &router->listeners, link)
    listeners++;
    uds_snapshot_put_u32(s, listeners);
    LIST_FOREACH(listener, &router->listeners, link)
    listener_serialise(listener, s);
    uds_snapshot_put_u32(s, (uint32_t)router->peers.count);
    for (size_t pos = 0; (object = table_next(&router->peers, &pos)) != NULL;)
        peer_serialise(object, s);
    put_subscriptions(router, s);
    uds_snapshot_put_u32(s, (uint32_t)router->calls.count);
    for (size_t pos = 0; (object = table_next(&router->calls, &pos)) != NULL;)
        call_serialise(object, s);
    copied_serialise(router, s);
    return uds_snapshot_error(s);
}

static int get_header(struct router *router, uds_snapshot *s)
{
    if (uds_snapshot_get_u32(s) != STATE_MAGIC || uds_snapshot_get_u32(s) != STATE_VERSION)
        return -EBADMSG;
    router->next_peer = uds_snapshot_get_u64(s);
    router->next_call = uds_snapshot_get_u64(s);
    router->turn = uds_snapshot_get_u64(s);
    router->started_usec = uds_snapshot_get_u64(s);
    return uds_snapshot_error(s);
}

static int get_configuration(struct router *router, uds_snapshot *s)
{
    size_t len = 0;
    uint32_t there = uds_snapshot_get_u32(s);
    const void *bytes = uds_snapshot_get_bytes(s, &len);
    if (there == 0 || uds_snapshot_error(s) < 0)
        return uds_snapshot_error(s);
    Uds__Supervisor__Configuration *configuration =
        uds__supervisor__configuration__unpack(NULL, len, bytes);
    if (configuration == NULL)
        return -EBADMSG;
    int r = router_configure(router, configuration);
    uds__supervisor__configuration__free_unpacked(configuration, NULL);
    return r;
}

static int get_each(struct router *router,
                    uds_snapshot *s,
                    int (*restore)(struct router *router, uds_snapshot *s))
{
    int r = 0;
    for (uint32_t count = uds_snapshot_get_u32(s); r == 0 && count > 0; count--)
        r = restore(router, s);
    return r;
}

/* Messages that stood in line behind a file's copy: they may start calls, so everybody must be back first. */
static void run_pending(struct router *router)
{
    size_t count = 0;
    struct peer *peer, **peers = calloc(router->peers.count + 1, sizeof(struct peer *));
    if (peers == NULL)
        return;
    for (size_t pos = 0; (peer = table_next(&router->peers, &pos)) != NULL;) {
        if (peer->pending != NULL)
            peers[count++] = peer;
    }
    while (count > 0)
        pending_run(peers[--count]);
    free(peers);
}

int router_restore(struct router **ret, struct event_base *base, uds_snapshot *s)
{
    static int (*const parts[])(struct router *, uds_snapshot *) = {
        sandbox_restore, listener_restore, peer_restore, sub_restore, call_restore};
    struct router *router;
    int r = router_new(&router, base);
    if (r < 0)
        return r;
    r = get_header(router, s);
    if (r == 0)
        r = get_configuration(router, s);
    for (size_t i = 0; r == 0 && i < sizeof(parts) / sizeof(parts[0]); i++)
        r = get_each(router, s, parts[i]);
    if (r == 0)
        r = copied_restore(router, s);
    if (r == 0)
        r = uds_snapshot_error(s);
    if (r < 0) {
        router_free(router);
        return r;
    }
    run_pending(router);
    *ret = router;
    return 0;
}
