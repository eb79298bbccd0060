/* SPDX-License-Identifier: MIT */

/* The soak's client on connections for calls: some at a time, each answered in parts; now and then one is taken back. */

#include <poll.h>

#include <uds/conn.h>
#include <uds/error.h>
#include <uds/rpc.h>

#include "soak.h"

#define OPEN_MAX  4
#define PARTS_MAX 2000 /* of one call */

struct caller {
    uds_rpc *rpc;
    unsigned open;
    uint64_t parts; /* received */
    bool leaving;   /* what is open ends by us */
};

struct stream {
    struct caller *caller;
    uint64_t next, end, given_up_at; /* parts */
};

static void on_part(uint64_t id, uds_msg *part, void *arg)
{
    struct stream *stream = arg;

    CHECK(stream->next < stream->end);
    label_check(part, stream->next++);
    stream->caller->parts++;
    if (stream->next == stream->given_up_at)
        CHECK(uds_rpc_cancel(stream->caller->rpc, id) == 0); /* on_reply runs, and frees stream */
}

static void on_reply(const struct uds_rpc_reply *reply, void *arg)
{
    struct stream *stream = arg;

    if (reply->status == UDS_STATUS_OK) {
        CHECK(stream->next == stream->end);
    } else {
        CHECK(reply->status == UDS_STATUS_CANCELLED);
        CHECK(stream->next == stream->given_up_at || stream->caller->leaving);
        tally.cancelled++;
    }
    tally.calls++;
    stream->caller->open--;
    free(stream);
}

static void start(struct caller *caller, uint64_t number)
{
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
    struct question question = {.number = number};
    struct stream *stream = calloc(1, sizeof(*stream));
    int fd = cargo_of(number);

    CHECK(stream != NULL);
    question.parts = (uint32_t)(random_next() % PARTS_MAX);
    stream->caller = caller;
    stream->end = question.parts;
    if (random_next() % 8 == 0)
        stream->given_up_at = 1 + random_next() % PARTS_MAX;
    request.body = &question;
    request.body_len = sizeof(question);
    request.fds = &fd;
    request.nfds = 1;
    request.on_part = on_part;
    request.window = (uint32_t)(1 + random_next() % 64);
    CHECK(uds_rpc_request(caller->rpc, &request, on_reply, stream, NULL) == 0);
    caller->open++;
}

static void turn(uds_conn *conn)
{
    struct pollfd pfd = {.events = uds_conn_get_events(conn)};

    pfd.fd = pfd.events ? uds_conn_get_fd(conn) : -1;
    CHECK(poll(&pfd, 1, uds_conn_get_timeout(conn)) >= 0 || errno == EINTR);
    CHECK(uds_conn_process(conn) >= 0);
    level_look();
}

uint64_t live_with_calls(const struct uds_addr *addr, uint64_t life)
{
    uint64_t number = 0;
    uds_conn *conn = connect_to(addr);
    struct caller caller = {0};

    CHECK(uds_rpc_new(&caller.rpc, conn, NULL, NULL) == 0);
    while (caller.parts < life) {
        while (caller.open < OPEN_MAX)
            start(&caller, number++);
        turn(conn);
    }
    caller.leaving = random_next() % 2;
    while (caller.open > 0 && !caller.leaving)
        turn(conn);
    (void)uds_rpc_free(caller.rpc);
    CHECK(caller.open == 0);
    if (caller.leaving) {
        tally.broken_off++;
    } else {
        CHECK(uds_conn_shutdown(conn, 0, NULL) == 0);
        (void)uds_conn_flush(conn);
        tally.in_order++;
    }
    (void)uds_conn_unref(conn);
    tally.by_calls += caller.parts;
    return caller.parts;
}
