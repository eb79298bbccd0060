/* SPDX-License-Identifier: MIT */

/*
 * A hostile peer: the input is a list of deeds on the other end of a connection's socket (bytes with fds or without, whole
 * frames that lie about their fds, closing) and on the connection (process, send, pause, move to another image).
 * After each deed the invariants hold; at the end no descriptor is left and on_close has run at most once.
 *
 * Built and run by tests/fuzz/run.sh: clang -fsanitize=fuzzer,address,undefined with libuds/src and tests/support.
 */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include "cleanup.h"
#include "conn/conn.h"
#include "fuzz.h"
#include "rawpeer.h"
#include "wire/cursor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum deed {
    DEED_BYTES,
    DEED_FRAME,
    DEED_PROCESS,
    DEED_SEND,
    DEED_MOVE,
    DEED_PAUSE,
    DEED_DRAIN,
    DEED_CLOSE,
    DEED_COUNT,
};

struct scene {
    struct udsi_reader in;
    uds_conn *conn;
    int peer;
    struct raw_seen seen;
};

static void deed_bytes(struct scene *scene)
{
    size_t nfds = udsi_read_u8(&scene->in) % 20;
    size_t len = udsi_read_u8(&scene->in);
    const uint8_t *bytes;

    if (len > scene->in.left)
        len = scene->in.left;
    bytes = udsi_read_bytes(&scene->in, len);
    if (len > 0)
        (void)raw_send(scene->peer, bytes, len, 0, nfds);
}

static void deed_frame(struct scene *scene)
{
    static const uint8_t types[] = {1, 2, 8, 16, 17, 34};
    static uint8_t zeroes[70000], bytes[80000];
    struct raw_frame frame = {
        .type = types[udsi_read_u8(&scene->in) % sizeof(types)],
        .id = udsi_read_u8(&scene->in) & 1,
        .claimed_fds = udsi_read_u8(&scene->in) % 20,
        .body = zeroes,
    };
    size_t nfds = udsi_read_u8(&scene->in) % 20;
    size_t len;

    frame.body_len = (size_t)udsi_read_u16(&scene->in) + (udsi_read_u8(&scene->in) & 3);
    len = raw_encode(&frame, bytes);
    if (udsi_read_u8(&scene->in) & 1 && len > 30)
        len = 30;
    (void)raw_send(scene->peer, bytes, len, 0, nfds);
}

static void deed_send(struct scene *scene)
{
    static const uint8_t zeroes[300];
    _cleanup_msg_ uds_msg *msg = NULL;
    size_t nfds = udsi_read_u8(&scene->in) % 4;

    if (uds_msg_new(&msg, UDS_MSG_MESSAGE, 1, zeroes, sizeof(zeroes)) < 0)
        abort();
    for (size_t i = 0; i < nfds; i++) {
        if (uds_msg_push_dup_fd(msg, 0) < 0)
            abort();
    }
    (void)(uds_conn_send(scene->conn, msg) == 0 && uds_conn_flush(scene->conn) == 0);
}

static void deed_move(struct scene *scene)
{
    scene->conn = fuzz_move(scene->conn);
    uds_conn_set_callbacks(scene->conn, &raw_callbacks, &scene->seen);
}

static void act(struct scene *scene)
{
    switch ((enum deed)(udsi_read_u8(&scene->in) % DEED_COUNT)) {
    case DEED_BYTES:
        deed_bytes(scene);
        break;
    case DEED_FRAME:
        deed_frame(scene);
        break;
    case DEED_PROCESS:
        (void)uds_conn_process(scene->conn);
        break;
    case DEED_SEND:
        deed_send(scene);
        break;
    case DEED_MOVE:
        deed_move(scene);
        break;
    case DEED_PAUSE:
        if (udsi_read_u8(&scene->in) & 1)
            uds_conn_pause(scene->conn, 1);
        else
            uds_conn_resume(scene->conn, 1);
        break;
    case DEED_DRAIN:
        raw_drain(scene->peer);
        break;
    case DEED_CLOSE:
        (void)shutdown(scene->peer, SHUT_WR);
        break;
    case DEED_COUNT:
        break;
    }
    if (!udsi_conn_check(scene->conn))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scene scene = {.in = {.at = data, .left = size}};
    uint8_t flags = udsi_read_u8(&scene.in);
    int lowest = fuzz_lowest_fd();

    scene.peer =
        raw_conn(&scene.conn, flags & 1 ? SOCK_SEQPACKET : SOCK_STREAM, NULL, !(flags & 2));
    uds_conn_set_callbacks(scene.conn, &raw_callbacks, &scene.seen);
    while (scene.in.left > 0 && !scene.in.bad)
        act(&scene);
    uds_conn_resume(scene.conn, 1);
    for (int i = 0; i < 3; i++)
        (void)uds_conn_process(scene.conn);
    if (scene.seen.closes > 1)
        abort();
    (void)uds_conn_unref(scene.conn);
    udsi_close(scene.peer);
    if (fuzz_lowest_fd() != lowest)
        abort();
    return 0;
}
