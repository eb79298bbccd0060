/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_ROUTER_H
#define ROUTER_ROUTER_H

#include <stddef.h>
#include <stdint.h>

#include <sys/queue.h>

#include <uds/msg.h>
#include <uds/snapshot.h>

#include "policy.h"
#include "quota.h"
#include "route.h"
#include "supervisor.pb-c.h"
#include "table.h"

struct call;
struct event_base;
struct sysevent;
struct group;
struct listener;
struct listing;
struct peer;
struct sub;

/* What the router asks of the supervisor; control.c does it over fd 3, tests by hand. A negative return: @done never runs. */
struct supervisor_ops {
    int (*start)(void *arg,
                 uint32_t sandbox_id,
                 void (*done)(uint32_t status, const char *detail, void *done_arg),
                 void *done_arg);
    int (*stats)(void *arg,
                 uint32_t sandbox_id,
                 void (*done)(const Uds__Supervisor__SandboxStats *stats, void *done_arg),
                 void *done_arg);
    int (*attest)(void *arg,
                  int pidfd,
                  uint32_t facts,
                  void (*done)(const Uds__Supervisor__Identity *identity, void *done_arg),
                  void *done_arg);
};

struct router {
    struct event_base *base;
    const struct supervisor_ops *supervisor; /* NULL: nobody to ask */
    void *supervisor_arg;

    Uds__Supervisor__Configuration *configuration; /* as it came; sandboxes have moved on since */
    struct policy *policy;
    uint32_t policy_generation; /* counts Configure, for caches */
    struct quota quota;

    struct route *plain;  /* subscriptions for deliveries */
    struct route *served; /* subscriptions for requests */
    struct table groups;  /* hash of name → queue groups */
    struct table sandboxes, peers, calls;
    LIST_HEAD(, listener) listeners;
    LIST_HEAD(, listing) listings;
    TAILQ_HEAD(, call) parked;     /* calls that wait for a server or for a cause */
    STAILQ_HEAD(, peer) doomed;    /* kicked at the end of the turn */
    STAILQ_HEAD(, peer) dead;      /* freed then */
    STAILQ_HEAD(, sysevent) notes; /* own messages, published then */
    size_t note_count;
    struct event *end_of_turn;

    uint64_t turns;                    /* that were ended on purpose (turn.c) */
    uint64_t steps;                    /* of matching, ever */
    TAILQ_HEAD(peer_list, peer) tired; /* have had their account's share of the turn */

    TAILQ_HEAD(, peer) strangers; /* have not greeted yet, the oldest first (greeting.c) */
    struct event *greeting_timer;
    uint64_t greeting_usec; /* how long they may take */

    struct sub **matched; /* scratch of one publish */
    size_t matched_count, matched_size;
    uint64_t stamp; /* counts matches, so that a queue group knows whether it was seen */

    struct table copied; /* sealed copies that somebody may hold (copied.c) */
    int copied_group;    /* fanotify: tells when one is gone; -1 */
    struct event *copied_event;
    uint64_t next_copied;

    uint64_t next_peer, next_call, turn;
    uint64_t started_usec;
    size_t fd_limit; /* RLIMIT_NOFILE */
    int spare_fd;    /* given up to shed a connection when no other descriptor is left */
};

/** router_new() - an empty router in a loop; nobody may do anything before router_configure(). */
int router_new(struct router **ret, struct event_base *base);
/** router_free() - closes everything. NULL is fine. Returns NULL. */
struct router *router_free(struct router *router);

/** router_configure() - also while running: subscriptions that are no longer granted end with a NOTICE. */
int router_configure(struct router *router, const Uds__Supervisor__Configuration *configuration);
/** router_add_listener() - consumes @fd. -ENOENT no such sandbox. */
int router_add_listener(struct router *router, const Uds__Supervisor__Listener *listener, int fd);
/** router_add_link() - consumes @fd. -ENOENT no such sandbox. */
int router_add_link(struct router *router, const Uds__Supervisor__Link *link, int fd);
/** router_sandbox_changed() - -ENOENT no such sandbox. */
int router_sandbox_changed(struct router *router, const Uds__Supervisor__Sandbox *sandbox);

/**
 * router_serialise() / router_restore() - the whole router on its way into the next process
 * After a successful serialise the old router must only be freed. The new one is restored in the loop @base.
 */
int router_serialise(struct router *router, uds_snapshot *s);
int router_restore(struct router **ret, struct event_base *base, uds_snapshot *s);

/* What must not happen in the middle of a match happens at the end of the loop turn. */
void router_reap_later(struct router *router, struct peer *peer);
void router_kick_later(struct router *router, struct peer *peer);
void router_end_turn(struct router *router); /* there is something to do then */

/** router_now_usec() - CLOCK_MONOTONIC. */
uint64_t router_now_usec(void);

#endif
