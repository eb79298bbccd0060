/* SPDX-License-Identifier: MIT */
#ifndef RPC_STREAM_H
#define RPC_STREAM_H

/* A stream of which one side has an rpc, and the other is a bare connection that says what the test says. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include <uds/error.h>
#include <uds/rpc.h>

#include "cleanup.h"
#include "guard.h"
#include "rawpeer.h"
#include "rpc/rpc.h"

struct seen {
    unsigned parts, replies, calls, cancels, credits;
    uint32_t status;
    uint64_t value;
    char detail[200];
    char order[64]; /* first byte of each part's body; '.' for the reply */
    size_t nfds;
    uds_rpc_call *call;
    uds_rpc *rpc; /* to be freed or cancelled in a callback */
    uint64_t cancel_id;
    bool free_in_part, cancel_in_part, answer_in_cancel, free_in_cancel, send_in_credit;
};

/* One side has an rpc, the other is a bare connection that says what the test says. */
struct scene {
    uds_conn *conn, *peer;
    uds_rpc *rpc;
    struct seen seen;
};

static inline void on_part(uint64_t id, uds_msg *part, void *arg)
{
    struct seen *seen = arg;
    size_t len;
    const char *body = uds_msg_peek_body(part, &len);

    (void)id;
    if (seen->parts + 1 < sizeof(seen->order))
        seen->order[seen->parts] = len > 0 ? body[0] : '0';
    seen->parts++;
    seen->nfds += uds_msg_get_fd_count(part);
    if (seen->cancel_in_part)
        cr_expect_eq(uds_rpc_cancel(seen->rpc, id), 0);
    if (seen->free_in_part)
        seen->rpc = uds_rpc_free(seen->rpc);
}

static inline void on_reply(const struct uds_rpc_reply *reply, void *arg)
{
    struct seen *seen = arg;

    seen->replies++;
    seen->status = reply->status;
    (void)snprintf(seen->detail, sizeof(seen->detail), "%s", reply->detail);
}

static inline void on_cancel(uds_rpc_call *call, void *arg)
{
    struct seen *seen = arg;

    seen->cancels++;
    cr_expect_neq(uds_rpc_call_is_cancelled(call), 0);
    cr_expect_lt(uds_rpc_call_send_part(call, "x", 1, NULL, 0), 0);
    if (seen->answer_in_cancel) {
        cr_expect_eq(uds_rpc_call_fail(call, UDS_STATUS_CANCELLED, 0, NULL), 0);
        seen->call = NULL;
    }
    if (seen->free_in_cancel)
        seen->rpc = uds_rpc_free(seen->rpc);
}

static inline void on_credit(uds_rpc_call *call, void *arg)
{
    struct seen *seen = arg;

    seen->credits++;
    while (seen->send_in_credit && uds_rpc_call_send_part(call, "c", 1, NULL, 0) == 0)
        ;
}

static inline void on_call(uds_rpc_call *call, void *arg)
{
    static const struct uds_rpc_call_callbacks callbacks = {.on_cancel = on_cancel,
                                                            .on_credit = on_credit};
    struct seen *seen = arg;

    seen->calls++;
    seen->call = call;
    uds_rpc_call_set_callbacks(call, &callbacks, arg);
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

static inline void scene_make_with(struct scene *scene, const struct uds_conn_options *options)
{
    memset(scene, 0, sizeof(*scene));
    cr_assert_eq(uds_conn_pair(&scene->conn, &scene->peer, options), 0);
    cr_assert_eq(uds_rpc_new(&scene->rpc, scene->conn, NULL, NULL), 0);
    scene->seen.rpc = scene->rpc;
    uds_rpc_set_handler(scene->rpc, on_call, &scene->seen, 0);
    turn(scene);
}

static inline void scene_make(struct scene *scene)
{
    scene_make_with(scene, NULL);
}

static inline void scene_end(struct scene *scene)
{
    if (scene->seen.rpc)
        (void)uds_rpc_free(scene->rpc);
    (void)uds_conn_unref(scene->conn);
    (void)uds_conn_unref(scene->peer);
}

/* ---- the bare end ---- */

static inline uds_msg *peer_receive(struct scene *scene)
{
    uds_msg *msg = NULL;

    turn(scene);
    return uds_conn_receive(scene->peer, &msg) == 1 ? msg : NULL;
}

/* Nothing, or the type of the next frame, with its WINDOW (0: none) and STATUS. */
static inline int peer_next(struct scene *scene, uint32_t *ret_window, uint32_t *ret_status)
{
    _cleanup_msg_ uds_msg *msg = peer_receive(scene);

    *ret_window = *ret_status = 0;
    if (!msg)
        return 0;
    (void)!uds_msg_get_u32(msg, UDS_FIELD_WINDOW, ret_window);
    (void)!uds_msg_get_u32(msg, UDS_FIELD_STATUS, ret_status);
    return (int)uds_msg_get_type(msg);
}

static inline int peer_next_type(struct scene *scene)
{
    uint32_t window, status;

    return peer_next(scene, &window, &status);
}

static inline void
peer_send(struct scene *scene, enum uds_msg_type type, uint64_t id, uint16_t tag, uint32_t value)
{
    _cleanup_msg_ uds_msg *msg = NULL;

    cr_assert_eq(uds_msg_new(&msg, type, id, NULL, 0), 0);
    if (tag != 0)
        cr_assert_eq(uds_msg_add_u32(msg, tag, value), 0);
    cr_assert_eq(uds_conn_send(scene->peer, msg), 0);
}

static inline void peer_part(struct scene *scene, uint64_t id, const char *body)
{
    _cleanup_msg_ uds_msg *msg = NULL;

    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_PART, id, body, strlen(body)), 0);
    cr_assert_eq(uds_conn_send(scene->peer, msg), 0);
}

/* A REQUEST of the bare end that asks for a stream. */
static inline uds_rpc_call *peer_call(struct scene *scene, uint64_t id, uint32_t window)
{
    scene->seen.call = NULL;
    peer_send(scene, UDS_MSG_REQUEST, id, UDS_FIELD_WINDOW, window);
    turn(scene);
    cr_assert_not_null(scene->seen.call);
    return scene->seen.call;
}

/* ---- our end ---- */

static inline uint64_t stream_by(struct scene *scene, uint32_t window, bool by_hand, int timeout_ms)
{
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
    uint64_t id = 0;

    request.on_part = on_part;
    request.window = window;
    request.credit_by_hand = by_hand;
    request.timeout_ms = timeout_ms;
    cr_assert_eq(uds_rpc_request(scene->rpc, &request, on_reply, &scene->seen, &id), 0);
    return id;
}

/* … and takes the REQUEST off the other end. */
static inline uint64_t stream(struct scene *scene, uint32_t window)
{
    uint64_t id = stream_by(scene, window, false, -1);
    uint32_t seen_window, status;

    cr_assert_eq(peer_next(scene, &seen_window, &status), UDS_MSG_REQUEST);
    cr_assert_eq(seen_window, window);
    return id;
}

#endif
