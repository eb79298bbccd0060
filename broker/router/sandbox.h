/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_SANDBOX_H
#define ROUTER_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uds/snapshot.h>

#include "fdpolicy.h"
#include "supervisor.pb-c.h"

struct router;

struct counters {
    uint64_t messages_in, messages_out, fds_in, fds_out, bytes_in, bytes_out, denied;
};

/* What we know of a declared sandbox: the supervisor's last word, and our own counts over all its lives. */
struct sandbox {
    Uds__Supervisor__Sandbox *info;
    uint64_t changed_usec;     /* when the state last changed */
    uint32_t ready_generation; /* the start in which it last served something */
    unsigned held;             /* calls that wait for it */
    bool starting;             /* Supervisor.Start is on its way */
    struct counters counters;
};

struct sandbox *sandbox_get(const struct router *router, uint32_t id);
/** sandbox_set() - new or changed; @info is copied. 0, -ENOMEM. @ret_before: the former state, freed by the caller; may be NULL in it. */
int sandbox_set(struct router *router,
                const Uds__Supervisor__Sandbox *info,
                Uds__Supervisor__Sandbox **ret_before);
struct sandbox *sandbox_free(struct sandbox *sandbox);

/** sandbox_find_server() - the declared sandbox that is granted to serve @subject and may come; NULL if none. */
struct sandbox *
sandbox_find_server(const struct router *router, const char *subject, uint64_t now_usec);
/** sandbox_knows_end() - do we know how start @generation ended? */
bool sandbox_knows_end(const struct sandbox *sandbox, uint32_t generation);
/** sandbox_explain_end() - the last end as a status, a value and a line for people. */
uint32_t
sandbox_explain_end(const struct sandbox *sandbox, uint64_t *ret_value, char *buf, size_t size);
/** sandbox_receiver() - what the fd policy must know of it, also before it has connected. */
struct fdpolicy_receiver sandbox_receiver(const struct router *router,
                                          const struct sandbox *sandbox);
/** sandbox_describe_state() - the same, as it tells by NOTIFY_SOCKET if it does. */
const char *sandbox_describe_state(const Uds__Supervisor__Sandbox *info);
const char *sandbox_state_name(Uds__Supervisor__State state);
const char *sandbox_cause_name(Uds__Supervisor__Cause cause);

void sandbox_serialise(const struct sandbox *sandbox, uds_snapshot *s);
int sandbox_restore(struct router *router, uds_snapshot *s);

#endif
