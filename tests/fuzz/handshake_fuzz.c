/* SPDX-License-Identifier: MIT */

/*
 * HELLO, FINISH, GOODBYE, PING and PONG in any order: two connections with options of their own, and between them a relay
 * that hands on as many bytes as the input says, so that every frame is seen in pieces. It may also put in frames of its
 * own: control frames of any head, now and then HELLO twice, or none.
 *
 * As long as the relay is honest, and nothing goes round it through a ring, nobody ever breaks the protocol. In any case:
 * no message before the peer's HELLO or after its FINISH, on_finish and on_close at most once, features only such as both
 * have; at the end no descriptor is left.
 *
 * Built and run by tests/fuzz/run.sh.
 */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include "cleanup.h"
#include "conn/conn.h"
#include "fuzz.h"
#include "rawpeer.h"
#include "wire/cursor.h"
#include "wire/frame.h"
#include "wire/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHUNK  4096
#define FDS    8
#define CHANGE 1000 /* ms */

enum deed {
    DEED_RELAY,
    DEED_FRAME,
    DEED_FIELDS,
    DEED_PROCESS,
    DEED_SEND,
    DEED_FINISH,
    DEED_SHUTDOWN,
    DEED_RECEIVE,
    DEED_PAUSE,
    DEED_TIME,
    DEED_END,
    DEED_COUNT,
};

struct side {
    uds_conn *conn;
    int relay; /* the relay's end of its socket */
    uint64_t features;
    bool finished, closed;
    bool no_more; /* receive() said so */
};

struct scene {
    struct udsi_reader in;
    struct side sides[2];
    bool honest; /* so far */
};

static void on_message(uds_conn *conn, uds_msg *msg, void *arg)
{
    struct side *side = arg;

    if (!conn->out.released || side->finished || side->no_more || side->closed)
        abort();
    (void)uds_msg_unref(msg);
}

static void on_finish(uds_conn *conn, void *arg)
{
    struct side *side = arg;

    (void)conn;
    if (side->finished || side->closed)
        abort();
    side->finished = true;
}

static void on_close(uds_conn *conn, int error, void *arg)
{
    struct side *side = arg;

    if (side->closed || error > 0 || error != conn->error)
        abort();
    side->closed = true;
}

static const struct uds_conn_callbacks callbacks = {
    .on_message = on_message, .on_close = on_close, .on_finish = on_finish};

/* One receive, with what is beside the bytes. Returns how many, 0 none; the caller owns fds[0 … *ret_nfds). */
static size_t receive(int from, void *bytes, size_t max, int flags, int fds[FDS], size_t *ret_nfds)
{
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(int) * FDS)];
    } control;
    struct iovec iov = {.iov_base = bytes, .iov_len = max};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof(control.bytes)};
    ssize_t n = recvmsg(from, &msg, flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    struct cmsghdr *cmsg = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;

    *ret_nfds = cmsg ? (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
    if (cmsg)
        memcpy(fds, CMSG_DATA(cmsg), *ret_nfds * sizeof(int));
    return n > 0 ? (size_t)n : 0;
}

static void close_all(const int *fds, size_t nfds)
{
    for (size_t i = 0; i < nfds; i++)
        udsi_close(fds[i]);
}

static ssize_t send_on(int to, void *bytes, size_t len, const int *fds, size_t nfds)
{
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(int) * FDS)];
    } control = {0};
    struct iovec iov = {.iov_base = bytes, .iov_len = len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    if (nfds > 0) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
        control.align.cmsg_level = SOL_SOCKET;
        control.align.cmsg_type = SCM_RIGHTS;
        control.align.cmsg_len = CMSG_LEN(sizeof(int) * nfds);
        memcpy(CMSG_DATA(&control.align), fds, nfds * sizeof(int));
    }
    return sendmsg(to, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Hands on what comes in one piece, at most @max bytes. Returns how many, and whether descriptors came along. */
static size_t hand_on(struct scene *scene, int from, int to, size_t max, bool *ret_fds)
{
    uint8_t bytes[CHUNK];
    int fds[FDS];
    size_t nfds, n = receive(from, bytes, max, 0, fds, &nfds);

    if (n > 0 && send_on(to, bytes, n, fds, nfds) != (ssize_t)n) {
        scene->honest = false;
        n = 0;
    }
    close_all(fds, nfds);
    *ret_fds = nfds > 0;
    return n;
}

/* How many of the next @max bytes are before what has descriptors; 1 if that is the next one, or may be. */
static size_t count_before_fds(int from, size_t max)
{
    uint8_t ahead[CHUNK];
    int fds[FDS];
    size_t nfds, n;

    do {
        n = receive(from, ahead, max, MSG_PEEK, fds, &nfds);
        close_all(fds, nfds);
        max = n / 2;
    } while (nfds > 0 && n > 1);
    return n;
}

/*
 * At most @max bytes, if there is room. Descriptors stay with the byte that they came with: sent on together with bytes
 * before them, they would reach the other side too early. So where there may be some ahead (MSG_PEEK says so a piece too
 * early), it goes on in ever smaller pieces until they have passed.
 */
static bool relay(struct scene *scene, int from, int to, size_t max)
{
    struct pollfd room = {.fd = to, .events = POLLOUT};
    size_t n, done = 0;
    bool passed = false;

    if (poll(&room, 1, 0) != 1 || !(room.revents & POLLOUT))
        return false;
    if (max > CHUNK)
        max = CHUNK;
    while (done < max && !passed) {
        n = count_before_fds(from, max - done);
        if (n == 0 || hand_on(scene, from, to, n, &passed) == 0)
            break;
        done += n;
    }
    return done > 0;
}

static void deed_frame(struct scene *scene, struct side *to, bool fields)
{
    static const uint8_t types[] = {1, 2, 3, 4, 5, 6, 7, 9, 16};
    static const uint16_t tags[] = {2, 5, 32, 33, 34, 35, 0x8001, 0x8002};
    uint8_t head[64], body[16] = {0};
    struct raw_frame frame = {
        .type = types[udsi_read_u8(&scene->in) % sizeof(types)],
        .id = udsi_read_u8(&scene->in) % 4,
        .head = head,
        .body = body,
    };
    uint8_t how = udsi_read_u8(&scene->in);
    size_t nfields = fields ? how & 3 : 0;

    for (size_t i = 0; i < nfields; i++) {
        uint8_t tag = udsi_read_u8(&scene->in);
        uint32_t value = udsi_read_u8(&scene->in);

        if (tag & 0x80)
            value = udsi_read_u32(&scene->in);
        if (tag & 0x40) {
            udsi_head_put_u64(head + frame.head_len, tags[tag & 7], value);
            frame.head_len += UDSI_FIELD_OVERHEAD + 8;
        } else {
            udsi_head_put_u32(head + frame.head_len, tags[tag & 7], value);
            frame.head_len += UDSI_FIELD_OVERHEAD + 4;
        }
    }
    if (how & 0x80)
        frame.body_len = how >> 3 & 15;
    if (how & 4)
        frame.claimed_fds = 1;
    if (raw_send_frame(to->relay, &frame, 0, how & 4 ? 1 : 0) > 0)
        scene->honest = false;
}

/* A HELLO as a peer with other limits and features would say it. */
static void deed_hello(struct scene *scene, struct side *to)
{
    uint8_t head[4 * UDSI_FIELD_OVERHEAD + 4 + 4 + 8 + 8], *at = head;
    struct raw_frame hello = {.type = UDS_MSG_HELLO, .head = head};

    udsi_head_put_u32(at, UDSI_FIELD_MAX_BODY, udsi_read_u16(&scene->in));
    at += UDSI_FIELD_OVERHEAD + 4;
    udsi_head_put_u32(at, UDSI_FIELD_MAX_FDS, udsi_read_u8(&scene->in));
    at += UDSI_FIELD_OVERHEAD + 4;
    udsi_head_put_u64(at, UDSI_FIELD_FEATURES, udsi_read_u16(&scene->in));
    at += UDSI_FIELD_OVERHEAD + 8;
    udsi_head_put_u64(at, UDSI_FIELD_ARENA_MAX, udsi_read_u32(&scene->in));
    at += UDSI_FIELD_OVERHEAD + 8;
    hello.head_len = (size_t)(at - head);
    if (raw_send_frame(to->relay, &hello, -1, 0) > 0)
        scene->honest = false;
}

static void deed_send(struct scene *scene, struct side *side)
{
    static const uint8_t zeroes[300];
    _cleanup_msg_ uds_msg *msg = NULL;
    uint8_t how = udsi_read_u8(&scene->in);

    if (uds_msg_new(&msg, UDS_MSG_MESSAGE, 1, zeroes, how & 1 ? sizeof(zeroes) : 5) < 0 ||
        (how & 2 && uds_msg_push_dup_fd(msg, 0) < 0))
        abort();
    (void)!uds_conn_send(side->conn, msg);
    if (how & 4)
        (void)uds_conn_flush(side->conn);
}

static void deed_receive(struct side *side)
{
    uds_msg *msg;
    int r;

    uds_conn_set_callbacks(side->conn, &(struct uds_conn_callbacks){.on_close = on_close}, side);
    r = uds_conn_receive(side->conn, &msg);
    if (r == 1)
        on_message(side->conn, msg, side);
    else if (r == -ENODATA)
        side->no_more = true;
    uds_conn_set_callbacks(side->conn, &callbacks, side);
}

/* What is late becomes later; heartbeats are the only ones that look. */
static void let_time_pass(uds_conn *conn)
{
    struct udsi_heartbeat *beat = &conn->beat;

    beat->heard_at = beat->heard_at > CHANGE ? beat->heard_at - CHANGE : 0;
    beat->asked_at = beat->asked_at > CHANGE ? beat->asked_at - CHANGE : 0;
}

static void check_side(struct scene *scene, struct side *side)
{
    const struct side *other = &scene->sides[side == scene->sides];
    uint64_t features = uds_conn_get_features(side->conn);

    if (!udsi_conn_check(side->conn) || (features & ~side->features))
        abort();
    if (other->conn->out.over) /* frames in a ring overtake the descriptors that the relay holds */
        scene->honest = false;
    if (!scene->honest)
        return;
    if (side->conn->error == -EPROTO || (features & ~other->features))
        abort();
}

static void act(struct scene *scene)
{
    uint8_t what = udsi_read_u8(&scene->in);
    struct side *side = &scene->sides[what >> 7], *other = &scene->sides[!(what >> 7)];

    switch ((enum deed)((what & 0x7f) % DEED_COUNT)) {
    case DEED_RELAY:
        (void)relay(scene, side->relay, other->relay, udsi_read_u8(&scene->in) + 1u);
        break;
    case DEED_FRAME:
        if (udsi_read_u8(&scene->in) & 1)
            deed_hello(scene, side);
        else
            deed_frame(scene, side, false);
        break;
    case DEED_FIELDS:
        deed_frame(scene, side, true);
        break;
    case DEED_PROCESS:
        (void)uds_conn_process(side->conn);
        break;
    case DEED_SEND:
        deed_send(scene, side);
        break;
    case DEED_FINISH:
        (void)!uds_conn_finish(side->conn);
        break;
    case DEED_SHUTDOWN:
        (void)uds_conn_shutdown(side->conn, udsi_read_u8(&scene->in), "enough");
        break;
    case DEED_RECEIVE:
        deed_receive(side);
        break;
    case DEED_PAUSE:
        if (udsi_read_u8(&scene->in) & 1)
            uds_conn_pause(side->conn, 1);
        else
            uds_conn_resume(side->conn, 1);
        break;
    case DEED_TIME:
        let_time_pass(side->conn);
        break;
    case DEED_END:
        (void)shutdown(side->relay, SHUT_WR);
        break;
    case DEED_COUNT:
        break;
    }
    check_side(scene, &scene->sides[0]);
    check_side(scene, &scene->sides[1]);
}

static void open_side(struct scene *scene, struct side *side)
{
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    uint8_t how = udsi_read_u8(&scene->in);

    options.max_body = how & 1 ? 200 : 0;
    options.max_fds = how & 2 ? 0 : 4;
    options.heartbeat_ms = how & 4 ? CHANGE / 2 : 0;
    options.arena_bytes = how & 8 ? 0 : 1 << 20;
    options.ring_bytes = how & 16 ? 4096 : 0;
    options.ring_propose = how & 32;
    options.send_queue_bytes = how & 64 ? 8192 : 0;
    side->relay = raw_conn(&side->conn, SOCK_STREAM, &options, 0);
    side->features = side->conn->features;
    uds_conn_set_callbacks(side->conn, &callbacks, side);
}

/* Until nothing moves, with an end: two that talk to each other for ever would be a fault. */
static void settle(struct scene *scene)
{
    for (int i = 0; i < 1000; i++) {
        bool moved = false;

        for (int j = 0; j < 2; j++) {
            uds_conn_resume(scene->sides[j].conn, 1);
            (void)uds_conn_process(scene->sides[j].conn);
            moved |= relay(scene, scene->sides[j].relay, scene->sides[!j].relay, CHUNK);
            check_side(scene, &scene->sides[j]);
        }
        if (!moved)
            return;
    }
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scene scene = {.in = {.at = data, .left = size}, .honest = true};
    int lowest = fuzz_lowest_fd();

    open_side(&scene, &scene.sides[0]);
    open_side(&scene, &scene.sides[1]);
    while (scene.in.left > 0 && !scene.in.bad)
        act(&scene);
    settle(&scene);
    for (int i = 0; i < 2; i++) {
        (void)uds_conn_unref(scene.sides[i].conn);
        udsi_close(scene.sides[i].relay);
    }
    if (fuzz_lowest_fd() != lowest)
        abort();
    return 0;
}
