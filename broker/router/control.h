/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_CONTROL_H
#define ROUTER_CONTROL_H

struct control;
struct router;

/**
 * control_new() - serve the supervisor on a connection and ask it over the same
 * @fd: consumed
 * When the connection ends, @router's loop is stopped.
 */
int control_new(struct control **ret, struct router *router, int fd);
struct control *control_free(struct control *control);

#endif
