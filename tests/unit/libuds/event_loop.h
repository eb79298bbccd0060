/* SPDX-License-Identifier: MIT */
#ifndef EVENT_LOOP_H
#define EVENT_LOOP_H

#include <event2/event.h>

/* More turns than any exchange of these tests needs; none of them waits. (EVLOOP_NONBLOCK alone goes on while fds are ready.) */
static inline void settle(struct event_base *base)
{
    for (int i = 0; i < 40; i++)
        (void)event_base_loop(base, EVLOOP_NONBLOCK | EVLOOP_ONCE);
}

#endif
