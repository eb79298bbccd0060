/* SPDX-License-Identifier: MIT */
/*
 * Who connects and never says HELLO holds a connection and a descriptor for nothing. It has some seconds:
 *
 *   stranger ─┬─ its first message, or the timer sees that it has greeted ──▶ (forgotten here)
 *             └─ the timer sees that its time is over ──▶ lost
 *
 * router->strangers is in the order of arrival, so one timer for its head is enough, and it is set only while somebody is
 * in the list: an idle broker is not woken. A link that the supervisor made for a sandbox may stay silent for as long as
 * it likes; the sandbox cannot make more of them.
 */
#include "greeting.h"

#include <event2/event.h>
#include <stdbool.h>

#include <uds/conn.h>
#include <uds/error.h>

#include "peer.h"
#include "router.h"

#define TICK_USEC 250000u /* many strangers of one moment share a wake-up */

static void arm(struct router *router)
{
    const struct peer *first = TAILQ_FIRST(&router->strangers);
    uint64_t now = router_now_usec(), wait = 0;
    if (first == NULL || router->greeting_timer == NULL)
        return;
    if (first->greeting_until > now)
        wait = first->greeting_until - now;
    if (wait < TICK_USEC)
        wait = TICK_USEC;
    const struct timeval at = {(time_t)(wait / 1000000), (suseconds_t)(wait % 1000000)};
    event_add(router->greeting_timer, &at);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct router *router = arg;
    struct peer *peer = TAILQ_FIRST(&router->strangers), *next;
    uint64_t now = router_now_usec();
    for (; peer != NULL; peer = next) {
        next = TAILQ_NEXT(peer, by_greeting);
        if (uds_conn_is_open(peer->conn))
            greeting_forget(peer);
        else if (peer->greeting_until <= now)
            peer_kick(peer, UDS_STATUS_BAD_REQUEST, "no HELLO came");
    }
    arm(router);
}

void greeting_expect(struct peer *peer)
{
    struct router *router = peer->router;
    if (router->greeting_timer == NULL)
        router->greeting_timer = event_new(router->base, -1, 0, on_timer, router);
    peer->greeting_until = router_now_usec() + router->greeting_usec;
    peer->stranger = true;
    TAILQ_INSERT_TAIL(&router->strangers, peer, by_greeting);
    if (TAILQ_FIRST(&router->strangers) == peer)
        arm(router);
}

void greeting_forget(struct peer *peer)
{
    struct router *router = peer->router;
    if (!peer->stranger)
        return;
    peer->stranger = false;
    TAILQ_REMOVE(&router->strangers, peer, by_greeting);
    if (TAILQ_EMPTY(&router->strangers) && router->greeting_timer != NULL)
        event_del(router->greeting_timer);
}

void greeting_deinit(struct router *router)
{
    if (router->greeting_timer != NULL)
        event_free(router->greeting_timer);
    router->greeting_timer = NULL;
}
