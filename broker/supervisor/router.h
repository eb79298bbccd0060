/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_ROUTER_H
#define SUPERVISOR_ROUTER_H

#include <sbx/sandbox.h>
#include <stdbool.h>
#include <stdint.h>

#include <sys/types.h>

#include "supervisor.pb-c.h"

struct event_base;

/* The supervisor's end of one router process. See router.c. */
struct router;

struct router_callbacks {
    /* Every call made to it so far has been answered. */
    void (*on_settled)(void *arg);
    /* It refused something that it can live without. */
    void (*on_warning)(const char *text, void *arg);
    /* The process is gone and reaped. The router may be freed in here. */
    void (*on_ended)(const char *why, void *arg);
};

struct router_options {
    const char *program;
    struct event_base *base;
    sbx_cleaner *cleaner;
    bool own_uid; /* we are root: it drops to @uid, which is nobody else's */
    uint32_t uid;
    ProtobufCService *service; /* what it may ask of us; borrowed */
    struct router_callbacks callbacks;
    void *arg;
};

/* Fork, exec, connect. Nothing has been said to it yet. 0 or -errno with @error. */
int router_spawn(struct router **ret,
                 const struct router_options *options,
                 struct sbx_error *error);
/* Kills and reaps what still runs. NULL is fine. Returns NULL. */
struct router *router_free(struct router *router);
pid_t router_get_pid(const struct router *router);

/*
 * Calls. Not being able to make one ends the router, which on_ended then tells. fds are duplicated.
 */
void router_configure(struct router *router, const Uds__Supervisor__Configuration *configuration);
void router_add_listener(struct router *router, const Uds__Supervisor__Listener *listener, int fd);
void router_add_link(struct router *router, const Uds__Supervisor__Link *link, int fd);
void router_sandbox_changed(struct router *router, const Uds__Supervisor__Sandbox *sandbox);

/* Ask it to end: what is queued goes out, peers get GOODBYE; killed after @grace_ms. */
void router_close(struct router *router, int grace_ms);
/* SIGKILL; on_ended tells @why. */
void router_kill(struct router *router, const char *why);

#endif
