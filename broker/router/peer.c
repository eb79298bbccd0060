/* SPDX-License-Identifier: MIT */
/*
 * A peer: one link, from accept(2) or AddLink to its end.
 *
 *   live ── connection closed, or kicked ──▶ dead (unlinked from everything) ── end of the loop turn ──▶ freed
 *
 * Two phases, because a peer is lost in the middle of somebody else's message: losing it takes its subscriptions out of
 * the trees and ends its calls at once; the memory goes when no function can hold the pointer any more.
 *
 * What it sends is dispatched here by frame type; a client's frames are handled in sub.c, publish.c, request.c and reply.c.
 * A peer that sends anything else breaks the protocol and is told so by a GOODBYE. Nothing that it sends can end more
 * than its own connection.
 */
#include "peer.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <uds/error.h>
#include <uds/fdset.h>

#include "call.h"
#include "greeting.h"
#include "pending.h"
#include "publish.h"
#include "router.h"
#include "send.h"
#include "sub.h"
#include "sysevent.h"
#include "turn.h"
#include "waiting.h"

#define CONTROL_RESERVE (256u << 10) /* of the send queue, for our own answers */
#define QUEUE_FLOOR     (512u << 10)

struct counters *peer_total(struct peer *peer)
{
    struct sandbox *sandbox =
        peer->identity.is_sandbox ? sandbox_get(peer->router, peer->identity.sandbox_id) : NULL;
    return sandbox != NULL ? &sandbox->counters : NULL;
}

static void count_in(struct peer *peer, const uds_msg *msg)
{
    size_t len;
    uds_msg_peek_body(msg, &len);
    struct counters *all[] = {&peer->counters, peer_total(peer)};
    for (size_t i = 0; i < 2 && all[i] != NULL; i++) {
        all[i]->messages_in++;
        all[i]->bytes_in += len;
        all[i]->fds_in += uds_msg_get_fd_count(msg);
    }
}

static void on_message(uds_conn *conn, uds_msg *msg, void *arg)
{
    (void)conn;
    struct peer *peer = arg;
    if (peer->dead || peer->doomed) {
        uds_msg_unref(msg);
        return;
    }
    greeting_forget(peer);
    count_in(peer, msg);
    if (peer->pending != NULL)
        pending_add(peer, msg, NULL);
    else if (turn_is_over(peer))
        turn_defer(peer, msg);
    else
        peer_dispatch(peer, msg, NULL);
}

static void on_close(uds_conn *conn, int error, void *arg)
{
    (void)conn;
    (void)error;
    peer_lose(arg);
}

static void on_writable(uds_conn *conn, void *arg)
{
    (void)conn;
    struct peer *peer = arg;
    if (peer->dead)
        return;
    sub_tell_drops(peer);
    if (!peer->dead)
        call_tell_credit(peer);
}

static int charge_unfinished(struct peer *peer, size_t bytes, size_t fds)
{
    charge_release(&peer->unfinished_bytes);
    charge_release(&peer->unfinished_fds);
    if (charge_take(&peer->unfinished_bytes, peer->account, QUOTA_UNFINISHED_BYTES, bytes) < 0) {
        sysevent_limit(peer->router, peer->account, QUOTA_UNFINISHED_BYTES);
        return -EDQUOT;
    }
    if (charge_take(&peer->unfinished_fds, peer->account, QUOTA_UNFINISHED_FDS, fds) < 0) {
        sysevent_limit(peer->router, peer->account, QUOTA_UNFINISHED_FDS);
        return -EDQUOT;
    }
    return 0;
}

/*
 * Half a frame is memory and descriptors that nobody can use and only its sender can end, on as many connections as it
 * may open. It is not told to wait: what we hold of it would stay held.
 */
static void on_unfinished(uds_conn *conn, size_t bytes, size_t fds, void *arg)
{
    (void)conn;
    struct peer *peer = arg;
    if (peer->dead || peer->doomed)
        return;
    if (charge_unfinished(peer, bytes, fds) < 0)
        peer_kick(peer, UDS_STATUS_QUOTA,
                  "quota queued_bytes or queued_fds: too many unfinished messages");
}

/*
 * The peer said that it takes descriptors, and its socket refuses them: of what was queued for it this one message is not
 * sent, and whoever waits for it hears so.
 */
static void on_refused(
    uds_conn *conn, enum uds_msg_type type, uint64_t id, uds_msg *payload, int error, void *arg)
{
    (void)conn;
    (void)payload;
    (void)error;
    struct peer *peer = arg;
    const char *detail = "the receiver's socket refuses descriptors";
    if (peer->dead || peer->doomed)
        return;
    if (type == UDS_MSG_REQUEST)
        call_request_refused(peer, id, detail);
    else if (type == UDS_MSG_REPLY)
        peer_reply(peer, id, UDS_STATUS_FD_REFUSED, 0, detail, NULL);
    else if (type == UDS_MSG_PART)
        call_part_lost(peer, id, UDS_STATUS_FD_REFUSED, detail);
    else if (type == UDS_MSG_DELIVER)
        sub_lost(peer, id);
}

static const struct uds_conn_callbacks peer_callbacks = {
    .on_message = on_message,
    .on_close = on_close,
    .on_writable = on_writable,
    .on_unfinished = on_unfinished,
    .on_refused = on_refused,
};

/* The queue that one connection may fill: half of the account's, so that one slow one leaves room for its siblings. */
static size_t queue_bytes(const struct account *account)
{
    uint64_t half = quota_limit(account, QUOTA_QUEUED_BYTES) / 2;
    if (half < QUEUE_FLOOR)
        half = QUEUE_FLOOR;
    return half > (64u << 20) ? 64u << 20 : (size_t)half;
}

/* Everything of a peer but its connection. */
static int
peer_alloc(struct router *router, struct identity *identity, bool force, struct peer **ret)
{
    struct peer *peer = calloc(1, sizeof(*peer));
    if (peer == NULL)
        return -ENOMEM;
    int r = account_get(&router->quota, identity, &peer->account);
    if (r == 0 && force)
        charge_force(&peer->charge, peer->account, QUOTA_CONNECTIONS, 1);
    else if (r == 0)
        r = charge_take(&peer->charge, peer->account, QUOTA_CONNECTIONS, 1);
    if (r < 0) {
        account_unref(peer->account);
        free(peer);
        return r;
    }
    peer->router = router;
    TAILQ_INIT(&peer->sub_list);
    TAILQ_INIT(&peer->made);
    TAILQ_INIT(&peer->answering);
    STAILQ_INIT(&peer->waiting);
    LIST_INSERT_HEAD(&peer->account->peers, peer, by_account);
    peer->queue_limit = queue_bytes(peer->account) - CONTROL_RESERVE;
    *ret = peer;
    return 0;
}

/* Puts the connection into the loop and the peer into the table. */
static int peer_enter(struct peer *peer)
{
    struct router *router = peer->router;
    int r = table_put(&router->peers, peer->id, peer);
    if (r < 0)
        return r;
    uds_conn_set_callbacks(peer->conn, &peer_callbacks, peer);
    r = uds_event_attach(&peer->event, peer->conn, router->base);
    if (r < 0)
        table_take(&router->peers, peer->id);
    else if (peer->listener_id != 0 && !uds_conn_is_open(peer->conn))
        greeting_expect(peer);
    return r;
}

int peer_new(struct router *router,
             int fd,
             struct identity *identity,
             uint32_t listener_id,
             struct peer **ret)
{
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    struct peer *peer;
    int r = peer_alloc(router, identity, false, &peer);
    if (r < 0) {
        uds_fd_close(fd);
        identity_deinit(identity);
        return r;
    }
    options.arena_bytes = 0; /* neither the filter nor the charges know of it */
    options.send_queue_bytes = queue_bytes(peer->account);
    options.high_water = options.send_queue_bytes / 4;
    options.low_water = options.send_queue_bytes / 16;
    peer->id = ++router->next_peer;
    peer->listener_id = listener_id;
    peer->identity = *identity;
    *identity = (struct identity){0};
    r = uds_conn_new(&peer->conn, fd, &options);
    if (r == 0) {
        backlog_init(&peer->backlog, peer->account, uds_conn_get_queued_bytes(peer->conn));
        r = peer_enter(peer);
    } else {
        uds_fd_close(fd);
    }
    if (r < 0) {
        peer_free(peer);
        return r;
    }
    *ret = peer;
    return 0;
}

struct peer *peer_free(struct peer *peer)
{
    if (peer == NULL)
        return NULL;
    waiting_clear(peer);
    if (peer->account != NULL)
        LIST_REMOVE(peer, by_account);
    uds_event_detach(peer->event);
    if (peer->conn != NULL)
        uds_conn_set_callbacks(peer->conn, NULL, NULL);
    uds_conn_unref(peer->conn);
    pending_clear(peer);
    backlog_deinit(&peer->backlog);
    table_deinit(&peer->subs);
    table_deinit(&peer->calls);
    identity_deinit(&peer->identity);
    charge_release(&peer->charge);
    charge_release(&peer->unfinished_bytes);
    charge_release(&peer->unfinished_fds);
    account_unref(peer->account);
    free(peer->decisions);
    free(peer);
    return NULL;
}

void peer_lose(struct peer *peer)
{
    if (peer->dead)
        return;
    peer->dead = true;
    table_take(&peer->router->peers, peer->id);
    turn_forget(peer);
    greeting_forget(peer);
    pending_clear(peer);
    sub_end_all(peer);
    call_peer_lost(peer);
    router_reap_later(peer->router, peer);
}

void peer_kick(struct peer *peer, uint32_t status, const char *reason)
{
    if (peer->dead)
        return;
    /* One attempt: whoever does not read does not learn why. */
    if (uds_conn_shutdown(peer->conn, status, reason) == 0)
        (void)uds_conn_flush(peer->conn);
    peer_lose(peer);
}

void peer_doom(struct peer *peer)
{
    if (peer->dead || peer->doomed)
        return;
    peer->doomed = true;
    router_kick_later(peer->router, peer);
}

static void refresh_fds(struct peer *peer)
{
    const struct router *router = peer->router;
    if (peer->fds_generation == router->policy_generation || router->policy == NULL)
        return;
    policy_fds(router->policy, &peer->identity, &peer->fds_send, &peer->fds_receive);
    peer->fds_generation = router->policy_generation;
}

uint32_t peer_fds_send(struct peer *peer)
{
    refresh_fds(peer);
    return peer->fds_send;
}

struct fdpolicy_receiver peer_receiver(struct peer *peer)
{
    refresh_fds(peer);
    struct fdpolicy_receiver receiver = {.is_sandbox = peer->identity.is_sandbox};
    struct sandbox *sandbox = sandbox_get(peer->router, peer->identity.sandbox_id);
    if (receiver.is_sandbox && sandbox != NULL)
        receiver = sandbox_receiver(peer->router, sandbox);
    receiver.mask = peer->fds_receive;
    return receiver;
}

void peer_count_denial(struct peer *peer)
{
    struct counters *total = peer_total(peer);
    peer->counters.denied++;
    if (total != NULL)
        total->denied++;
}

struct policy_decision peer_decide(struct peer *peer, enum policy_verb verb, const char *subject)
{
    struct router *router = peer->router;
    if (router->policy == NULL)
        return (struct policy_decision){false, "the broker is not configured yet"};
    struct peer_decision *cached = NULL;
    if (verb == POLICY_PUBLISH || verb == POLICY_CALL) {
        if (peer->decisions == NULL)
            peer->decisions = calloc(2, sizeof(*peer->decisions));
        if (peer->decisions != NULL)
            cached = &peer->decisions[verb == POLICY_CALL];
    }
    struct policy_decision decision;
    if (cached != NULL && cached->generation == router->policy_generation &&
        strcmp(cached->subject, subject) == 0) {
        decision = cached->decision;
    } else {
        decision = policy_check(router->policy, &peer->identity, verb, subject);
        if (cached != NULL) {
            cached->generation = router->policy_generation;
            cached->decision = decision;
            strcpy(cached->subject, subject); /* both are SUBJECT_MAX + 1 at most */
        }
    }
    if (!decision.allowed)
        peer_count_denial(peer);
    return decision;
}

/* The kernel cut fds off (EMFILE): tell who sent them; the message is not what it was. */
static void dispatch_damaged(struct peer *peer, uds_msg *msg)
{
    const char *detail = "the broker is out of descriptors: try again";
    uint64_t id = uds_msg_get_id(msg);
    if (uds_msg_get_type(msg) == UDS_MSG_REQUEST && id != 0)
        peer_reply(peer, id, UDS_STATUS_UNAVAILABLE, 0, detail, NULL);
    else if (uds_msg_get_type(msg) == UDS_MSG_REPLY)
        call_reply_refused(peer, id, UDS_STATUS_UNAVAILABLE, detail, NULL);
    else if (uds_msg_get_type(msg) == UDS_MSG_PART)
        call_part_refused(peer, id, UDS_STATUS_UNAVAILABLE, detail, NULL);
    else
        peer_ack(peer, id, UDS_STATUS_UNAVAILABLE, 0, detail, NULL);
}

void peer_dispatch(struct peer *peer, uds_msg *msg, const struct fdpolicy_copies *copies)
{
    uint64_t before = peer->router->steps;
    size_t fds = uds_msg_get_fd_count(msg);
    if (uds_msg_get_error(msg) != 0) {
        dispatch_damaged(peer, msg);
        uds_msg_unref(msg);
        return;
    }
    switch (uds_msg_get_type(msg)) {
    case UDS_MSG_REQUEST:
        call_on_request(peer, msg, copies);
        break;
    case UDS_MSG_REPLY:
        call_on_reply(peer, msg, copies);
        break;
    case UDS_MSG_CANCEL:
        call_on_cancel(peer, msg);
        break;
    case UDS_MSG_PART:
        call_on_part(peer, msg, copies);
        break;
    case UDS_MSG_CREDIT:
        call_on_credit(peer, msg);
        break;
    case UDS_MSG_PUBLISH:
        publish_on_message(peer, msg, copies);
        break;
    case UDS_MSG_SUBSCRIBE:
        sub_on_subscribe(peer, msg);
        break;
    case UDS_MSG_UNSUBSCRIBE:
        sub_on_unsubscribe(peer, msg);
        break;
    case UDS_MSG_HELLO:
    case UDS_MSG_GOODBYE:
    case UDS_MSG_PING:
    case UDS_MSG_PONG:
    case UDS_MSG_FINISH:
    case UDS_MSG_ARENA:
    case UDS_MSG_RELEASE:
    case UDS_MSG_RING:
    case UDS_MSG_MESSAGE:
    case UDS_MSG_DELIVER:
    case UDS_MSG_ACK:
    case UDS_MSG_NOTICE:
    default:
        peer_kick(peer, UDS_STATUS_BAD_REQUEST, "a client does not send this type of frame");
        break;
    }
    turn_spend(peer, fds, peer->router->steps - before);
    uds_msg_unref(msg);
}

void peer_serialise(struct peer *peer, uds_snapshot *s)
{
    peer_settle(peer);
    uds_snapshot_put_u64(s, peer->id);
    identity_serialise(&peer->identity, s);
    uds_snapshot_put_u32(s, peer->listener_id);
    uds_snapshot_put_u32(s, (uint32_t)peer->pid);
    uds_snapshot_put_u64(s, peer->fds_out_unread);
    uds_snapshot_put_bytes(s, &peer->counters, sizeof(peer->counters));
    backlog_serialise(&peer->backlog, s);
    waiting_serialise(peer, s);
    pending_serialise(peer, s);
    if (uds_conn_serialise(peer->conn, s) < 0)
        uds_snapshot_fail(s);
}

static int restore_parts(struct peer *peer, uds_snapshot *s)
{
    size_t len = 0;
    peer->listener_id = uds_snapshot_get_u32(s);
    peer->pid = (pid_t)uds_snapshot_get_u32(s);
    peer->fds_out_unread = uds_snapshot_get_u64(s);
    const void *counters = uds_snapshot_get_bytes(s, &len);
    if (len == sizeof(peer->counters))
        memcpy(&peer->counters, counters, len);
    peer->backlog.receiver = peer->account;
    int r = backlog_restore(&peer->backlog, &peer->router->quota, s);
    if (r == 0)
        r = waiting_restore(peer, s);
    if (r == 0)
        r = pending_restore(peer, s);
    if (r == 0)
        r = uds_conn_restore(&peer->conn, s);
    return r == 0 ? peer_enter(peer) : r;
}

int peer_restore(struct router *router, uds_snapshot *s)
{
    struct peer *peer = NULL;
    struct identity identity;
    uint64_t id = uds_snapshot_get_u64(s);
    identity_restore(&identity, s);
    int r = uds_snapshot_error(s);
    if (r == 0)
        r = peer_alloc(router, &identity, true, &peer);
    if (r < 0) {
        identity_deinit(&identity);
        return r;
    }
    peer->id = id;
    peer->identity = identity;
    r = restore_parts(peer, s);
    if (r < 0)
        peer_free(peer);
    return r;
}
