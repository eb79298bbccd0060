/* SPDX-License-Identifier: MIT */
/*
 * A peer whose message waits for a copy of a file, or for its turn (turn.c). Its connection is not read meanwhile; what
 * had been read already stands in line here, so that its messages keep their order.
 *
 *   none ─┬─ a file must be copied ──▶ copying ── done: dispatch that message ──▶ dispatch the line ──▶ none
 *         └─ its turn is over ──▶ waiting ── the next turn ─────────────────────────────▲
 *
 * The copy and its message are charged to the sender's queue while it is made: many connections with one each are bounded.
 */
#include "pending.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <uds/conn.h>
#include <uds/error.h>

#include "copied.h"
#include "fdcopy.h"
#include "message.h"
#include "peer.h"
#include "publish.h"
#include "quota.h"
#include "router.h"

#define PAUSE_LINE 1u

struct pending_message {
    STAILQ_ENTRY(pending_message) next;
    uds_msg *msg;
    struct fdpolicy_copies copies;
    struct charge bytes, fds;
};

struct pending {
    struct fdcopy *copy;      /* NULL: only the line is left to be run */
    struct charge bytes, fds; /* of the copy and its message */
    STAILQ_HEAD(, pending_message) line;
};

static struct pending *get(struct peer *peer)
{
    if (peer->pending == NULL) {
        peer->pending = calloc(1, sizeof(*peer->pending));
        if (peer->pending != NULL)
            STAILQ_INIT(&peer->pending->line);
    }
    return peer->pending;
}

static void message_free(struct pending_message *message)
{
    charge_release(&message->bytes);
    charge_release(&message->fds);
    uds_msg_unref(message->msg);
    free(message);
}

/* One connection has one message or two here; it is the number of connections that needs a bound. */
static int charge_message(struct peer *peer, struct pending_message *message)
{
    size_t len;
    uds_msg_peek_body(message->msg, &len);
    int r = charge_take(&message->bytes, peer->account, QUOTA_UNFINISHED_BYTES, len);
    if (r < 0)
        return r;
    return charge_take(&message->fds, peer->account, QUOTA_UNFINISHED_FDS,
                       uds_msg_get_fd_count(message->msg));
}

void pending_add(struct peer *peer, uds_msg *msg, const struct fdpolicy_copies *copies)
{
    struct pending_message *message = calloc(1, sizeof(*message));
    if (message == NULL || get(peer) == NULL) {
        free(message);
        uds_msg_unref(msg);
        peer_kick(peer, UDS_STATUS_UNAVAILABLE, "the broker is out of memory");
        return;
    }
    message->msg = msg;
    if (charge_message(peer, message) < 0) {
        message_free(message);
        peer_kick(peer, UDS_STATUS_QUOTA, "quota queued_bytes or queued_fds: too much of it waits");
        return;
    }
    if (copies != NULL)
        message->copies = *copies;
    STAILQ_INSERT_TAIL(&peer->pending->line, message, next);
}

void pending_hold(struct peer *peer, uds_msg *msg)
{
    uds_conn_pause(peer->conn, PAUSE_LINE);
    pending_add(peer, msg, NULL);
}

void pending_clear(struct peer *peer)
{
    struct pending *pending = peer->pending;
    if (pending == NULL)
        return;
    peer->pending = NULL;
    fdcopy_free(pending->copy);
    charge_release(&pending->bytes);
    charge_release(&pending->fds);
    while (!STAILQ_EMPTY(&pending->line)) {
        struct pending_message *message = STAILQ_FIRST(&pending->line);
        STAILQ_REMOVE_HEAD(&pending->line, next);
        message_free(message);
    }
    free(pending);
}

void pending_run(struct peer *peer)
{
    /* Each message may kick the peer or start the next copy. */
    while (!peer->dead && peer->pending != NULL && peer->pending->copy == NULL) {
        struct pending_message *message = STAILQ_FIRST(&peer->pending->line);
        if (message == NULL) {
            pending_clear(peer);
            break;
        }
        STAILQ_REMOVE_HEAD(&peer->pending->line, next);
        uds_msg *msg = uds_msg_ref(message->msg);
        struct fdpolicy_copies copies = message->copies;
        message_free(message);
        peer_dispatch(peer, msg, &copies);
    }
    if (!peer->dead && peer->pending == NULL)
        uds_conn_resume(peer->conn, PAUSE_LINE);
}

static void on_copied(uds_msg *msg, int error, const struct fdpolicy_copies *copies, void *arg)
{
    struct peer *peer = arg;
    struct fdpolicy_copies ignored;
    struct pending *pending = peer->pending;
    uds_msg *original = uds_msg_ref(fdcopy_peek(pending->copy, &ignored));
    pending->copy = fdcopy_free(pending->copy);
    charge_release(&pending->bytes);
    charge_release(&pending->fds);
    if (msg != NULL)
        peer_dispatch(peer, msg, copies);
    else
        publish_refuse_copy(peer, original, error);
    uds_msg_unref(original);
    pending_run(peer);
}

static int charge_copy(struct peer *peer, const uds_msg *msg, uint64_t size)
{
    size_t len;
    uds_msg_peek_body(msg, &len);
    struct pending *pending = peer->pending;
    int r = charge_take(&pending->bytes, peer->account, QUOTA_QUEUED_BYTES, size + len);
    if (r == 0)
        r = charge_take(&pending->fds, peer->account, QUOTA_QUEUED_FDS, uds_msg_get_fd_count(msg));
    return r;
}

/* For the sandbox that gets it: -ENOSPC when that holds too much already. */
static int charge_copied(struct peer *peer, uint64_t size, uint32_t receiver)
{
    struct router *router = peer->router;
    int r =
        copied_add(router, fdcopy_get_memfd(peer->pending->copy), size, receiver, peer->account);
    return r == -EDQUOT ? -ENOSPC : r;
}

int pending_copy(struct peer *peer,
                 uds_msg *msg,
                 size_t index,
                 uint32_t receiver,
                 const struct fdpolicy_copies *copies)
{
    struct uds_fd_info info;
    int r = uds_fd_classify(uds_msg_peek_fd(msg, index), &info);
    if (r < 0)
        return r;
    if (info.size > FDCOPY_MAX)
        return -EFBIG;
    if (get(peer) == NULL)
        return -ENOMEM;
    struct pending *pending = peer->pending;
    r = charge_copy(peer, msg, info.size);
    if (r == 0)
        r = fdcopy_start(&pending->copy, peer->router->base, msg, index, info.size, copies,
                         on_copied, peer);
    if (r == 0)
        r = charge_copied(peer, info.size, receiver);
    if (r < 0) {
        pending->copy = fdcopy_free(pending->copy);
        charge_release(&pending->bytes);
        charge_release(&pending->fds);
        if (STAILQ_EMPTY(&pending->line))
            pending_clear(peer);
        return r;
    }
    uds_conn_pause(peer->conn, PAUSE_LINE);
    return 0;
}

static void put_one(const uds_msg *msg, const struct fdpolicy_copies *copies, uds_snapshot *s)
{
    message_serialise(msg, s);
    uds_snapshot_put_bytes(s, copies, sizeof(*copies));
}

void pending_serialise(const struct peer *peer, uds_snapshot *s)
{
    const struct pending *pending = peer->pending;
    struct pending_message *message;
    uint32_t count = pending != NULL && pending->copy != NULL;
    if (pending != NULL) {
        STAILQ_FOREACH(message, &pending->line, next)
        count++;
    }
    uds_snapshot_put_u32(s, count);
    if (pending == NULL)
        return;
    /* A half-made copy is not worth carrying: the next router makes it again. */
    if (pending->copy != NULL) {
        struct fdpolicy_copies copies;
        const uds_msg *msg = fdcopy_peek(pending->copy, &copies);
        put_one(msg, &copies, s);
    }
    STAILQ_FOREACH(message, &pending->line, next)
    put_one(message->msg, &message->copies, s);
}

int pending_restore(struct peer *peer, uds_snapshot *s)
{
    for (uint32_t count = uds_snapshot_get_u32(s); count > 0; count--) {
        struct pending_message *message = calloc(1, sizeof(*message));
        size_t len = 0;
        if (message == NULL || get(peer) == NULL) {
            free(message);
            return -ENOMEM;
        }
        int r = message_restore(&message->msg, s);
        const void *copies = uds_snapshot_get_bytes(s, &len);
        if (r == 0 && (message->msg == NULL || len != sizeof(message->copies)))
            r = -EBADMSG;
        if (r < 0) {
            free(message);
            return r;
        }
        memcpy(&message->copies, copies, len);
        uds_msg_peek_body(message->msg, &len);
        charge_force(&message->bytes, peer->account, QUOTA_UNFINISHED_BYTES, len);
        charge_force(&message->fds, peer->account, QUOTA_UNFINISHED_FDS,
                     uds_msg_get_fd_count(message->msg));
        STAILQ_INSERT_TAIL(&peer->pending->line, message, next);
    }
    return 0;
}
