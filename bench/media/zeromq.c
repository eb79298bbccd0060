/* SPDX-License-Identifier: MIT */
/*
 * ZeroMQ over its ipc transport, a peer to be measured against: PAIR for round trips, PUSH and PULL one way. Its I/O
 * thread gathers messages by itself. Only where libzmq was there when this was built.
 */
#include "media.h"

#ifndef UDS_BENCH_ZEROMQ
const struct medium medium_zeromq = {
    .name = "zeromq",
    .summary = "ZeroMQ over ipc: PAIR, and PUSH to PULL",
    .traits = MEDIUM_ONLY_BATCHES,
    .absent = "built without libzmq (Debian: libzmq3-dev)",
};
#else

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zmq.h>

#define HIGH_WATER \
    100000 /* messages; with the default of 1000 the two threads of a side wait for each other */

struct zeromq {
    char address[64];
    void *context, *socket;
};

static int open_zeromq(struct link *link)
{
    static unsigned count;
    struct zeromq *state = calloc(1, sizeof(*state));

    if (!state)
        return link_fail(link, -ENOMEM, "open");
    /* Abstract: no file is left. */
    (void)snprintf(state->address, sizeof(state->address), "ipc://@uds-bench-%d-%u", getpid(),
                   count++);
    link->state = state;
    return 0;
}

static int type_of(const struct link *link)
{
    if (!link->one_way)
        return ZMQ_PAIR;
    return link->side == SIDE_DRIVER ? ZMQ_PULL : ZMQ_PUSH;
}

static int attach(struct link *link)
{
    struct zeromq *state = link->state;
    int high_water = HIGH_WATER, soon_ms = 1;

    state->context = zmq_ctx_new();
    state->socket = state->context ? zmq_socket(state->context, type_of(link)) : NULL;
    if (!state->socket)
        return link_fail(link, -zmq_errno(), "zmq_socket");
    if (zmq_setsockopt(state->socket, ZMQ_SNDHWM, &high_water, sizeof(high_water)) < 0 ||
        zmq_setsockopt(state->socket, ZMQ_RCVHWM, &high_water, sizeof(high_water)) < 0 ||
        zmq_setsockopt(state->socket, ZMQ_RECONNECT_IVL, &soon_ms, sizeof(soon_ms)) < 0)
        return link_fail(link, -zmq_errno(), "zmq_setsockopt");
    if ((link->side == SIDE_DRIVER ? zmq_bind(state->socket, state->address)
                                   : zmq_connect(state->socket, state->address)) < 0)
        return link_fail(link, -zmq_errno(), state->address);
    return 0;
}

static void close_zeromq(struct link *link)
{
    struct zeromq *state = link->state;

    if (!state)
        return;
    if (state->socket)
        (void)zmq_close(state->socket);
    if (state->context)
        (void)zmq_ctx_term(state->context); /* waits until the end mark has gone out */
    free(state);
    link->state = NULL;
}

static int send_messages(struct link *link, size_t count)
{
    struct zeromq *state = link->state;

    for (size_t i = 0; i < count; i++)
        if (zmq_send(state->socket, body_source_next(&link->out), link->out.size, 0) < 0)
            return link_fail(link, -zmq_errno(), "zmq_send");
    return 0;
}

static int receive(struct link *link)
{
    struct zeromq *state = link->state;
    zmq_msg_t msg;
    int n, r = 1;

    (void)zmq_msg_init(&msg);
    n = zmq_msg_recv(&msg, state->socket, 0);
    if (n < 0)
        r = link_fail(link, -zmq_errno(), "zmq_msg_recv");
    else if (n == 0)
        r = 0;
    else if ((size_t)n != link->in.size)
        r = link_fail(link, -EBADMSG, "a message of another length");
    else
        body_sink_take(&link->in, zmq_msg_data(&msg), (size_t)n);
    (void)zmq_msg_close(&msg);
    return r;
}

static int finish(struct link *link)
{
    struct zeromq *state = link->state;

    return zmq_send(state->socket, "", 0, 0) < 0 ? link_fail(link, -zmq_errno(), "zmq_send") : 0;
}

const struct medium medium_zeromq = {
    .name = "zeromq",
    .summary = "ZeroMQ over ipc: PAIR, and PUSH to PULL",
    .traits = MEDIUM_ONLY_BATCHES,
    .open = open_zeromq,
    .attach = attach,
    .close = close_zeromq,
    .send = send_messages,
    .receive = receive,
    .finish = finish,
};
#endif
