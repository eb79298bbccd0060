/* SPDX-License-Identifier: MIT */

/*
 * A datagram socket and strangers: the input is a list of deeds of two bare sockets, one with a name and one without
 * (records of any bytes, frames that are nearly right, descriptors claimed and brought), and of the application (process,
 * receive, answer, send many, connect, stop listening).
 *
 * After each deed the invariants hold. Every record that the kernel took is either given out or dropped and counted, none
 * twice; at the end no descriptor is left. Built and run by tests/fuzz/run.sh.
 */

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>
#include <sys/un.h>

#include "cleanup.h"
#include "conn/dgram.h"
#include "fuzz.h"
#include "rawpeer.h"
#include "socket/sockaddr.h"
#include "wire/cursor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MESSAGES 3
#define BODY     600

enum deed {
    DEED_BYTES,
    DEED_FRAME,
    DEED_PROCESS,
    DEED_RECEIVE,
    DEED_REPLY,
    DEED_SEND,
    DEED_CONNECT,
    DEED_LISTEN,
    DEED_DRAIN,
    DEED_COUNT,
};

struct scene {
    struct udsi_reader in;
    uds_dgram *dgram;
    int named, nameless;
    struct uds_addr named_addr;
    uint64_t sent, given; /* records that the kernel took; messages that we got */
    struct uds_dgram_sender last;
    bool answers; /* on_message answers at once */
    uds_msg *answer;
};

static void take(struct scene *scene, uds_msg *msg, const struct uds_dgram_sender *sender)
{
    scene->given++;
    if (uds_msg_get_fd_count(msg) > UDS_FDS_MAX ||
        ((sender->claim.claimed & UDS_DGRAM_PIDFD) != 0) != (sender->claim.claimed_pidfd >= 0))
        abort();
    scene->last.addr = sender->addr;
    (void)uds_msg_unref(msg);
}

static void
on_message(uds_dgram *dgram, uds_msg *msg, const struct uds_dgram_sender *sender, void *arg)
{
    struct scene *scene = arg;

    take(scene, msg, sender);
    if (scene->answers)
        (void)!uds_dgram_reply(dgram, sender, scene->answer);
}

static const struct uds_dgram_callbacks callbacks = {.on_message = on_message};

static void send_record(struct scene *scene, const void *bytes, size_t len, size_t nfds)
{
    int sock = udsi_read_u8(&scene->in) & 1 ? scene->named : scene->nameless;

    if (raw_send(sock, bytes, len, 0, nfds) >= 0)
        scene->sent++;
}

static void deed_bytes(struct scene *scene)
{
    size_t nfds = udsi_read_u8(&scene->in) % 20;
    size_t len = udsi_read_u8(&scene->in);

    if (len > scene->in.left)
        len = scene->in.left;
    send_record(scene, udsi_read_bytes(&scene->in, len), len, nfds);
}

/* A frame with one byte changed, or cut, or more behind it. */
static void deed_frame(struct scene *scene)
{
    static const uint8_t types[] = {1, 2, 8, 16, 17, 19, 34, 64};
    static uint8_t zeroes[2 * BODY], bytes[2048];
    struct raw_frame frame = {
        .type = types[udsi_read_u8(&scene->in) % sizeof(types)],
        .id = udsi_read_u8(&scene->in),
        .claimed_fds = udsi_read_u8(&scene->in) % 20,
        .body = zeroes,
        .body_len = udsi_read_u16(&scene->in) % sizeof(zeroes),
    };
    uint8_t how = udsi_read_u8(&scene->in);
    size_t nfds = how & 1 ? frame.claimed_fds : udsi_read_u8(&scene->in) % 20;
    size_t len;

    if (how & 2) {
        frame.head_len = udsi_read_u8(&scene->in) % 64;
        if (frame.head_len > scene->in.left)
            frame.head_len = scene->in.left;
        frame.head = udsi_read_bytes(&scene->in, frame.head_len);
    }
    len = raw_encode(&frame, bytes);
    if (how & 4)
        bytes[udsi_read_u8(&scene->in) % len] = udsi_read_u8(&scene->in);
    if (how & 8)
        len -= udsi_read_u8(&scene->in) % len;
    else if (how & 16)
        len++;
    send_record(scene, bytes, len, nfds);
}

static void deed_receive(struct scene *scene)
{
    struct uds_dgram_sender sender;
    uds_msg *msg;
    bool cares = udsi_read_u8(&scene->in) & 1;

    if (uds_dgram_receive(scene->dgram, &msg, cares ? &sender : NULL) != 1)
        return;
    if (cares) {
        take(scene, msg, &sender);
        uds_dgram_sender_clear(&sender);
        return;
    }
    scene->given++;
    (void)uds_msg_unref(msg);
}

static void deed_send(struct scene *scene)
{
    uds_msg *msgs[MESSAGES] = {scene->answer, scene->answer, scene->answer};
    uint8_t how = udsi_read_u8(&scene->in);

    (void)!uds_dgram_send_many(scene->dgram, how & 1 ? &scene->named_addr : NULL, msgs,
                               1 + how / 2 % MESSAGES);
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
        (void)uds_dgram_process(scene->dgram);
        break;
    case DEED_RECEIVE:
        deed_receive(scene);
        break;
    case DEED_REPLY:
        (void)!uds_dgram_reply(scene->dgram, &scene->last, scene->answer);
        break;
    case DEED_SEND:
        deed_send(scene);
        break;
    case DEED_CONNECT:
        /* Once connected, the kernel refuses others' records; those that wait from others it drops, uncounted. */
        if (scene->sent == 0)
            (void)!uds_dgram_connect(scene->dgram,
                                     udsi_read_u8(&scene->in) & 1 ? &scene->named_addr : NULL);
        break;
    case DEED_LISTEN:
        scene->answers = udsi_read_u8(&scene->in) & 1;
        uds_dgram_set_callbacks(scene->dgram, udsi_read_u8(&scene->in) & 1 ? &callbacks : NULL,
                                scene);
        break;
    case DEED_DRAIN:
        raw_drain(scene->named);
        break;
    case DEED_COUNT:
        break;
    }
    if (!udsi_dgram_check(scene->dgram))
        abort();
}

/* A bare socket that sends to @to, with a name of the kernel's choice if @ret is not NULL. */
static int open_raw(const struct uds_addr *to, struct uds_addr *ret)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof(sa);

    if (fd < 0)
        abort();
    if (ret) {
        if (bind(fd, (struct sockaddr *)&sa, sizeof(sa.sun_family)) < 0 ||
            getsockname(fd, (struct sockaddr *)&sa, &len) < 0 ||
            !udsi_sockaddr_read(&sa, len, SOCK_DGRAM, ret))
            abort();
    }
    if (udsi_sockaddr_fill(to, &sa, &len) < 0 || connect(fd, (struct sockaddr *)&sa, len) < 0)
        abort();
    return fd;
}

static void open_scene(struct scene *scene)
{
    static const uint32_t bodies[] = {BODY, 1, UDS_DGRAM_BODY_DEFAULT, 8u << 20};
    struct uds_dgram_options options = UDS_DGRAM_OPTIONS_INIT;
    uint8_t flags = udsi_read_u8(&scene->in);
    struct uds_addr addr;

    options.autobind = true;
    options.max_body = bodies[flags & 3];
    options.max_fds = flags & 4 ? 16 : flags & 8 ? UDS_FDS_MAX : 0;
    options.claims = flags >> 4;
    if (uds_dgram_new(&scene->dgram, NULL, &options) < 0 ||
        uds_dgram_get_addr(scene->dgram, &addr) < 0 ||
        uds_msg_new(&scene->answer, UDS_MSG_MESSAGE, 7, "answer", 6) < 0 ||
        uds_msg_push_dup_fd(scene->answer, 0) < 0)
        abort();
    scene->named = open_raw(&addr, &scene->named_addr);
    scene->nameless = open_raw(&addr, NULL);
    uds_dgram_set_callbacks(scene->dgram, &callbacks, scene);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct scene scene = {.in = {.at = data, .left = size}};
    struct uds_dgram_stats stats;
    int lowest = fuzz_lowest_fd();

    open_scene(&scene);
    while (scene.in.left > 0 && !scene.in.bad)
        act(&scene);
    uds_dgram_set_callbacks(scene.dgram, &callbacks, &scene);
    while (uds_dgram_process(scene.dgram) > 0)
        ;
    uds_dgram_get_stats(scene.dgram, &stats);
    if (stats.received != scene.given || stats.received + stats.dropped != scene.sent)
        abort();
    (void)uds_dgram_unref(scene.dgram);
    (void)uds_msg_unref(scene.answer);
    udsi_close(scene.named);
    udsi_close(scene.nameless);
    if (fuzz_lowest_fd() != lowest)
        abort();
    return 0;
}
