/* SPDX-License-Identifier: MIT */
#ifndef UDSI_EVENT_INTERNAL_H
#define UDSI_EVENT_INTERNAL_H

#include <uds/event.h>

/* First member of everything that uds_event_detach() can be given. */
struct uds_event {
    void (*detach)(uds_event *event); /* gives up the caller's reference */
};

#endif
