/* SPDX-License-Identifier: MIT */
/*
 * libuds with its blocking calls, as an application without a loop uses it: a message is made for each body, sent by
 * uds_conn_send_wait(), received by uds_conn_receive_wait(). A batch is queued by uds_conn_send() and goes out with its
 * last message.
 *
 * A descriptor is handed over as in stream.c: pushed into the message, taken out of it on the other side.
 *
 * Large bodies find their way by themselves. Three more media fix it: libuds-inline, inside their frames; libuds-slots, in
 * shared memory; libuds-uncached, the same, written past the caches. They are what the choice is held against. libuds-arena
 * writes and reads bodies in place, in shared memory if that is found to be faster. With libuds-ring the frames themselves go through shared memory: attach() does not return before both directions do.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include <uds/conn.h>
#include <uds/msg.h>

#include "media.h"

#define HEADER       24          /* docs/protocol.md: of every frame */
#define OVERHEAD     32          /* of a record, see record.c */
#define RING_BYTES   (256 << 10) /* about what the buffer of a Unix socket holds */
#define RING_BLOCK   16 /* the clock costs a good part of a round trip that nobody sleeps in */
#define RING_WAIT_MS 5000

struct libuds {
    int sockets[2]; /* -1 closed, or the connection's */
    uds_conn *conn;
};

static bool is_in_place(const struct link *link)
{
    return link->medium == &medium_libuds_arena;
}

static int open_type(struct link *link, int type)
{
    struct libuds *state = calloc(1, sizeof(*state));
    int room;
    socklen_t len = sizeof(room);

    if (!state)
        return link_fail(link, -ENOMEM, "open");
    state->sockets[0] = state->sockets[1] = -1;
    link->state = state;
    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, state->sockets) < 0)
        return link_fail(link, -errno, "socketpair");
    if (type != SOCK_SEQPACKET)
        return 0;
    if (getsockopt(state->sockets[0], SOL_SOCKET, SO_SNDBUF, &room, &len) < 0)
        return link_fail(link, -errno, "SO_SNDBUF");
    if (link->out.size > (size_t)room - OVERHEAD - HEADER ||
        link->in.size > (size_t)room - OVERHEAD - HEADER)
        return link_fail(link, -EMSGSIZE, "a record that large");
    return 0;
}

static int open_stream(struct link *link)
{
    return open_type(link, SOCK_STREAM);
}

static int open_seqpacket(struct link *link)
{
    return open_type(link, SOCK_SEQPACKET);
}

/* Until the connection is to be driven again. 1, 0: nothing happened for so long, or -errno. */
static int wait_for(const uds_conn *conn, int timeout_ms)
{
    struct pollfd pfd = {.events = uds_conn_get_events(conn)};
    int own = uds_conn_get_timeout(conn), r;

    pfd.fd = pfd.events ? uds_conn_get_fd(conn) : -1;
    r = poll(&pfd, 1, own >= 0 ? own : timeout_ms);
    return r < 0 ? -errno : r > 0 || own >= 0;
}

/* The driver offers, the peer takes. */
static int await_ring(struct link *link)
{
    struct libuds *state = link->state;
    int r;

    while ((r = uds_conn_process(state->conn)) >= 0 && !uds_conn_uses_ring(state->conn)) {
        if (r == 0)
            r = wait_for(state->conn, RING_WAIT_MS);
        if (r <= 0)
            return link_fail(link, r < 0 ? r : -ETIMEDOUT, "agree on a ring");
    }
    return r < 0 ? link_fail(link, r, "uds_conn_process") : 0;
}

static int attach(struct link *link)
{
    bool with_ring = link->medium == &medium_libuds_ring;
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    struct libuds *state = link->state;
    int r;

    (void)close(state->sockets[1 - link->side]);
    state->sockets[1 - link->side] = -1;
    if (link->medium == &medium_libuds_inline)
        options.body_path = UDS_BODY_PATH_IN_FRAMES;
    if (link->medium == &medium_libuds_slots)
        options.body_path = UDS_BODY_PATH_ARENA;
    if (link->medium == &medium_libuds_uncached)
        options.body_path = UDS_BODY_PATH_UNCACHED;
    if (with_ring) {
        options.ring_bytes = RING_BYTES;
        options.ring_propose = link->side == SIDE_DRIVER;
    }
    r = uds_conn_new(&state->conn, state->sockets[link->side], &options);
    if (r < 0)
        return link_fail(link, r, "uds_conn_new");
    state->sockets[link->side] = -1;
    return with_ring ? await_ring(link) : 0;
}

static void close_libuds(struct link *link)
{
    struct libuds *state = link->state;

    if (!state)
        return;
    for (int side = 0; side < 2; side++)
        if (state->sockets[side] >= 0)
            (void)close(state->sockets[side]);
    (void)uds_conn_unref(state->conn);
    free(state);
    link->state = NULL;
}

/* The body is written where the peer will read it. */
static int make_in_place(struct link *link, uds_msg **ret)
{
    struct libuds *state = link->state;
    uds_msg *msg;
    void *room;
    int r = uds_msg_new(&msg, UDS_MSG_MESSAGE, 0, NULL, 0);

    if (r < 0)
        return r;
    r = uds_conn_reserve_body(state->conn, msg, link->out.size, &room);
    if (r < 0) {
        (void)uds_msg_unref(msg);
        return r;
    }
    memcpy(room, body_source_next(&link->out), link->out.size);
    *ret = msg;
    return 0;
}

static int make(struct link *link, uds_msg **ret)
{
    int r = is_in_place(link) ? make_in_place(link, ret)
                              : uds_msg_new(ret, UDS_MSG_MESSAGE, 0, body_source_next(&link->out),
                                            link->out.size);

    if (r < 0 || link->fd < 0)
        return r;
    r = uds_msg_push_fd(*ret, link->fd);
    if (r < 0) {
        *ret = uds_msg_unref(*ret);
        return r;
    }
    link->fd = -1;
    return 0;
}

static int send_messages(struct link *link, size_t count)
{
    struct libuds *state = link->state;

    for (size_t i = 1; i <= count; i++) {
        uds_msg *msg;
        int r = make(link, &msg);

        if (r < 0)
            return link_fail(link, r, "uds_msg_new");
        r = i < count ? uds_conn_send(state->conn, msg) : uds_conn_send_wait(state->conn, msg, -1);
        (void)uds_msg_unref(msg);
        if (r < 0)
            return link_fail(link, r, "uds_conn_send");
    }
    return 0;
}

static int receive(struct link *link)
{
    struct libuds *state = link->state;
    const void *body;
    uds_msg *msg;
    size_t len;
    int r = uds_conn_receive_wait(state->conn, &msg, -1);

    if (r < 0)
        return r == -ESHUTDOWN ? 0 : link_fail(link, r, "uds_conn_receive_wait");
    body = is_in_place(link) ? uds_msg_peek_body_shared(msg, &len) : uds_msg_peek_body(msg, &len);
    if (len == link->in.size)
        body_sink_take(&link->in, body, len);
    else
        r = link_fail(link, -EBADMSG, "a message of another length");
    if (r == 0 && link->with_fd) {
        link->fd = uds_msg_take_fd(msg, 0);
        if (link->fd < 0)
            r = link_fail(link, link->fd, "uds_msg_take_fd");
    }
    (void)uds_msg_unref(msg);
    return r < 0 ? r : 1;
}

/* An orderly end: GOODBYE has gone out, or the other side has said it. */
static int finish(struct link *link)
{
    struct libuds *state = link->state;
    int r = uds_conn_shutdown(state->conn, 0, NULL);

    if (r < 0)
        return link_fail(link, r, "uds_conn_shutdown");
    while ((r = uds_conn_process(state->conn)) >= 0) {
        if (r == 0)
            r = wait_for(state->conn, -1);
        if (r < 0)
            return link_fail(link, r, "poll");
    }
    return r == -ESHUTDOWN ? 0 : link_fail(link, r, "uds_conn_process");
}

#define LIBUDS_VERBS                                                                    \
    .attach = attach, .close = close_libuds, .send = send_messages, .receive = receive, \
    .finish = finish

const struct medium medium_libuds = {
    .name = "libuds",
    .summary = "libuds, blocking calls, over a Unix stream socketpair",
    .traits = MEDIUM_CARRIES_FDS,
    .open = open_stream,
    LIBUDS_VERBS,
};

const struct medium medium_libuds_inline = {
    .name = "libuds-inline",
    .summary = "the same, large bodies always inside their frames",
    .traits = MEDIUM_CARRIES_FDS,
    .open = open_stream,
    LIBUDS_VERBS,
};

const struct medium medium_libuds_slots = {
    .name = "libuds-slots",
    .summary = "the same, large bodies always in an arena",
    .traits = MEDIUM_CARRIES_FDS,
    .open = open_stream,
    LIBUDS_VERBS,
};

const struct medium medium_libuds_uncached = {
    .name = "libuds-uncached",
    .summary = "the same, written past the caches",
    .traits = MEDIUM_CARRIES_FDS,
    .open = open_stream,
    LIBUDS_VERBS,
};

const struct medium medium_libuds_arena = {
    .name = "libuds-arena",
    .summary = "libuds, large bodies written and read in place",
    .traits = MEDIUM_CARRIES_FDS,
    .open = open_stream,
    LIBUDS_VERBS,
};

const struct medium medium_libuds_ring = {
    .name = "libuds-ring",
    .summary = "libuds, blocking calls, frames through a ring in shared memory",
    .traits = MEDIUM_CARRIES_FDS,
    .block = RING_BLOCK,
    .open = open_stream,
    LIBUDS_VERBS,
};

const struct medium medium_libuds_seqpacket = {
    .name = "libuds-seqpacket",
    .summary = "libuds, blocking calls, over a Unix SEQPACKET socketpair",
    .traits = MEDIUM_CARRIES_FDS,
    .open = open_seqpacket,
    LIBUDS_VERBS,
};
