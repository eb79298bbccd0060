/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_SYSEVENT_H
#define ROUTER_SYSEVENT_H

#include "quota.h"
#include "supervisor.pb-c.h"

struct router;
struct sandbox;
struct sysevent;

/* $SYS.sandbox.NAME.{started,ready,exited,oom,limit} and $SYS.uid.N.limit. They go out at the end of the loop turn. */

/** sysevent_changed() - what is new in @sandbox since @before (NULL: it was declared just now). */
void sysevent_changed(struct router *router,
                      const struct sandbox *sandbox,
                      const Uds__Supervisor__Sandbox *before);
void sysevent_ready(struct router *router, const struct sandbox *sandbox);
/** sysevent_limit() / sysevent_rate() - an account hit a quota; at most one a second for each. */
void sysevent_limit(struct router *router, struct account *account, enum quota_kind kind);
void sysevent_rate(struct router *router, struct account *account);

/** sysevent_publish_all() - by the router, at the end of the turn. */
void sysevent_publish_all(struct router *router);
void sysevent_clear(struct router *router);

#endif
