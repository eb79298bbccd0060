/* SPDX-License-Identifier: MIT */
#ifndef THUMBNAIL_CLIENT_H
#define THUMBNAIL_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uds/client.h>
#include <uds/pb.h>

#include "thumbnail.pb-c.h"

/* One connection to the broker, one stub for the decoder behind it, and how the last call on it ended. */

enum client_exit {
    CLIENT_OK = 0,
    CLIENT_FAILED = 1, /* an image failed, or something that must be refused was not */
    CLIENT_USAGE = 2,
    CLIENT_UNREACHABLE = 3,
};

struct session {
    uds_client *client;
    uds_pb_stub *stub;
    bool json;
    uint32_t max_edge;
    const char *out; /* directory for the thumbnails */
    int timeout_ms;
    /* how the last call ended */
    uint32_t status;
    uint64_t value;
    char detail[512];
    char rule[256];
};

/* Starts one call on @service; its closure must call session_note(). */
typedef void (*session_start_fn)(ProtobufCService *service, void *arg);

/*
 * Makes a call and waits for its end. While the decoder is being (re)started, which the broker says, it is tried again
 * until the time is over. 0 and session->status says how it ended; -errno the connection failed.
 */
int session_call(
    struct session *session, session_start_fn start, void *arg, const int *fds, size_t nfds);
/* Inside a closure: keep how the call ended. */
void session_note(struct session *session);
/* "callee-oom: the words" of the last call, for people. */
void session_describe(const struct session *session, char *buf, size_t size);

/* What the program does; each returns an enum client_exit. */
int client_make(struct session *session, char **paths, int count);
int client_view(struct session *session);
int client_misbehave(struct session *session, const char *path);

#endif
