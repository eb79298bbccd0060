/* SPDX-License-Identifier: MIT */
/*
 * The router as a whole: who is there, who may what, who wants what. It parses what peers send and holds no privilege;
 * what it knows of the world the supervisor has told it (control.c).
 *
 * One thread, one loop. Three things must not happen in the middle of a message: a peer's memory going away, a peer being
 * kicked, and an own event being published (that would be a match inside a match). They are put off to the end of the
 * loop turn.
 */
#include "router.h"

#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <sys/resource.h>

#include <uds/error.h>

#include "admin.h"
#include "call.h"
#include "copied.h"
#include "greeting.h"
#include "listener.h"
#include "peer.h"
#include "sandbox.h"
#include "sub.h"
#include "sysevent.h"
#include "turn.h"

uint64_t router_now_usec(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void on_end_of_turn(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct router *router = arg;
    struct peer *peer;
    sysevent_publish_all(router);
    while ((peer = STAILQ_FIRST(&router->doomed)) != NULL) {
        STAILQ_REMOVE_HEAD(&router->doomed, next_doomed);
        peer->doomed = false;
        peer_kick(peer, UDS_STATUS_SLOW_CONSUMER, "the broker's answers are not being read");
    }
    turn_renew(router);
    while ((peer = STAILQ_FIRST(&router->dead)) != NULL) {
        STAILQ_REMOVE_HEAD(&router->dead, next_dead);
        peer_free(peer);
    }
}

void router_end_turn(struct router *router)
{
    const struct timeval at_once = {0, 0};
    if (!event_pending(router->end_of_turn, EV_TIMEOUT, NULL))
        event_add(router->end_of_turn, &at_once);
}

void router_reap_later(struct router *router, struct peer *peer)
{
    if (peer->doomed)
        STAILQ_REMOVE(&router->doomed, peer, peer, next_doomed);
    peer->doomed = false;
    STAILQ_INSERT_TAIL(&router->dead, peer, next_dead);
    router_end_turn(router);
}

void router_kick_later(struct router *router, struct peer *peer)
{
    STAILQ_INSERT_TAIL(&router->doomed, peer, next_doomed);
    router_end_turn(router);
}

int router_new(struct router **ret, struct event_base *base)
{
    struct rlimit files;
    struct router *router = calloc(1, sizeof(*router));
    if (router == NULL)
        return -ENOMEM;
    router->base = base;
    router->started_usec = router_now_usec();
    router->fd_limit = getrlimit(RLIMIT_NOFILE, &files) == 0 ? files.rlim_cur : 1024;
    router->spare_fd = fcntl(0, F_DUPFD_CLOEXEC, 3);
    LIST_INIT(&router->listeners);
    LIST_INIT(&router->listings);
    TAILQ_INIT(&router->parked);
    STAILQ_INIT(&router->doomed);
    STAILQ_INIT(&router->dead);
    STAILQ_INIT(&router->notes);
    TAILQ_INIT(&router->tired);
    TAILQ_INIT(&router->strangers);
    router->greeting_usec = GREETING_USEC;
    router->quota.fds = router->fd_limit;
    quota_configure(&router->quota, NULL);
    copied_init(router);
    router->end_of_turn = event_new(base, -1, 0, on_end_of_turn, router);
    if (router->end_of_turn == NULL || route_new(&router->plain) < 0 ||
        route_new(&router->served) < 0) {
        router_free(router);
        return -ENOMEM;
    }
    *ret = router;
    return 0;
}

struct router *router_free(struct router *router)
{
    struct peer *peer;
    struct sandbox *sandbox;
    if (router == NULL)
        return NULL;
    while (!LIST_EMPTY(&router->listeners))
        listener_free(LIST_FIRST(&router->listeners));
    admin_free_all(router);
    call_free_all(router);
    for (size_t pos = 0; (peer = table_next(&router->peers, &pos)) != NULL;)
        peer_lose(peer);
    while ((peer = STAILQ_FIRST(&router->dead)) != NULL) {
        STAILQ_REMOVE_HEAD(&router->dead, next_dead);
        peer_free(peer);
    }
    for (size_t pos = 0; (sandbox = table_next(&router->sandboxes, &pos)) != NULL;)
        sandbox_free(sandbox);
    sysevent_clear(router);
    copied_deinit(router);
    greeting_deinit(router);
    if (router->end_of_turn != NULL)
        event_free(router->end_of_turn);
    if (router->configuration != NULL)
        uds__supervisor__configuration__free_unpacked(router->configuration, NULL);
    policy_free(router->policy);
    route_free(router->plain);
    route_free(router->served);
    table_deinit(&router->groups);
    table_deinit(&router->sandboxes);
    table_deinit(&router->peers);
    table_deinit(&router->calls);
    quota_deinit(&router->quota);
    if (router->spare_fd >= 0)
        close(router->spare_fd);
    free(router->matched);
    free(router);
    return NULL;
}

static Uds__Supervisor__Configuration *copy(const Uds__Supervisor__Configuration *from)
{
    size_t len = uds__supervisor__configuration__get_packed_size(from);
    uint8_t *bytes = malloc(len + 1);
    if (bytes == NULL)
        return NULL;
    uds__supervisor__configuration__pack(from, bytes);
    Uds__Supervisor__Configuration *to = uds__supervisor__configuration__unpack(NULL, len, bytes);
    free(bytes);
    return to;
}

int router_configure(struct router *router, const Uds__Supervisor__Configuration *configuration)
{
    struct policy *policy = NULL;
    Uds__Supervisor__Configuration *kept = copy(configuration);
    int r = kept == NULL ? -ENOMEM : policy_new(&policy, kept);
    if (r < 0) {
        if (kept != NULL)
            uds__supervisor__configuration__free_unpacked(kept, NULL);
        return r;
    }
    if (router->configuration != NULL)
        uds__supervisor__configuration__free_unpacked(router->configuration, NULL);
    policy_free(router->policy);
    router->configuration = kept;
    router->policy = policy;
    router->policy_generation++;
    quota_configure(&router->quota, kept->quota);
    for (size_t i = 0; i < kept->n_sandboxes && r == 0; i++) {
        Uds__Supervisor__Sandbox *before = NULL;
        r = sandbox_set(router, kept->sandboxes[i], &before);
        if (before != NULL)
            uds__supervisor__sandbox__free_unpacked(before, NULL);
    }
    sub_revoke(router);
    call_retry_parked(router);
    return r;
}

int router_add_listener(struct router *router, const Uds__Supervisor__Listener *listener, int fd)
{
    return listener_new(router, listener->id, listener->sandbox_id, listener->address, fd);
}

int router_add_link(struct router *router, const Uds__Supervisor__Link *link, int fd)
{
    struct identity identity;
    struct peer *peer;
    const struct sandbox *sandbox = sandbox_get(router, link->sandbox_id);
    if (sandbox == NULL) {
        close(fd);
        return -ENOENT;
    }
    identity_sandbox(&identity, link->sandbox_id, link->generation, sandbox->info->name);
    return peer_new(router, fd, &identity, 0, &peer);
}

int router_sandbox_changed(struct router *router, const Uds__Supervisor__Sandbox *info)
{
    Uds__Supervisor__Sandbox *before = NULL;
    if (sandbox_get(router, info->id) == NULL)
        return -ENOENT;
    int r = sandbox_set(router, info, &before);
    if (r < 0)
        return r;
    sysevent_changed(router, sandbox_get(router, info->id), before);
    if (before != NULL)
        uds__supervisor__sandbox__free_unpacked(before, NULL);
    copied_sandbox_changed(router, info->id);
    call_retry_parked(router);
    return 0;
}
