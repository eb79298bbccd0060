/* SPDX-License-Identifier: MIT */

/*
 * Calls with a hostile other side, in both roles at once: the input is a list of deeds at the bare end of the socket (any
 * REQUEST, REPLY, CANCEL, PART, CREDIT with ids that meet ours, any head, fds) and at ours (request, stream, grant,
 * cancel, answer, send parts, free), also from inside the callbacks.
 *
 * Every request ends exactly once, no call is cancelled twice, the rpc's sums are right after each deed, and at the end no
 * descriptor is left. Built and run by tests/fuzz/run.sh.
 */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include "cleanup.h"
#include "fuzz.h"
#include "rawpeer.h"
#include "rpc/rpc.h"
#include "wire/cursor.h"
#include "wire/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CALLS_MAX 16

enum deed {
    DEED_FRAME,
    DEED_FIELDS,
    DEED_PROCESS,
    DEED_REQUEST,
    DEED_STREAM,
    DEED_GRANT,
    DEED_CANCEL,
    DEED_PART,
    DEED_ANSWER,
    DEED_FAIL,
    DEED_TIMEOUTS,
    DEED_DRAIN,
    DEED_CLOSE,
    DEED_FREE,
    DEED_COUNT,
};

struct scene {
    struct udsi_reader in;
    uds_conn *conn;
    uds_rpc *rpc; /* NULL once freed */
    int peer;
    unsigned depth; /* of callbacks */
    unsigned requests, replies;
    uds_rpc_call *calls[CALLS_MAX];
    bool cancelled[CALLS_MAX];
};

static void act(struct scene *scene);

/* A callback may do anything. */
static void act_inside(struct scene *scene)
{
    if (scene->depth >= 3)
        return;
    scene->depth++;
    if (udsi_read_u8(&scene->in) & 1)
        act(scene);
    scene->depth--;
}

static void on_reply(const struct uds_rpc_reply *reply, void *arg)
{
    struct scene *scene = arg;

    if (strlen(reply->detail) > UDSI_DETAIL_MAX)
        abort();
    scene->replies++;
    act_inside(scene);
}

static void on_part(uint64_t id, uds_msg *part, void *arg)
{
    (void)id;
    if (udsi_read_u8(&((struct scene *)arg)->in) & 1) {
        int fd = uds_msg_take_fd(part, 0);

        udsi_close(fd);
    }
    act_inside(arg);
}

static size_t slot_of(const struct scene *scene, const uds_rpc_call *call)
{
    size_t i = 0;

    while (i < CALLS_MAX && scene->calls[i] != call)
        i++;
    if (i == CALLS_MAX)
        abort();
    return i;
}

static void on_cancel(uds_rpc_call *call, void *arg)
{
    struct scene *scene = arg;
    size_t i = slot_of(scene, call);

    if (scene->cancelled[i] || !uds_rpc_call_is_cancelled(call))
        abort();
    scene->cancelled[i] = true;
    act_inside(scene);
}

static void on_credit(uds_rpc_call *call, void *arg)
{
    if (uds_rpc_call_is_cancelled(call))
        abort();
    act_inside(arg);
}

static void on_call(uds_rpc_call *call, void *arg)
{
    static const struct uds_rpc_call_callbacks callbacks = {.on_cancel = on_cancel,
                                                            .on_credit = on_credit};
    struct scene *scene = arg;
    size_t i = slot_of(scene, NULL); /* the limit is CALLS_MAX: there is one */

    scene->calls[i] = call;
    scene->cancelled[i] = false;
    uds_rpc_call_set_callbacks(call, &callbacks, scene);
    act_inside(scene);
}

/* One of the open calls, taken out of the list if @out. */
static uds_rpc_call *pick(struct scene *scene, bool out)
{
    size_t i = udsi_read_u8(&scene->in) % CALLS_MAX;
    uds_rpc_call *call = scene->calls[i];

    if (out)
        scene->calls[i] = NULL;
    return call;
}

static void deed_frame(struct scene *scene, bool fields)
{
    static uint8_t bytes[3000];
    uint8_t head[64];
    struct raw_frame frame = {
        .type = (uint8_t)(16 + udsi_read_u8(&scene->in) % 5),
        .id = udsi_read_u8(&scene->in) % 9,
        .claimed_fds = udsi_read_u8(&scene->in) & 3,
        .body = bytes,
        .body_len = udsi_read_u8(&scene->in),
    };

    if (fields) {
        static const uint16_t tags[] = {3, 4, 14, 0x8001};

        frame.head_len = 8;
        udsi_head_put_u32(head, tags[udsi_read_u8(&scene->in) & 3],
                          udsi_read_u8(&scene->in) & 1 ? udsi_read_u8(&scene->in)
                                                       : udsi_read_u32(&scene->in));
    } else {
        frame.head_len = udsi_read_u8(&scene->in) % sizeof(head);
        if (frame.head_len > scene->in.left)
            frame.head_len = scene->in.left;
        if (frame.head_len > 0)
            memcpy(head, udsi_read_bytes(&scene->in, frame.head_len), frame.head_len);
    }
    frame.head = head;
    (void)raw_send_frame(scene->peer, &frame, 0, frame.claimed_fds);
}

static void deed_request(struct scene *scene, bool stream)
{
    static const int fds[] = {0, 0};
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
    uint8_t flags = udsi_read_u8(&scene->in);

    request.method = flags & 1 ? "m" : NULL;
    request.fds = fds;
    request.nfds = (flags >> 1) & 1;
    request.timeout_ms = flags & 4 ? 0 : -1;
    if (stream) {
        request.on_part = on_part;
        request.window = flags >> 5;
        request.credit_by_hand = (flags & 8) != 0;
    }
    if (uds_rpc_request(scene->rpc, &request, on_reply, scene, NULL) == 0)
        scene->requests++;
}

static void deed_part(struct scene *scene)
{
    static uint8_t body[300000];
    uds_rpc_call *call = pick(scene, false);
    size_t len = udsi_read_u8(&scene->in) & 1 ? sizeof(body) : 3;
    int fd = dup(0);

    if (!call || uds_rpc_call_send_part(call, body, len, &fd, 1) < 0)
        udsi_close(fd);
}

static void deed_answer(struct scene *scene, bool fail)
{
    uds_rpc_call *call = pick(scene, true);

    if (call && fail)
        (void)uds_rpc_call_fail(call, udsi_read_u8(&scene->in), 1, "no");
    else if (call)
        (void)uds_rpc_call_reply(call, "yes", 3, NULL, 0);
}

/* rpc.h, I1 to I5. */
static void check(const struct scene *scene)
{
    const uds_rpc *rpc = scene->rpc;
    size_t bytes = 0, fds = 0, count = 0, line = 0;
    const uds_rpc_call *call;

    if (!rpc)
        return;
    for (struct udsi_id *item = rpc->calls.first; item; item = item->next) {
        call = (const uds_rpc_call *)item;
        if (call->rpc != rpc || call->credit > UDS_RPC_WINDOW_MAX)
            abort();
        bytes += call->bytes;
        fds += call->fds;
        line += call->in_line;
        count++;
    }
    TAILQ_FOREACH(call, &rpc->line, by_line)
    line--;
    if (line != 0 || count != rpc->calls.count || bytes != rpc->call_bytes ||
        fds != rpc->call_fds || count > CALLS_MAX)
        abort();
    for (struct udsi_id *item = rpc->pending.first; item; item = item->next) {
        const struct udsi_pending *pending = (const struct udsi_pending *)item;

        if (pending->credit > UDS_RPC_WINDOW_MAX || (!pending->on_part && pending->credit > 0))
            abort();
    }
    if (rpc->pending.count != scene->requests - scene->replies && scene->depth == 0)
        abort();
}

static void act(struct scene *scene)
{
    enum deed deed = (enum deed)(udsi_read_u8(&scene->in) % DEED_COUNT);
    uint64_t id;

    if (!scene->rpc && deed != DEED_ANSWER && deed != DEED_FAIL && deed != DEED_PART)
        return;
    switch (deed) {
    case DEED_FRAME:
    case DEED_FIELDS:
        deed_frame(scene, deed == DEED_FIELDS);
        break;
    case DEED_PROCESS:
        if (scene->depth == 0)
            (void)uds_conn_process(scene->conn);
        break;
    case DEED_REQUEST:
    case DEED_STREAM:
        deed_request(scene, deed == DEED_STREAM);
        break;
    case DEED_GRANT:
        id = udsi_read_u8(&scene->in) % 9;
        (void)!uds_rpc_grant(scene->rpc, id, udsi_read_u32(&scene->in) % (2 * UDS_RPC_WINDOW_MAX));
        break;
    case DEED_CANCEL:
        (void)uds_rpc_cancel(scene->rpc, udsi_read_u8(&scene->in) % 9);
        break;
    case DEED_PART:
        deed_part(scene);
        break;
    case DEED_ANSWER:
    case DEED_FAIL:
        deed_answer(scene, deed == DEED_FAIL);
        break;
    case DEED_TIMEOUTS:
        uds_rpc_process_timeouts(scene->rpc);
        break;
    case DEED_DRAIN:
        raw_drain(scene->peer);
        break;
    case DEED_CLOSE:
        (void)shutdown(scene->peer, SHUT_WR);
        break;
    case DEED_FREE:
        if (udsi_read_u8(&scene->in) < 16) {
            uds_rpc *rpc = UDSI_TAKE(scene->rpc);
            (void)uds_rpc_free(rpc);
        }
        break;
    case DEED_COUNT:
        break;
    }
    if (scene->depth == 0)
        check(scene);
}

static void say_hello(struct scene *scene)
{
    static const uint8_t head[28] = {32, 0, 4,  0, 0, 0, 0,  1, 33, 0, 4, 0, 253, 0,
                                     0,  0, 34, 0, 8, 0, 16, 0, 0,  0, 0, 0, 0,   0};
    const struct raw_frame hello = {.type = UDS_MSG_HELLO, .head = head, .head_len = sizeof(head)};

    if (raw_send_frame(scene->peer, &hello, -1, 0) < 0 || uds_conn_process(scene->conn) < 0 ||
        uds_conn_get_features(scene->conn) != UDS_FEATURE_STREAMING)
        abort();
    raw_drain(scene->peer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    struct scene scene = {.in = {.at = data, .left = size}};
    int lowest = fuzz_lowest_fd();

    options.send_queue_bytes = 1 << 20;
    scene.peer = raw_conn(&scene.conn, SOCK_STREAM, &options, 0);
    if (uds_rpc_new(&scene.rpc, scene.conn, NULL, NULL) < 0)
        abort();
    say_hello(&scene);
    uds_rpc_set_handler(scene.rpc, on_call, &scene, CALLS_MAX);
    while (scene.in.left > 0 && !scene.in.bad)
        act(&scene);
    for (int i = 0; i < 3; i++)
        (void)uds_conn_process(scene.conn);
    uds_rpc *rpc = UDSI_TAKE(scene.rpc);
    (void)uds_rpc_free(rpc);
    for (size_t i = 0; i < CALLS_MAX; i++) {
        uds_rpc_call *call = UDSI_TAKE(scene.calls[i]);

        if (call)
            (void)uds_rpc_call_reply(call, NULL, 0, NULL, 0);
    }
    if (scene.requests != scene.replies)
        abort();
    (void)uds_conn_unref(scene.conn);
    udsi_close(scene.peer);
    if (fuzz_lowest_fd() != lowest)
        abort();
    return 0;
}
