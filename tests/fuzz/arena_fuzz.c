/* SPDX-License-Identifier: MIT */

/*
 * Arenas against a hostile peer: the input is a list of deeds of a peer that announces memory of every kind, names places,
 * releases and withdraws what it likes, and of an application that keeps, reads, forwards and drops messages, builds
 * bodies in place, and moves its connection to another image. After each deed the invariants hold; at the end no
 * descriptor is left.
 *
 * Built and run by tests/fuzz/run.sh: clang -fsanitize=fuzzer,address,undefined with libuds/src and tests/support.
 */

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "conn/conn.h"
#include "conn/msg.h"
#include "fuzz.h"
#include "rawpeer.h"
#include "wire/cursor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define KINDS 6
#define KEPT  8
#define LARGE (40u << 10)
#define LIMIT (256u << 10)

struct scene {
    struct udsi_reader in;
    uds_conn *conn, *other, *sink;
    int peer;
    uds_msg *kept[KEPT];
    unsigned closes;
};

/* Memory to announce, made once. */
static int memory[KINDS];

static int make_memory(size_t size, size_t written, unsigned seals)
{
    static const uint8_t zeroes[64 << 10];
    int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0 || ftruncate(fd, (off_t)size) < 0 ||
        (written > 0 && pwrite(fd, zeroes, written, 0) != (ssize_t)written) ||
        fcntl(fd, F_ADD_SEALS, seals) < 0)
        abort();
    return fd;
}

static void make_all_memory(void)
{
    const unsigned seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE;

    if (memory[0] > 0)
        return;
    memory[0] = make_memory(4 * 4096, 4 * 4096, seals);
    memory[1] = make_memory(64 << 10, 64 << 10, seals);
    memory[2] = make_memory(4096, 4096, seals);
    memory[3] = make_memory(4 * 4096, 4096, seals);
    memory[4] = make_memory(4096, 4096, F_SEAL_SHRINK | F_SEAL_GROW);
    memory[5] = open("/dev/null", O_RDWR | O_CLOEXEC);
}

static void keep(uds_conn *conn, uds_msg *msg, void *arg)
{
    struct scene *scene = arg;
    uds_msg **place = &scene->kept[uds_msg_get_id(msg) % KEPT];

    (void)conn;
    (void)uds_msg_unref(*place);
    *place = msg;
}

static void note_close(uds_conn *conn, int error, void *arg)
{
    (void)conn;
    (void)error;
    ((struct scene *)arg)->closes++;
}

static const struct uds_conn_callbacks callbacks = {.on_message = keep, .on_close = note_close};

static void send_frame(struct scene *scene,
                       uint8_t type,
                       uint8_t flags,
                       uint64_t id,
                       const uint64_t *numbers,
                       size_t count,
                       int fd)
{
    uint8_t body[40], bytes[128];
    struct udsi_writer w = {.at = body, .left = sizeof(body)};
    struct raw_frame frame = {
        .type = type, .id = id, .body = body, .body_len = count * 8, .claimed_fds = fd >= 0};
    size_t len;

    for (size_t i = 0; i < count; i++)
        udsi_write_u64(&w, numbers[i]);
    len = raw_encode(&frame, bytes);
    bytes[3] = flags;
    (void)raw_send(scene->peer, bytes, len, fd, fd >= 0);
}

/* Mostly what could be meant, now and then anything. */
static uint64_t small_or_any(struct scene *scene, uint64_t unit)
{
    uint8_t byte = udsi_read_u8(&scene->in);

    if (byte == 0xff)
        return udsi_read_u64(&scene->in);
    return byte * unit;
}

static void deed_announce(struct scene *scene)
{
    uint8_t what = udsi_read_u8(&scene->in);
    uint64_t slot_size = what & 0x80 ? small_or_any(scene, 1024) : 4096;

    send_frame(scene, UDS_MSG_ARENA, 0, small_or_any(scene, 1), &slot_size, 1,
               memory[what % KINDS]);
}

static void deed_withdraw(struct scene *scene)
{
    send_frame(scene, UDS_MSG_ARENA, 0, small_or_any(scene, 1), NULL, 0, -1);
}

static void deed_refer(struct scene *scene)
{
    uint8_t id = udsi_read_u8(&scene->in);
    uint64_t numbers[4];

    numbers[0] = small_or_any(scene, 1);
    numbers[1] = small_or_any(scene, 4096);
    numbers[2] = small_or_any(scene, 17);
    numbers[3] = 0;
    send_frame(scene, UDS_MSG_MESSAGE, 1, id, numbers, id == 0xfe ? 4 : 3, -1);
}

static void deed_release(struct scene *scene)
{
    uint64_t number = small_or_any(scene, 1);
    uint64_t slots = udsi_read_u8(&scene->in) & 1 ? small_or_any(scene, 1) : 0xf;

    send_frame(scene, UDS_MSG_RELEASE, 0, number, &slots, 1, -1);
}

static void deed_message(struct scene *scene)
{
    uint8_t what = udsi_read_u8(&scene->in);
    uds_msg **place = &scene->kept[what % KEPT];
    volatile uint8_t sum = 0;
    const uint8_t *body;
    size_t len;

    if (!*place)
        return;
    if (what & 0x80)
        (void)!uds_conn_forward(scene->other, UDS_MSG_MESSAGE, 1, NULL, 0, *place, false);
    if (what & 0x40)
        (void)!uds_conn_send(scene->conn, *place);
    body = what & 0x20 ? uds_msg_peek_body(*place, &len) : uds_msg_peek_body_shared(*place, &len);
    for (size_t i = 0; i < len; i++)
        sum ^= body[i];
    (void)sum;
    if (what & 0x10)
        *place = uds_msg_unref(*place);
}

static void deed_send(struct scene *scene)
{
    _cleanup_msg_ uds_msg *msg = NULL;
    uint8_t what = udsi_read_u8(&scene->in);
    struct udsi_arenas *arenas = udsi_arenas_get(scene->conn);
    void *room;

    /* The rent is paid: the next large body that finds no slot makes an arena. */
    if ((what & 1) && arenas && scene->conn->state != UDSI_CONN_CLOSED)
        arenas->rent[udsi_slots_rank(64 << 10)] = UINT64_C(1) << 40;
    if (uds_msg_new(&msg, UDS_MSG_MESSAGE, 1, NULL, 0) < 0)
        abort();
    if ((what & 2 ? uds_conn_reserve_body(scene->conn, msg, LARGE, &room)
                  : uds_msg_reserve_body(msg, LARGE, &room)) < 0)
        abort();
    memset(room, what, LARGE);
    if (what & 4)
        (void)uds_conn_trim_arenas(scene->conn);
    if (what & 8)
        (void)!uds_conn_send(scene->conn, msg);
    if (what & 16) {
        uds_msg **place = &scene->kept[what % KEPT];

        (void)uds_msg_unref(*place);
        *place = uds_msg_ref(msg);
    }
}

static void deed_move(struct scene *scene)
{
    scene->conn = fuzz_move(scene->conn);
    uds_conn_set_callbacks(scene->conn, &callbacks, scene);
}

static void act(struct scene *scene)
{
    switch (udsi_read_u8(&scene->in) % 9) {
    case 0:
        deed_announce(scene);
        break;
    case 1:
        deed_withdraw(scene);
        break;
    case 2:
        deed_refer(scene);
        break;
    case 3:
        deed_release(scene);
        break;
    case 4:
        (void)uds_conn_process(scene->conn);
        break;
    case 5:
        deed_message(scene);
        break;
    case 6:
        deed_send(scene);
        break;
    case 7:
        deed_move(scene);
        break;
    default:
        raw_drain(scene->peer);
        (void)uds_conn_process(scene->other);
        (void)uds_conn_process(scene->sink);
        break;
    }
    if (!udsi_conn_check(scene->conn) || !udsi_conn_check(scene->other))
        abort();
}

static void open_scene(struct scene *scene)
{
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    uint8_t head[40] = {32, 0, 4, 0, 0, 0, 0, 1, 33, 0, 4, 0,    16, 0, 0, 0, 34, 0,
                        8,  0, 4, 0, 0, 0, 0, 0, 0,  0, 2, 0x80, 8,  0, 0, 0, 4};
    struct raw_frame hello = {.type = UDS_MSG_HELLO, .head = head, .head_len = sizeof(head)};

    options.arena_bytes = LIMIT;
    options.body_path = UDS_BODY_PATH_ARENA; /* by no clock */
    scene->peer = raw_conn(&scene->conn, SOCK_STREAM, &options, 0);
    uds_conn_set_callbacks(scene->conn, &callbacks, scene);
    if (raw_send_frame(scene->peer, &hello, -1, 0) < 0 || uds_conn_process(scene->conn) < 0 ||
        !(uds_conn_get_features(scene->conn) & UDS_FEATURE_ARENA) ||
        uds_conn_pair(&scene->other, &scene->sink, &options) < 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scene scene = {.in = {.at = data, .left = size}};
    int lowest;

    make_all_memory();
    lowest = fuzz_lowest_fd();
    open_scene(&scene);
    while (scene.in.left > 0 && !scene.in.bad)
        act(&scene);
    (void)uds_conn_process(scene.conn);
    if (scene.closes > 1)
        abort();
    (void)uds_conn_unref(scene.conn);
    (void)uds_conn_unref(scene.other);
    (void)uds_conn_unref(scene.sink);
    for (size_t i = 0; i < KEPT; i++) { /* messages outlive their connection */
        if (scene.kept[i])
            (void)uds_msg_peek_body(scene.kept[i], NULL);
        (void)uds_msg_unref(scene.kept[i]);
    }
    udsi_close(scene.peer);
    if (fuzz_lowest_fd() != lowest)
        abort();
    return 0;
}
