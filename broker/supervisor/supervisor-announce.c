/* SPDX-License-Identifier: MIT */
/* The broker is up: to people, to our own service manager, to who waits for --ready-fd. */
#include <sbx/notify.h>
#include <unistd.h>

#include "supervisor-internal.h"

void supervisor_announce_now(struct supervisor *s)
{
    s->announced = true;
    for (size_t i = 0; i < s->ndoors; i++)
        status_say(&s->status, "broker", "listening",
                   (const struct status_fact[]){{"address", s->doors[i].address, 0}, {0}},
                   "listening on %s", s->doors[i].address);
    status_say(&s->status, "broker", "ready", NULL, "ready");
    (void)sbx_notify_send("READY=1");
    if (s->ready_fd >= 0) {
        (void)!write(s->ready_fd, "\n", 1);
        close(s->ready_fd);
        s->ready_fd = -1;
    }
}

/* Who tells when it is ready is waited for, unless it has ended for good. */
void supervisor_announce(struct supervisor *s)
{
    if (s->phase != PHASE_UP || !s->settled || s->announced)
        return;
    for (size_t i = 0; i < s->ncells; i++)
        if (member_is_awaited(&s->cells[i].member))
            return;
    supervisor_announce_now(s);
}
