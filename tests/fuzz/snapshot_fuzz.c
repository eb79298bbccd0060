/* SPDX-License-Identifier: MIT */

/*
 * Moving a connection into another process image: two connections talk (messages, descriptors, large bodies, rings, half
 * frames from a bare hand on the socket), and one of them is moved again and again, at times with bytes of its snapshot
 * changed, cut or put in, or with descriptors exchanged for others.
 *
 * Unchanged, every snapshot restores, and as long as nobody has lied nobody breaks the protocol. Changed, it either restores to a
 * connection whose invariants hold whatever comes next, and that can be moved again, or is refused with every descriptor
 * closed. Built and run by tests/fuzz/run.sh.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "conn/conn.h"
#include "fuzz.h"
#include "rawpeer.h"
#include "wire/cursor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LARGE   (20u << 10)
#define KEPT    4
#define FDS_MAX 512
#define KINDS   4

enum deed {
    DEED_PROCESS,
    DEED_PROCESS_PEER,
    DEED_SEND,
    DEED_PEER_SENDS,
    DEED_BYTES,
    DEED_FRAME,
    DEED_MOVE,
    DEED_CHANGE,
    DEED_PAUSE,
    DEED_LISTEN,
    DEED_RECEIVE,
    DEED_FINISH,
    DEED_SHUTDOWN,
    DEED_COUNT,
};

enum change {
    CHANGE_BYTE,
    CHANGE_U32,
    CHANGE_U64,
    CHANGE_DROP,
    CHANGE_INSERT,
    CHANGE_CUT,
    CHANGE_FD,
    CHANGE_LOSE_FD,
    CHANGE_COUNT,
};

struct scene {
    struct udsi_reader in;
    uds_conn *conn, *peer;
    uds_msg *kept[KEPT];
    unsigned closes;
    bool honest; /* nobody has lied so far */
};

/* A snapshot on its way. */
struct luggage {
    uint8_t bytes[256 << 10];
    size_t len;
    int fds[FDS_MAX];
    size_t nfds;
};

static int kinds[KINDS]; /* descriptors that a snapshot may hold instead of its own, made once */

static void make_kinds(void)
{
    int pair[2];

    if (kinds[0] > 0)
        return;
    kinds[0] = open("/dev/null", O_RDWR | O_CLOEXEC);
    kinds[1] = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (kinds[0] < 0 || kinds[1] < 0 || ftruncate(kinds[1], 3 * 4096) < 0 ||
        fcntl(kinds[1], F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        abort();
    kinds[2] = pair[0];
    kinds[3] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (kinds[3] < 0)
        abort();
}

static void keep(uds_conn *conn, uds_msg *msg, void *arg)
{
    struct scene *scene = arg;
    uds_msg **place = &scene->kept[uds_msg_get_id(msg) % KEPT];

    (void)conn;
    (void)uds_msg_unref(*place);
    *place = msg;
}

static void drop(uds_conn *conn, uds_msg *msg, void *arg)
{
    (void)conn;
    (void)arg;
    (void)uds_msg_unref(msg);
}

static void note_close(uds_conn *conn, int error, void *arg)
{
    (void)conn;
    (void)error;
    ((struct scene *)arg)->closes++;
}

static const struct uds_conn_callbacks callbacks = {.on_message = keep, .on_close = note_close};
static const struct uds_conn_callbacks deaf = {.on_close = note_close};
static const struct uds_conn_callbacks peer_callbacks = {.on_message = drop};

static void deed_send(struct scene *scene, uds_conn *conn)
{
    _cleanup_msg_ uds_msg *msg = NULL;
    uint8_t how = udsi_read_u8(&scene->in);
    struct udsi_arenas *arenas;
    void *room;
    size_t len = how & 1 ? LARGE : 7;

    /* The rent is paid: the next large body that finds no slot makes an arena. */
    if (how & 2 && conn->state != UDSI_CONN_CLOSED) {
        arenas = udsi_arenas_get(conn);
        if (arenas)
            arenas->rent[15] = UINT64_C(1) << 40;
    }
    if (uds_msg_new(&msg, UDS_MSG_MESSAGE, how, NULL, 0) < 0 ||
        (how & 4 ? uds_conn_reserve_body(conn, msg, len, &room)
                 : uds_msg_reserve_body(msg, len, &room)) < 0)
        abort();
    memset(room, how, len);
    for (unsigned i = 0; i < (how >> 3 & 3u); i++) {
        if (uds_msg_push_dup_fd(msg, 0) < 0)
            abort();
    }
    (void)!uds_conn_send(conn, msg);
    if (how & 32)
        (void)uds_conn_flush(conn);
}

static void deed_bytes(struct scene *scene)
{
    size_t nfds = udsi_read_u8(&scene->in) % 5;
    size_t len = udsi_read_u8(&scene->in);

    if (len > scene->in.left)
        len = scene->in.left;
    if (len > 0 && uds_conn_get_fd(scene->peer) >= 0) {
        scene->honest = false;
        (void)raw_send(uds_conn_get_fd(scene->peer), udsi_read_bytes(&scene->in, len), len, 0,
                       nfds);
    }
}

/* A part of a frame. */
static void deed_frame(struct scene *scene)
{
    static const uint8_t body[2000];
    static uint8_t bytes[3000];
    struct raw_frame frame = {.id = 5, .claimed_fds = udsi_read_u8(&scene->in) % 4, .body = body};
    size_t len;

    frame.body_len = udsi_read_u16(&scene->in) % sizeof(body);
    len = raw_encode(&frame, bytes);
    len = 1 + udsi_read_u16(&scene->in) % len;
    if (uds_conn_get_fd(scene->peer) >= 0) {
        scene->honest = false;
        (void)raw_send(uds_conn_get_fd(scene->peer), bytes, len, 0, frame.claimed_fds);
    }
}

/* ---- moving ---- */

static void pack(const uds_snapshot *from, struct luggage *luggage)
{
    const void *data;
    const int *fds;

    uds_snapshot_peek(from, &data, &luggage->len, &fds, &luggage->nfds);
    if (luggage->len > sizeof(luggage->bytes) || luggage->nfds > FDS_MAX)
        abort();
    memcpy(luggage->bytes, data, luggage->len);
    for (size_t i = 0; i < luggage->nfds; i++) {
        luggage->fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
        if (luggage->fds[i] < 0)
            abort();
    }
}

static void cut_out(struct luggage *luggage, size_t at, size_t len)
{
    if (len > luggage->len - at)
        len = luggage->len - at;
    memmove(luggage->bytes + at, luggage->bytes + at + len, luggage->len - at - len);
    luggage->len -= len;
}

static void put_in(struct luggage *luggage, size_t at, const uint8_t *bytes, size_t len)
{
    if (len == 0 || len > sizeof(luggage->bytes) - luggage->len)
        return;
    memmove(luggage->bytes + at + len, luggage->bytes + at, luggage->len - at);
    memcpy(luggage->bytes + at, bytes, len);
    luggage->len += len;
}

static void change_fd(struct scene *scene, struct luggage *luggage, bool lose)
{
    size_t i = udsi_read_u8(&scene->in);

    if (luggage->nfds == 0)
        return;
    i %= luggage->nfds;
    udsi_close(luggage->fds[i]);
    if (lose)
        luggage->fds[i] = luggage->fds[--luggage->nfds];
    else
        luggage->fds[i] = fcntl(kinds[udsi_read_u8(&scene->in) % KINDS], F_DUPFD_CLOEXEC, 0);
}

static void change(struct scene *scene, struct luggage *luggage)
{
    enum change what = (enum change)(udsi_read_u8(&scene->in) % CHANGE_COUNT);
    size_t at = udsi_read_u16(&scene->in) % luggage->len, len;
    uint8_t bytes[8] = {0};
    struct udsi_writer w = {.at = bytes, .left = sizeof(bytes)};

    switch (what) {
    case CHANGE_BYTE:
        luggage->bytes[at] = udsi_read_u8(&scene->in);
        break;
    case CHANGE_U32:
        udsi_write_u32(&w, udsi_read_u32(&scene->in));
        cut_out(luggage, at, 4);
        put_in(luggage, at, bytes, 4);
        break;
    case CHANGE_U64:
        udsi_write_u64(&w, udsi_read_u64(&scene->in));
        cut_out(luggage, at, 8);
        put_in(luggage, at, bytes, 8);
        break;
    case CHANGE_DROP:
        cut_out(luggage, at, udsi_read_u8(&scene->in));
        break;
    case CHANGE_INSERT:
        len = udsi_read_u8(&scene->in);
        if (len > scene->in.left)
            len = scene->in.left;
        put_in(luggage, at, udsi_read_bytes(&scene->in, len), len);
        break;
    case CHANGE_CUT:
        luggage->len = at;
        break;
    case CHANGE_FD:
    case CHANGE_LOSE_FD:
        change_fd(scene, luggage, what == CHANGE_LOSE_FD);
        break;
    case CHANGE_COUNT:
        break;
    }
}

/* False: the snapshot was refused, and there is no connection any more. */
static bool deed_move(struct scene *scene, unsigned changes)
{
    static struct luggage luggage;
    _cleanup_snapshot_ uds_snapshot *from = NULL, *to = NULL;
    int r;

    if (uds_snapshot_new(&from) < 0)
        abort();
    r = uds_conn_serialise(scene->conn, from);
    if (r == -ENOTCONN)
        return true;
    if (r < 0)
        abort();
    pack(from, &luggage);
    scene->conn = uds_conn_unref(scene->conn);
    scene->honest = scene->honest && changes == 0;
    for (unsigned i = 0; i < changes && luggage.len > 0; i++)
        change(scene, &luggage);
    if (uds_snapshot_open(&to, luggage.bytes, luggage.len, luggage.fds, luggage.nfds) < 0)
        abort();
    r = uds_conn_restore(&scene->conn, to);
    if (r < 0) {
        if (changes == 0 || r != -EBADMSG || uds_snapshot_error(to) != -EBADMSG)
            abort();
        return false;
    }
    uds_conn_set_callbacks(scene->conn, &callbacks, scene);
    return true;
}

static void deed_receive(struct scene *scene)
{
    uds_msg *msg;

    if (uds_conn_receive(scene->conn, &msg) == 1)
        keep(scene->conn, msg, scene);
}

static void check(const struct scene *scene)
{
    if (!udsi_conn_check(scene->conn) || !udsi_conn_check(scene->peer))
        abort();
    if (scene->honest && (scene->conn->error == -EPROTO || scene->peer->error == -EPROTO))
        abort();
    if (scene->closes > 1)
        abort();
}

static bool act(struct scene *scene)
{
    switch ((enum deed)(udsi_read_u8(&scene->in) % DEED_COUNT)) {
    case DEED_PROCESS:
        (void)uds_conn_process(scene->conn);
        break;
    case DEED_PROCESS_PEER:
        (void)uds_conn_process(scene->peer);
        break;
    case DEED_SEND:
        deed_send(scene, scene->conn);
        break;
    case DEED_PEER_SENDS:
        deed_send(scene, scene->peer);
        break;
    case DEED_BYTES:
        deed_bytes(scene);
        break;
    case DEED_FRAME:
        deed_frame(scene);
        break;
    case DEED_MOVE:
    case DEED_COUNT:
        (void)deed_move(scene, 0);
        break;
    case DEED_CHANGE:
        if (!deed_move(scene, 1 + udsi_read_u8(&scene->in) % 3u))
            return false;
        break;
    case DEED_PAUSE:
        if (udsi_read_u8(&scene->in) & 1)
            uds_conn_pause(scene->conn, 1);
        else
            uds_conn_resume(scene->conn, 1);
        break;
    case DEED_LISTEN:
        uds_conn_set_callbacks(scene->conn, udsi_read_u8(&scene->in) & 1 ? &callbacks : &deaf,
                               scene);
        break;
    case DEED_RECEIVE:
        deed_receive(scene);
        break;
    case DEED_FINISH:
        (void)!uds_conn_finish(udsi_read_u8(&scene->in) & 1 ? scene->conn : scene->peer);
        break;
    case DEED_SHUTDOWN:
        (void)uds_conn_shutdown(udsi_read_u8(&scene->in) & 1 ? scene->conn : scene->peer, 0, "bye");
        break;
    }
    check(scene);
    return true;
}

static void open_scene(struct scene *scene)
{
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    uint8_t how = udsi_read_u8(&scene->in);
    int pair[2];

    options.max_fds = how & 1 ? 16 : 3;
    options.arena_bytes = how & 2 ? 0 : 1 << 20;
    options.ring_bytes = how & 4 ? 4096 : 0;
    options.send_queue_bytes = 150 << 10;
    options.heartbeat_ms = how & 8 ? 1000000 : 0;
    if (how & 16 && options.ring_bytes == 0) {
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ||
            uds_conn_new(&scene->conn, pair[0], &options) < 0 ||
            uds_conn_new(&scene->peer, pair[1], &options) < 0)
            abort();
    } else {
        options.ring_propose = how & 32;
        if (uds_conn_pair(&scene->conn, &scene->peer, &options) < 0)
            abort();
    }
    uds_conn_set_callbacks(scene->conn, &callbacks, scene);
    uds_conn_set_callbacks(scene->peer, &peer_callbacks, scene);
    for (int i = 0; i < (how >> 6); i++) {
        (void)uds_conn_process(scene->conn);
        (void)uds_conn_process(scene->peer);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scene scene = {.in = {.at = data, .left = size}, .honest = true};
    int lowest;

    make_kinds();
    lowest = fuzz_lowest_fd();
    open_scene(&scene);
    while (scene.in.left > 0 && !scene.in.bad && act(&scene))
        ;
    for (int i = 0; i < 3 && scene.conn; i++) {
        uds_conn_resume(scene.conn, UINT32_MAX);
        (void)uds_conn_process(scene.conn);
        (void)uds_conn_process(scene.peer);
        check(&scene);
    }
    (void)uds_conn_unref(scene.conn);
    (void)uds_conn_unref(scene.peer);
    for (size_t i = 0; i < KEPT; i++)
        (void)uds_msg_unref(scene.kept[i]);
    if (fuzz_lowest_fd() != lowest)
        abort();
    return 0;
}
