/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_START_H
#define ROUTER_START_H

struct router;
struct sandbox;

/** start_on_demand() - ask the supervisor to start a stopped sandbox, once; calls that wait for it hear of a refusal. */
void start_on_demand(struct router *router, struct sandbox *sandbox);

#endif
