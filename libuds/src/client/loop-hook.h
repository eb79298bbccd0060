/* SPDX-License-Identifier: MIT */
#ifndef UDSI_CLIENT_LOOP_HOOK_H
#define UDSI_CLIENT_LOOP_HOOK_H

#include <uds/client.h>

/*
 * The event glue's own on_rearm of a client, so that the application's stays free: called when what poll must wait for (fd,
 * events, timeout) may have changed outside uds_client_process(), and in every case right before the client closes its
 * socket, when uds_client_get_fd() already says -1 (udsi_conn_set_loop_hook() tells it the client). NULL removes it.
 */
void udsi_client_set_loop_hook(uds_client *client,
                               void (*hook)(uds_client *client, void *arg),
                               void *arg);

#endif
