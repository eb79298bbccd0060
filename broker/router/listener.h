/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_LISTENER_H
#define ROUTER_LISTENER_H

#include <stdint.h>

#include <sys/queue.h>

#include <uds/event.h>
#include <uds/snapshot.h>

struct router;

/* A listening socket that the supervisor made. Whose it is decides who those are that come through it. */
struct listener {
    LIST_ENTRY(listener) link;
    struct router *router;
    uint32_t id;
    uint32_t sandbox_id; /* 0: the host; peers are judged by SO_PEER* */
    char *address;       /* for listings */
    uds_listener *socket;
    uds_event *event;
};

/** listener_new() - consumes @fd. -EEXIST the id is in use; -errno of uds_listener_new(). */
int listener_new(
    struct router *router, uint32_t id, uint32_t sandbox_id, const char *address, int fd);
struct listener *listener_free(struct listener *listener);
struct listener *listener_find(const struct router *router, uint32_t id);

void listener_serialise(const struct listener *listener, uds_snapshot *s);
int listener_restore(struct router *router, uds_snapshot *s);

#endif
