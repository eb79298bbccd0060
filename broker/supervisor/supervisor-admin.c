/* SPDX-License-Identifier: MIT */
/*
 * The admin socket: `uds exec`, `uds sandbox ls` and `uds sandbox start` of who started us. What is undeclared comes in here
 * and nowhere else, and not by the router. libuds-sandbox checks who asks and passes on, unread, what is to be run: it is read
 * by the process in the sandbox that will run it.
 */
#include <errno.h>
#include <event2/event.h>
#include <stdio.h>
#include <string.h>

#include "supervisor-internal.h"

static void on_admin(evutil_socket_t fd, short what, void *arg)
{
    struct supervisor *s = arg;

    (void)fd;
    (void)what;
    sbx_admin_process(s->admin);
}

static int start_declared(struct supervisor *s, const char *name, struct sbx_error *error)
{
    for (size_t i = 0; i < s->ncells; i++) {
        struct cell *cell = &s->cells[i];

        if (strcmp(cell->member.entry->name, name) != 0)
            continue;
        int r = member_may_start(&cell->member, s->phase != PHASE_UP);
        if (r == 0)
            return cell_start_now(cell, error);
        snprintf(error->text, sizeof(error->text), "start %s: %s", name,
                 r == -EALREADY ? "it runs already"
                 : r == -EAGAIN ? "it waits for its restart"
                                : "it has failed for good, or the broker is not up");
        return r;
    }
    return -ENOENT;
}

/* A name that is declared is of what is declared so: uds exec and who reads a list go by it. */
static int
check_name(const struct supervisor *s, const char *entry, const char *name, struct sbx_error *error)
{
    bool sandbox = stack_find_sandbox(s->stack, name);

    if (!sandbox && (strcmp(name, entry) == 0 || !guests_has(&s->guests, name)))
        return 0;
    snprintf(error->text, sizeof(error->text),
             "start %s: name %.63s: the stack file has a %s of this name; choose another", entry,
             name, sandbox ? "sandbox" : "template");
    return -EEXIST;
}

static int
on_start(const char *entry, sbx_request *request, void *userdata, struct sbx_error *error)
{
    struct supervisor *s = userdata;

    int r = request ? check_name(s, entry, sbx_request_get_name(request), error) : 0;

    if (r == 0)
        r = request ? guests_start(&s->guests, entry, request, error)
                    : start_declared(s, entry, error);
    if (r != -ENOENT || error->text[0])
        return r;
    if (request && stack_find_sandbox(s->stack, entry))
        snprintf(error->text, sizeof(error->text),
                 "start %s: it is declared with a command of its own: start it without one, or use "
                 "uds exec",
                 entry);
    else if (!request && guests_has(&s->guests, entry))
        snprintf(error->text, sizeof(error->text), "start %s: it is a template: say what is to run",
                 entry);
    return r;
}

int supervisor_open_admin(struct supervisor *s)
{
    int r = sbx_admin_new(&s->admin, s->cleaner, s->error);

    if (r < 0)
        return r;
    sbx_admin_set_start(s->admin, on_start, s);
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
