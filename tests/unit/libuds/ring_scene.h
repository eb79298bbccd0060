/* SPDX-License-Identifier: MIT */
#ifndef RING_SCENE_H
#define RING_SCENE_H

/* Two ends with a ring between them. */

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include "cleanup.h"
#include "conn/conn.h"
#include "faultsock.h"
#include "guard.h"
#include "rawpeer.h"

#define SIZE 4096

struct ends {
    uds_conn *a, *b;
};

static inline void ends_free(struct ends *ends)
{
    (void)uds_conn_unref(ends->a);
    (void)uds_conn_unref(ends->b);
}
#define _cleanup_ends_ __attribute__((cleanup(ends_free)))

static inline struct uds_conn_options with_ring(uint32_t bytes, bool propose)
{
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;

    options.ring_bytes = bytes;
    options.ring_propose = propose;
    return options;
}

static inline struct ends ends_new(const struct uds_conn_options *a,
                                   const struct uds_conn_options *b)
{
    struct ends ends = {0};
    int pair[2];

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    cr_assert_eq(uds_conn_new(&ends.a, pair[0], a), 0);
    cr_assert_eq(uds_conn_new(&ends.b, pair[1], b), 0);
    return ends;
}

static inline int run(uds_conn *conn)
{
    int r;

    do {
        r = uds_conn_process(conn);
        cr_assert(udsi_conn_check(conn));
    } while (r == 1);
    return r;
}

/* As a loop would: process() when poll says so, until neither side has anything to do. */
static inline void settle(struct ends *ends)
{
    for (int quiet = 0, turns = 0; quiet < 2; turns++) {
        uds_conn *conn = turns & 1 ? ends->b : ends->a;
        struct pollfd pfd = {.fd = uds_conn_get_fd(conn), .events = uds_conn_get_events(conn)};
        bool due = (pfd.events && poll(&pfd, 1, 0) > 0) || uds_conn_get_timeout(conn) == 0;

        cr_assert_lt(turns, 100000, "a side is woken for nothing, again and again");
        quiet = due || turns < 2 ? 0 : quiet + 1;
        if (due || turns < 2)
            (void)run(conn);
    }
}

static inline struct ends ringed(uint32_t bytes)
{
    struct uds_conn_options a = with_ring(bytes, true), b = with_ring(bytes, false);
    struct ends ends = ends_new(&a, &b);

    settle(&ends);
    cr_assert(uds_conn_uses_ring(ends.a) && uds_conn_uses_ring(ends.b));
    return ends;
}

static inline void send_body(uds_conn *conn, uint64_t id, size_t len, size_t nfds)
{
    _cleanup_msg_ uds_msg *msg = NULL;
    uint8_t *body = calloc(1, len + 1);

    cr_assert(body);
    memset(body, (int)id, len);
    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, id, body, len), 0);
    free(body);
    for (size_t i = 0; i < nfds; i++)
        cr_assert_eq(uds_msg_push_dup_fd(msg, 0), 0);
    cr_assert_eq(uds_conn_send(conn, msg), 0);
}

static inline void expect_body(uds_conn *conn, uint64_t id, size_t len, size_t nfds)
{
    _cleanup_msg_ uds_msg *msg = NULL;
    const uint8_t *body;
    size_t got;

    cr_assert_eq(uds_conn_receive(conn, &msg), 1, "message %lu", (unsigned long)id);
    cr_assert(udsi_conn_check(conn));
    body = uds_msg_peek_body(msg, &got);
    cr_assert_eq(uds_msg_get_id(msg), id);
    cr_assert_eq(got, len);
    cr_assert_eq(uds_msg_get_fd_count(msg), nfds);
    for (size_t i = 0; i < len; i++)
        cr_assert_eq(body[i], (uint8_t)id);
}

#endif
