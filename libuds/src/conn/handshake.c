/* SPDX-License-Identifier: MIT */

/*
 * HELLO, FINISH and GOODBYE. HELLO says what a side accepts; it is the first frame each way, and what is queued waits for the
 * peer's. FINISH says that its side has no more messages, while the other still may; when both have said so, the
 * connection is over. GOODBYE says why an orderly end comes; it is the last frame of its side, and the answer to it is
 * to send what is queued and close.
 */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <uds/error.h>

#include "cleanup.h"
#include "conn/conn.h"
#include "conn/msg.h"
#include "wire/head.h"

#define HELLO_HEAD       (3 * UDSI_FIELD_OVERHEAD + 4 + 4 + 8)
#define HELLO_HEAD_ARENA (UDSI_FIELD_OVERHEAD + 8)
_Static_assert(UDSI_HEADER_SIZE + HELLO_HEAD + HELLO_HEAD_ARENA <= UDSI_HELLO_MAX,
               "room for HELLO");

void udsi_hello_make(uds_conn *conn)
{
    struct udsi_header header = {.type = UDS_MSG_HELLO, .head_length = HELLO_HEAD};
    uint8_t *at = conn->out.hello;

    if (conn->features & UDS_FEATURE_ARENA)
        header.head_length += HELLO_HEAD_ARENA;
    udsi_header_encode(&header, at);
    at += UDSI_HEADER_SIZE;
    udsi_head_put_u32(at, UDSI_FIELD_MAX_BODY, conn->in.limits.max_body);
    at += UDSI_FIELD_OVERHEAD + 4;
    udsi_head_put_u32(at, UDSI_FIELD_MAX_FDS, conn->in.limits.max_fds);
    at += UDSI_FIELD_OVERHEAD + 4;
    udsi_head_put_u64(at, UDSI_FIELD_FEATURES, conn->features);
    at += UDSI_FIELD_OVERHEAD + 8;
    if (conn->features & UDS_FEATURE_ARENA)
        udsi_head_put_u64(at, UDSI_FIELD_ARENA_MAX, conn->arena_bytes);
    conn->out.hello_len = (uint8_t)(UDSI_HEADER_SIZE + header.head_length);
    conn->out.hello_sent = 0;
}

static bool is_plain(const uds_msg *msg)
{
    return msg->id == 0 && msg->body_len == 0 && msg->nfds == 0 && msg->error == 0;
}

/* Only tags of [first, last], and such as may be skipped. */
static bool has_only(const uds_msg *msg, uint16_t first, uint16_t last)
{
    size_t pos = 0, len;
    const void *data;
    uint16_t tag;

    while (uds_msg_next(msg, &pos, &tag, &data, &len) > 0) {
        if (!(tag & 0x8000u) && (tag < first || tag > last))
            return false;
    }
    return true;
}

/* Messages that were queued before the peer's limits were known must keep them too. */
static bool queue_keeps_limits(const uds_conn *conn)
{
    for (size_t i = 0; i < conn->out.count; i++) {
        const struct udsi_out *out = udsi_sendq_at(&conn->out, i);

        if (out->body_len > conn->peer_max_body || out->nfds > conn->peer_max_fds)
            return false;
    }
    return true;
}

void udsi_hello_take(uds_conn *conn, const uds_msg *msg)
{
    uint32_t max_body, max_fds;
    uint64_t features = 0, arena_max = 0;

    if (conn->peer_max_body != 0 || conn->out.released) {
        udsi_conn_fail_rule(conn, UDSI_RULE_HELLO_ONCE);
    } else if (!is_plain(msg)) {
        udsi_conn_fail_rule(conn, UDSI_RULE_HELLO_PLAIN);
    } else if (!has_only(msg, UDSI_FIELD_MAX_BODY, UDSI_FIELD_FEATURES)) {
        udsi_conn_fail_rule(conn, UDSI_RULE_CRITICAL_FIELD);
    } else if (uds_msg_get_u32(msg, UDSI_FIELD_MAX_BODY, &max_body) < 0 ||
               uds_msg_get_u32(msg, UDSI_FIELD_MAX_FDS, &max_fds) < 0 || max_fds > UDS_FDS_MAX ||
               uds_msg_get_u64(msg, UDSI_FIELD_FEATURES, &features) == -EBADMSG ||
               uds_msg_get_u64(msg, UDSI_FIELD_ARENA_MAX, &arena_max) == -EBADMSG) {
        udsi_conn_fail_rule(conn, UDSI_RULE_HELLO_LIMITS);
    } else {
        conn->peer_max_body = max_body;
        conn->peer_max_fds = max_fds;
        conn->peer_arena_bytes = arena_max;
        conn->in.limits.features = conn->features & features;
        conn->out.released = true;
        udsi_arena_tell_slot(conn);
        if (conn->state == UDSI_CONN_OPENING)
            conn->state = UDSI_CONN_OPEN;
        udsi_heartbeat_start(conn);
        if (!queue_keeps_limits(conn))
            udsi_conn_fail(conn, -EMSGSIZE,
                           "a message queued before the peer's HELLO is over the "
                           "limits that it announced");
        udsi_ring_propose(conn);
    }
}

int udsi_goodbye_queue(uds_conn *conn, uint32_t status, const char *reason)
{
    _cleanup_msg_ uds_msg *msg = NULL;
    int r = udsi_msg_alloc(&msg, UDS_MSG_GOODBYE, 0, 0, 0);

    if (r == 0)
        r = uds_msg_add_u32(msg, UDS_FIELD_STATUS, status);
    if (r == 0 && reason)
        r = uds_msg_add_bytes(msg, UDS_FIELD_DETAIL, reason, strnlen(reason, UDS_HEAD_MAX / 2));
    if (r < 0)
        return r;
    msg->sealed = true;
    return udsi_sendq_push(&conn->out, UDS_MSG_GOODBYE, 0, NULL, 0, msg, false);
}

void udsi_goodbye_take(uds_conn *conn, const uds_msg *msg)
{
    uint32_t status = UDS_STATUS_OK;
    char detail[128];

    if (!is_plain(msg)) {
        udsi_conn_fail_rule(conn, UDSI_RULE_GOODBYE_PLAIN);
        return;
    }
    if (!has_only(msg, UDS_FIELD_STATUS, UDS_FIELD_DETAIL)) {
        udsi_conn_fail_rule(conn, UDSI_RULE_CRITICAL_FIELD);
        return;
    }
    if (uds_msg_get_u32(msg, UDS_FIELD_STATUS, &status) < 0)
        status = UDS_STATUS_OK; /* absent means OK */
    if (uds_msg_get_string(msg, UDS_FIELD_DETAIL, detail, sizeof(detail)) < 0)
        detail[0] = '\0';
    (void)snprintf(conn->text, sizeof(conn->text), "the peer said goodbye: status %u%s%s", status,
                   detail[0] ? ": " : "", detail);
    conn->peer_done = true;
    if (conn->state < UDSI_CONN_CLOSING)
        conn->state = UDSI_CONN_CLOSING;
}

int uds_conn_finish(uds_conn *conn)
{
    int r;

    if (conn->state >= UDSI_CONN_CLOSING || conn->send_error != 0)
        return -ENOTCONN;
    if (conn->said_finish)
        return -EALREADY;
    if (!conn->out.released)
        return -EAGAIN;
    if (!(conn->in.limits.features & UDS_FEATURE_FINISH))
        return -EOPNOTSUPP;
    r = udsi_sendq_push(&conn->out, UDS_MSG_FINISH, 0, NULL, 0, NULL, false);
    if (r < 0)
        return r;
    conn->said_finish = true;
    udsi_conn_rearm(conn);
    return 0;
}

void udsi_finish_take(uds_conn *conn, const uds_msg *msg)
{
    if (!is_plain(msg) || msg->head_len > 0) {
        udsi_conn_fail_rule(conn, UDSI_RULE_FINISH_PLAIN);
    } else if (conn->peer_finished) {
        udsi_conn_fail_rule(conn, UDSI_RULE_FINISH_LAST);
    } else {
        conn->peer_finished = conn->finish_due = true;
        udsi_conn_end_if_finished(conn);
    }
}
