/* SPDX-License-Identifier: MIT */
/*
 * What `uds ls` asks. A listing first asks the supervisor what only it can know (each sandbox's statistics, the pids of
 * host peers), then answers with what has come after a second at most:
 *
 *   asked ── the last answer, or the timer ──▶ answered ── no question open ──▶ freed
 *
 * The peer is remembered by id, because it may go while its listing waits.
 */
#include "admin.h"

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <string.h>

#include <uds/error.h>
#include <uds/pb.h>

#include "admin.pb-c.h"
#include "listing.h"
#include "peer.h"
#include "router.h"
#include "sandbox.h"
#include "send.h"

#define LISTINGS_MAX  16u
#define ATTEST_MAX    64u
#define PATIENCE_USEC 1000000
#define METHOD_LIST   "uds.admin.Broker/List"

struct listing {
    LIST_ENTRY(listing) link;
    struct router *router;
    unsigned refs; /* one of its own until answered, one per open question */
    bool answered;
    uint64_t peer_id, request_id;
    struct event *timer;
    size_t nstats;
    struct listing_stats *stats;
};

/* One thing asked of the supervisor. */
struct question {
    struct listing *listing;
    uint32_t sandbox_id;
    uint64_t peer_id;
};

static void listing_unref(struct listing *listing)
{
    if (--listing->refs > 0)
        return;
    LIST_REMOVE(listing, link);
    if (listing->timer != NULL)
        event_free(listing->timer);
    free(listing->stats);
    free(listing);
}

static void answer(struct listing *listing)
{
    if (listing->answered)
        return;
    listing->answered = true;
    struct peer *peer = table_get(&listing->router->peers, listing->peer_id);
    if (peer != NULL) {
        uint8_t *body = NULL;
        size_t len = 0;
        if (listing_pack(listing->router, listing->stats, listing->nstats, &body, &len) == 0)
            peer_answer(peer, listing->request_id, body, len);
        else
            peer_reply(peer, listing->request_id, UDS_STATUS_UNAVAILABLE, 0,
                       "the broker is out of memory", NULL);
        free(body);
    }
    listing_unref(listing);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    answer(arg);
}

static void question_done(struct question *question)
{
    struct listing *listing = question->listing;
    free(question);
    if (listing->refs == 2 && !listing->answered) {
        listing->refs--; /* the last question; the one that is left is answer()'s */
        answer(listing);
    } else {
        listing_unref(listing);
    }
}

static void on_stats(const Uds__Supervisor__SandboxStats *stats, void *arg)
{
    struct question *question = arg;
    struct listing *listing = question->listing;
    if (stats != NULL && stats->known && !listing->answered)
        listing->stats[listing->nstats++] = (struct listing_stats){question->sandbox_id, *stats};
    question_done(question);
}

static void on_identity(const Uds__Supervisor__Identity *identity, void *arg)
{
    struct question *question = arg;
    struct peer *peer = table_get(&question->listing->router->peers, question->peer_id);
    if (identity != NULL && peer != NULL && (identity->known & UDS_CRED_PID) != 0)
        peer->pid = identity->pid;
    question_done(question);
}

static struct question *question_new(struct listing *listing)
{
    struct question *question = calloc(1, sizeof(*question));
    if (question == NULL)
        return NULL;
    question->listing = listing;
    listing->refs++;
    return question;
}

static void ask_stats(struct listing *listing)
{
    struct router *router = listing->router;
    struct sandbox *sandbox;
    for (size_t pos = 0; (sandbox = table_next(&router->sandboxes, &pos)) != NULL;) {
        struct question *question = question_new(listing);
        if (question == NULL)
            return;
        question->sandbox_id = sandbox->info->id;
        if (router->supervisor->stats(router->supervisor_arg, sandbox->info->id, on_stats,
                                      question) < 0) {
            listing->refs--;
            free(question);
        }
    }
}

static void ask_pid(struct listing *listing, struct peer *peer)
{
    struct uds_cred cred;
    struct router *router = listing->router;
    if (uds_conn_get_cred(peer->conn, UDS_CRED_PIDFD, &cred) < 0)
        return;
    struct question *question = cred.pidfd >= 0 ? question_new(listing) : NULL;
    if (question != NULL) {
        question->peer_id = peer->id;
        if (router->supervisor->attest(router->supervisor_arg, cred.pidfd, UDS_CRED_PID,
                                       on_identity, question) < 0) {
            listing->refs--;
            free(question);
        }
    }
    uds_cred_clear(&cred);
}

static void ask_pids(struct listing *listing)
{
    struct peer *peer;
    unsigned asked = 0;
    for (size_t pos = 0; (peer = table_next(&listing->router->peers, &pos)) != NULL;) {
        /* A sandbox's socket would show us the broker: never asked. */
        if (peer->identity.is_sandbox || peer->pid != 0 || asked++ >= ATTEST_MAX)
            continue;
        ask_pid(listing, peer);
    }
}

static void list(struct peer *peer, uint64_t request_id)
{
    struct router *router = peer->router;
    const struct timeval patience = {PATIENCE_USEC / 1000000, PATIENCE_USEC % 1000000};
    unsigned open = 0;
    struct listing *listing;
    LIST_FOREACH(listing, &router->listings, link)
    open++;
    if (open >= LISTINGS_MAX) {
        peer_reply(peer, request_id, UDS_STATUS_QUOTA, LISTINGS_MAX, "too many listings at once",
                   NULL);
        return;
    }
    listing = calloc(1, sizeof(*listing));
    if (listing != NULL)
        listing->stats = calloc(router->sandboxes.count + 1, sizeof(*listing->stats));
    if (listing == NULL || listing->stats == NULL) {
        free(listing);
        peer_reply(peer, request_id, UDS_STATUS_UNAVAILABLE, 0, "the broker is out of memory",
                   NULL);
        return;
    }
    listing->router = router;
    listing->refs = 2; /* one is ours while we ask, so that an early answer does not end it */
    listing->peer_id = peer->id;
    listing->request_id = request_id;
    LIST_INSERT_HEAD(&router->listings, listing, link);
    if (router->supervisor != NULL) {
        ask_stats(listing);
        ask_pids(listing);
    }
    if (listing->refs == 2) {
        answer(listing);
        listing_unref(listing);
        return;
    }
    listing->timer = event_new(router->base, -1, 0, on_timer, listing);
    if (listing->timer != NULL)
        event_add(listing->timer, &patience);
    listing->refs--;
}

void admin_on_request(struct peer *peer, uds_msg *msg, const struct head *head)
{
    uint64_t id = uds_msg_get_id(msg);
    struct policy_decision decision = {false, "the broker is not configured yet"};
    ProtobufCMessage *request;
    size_t len;
    if (peer->router->policy != NULL)
        decision = policy_admin(peer->router->policy, &peer->identity);
    if (!decision.allowed) {
        peer_count_denial(peer);
        peer_reply(peer, id, UDS_STATUS_DENIED, 0, "needs admin", decision.rule);
        return;
    }
    if (strcmp(head->method, METHOD_LIST) != 0) {
        peer_reply(peer, id, UDS_STATUS_UNIMPLEMENTED, 0, "the broker has no such method", NULL);
        return;
    }
    const void *body = uds_msg_peek_body(msg, &len);
    if (uds_pb_unpack(&uds__admin__list_request__descriptor, body, len, &request) < 0) {
        peer_reply(peer, id, UDS_STATUS_BAD_REQUEST, 0, "the body is not a ListRequest", NULL);
        return;
    }
    protobuf_c_message_free_unpacked(request, NULL);
    list(peer, id);
}

void admin_end_all(struct router *router)
{
    struct listing *listing = LIST_FIRST(&router->listings);
    while (listing != NULL) {
        struct listing *next = LIST_NEXT(listing, link);
        answer(listing);
        listing = next;
    }
}

void admin_free_all(struct router *router)
{
    struct listing *listing = LIST_FIRST(&router->listings);
    while (listing != NULL) {
        struct listing *next = LIST_NEXT(listing, link);
        if (!listing->answered) {
            listing->answered = true;
            listing_unref(listing);
        }
        listing = next;
    }
}
