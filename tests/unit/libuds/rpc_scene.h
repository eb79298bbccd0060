/* SPDX-License-Identifier: MIT */
#ifndef RPC_SCENE_H
#define RPC_SCENE_H

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include <uds/error.h>
#include <uds/rpc.h>

#include "cleanup.h"
#include "conn/conn.h"
#include "guard.h"

/* A caller with an rpc, and the other end: a bare connection that says what the test says. */
struct scene {
    uds_conn *conn, *peer;
    uds_rpc *rpc;
};

struct seen {
    unsigned replies, closes, messages, calls;
    uint32_t status;
    uint64_t value;
    char detail[1100], rule[300];
    size_t body_len, nfds;
    int close_error;
    uds_rpc_call *call;
    uds_rpc *free_in_callback;
    uds_rpc *cancel_in;
    uint64_t cancel_id;
    size_t unfinished;
};

static inline void on_reply(const struct uds_rpc_reply *reply, void *arg)
{
    struct seen *seen = arg;

    seen->replies++;
    seen->status = reply->status;
    seen->value = reply->value;
    (void)snprintf(seen->detail, sizeof(seen->detail), "%s", reply->detail);
    (void)snprintf(seen->rule, sizeof(seen->rule), "%s", reply->rule);
    if (reply->msg) {
        (void)uds_msg_peek_body(reply->msg, &seen->body_len);
        seen->nfds = uds_msg_get_fd_count(reply->msg);
    }
    if (seen->cancel_in)
        (void)uds_rpc_cancel(seen->cancel_in, seen->cancel_id);
    if (seen->free_in_callback) {
        (void)uds_rpc_free(seen->free_in_callback);
        seen->free_in_callback = NULL;
    }
}

static inline void on_call(uds_rpc_call *call, void *arg)
{
    struct seen *seen = arg;

    seen->calls++;
    seen->call = call;
}

static inline void on_close(uds_conn *conn, int error, void *arg)
{
    struct seen *seen = arg;

    (void)conn;
    seen->closes++;
    seen->close_error = error;
}

static inline void on_message(uds_conn *conn, uds_msg *msg, void *arg)
{
    struct seen *seen = arg;

    (void)conn;
    seen->messages++;
    (void)uds_msg_unref(msg);
}

static inline void on_unfinished(uds_conn *conn, size_t bytes, size_t fds, void *arg)
{
    struct seen *seen = arg;

    (void)conn;
    (void)fds;
    seen->unfinished = bytes;
}

static inline void turn(struct scene *scene)
{
    for (int i = 0; i < 4; i++) {
        if (scene->conn)
            (void)uds_conn_process(scene->conn);
        if (scene->peer)
            (void)uds_conn_process(scene->peer);
    }
}

static inline void scene_make(struct scene *scene, struct seen *seen)
{
    struct uds_conn_callbacks fallback = {
        .on_message = on_message, .on_close = on_close, .on_unfinished = on_unfinished};

    memset(seen, 0, sizeof(*seen));
    cr_assert_eq(uds_conn_pair(&scene->conn, &scene->peer, NULL), 0);
    cr_assert_eq(uds_rpc_new(&scene->rpc, scene->conn, &fallback, seen), 0);
    turn(scene);
}

static inline void scene_end(struct scene *scene)
{
    scene->rpc = uds_rpc_free(scene->rpc);
    scene->conn = uds_conn_unref(scene->conn);
    scene->peer = uds_conn_unref(scene->peer);
}

/* What came at the bare end; NULL if nothing. */
static inline uds_msg *peer_receive(struct scene *scene)
{
    uds_msg *msg = NULL;

    (void)uds_conn_process(scene->conn);
    (void)uds_conn_process(scene->peer);
    return uds_conn_receive(scene->peer, &msg) == 1 ? msg : NULL;
}

static inline enum uds_msg_type peer_receive_type(struct scene *scene, uint64_t *ret_id)
{
    uds_msg *msg = peer_receive(scene);

    if (!msg)
        return 0;
    enum uds_msg_type type = uds_msg_get_type(msg);
    *ret_id = uds_msg_get_id(msg);
    (void)uds_msg_unref(msg);
    return type;
}

/* A message of the bare end with any fields; @status UINT32_MAX = none. */
static inline void
peer_send(struct scene *scene, enum uds_msg_type type, uint64_t id, uint32_t status)
{
    _cleanup_msg_ uds_msg *msg = NULL;

    cr_assert_eq(uds_msg_new(&msg, type, id, "body", 4), 0);
    if (status != UINT32_MAX)
        cr_assert_eq(uds_msg_add_u32(msg, UDS_FIELD_STATUS, status), 0);
    cr_assert_eq(uds_conn_send(scene->peer, msg), 0);
}

static inline uint64_t request(struct scene *scene, struct seen *seen, int timeout_ms)
{
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
    uint64_t id = 0;

    request.method = "m";
    request.timeout_ms = timeout_ms;
    cr_assert_eq(uds_rpc_request(scene->rpc, &request, on_reply, seen, &id), 0);
    cr_assert_neq(id, 0);
    return id;
}

#endif
