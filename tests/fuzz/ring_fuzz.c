/* SPDX-License-Identifier: MIT */

/*
 * A hostile peer beside a ring: the input is a list of deeds on the memory that both share (any word, any byte, honest
 * frames), on the socket (RING frames of any step and length, doorbells, descriptors, the end) and on the connection, which
 * takes a ring or offers one. After each deed the invariants hold; at the end no descriptor is left and on_close has run at most
 * once.
 *
 * Built and run by tests/fuzz/run.sh.
 */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "conn/conn.h"
#include "fuzz.h"
#include "rawpeer.h"
#include "socket/io.h"
#include "socket/ringmem.h"
#include "wire/cursor.h"
#include "wire/head.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define SIZE 4096u

enum deed {
    DEED_WORD,
    DEED_BYTES,
    DEED_FRAME,
    DEED_STEP,
    DEED_BELL,
    DEED_FDS,
    DEED_PROCESS,
    DEED_SEND,
    DEED_PAUSE,
    DEED_MOVE,
    DEED_READ,
    DEED_END,
    DEED_COUNT,
};

struct scene {
    struct udsi_reader in;
    uds_conn *conn;
    int peer;
    void *base; /* the ring's memory as the peer has mapped it */
    int memfd;
    struct udsi_ring ring;
    struct raw_seen seen;
};

static void send_step(struct scene *scene, uint64_t id, uint32_t step, uint32_t bytes, bool memory)
{
    uint8_t head[16];
    struct raw_frame frame = {.type = UDS_MSG_RING,
                              .id = id,
                              .head = head,
                              .head_len = bytes ? 16 : 8,
                              .claimed_fds = memory};

    udsi_head_put_u32(head, UDSI_FIELD_RING_STEP, step);
    udsi_head_put_u32(head + 8, UDSI_FIELD_RING_BYTES, bytes);
    (void)raw_send_frame(scene->peer, &frame, scene->memfd, memory);
}

/* The connection offers: take its memory, as an honest peer would. */
static void take_offer(struct scene *scene)
{
    struct udsi_ancillary ancillary;
    uint8_t bytes[4096];
    ssize_t n;

    do {
        struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};

        n = udsi_recv(scene->peer, &iov, 1, MSG_DONTWAIT, &ancillary);
        if (n <= 0)
            return;
    } while (ancillary.nfds == 0);
    if (!scene->base &&
        udsi_ringmem_map(ancillary.fds[0], udsi_ring_total(SIZE), &scene->base) == 0)
        udsi_ring_init(&scene->ring, scene->base, SIZE, 1);
    udsi_ancillary_clear(&ancillary);
    if (scene->conn->ring)
        send_step(scene, scene->conn->ring->id, UDSI_RING_ACCEPT, 0, false);
}

static void begin(struct scene *scene, bool offers)
{
    uint8_t head[28];
    struct raw_frame frame = {.type = UDS_MSG_HELLO, .head = head, .head_len = sizeof(head)};

    udsi_head_put_u32(head, UDSI_FIELD_MAX_BODY, 1 << 20);
    udsi_head_put_u32(head + 8, UDSI_FIELD_MAX_FDS, 16);
    udsi_head_put_u64(head + 16, UDSI_FIELD_FEATURES, UINT64_MAX);
    (void)raw_send_frame(scene->peer, &frame, -1, 0);
    if (offers) {
        (void)uds_conn_process(scene->conn);
        take_offer(scene);
    } else {
        scene->memfd = udsi_ringmem_new(udsi_ring_total(SIZE), &scene->base);
        if (scene->memfd < 0)
            abort();
        udsi_ring_init(&scene->ring, scene->base, SIZE, 0);
        send_step(scene, 7, UDSI_RING_OFFER, SIZE, true);
        (void)uds_conn_process(scene->conn);
        send_step(scene, 7, UDSI_RING_SWITCH, 0, false);
    }
    (void)uds_conn_process(scene->conn);
}

static void deed_word(struct scene *scene)
{
    uint8_t which = udsi_read_u8(&scene->in);
    uint32_t value = udsi_read_u32(&scene->in);
    uint32_t *word = (uint32_t *)scene->base + (which & 4 ? 512 : 0) + (size_t)(which & 3) * 32;

    *word = which & 8 ? value : *word + value % 256;
}

static void deed_bytes(struct scene *scene)
{
    size_t len = udsi_read_u8(&scene->in);
    const uint8_t *bytes;

    if (len > scene->in.left)
        len = scene->in.left;
    bytes = udsi_read_bytes(&scene->in, len);
    if (len > 0 && udsi_ring_write(&scene->ring, bytes, len) > 0)
        udsi_ring_publish(&scene->ring);
}

static void deed_frame(struct scene *scene)
{
    static const uint8_t types[] = {1, 2, 5, 8, 9, 16, 17, 34};
    static uint8_t zeroes[5000], bytes[6000];
    struct raw_frame frame = {
        .type = types[udsi_read_u8(&scene->in) % sizeof(types)],
        .id = udsi_read_u8(&scene->in) & 7,
        .claimed_fds = udsi_read_u8(&scene->in) % 4,
        .body = zeroes,
        .body_len = udsi_read_u16(&scene->in) % sizeof(zeroes),
    };
    size_t len = raw_encode(&frame, bytes);

    if (udsi_ring_write(&scene->ring, bytes, len) > 0)
        udsi_ring_publish(&scene->ring);
}

static void deed_send(struct scene *scene)
{
    static const uint8_t zeroes[3000];
    _cleanup_msg_ uds_msg *msg = NULL;
    size_t nfds = udsi_read_u8(&scene->in) % 3;

    if (uds_msg_new(&msg, UDS_MSG_MESSAGE, 1, zeroes, udsi_read_u16(&scene->in) % sizeof(zeroes)) <
        0)
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

static void deed_step(struct scene *scene)
{
    uint8_t what = udsi_read_u8(&scene->in);

    send_step(scene, udsi_read_u8(&scene->in), what % 6, what & 64 ? SIZE : 0, what & 128);
}

static void act(struct scene *scene)
{
    switch ((enum deed)(udsi_read_u8(&scene->in) % DEED_COUNT)) {
    case DEED_WORD:
        deed_word(scene);
        break;
    case DEED_BYTES:
        deed_bytes(scene);
        break;
    case DEED_FRAME:
        deed_frame(scene);
        break;
    case DEED_STEP:
        deed_step(scene);
        break;
    case DEED_BELL:
        (void)raw_send(scene->peer, "", 1, 0, 0);
        break;
    case DEED_FDS:
        (void)raw_send(scene->peer, "", 1, 0, udsi_read_u8(&scene->in) % 4 + 1u);
        break;
    case DEED_PROCESS:
        (void)uds_conn_process(scene->conn);
        break;
    case DEED_SEND:
        deed_send(scene);
        break;
    case DEED_PAUSE:
        if (udsi_read_u8(&scene->in) & 1)
            uds_conn_pause(scene->conn, 1);
        else
            uds_conn_resume(scene->conn, 1);
        break;
    case DEED_MOVE:
        deed_move(scene);
        break;
    case DEED_READ: {
        static uint8_t sink[SIZE];

        (void)udsi_ring_read(&scene->ring, &(struct iovec){sink, sizeof(sink)}, 1);
        raw_drain(scene->peer);
        break;
    }
    case DEED_END:
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
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    struct scene scene = {.in = {.at = data, .left = size}, .memfd = -1};
    bool offers = udsi_read_u8(&scene.in) & 1;
    int lowest = fuzz_lowest_fd();

    options.ring_bytes = SIZE;
    options.ring_propose = offers;
    scene.peer = raw_conn(&scene.conn, SOCK_STREAM, &options, 0);
    uds_conn_set_callbacks(scene.conn, &raw_callbacks, &scene.seen);
    begin(&scene, offers);
    while (scene.base && scene.in.left > 0 && !scene.in.bad)
        act(&scene);
    uds_conn_resume(scene.conn, 1);
    for (int i = 0; i < 3; i++)
        (void)uds_conn_process(scene.conn);
    if (scene.seen.closes > 1)
        abort();
    (void)uds_conn_unref(scene.conn);
    udsi_close(scene.peer);
    udsi_close(scene.memfd);
    if (scene.base)
        udsi_ringmem_unmap(scene.base, udsi_ring_total(SIZE));
    if (fuzz_lowest_fd() != lowest)
        abort();
    return 0;
}
