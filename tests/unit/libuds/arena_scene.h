/* SPDX-License-Identifier: MIT */
#ifndef ARENA_SCENE_H
#define ARENA_SCENE_H

/* Two honest ends and large bodies between them. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include <uds/dgram.h>

#include "cleanup.h"
#include "conn/conn.h"
#include "conn/msg.h"
#include "faultsock.h"
#include "guard.h"
#include "heap.h"
#include "nofile.h"

#define LARGE (100u * 1000)
#define HUGE  (1000u * 1000)

static inline void step(uds_conn *a, uds_conn *b)
{
    for (int i = 0; i < 4; i++) {
        cr_assert_geq(uds_conn_process(a), 0, "%s", uds_conn_get_error_text(a));
        cr_assert(udsi_conn_check(a));
        cr_assert_geq(uds_conn_process(b), 0, "%s", uds_conn_get_error_text(b));
        cr_assert(udsi_conn_check(b));
    }
}

static inline uds_msg *make(uint64_t id, size_t len)
{
    uds_msg *msg = NULL;
    void *room;

    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, id, NULL, 0), 0);
    cr_assert_eq(uds_msg_reserve_body(msg, len, &room), 0);
    memset(room, (int)id, len);
    return msg;
}

static inline void send_one(uds_conn *conn, uint64_t id, size_t len)
{
    _cleanup_msg_ uds_msg *msg = make(id, len);

    cr_assert_eq(uds_conn_send(conn, msg), 0);
}

static inline bool is_all(const void *body, uint64_t id, size_t len)
{
    const uint8_t *at = body;

    return len == 0 || (at[0] == (uint8_t)id && memcmp(at, at + 1, len - 1) == 0);
}

static inline void check_body(const uds_msg *msg, uint64_t id, size_t len)
{
    size_t have;
    const void *body = uds_msg_peek_body(msg, &have);

    cr_assert_eq(uds_msg_get_id(msg), id);
    cr_assert_eq(have, len);
    cr_assert(is_all(body, id, len), "the body of message %lu is wrong", (unsigned long)id);
}

/* The next message at @to, of what @from has sent. */
static inline uds_msg *receive(uds_conn *from, uds_conn *to)
{
    uds_msg *msg = NULL;

    for (int i = 0; i < 100; i++) {
        int r = uds_conn_receive(to, &msg);

        cr_assert_geq(r, 0, "%s", uds_conn_get_error_text(to));
        cr_assert(udsi_conn_check(to));
        if (r == 1)
            return msg;
        cr_assert_geq(uds_conn_flush(from), 0);
    }
    cr_assert_fail("nothing comes");
    return NULL;
}

/* Sends bodies of @len bytes until the peer has granted an arena for them, whose slots are then all free. */
static inline void warm(uds_conn *from, uds_conn *to, size_t len)
{
    for (int i = 0; i < 2000; i++) {
        _cleanup_msg_ uds_msg *msg = NULL;

        send_one(from, 7, len);
        msg = receive(from, to);
        check_body(msg, 7, len);
        msg = uds_msg_unref(msg);
        step(from, to);
        for (unsigned j = 0; from->arenas && j < from->arenas->nown; j++) {
            if (from->arenas->own[j].slot_size >= len && from->arenas->own[j].granted) {
                cr_assert_eq(from->arenas->own[j].out, 0);
                return;
            }
        }
    }
    cr_assert_fail("no arena was made");
}

static inline void
open_pair_by(uds_conn **a, uds_conn **b, size_t arena_bytes, enum uds_body_path path)
{
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;

    options.arena_bytes = arena_bytes;
    options.body_path = path;
    cr_assert_eq(uds_conn_pair(a, b, &options), 0);
    step(*a, *b);
}

/* Which way a body goes shall not depend on the clock here. */
static inline void open_pair(uds_conn **a, uds_conn **b, size_t arena_bytes)
{
    open_pair_by(a, b, arena_bytes, UDS_BODY_PATH_ARENA);
}

static inline void open_seqpacket_pair(uds_conn **a, uds_conn **b)
{
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;

    options.body_path = UDS_BODY_PATH_ARENA;
    cr_assert_eq(uds_conn_pair_records(a, b, &options), 0);
    step(*a, *b);
}

static inline bool came_by_arena(const uds_msg *msg)
{
    return msg->lease != NULL;
}

static inline void exchange_in_order(uds_conn *a, uds_conn *b, size_t len)
{
    for (uint64_t i = 0; i < 60; i++) {
        _cleanup_msg_ uds_msg *msg = make(i, i % 3 ? len : 100);

        if (i % 4 == 0)
            cr_assert_eq(uds_msg_push_dup_fd(msg, 0), 0);
        cr_assert_eq(uds_conn_send(a, msg), 0);
    }
    for (uint64_t i = 0; i < 60; i++) {
        _cleanup_msg_ uds_msg *msg = receive(a, b);

        check_body(msg, i, i % 3 ? len : 100);
        cr_assert_eq(uds_msg_get_fd_count(msg), i % 4 == 0);
        cr_assert_eq(uds_msg_get_error(msg), 0);
    }
    step(a, b);
}

#endif
