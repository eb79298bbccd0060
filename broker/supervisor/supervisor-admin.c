/* SPDX-License-Identifier: MIT */
/*
 * The admin socket: `uds exec` and `uds sandbox ls` of who started us. What is undeclared comes in here and nowhere else, and
 * not by the router. libuds-sandbox checks who asks and passes on, unread, what is to be run: it is read by the process in
 * the sandbox that will run it.
 */
#include <errno.h>
#include <event2/event.h>

#include "supervisor-internal.h"

static void on_admin(evutil_socket_t fd, short what, void *arg)
{
    struct supervisor *s = arg;

    (void)fd;
    (void)what;
    sbx_admin_process(s->admin);
}

int supervisor_open_admin(struct supervisor *s)
{
    int r = sbx_admin_new(&s->admin, s->cleaner, s->error);

    if (r < 0)
        return r;
    s->admin_io = event_new(s->base, sbx_admin_get_fd(s->admin), EV_READ | EV_PERSIST, on_admin, s);
    return s->admin_io && event_add(s->admin_io, NULL) == 0 ? 0 : -ENOMEM;
}

void supervisor_close_admin(struct supervisor *s)
{
    if (s->admin_io)
        event_free(s->admin_io);
    s->admin_io = NULL;
    s->admin = sbx_admin_free(s->admin);
}
