/* SPDX-License-Identifier: MIT */

#include "ringpeer.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include "cleanup.h"
#include "conn/conn.h"
#include "socket/ringmem.h"
#include "wire/head.h"

void ringpeer_free(struct ringpeer *peer)
{
    (void)uds_conn_unref(peer->conn);
    udsi_close(peer->sock);
    if (peer->base)
        udsi_ringmem_unmap(peer->base, udsi_ring_total(RINGPEER_SIZE));
}

struct ringpeer ringpeer_new(void)
{
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    struct ringpeer peer = {0};
    int pair[2];

    options.ring_bytes = RINGPEER_SIZE;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    cr_assert_eq(uds_conn_new(&peer.conn, pair[0], &options), 0);
    peer.sock = pair[1];
    return peer;
}

void ringpeer_hello(struct ringpeer *peer)
{
    uint8_t head[8 + 8 + 12];
    struct raw_frame frame = {.type = UDS_MSG_HELLO, .head = head, .head_len = sizeof(head)};

    udsi_head_put_u32(head, UDSI_FIELD_MAX_BODY, 1 << 24);
    udsi_head_put_u32(head + 8, UDSI_FIELD_MAX_FDS, 16);
    udsi_head_put_u64(head + 16, UDSI_FIELD_FEATURES, UDS_FEATURE_RING);
    cr_assert_gt(raw_send_frame(peer->sock, &frame, -1, 0), 0);
}

void ringpeer_step(struct ringpeer *peer, uint64_t id, uint32_t step, uint32_t bytes, int fd)
{
    uint8_t head[16];
    struct raw_frame frame = {.type = UDS_MSG_RING,
                              .id = id,
                              .head = head,
                              .head_len = bytes ? 16 : 8,
                              .claimed_fds = fd >= 0};

    udsi_head_put_u32(head, UDSI_FIELD_RING_STEP, step);
    udsi_head_put_u32(head + 8, UDSI_FIELD_RING_BYTES, bytes);
    cr_assert_gt(raw_send_frame(peer->sock, &frame, fd, fd >= 0), 0);
}

int ringpeer_run(struct ringpeer *peer)
{
    int r, turns = 0;

    do {
        struct pollfd pfd = {.fd = uds_conn_get_fd(peer->conn)};

        cr_assert_lt(turns++, 3000, "awake for nothing");
        r = uds_conn_process(peer->conn);
        cr_assert(udsi_conn_check(peer->conn));
        if (r < 0)
            break;
        pfd.events = uds_conn_get_events(peer->conn);
        if (r == 0 && pfd.events && poll(&pfd, 1, 0) > 0)
            r = 1;
    } while (r == 1);
    return r;
}

struct ringpeer ringpeer_over(struct raw_seen *seen)
{
    struct ringpeer peer = ringpeer_new();
    int memfd = udsi_ringmem_new(udsi_ring_total(RINGPEER_SIZE), &peer.base);

    cr_assert_geq(memfd, 0);
    uds_conn_set_callbacks(peer.conn, &raw_callbacks, seen);
    udsi_ring_init(&peer.ring, peer.base, RINGPEER_SIZE, 0);
    ringpeer_hello(&peer);
    ringpeer_step(&peer, 7, UDSI_RING_OFFER, RINGPEER_SIZE, memfd);
    udsi_close(memfd);
    cr_assert_eq(ringpeer_run(&peer), 0);
    ringpeer_step(&peer, 7, UDSI_RING_SWITCH, 0, -1);
    cr_assert_eq(ringpeer_run(&peer), 0);
    cr_assert(uds_conn_uses_ring(peer.conn));
    raw_drain(peer.sock);
    return peer;
}

void ringpeer_bell(struct ringpeer *peer)
{
    (void)send(peer->sock, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void ringpeer_put(struct ringpeer *peer, uint64_t id, size_t body_len, uint16_t claimed_fds)
{
    static uint8_t body[3000], bytes[4000];
    struct raw_frame frame = {
        .id = id, .body = body, .body_len = body_len, .claimed_fds = claimed_fds};
    size_t len = raw_encode(&frame, bytes);

    cr_assert_eq(udsi_ring_write(&peer->ring, bytes, len), (ssize_t)len);
    udsi_ring_publish(&peer->ring);
    ringpeer_bell(peer);
}

void ringpeer_send_fds(struct ringpeer *peer, size_t nfds)
{
    cr_assert_eq(raw_send(peer->sock, "", 1, 0, nfds), 1);
}

void ringpeer_expect(struct ringpeer *peer, const char *rule)
{
    const char *text;

    cr_assert_eq(ringpeer_run(peer), -EPROTO);
    text = uds_conn_get_error_text(peer->conn);
    cr_assert(strstr(text, rule), "%s is not about %s", text, rule);
}
