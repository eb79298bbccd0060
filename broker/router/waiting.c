/* SPDX-License-Identifier: MIT */
/*
 * Descriptors in flight are counted per *sending user* by the kernel, and the sender of all of them is this router: one
 * receiver that does not read could use up the right to send descriptors to anybody (unix(7) ETOOMANYREFS; measured with
 * eleven unread messages of 100 fds). So each receiver has a cap on what may lie unread in its socket. What is over it
 * waits here, charged as if it were in the queue, and everything behind it waits too, because order is kept.
 *
 * Nobody tells us when a peer reads. SIOCOUTQ says how many bytes of ours it has not read: none means that nothing is in
 * flight. It is asked only when the cap is reached, and by a timer only while something waits.
 */
#include "waiting.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include <linux/sockios.h>
#include <sys/ioctl.h>

#include <uds/conn.h>
#include <uds/error.h>

#include "call.h"
#include "message.h"
#include "peer.h"
#include "router.h"
#include "send.h"

#define RETRY_MSEC 5
#define CAP_MIN    32u
#define CAP_MAX    512u

struct waiting {
    STAILQ_ENTRY(waiting) next;
    struct frame frame; /* its sender and payload are held, its head is @head */
    size_t bytes, fds;
    uint8_t head[];
};

/* Below NOFILE / receivers, with half of it left for everything else. */
static size_t cap(const struct router *router)
{
    size_t share = router->fd_limit / (2 * (router->peers.count + 1));
    return share < CAP_MIN ? CAP_MIN : share > CAP_MAX ? CAP_MAX : share;
}

static bool is_drained(struct peer *peer)
{
    int unread = 0;
    if (uds_conn_get_queued_fds(peer->conn) > 0)
        return false;
    return ioctl(uds_conn_get_fd(peer->conn), SIOCOUTQ, &unread) == 0 && unread == 0;
}

static bool has_room(struct peer *peer, size_t fds)
{
    if (fds == 0 || peer->fds_out_unread + fds <= cap(peer->router))
        return true;
    if (!is_drained(peer))
        return false;
    peer->fds_out_unread = 0;
    return true;
}

bool waiting_must_wait(struct peer *peer, size_t fds)
{
    return !STAILQ_EMPTY(&peer->waiting) || !has_room(peer, fds);
}

static void waiting_free(struct peer *peer, struct waiting *waiting)
{
    queue_release(peer->account, waiting->frame.sender, waiting->bytes, waiting->fds);
    account_unref(waiting->frame.sender);
    uds_msg_unref(waiting->frame.payload);
    free(waiting);
}

static void arm(struct peer *peer)
{
    const struct timeval soon = {0, RETRY_MSEC * 1000};
    if (peer->retry != NULL)
        event_add(peer->retry, &soon);
}

/* Out of the line first, charge and all: from here on it is a frame like any other. */
static void send_first(struct peer *peer)
{
    struct waiting *first = STAILQ_FIRST(&peer->waiting);
    STAILQ_REMOVE_HEAD(&peer->waiting, next);
    queue_release(peer->account, first->frame.sender, first->bytes, first->fds);
    (void)send_now(peer, &first->frame);
    account_unref(first->frame.sender);
    uds_msg_unref(first->frame.payload);
    free(first);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct peer *peer = arg;
    while (!peer->dead && !STAILQ_EMPTY(&peer->waiting) &&
           has_room(peer, STAILQ_FIRST(&peer->waiting)->fds))
        send_first(peer);
    if (peer->dead)
        return;
    if (!STAILQ_EMPTY(&peer->waiting))
        arm(peer);
    else
        call_tell_credit(peer);
}

/* Makes an entry and its charge. */
static int
enqueue(struct peer *peer, const struct frame *frame, size_t bytes, size_t fds, bool force)
{
    struct waiting *waiting = malloc(sizeof(*waiting) + frame->head_len);
    if (waiting == NULL)
        return -ENOMEM;
    int r = queue_charge(peer->account, frame->sender, bytes, fds, force);
    if (r < 0) {
        free(waiting);
        return r;
    }
    waiting->frame = *frame;
    waiting->frame.head = waiting->head;
    waiting->bytes = bytes;
    waiting->fds = fds;
    memcpy(waiting->head, frame->head, frame->head_len);
    account_ref(waiting->frame.sender);
    uds_msg_ref(waiting->frame.payload);
    STAILQ_INSERT_TAIL(&peer->waiting, waiting, next);
    if (peer->retry == NULL)
        peer->retry = event_new(peer->router->base, -1, 0, on_retry, peer);
    arm(peer);
    return 0;
}

int waiting_add(struct peer *peer, const struct frame *frame, size_t bytes, size_t fds)
{
    size_t body = 0;
    if (frame->payload != NULL)
        uds_msg_peek_body(frame->payload, &body);
    if (body > uds_conn_get_peer_max_body(peer->conn))
        return -EMSGSIZE;
    if (fds > uds_conn_get_peer_max_fds(peer->conn))
        return -E2BIG;
    return enqueue(peer, frame, bytes, fds, false);
}

void waiting_drop_parts(struct peer *peer, uint64_t id)
{
    struct waiting *waiting, *next;
    for (waiting = STAILQ_FIRST(&peer->waiting); waiting != NULL; waiting = next) {
        next = STAILQ_NEXT(waiting, next);
        if (waiting->frame.type != UDS_MSG_PART || waiting->frame.id != id)
            continue;
        STAILQ_REMOVE(&peer->waiting, waiting, waiting, next);
        waiting_free(peer, waiting);
    }
}

void waiting_clear(struct peer *peer)
{
    struct waiting *waiting;
    while ((waiting = STAILQ_FIRST(&peer->waiting)) != NULL) {
        STAILQ_REMOVE_HEAD(&peer->waiting, next);
        waiting_free(peer, waiting);
    }
    if (peer->retry != NULL)
        event_free(peer->retry);
    peer->retry = NULL;
}

void waiting_serialise(const struct peer *peer, uds_snapshot *s)
{
    uint32_t count = 0;
    const struct waiting *waiting;
    STAILQ_FOREACH(waiting, &peer->waiting, next)
    count++;
    uds_snapshot_put_u32(s, count);
    STAILQ_FOREACH(waiting, &peer->waiting, next)
    {
        account_serialise(waiting->frame.sender, s);
        uds_snapshot_put_u32(s, waiting->frame.type);
        uds_snapshot_put_u64(s, waiting->frame.id);
        uds_snapshot_put_u32(s, waiting->frame.with_fds);
        uds_snapshot_put_u64(s, waiting->bytes);
        uds_snapshot_put_u64(s, waiting->fds);
        uds_snapshot_put_bytes(s, waiting->head, waiting->frame.head_len);
        message_serialise(waiting->frame.payload, s);
    }
}

static int restore_one(struct peer *peer, uds_snapshot *s)
{
    struct frame frame = {0};
    int r = account_restore(&peer->router->quota, s, &frame.sender);
    if (r < 0)
        return r;
    frame.type = (enum uds_msg_type)uds_snapshot_get_u32(s);
    frame.id = uds_snapshot_get_u64(s);
    frame.with_fds = uds_snapshot_get_u32(s) != 0;
    size_t bytes = uds_snapshot_get_u64(s), fds = uds_snapshot_get_u64(s);
    frame.head = uds_snapshot_get_bytes(s, &frame.head_len);
    r = message_restore(&frame.payload, s);
    if (r == 0 && frame.head_len > UDS_HEAD_MAX)
        r = -EBADMSG;
    if (r == 0)
        r = enqueue(peer, &frame, bytes, fds, true);
    account_unref(frame.sender);
    uds_msg_unref(frame.payload);
    return r;
}

int waiting_restore(struct peer *peer, uds_snapshot *s)
{
    int r = 0;
    for (uint32_t count = uds_snapshot_get_u32(s); r == 0 && count > 0; count--)
        r = restore_one(peer, s);
    return r;
}
