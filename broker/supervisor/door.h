/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_DOOR_H
#define SUPERVISOR_DOOR_H

#include <sbx/sandbox.h>

#include <sys/types.h>

#include <uds/listener.h>

/* A listener for the host's peers, who are judged by their credentials and the policy. */
struct door {
    char *address; /* as users write it */
    char *path;    /* registered with the cleaner, or NULL */
    uds_listener *listener;
    sbx_cleaner *cleaner; /* borrowed */
};

/* Listen. @mode of the socket file. 0 or -errno with @error. */
int door_open(struct door *door,
              const char *address,
              mode_t mode,
              sbx_cleaner *cleaner,
              struct sbx_error *error);
void door_close(struct door *door);

#endif
