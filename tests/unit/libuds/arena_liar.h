/* SPDX-License-Identifier: MIT */
#ifndef ARENA_LIAR_H
#define ARENA_LIAR_H

/* A connection of ours, and a peer that says of arenas what it likes, in raw bytes. */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/socket.h>

#include "block.h"
#include "cleanup.h"
#include "conn/conn.h"
#include "conn/msg.h"
#include "faultsock.h"
#include "guard.h"
#include "heap.h"
#include "rawpeer.h"
#include "socket/kernel.h"
#include "wire/cursor.h"

#define SLOT      (64u << 10)
#define SLOTS     4u
#define ARENA_MAX (1u << 20)
#define SEALS     (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE)

/* A connection of ours that offers @arena_bytes, and a peer that offers arenas and takes up to 1 MiB of ours. */
static inline int open_conn(uds_conn **ret, size_t arena_bytes)
{
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    uint8_t head[40];
    struct udsi_writer w = {.at = head, .left = sizeof(head)};
    struct raw_frame hello = {.type = UDS_MSG_HELLO, .head = head, .head_len = sizeof(head)};
    int peer;

    options.arena_bytes = arena_bytes;
    options.body_path = UDS_BODY_PATH_ARENA;
    peer = raw_conn(ret, SOCK_STREAM, &options, 0);
    udsi_write_u16(&w, UDSI_FIELD_MAX_BODY);
    udsi_write_u16(&w, 4);
    udsi_write_u32(&w, 1u << 24);
    udsi_write_u16(&w, UDSI_FIELD_MAX_FDS);
    udsi_write_u16(&w, 4);
    udsi_write_u32(&w, 16);
    udsi_write_u16(&w, UDSI_FIELD_FEATURES);
    udsi_write_u16(&w, 8);
    udsi_write_u64(&w, UDS_FEATURE_ARENA);
    udsi_write_u16(&w, UDSI_FIELD_ARENA_MAX);
    udsi_write_u16(&w, 8);
    udsi_write_u64(&w, ARENA_MAX);
    cr_assert_eq(w.left, 0);
    cr_assert_gt(raw_send_frame(peer, &hello, -1, 0), 0);
    cr_assert_geq(uds_conn_process(*ret), 0);
    cr_assert(uds_conn_is_open(*ret));
    raw_drain(peer);
    return peer;
}

/* Memory as an arena has to be, but for what the arguments say. */
static inline int make_memory(size_t size, size_t written, unsigned seals)
{
    int fd = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    static uint8_t zeroes[1 << 16];

    cr_assert_geq(fd, 0);
    cr_assert_eq(ftruncate(fd, (off_t)size), 0);
    for (size_t done = 0; done < written; done += sizeof(zeroes))
        cr_assert_gt(pwrite(fd, zeroes,
                            written - done < sizeof(zeroes) ? written - done : sizeof(zeroes),
                            (off_t)done),
                     0);
    cr_assert_eq(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

static inline void send_numbers(int peer,
                                uint8_t type,
                                uint64_t id,
                                const uint64_t *numbers,
                                size_t count,
                                int fd,
                                uint8_t flags)
{
    uint8_t body[64], bytes[256];
    struct udsi_writer w = {.at = body, .left = sizeof(body)};
    struct raw_frame frame = {
        .type = type, .id = id, .body = body, .body_len = count * 8, .claimed_fds = fd >= 0};
    size_t len;

    for (size_t i = 0; i < count; i++)
        udsi_write_u64(&w, numbers[i]);
    len = raw_encode(&frame, bytes);
    bytes[3] = flags;
    cr_assert_gt(raw_send(peer, bytes, len, fd, fd >= 0), 0);
}

/* Announces @fd, which stays the caller's. */
static inline void announce(int peer, uint64_t number, uint64_t slot_size, int fd)
{
    send_numbers(peer, UDS_MSG_ARENA, number, &slot_size, 1, fd, 0);
}

static inline void withdraw(int peer, uint64_t number)
{
    send_numbers(peer, UDS_MSG_ARENA, number, NULL, 0, -1, 0);
}

static inline void release(int peer, uint64_t number, uint64_t slots)
{
    send_numbers(peer, UDS_MSG_RELEASE, number, &slots, 1, -1, 0);
}

static inline void refer(int peer, uint64_t number, uint64_t offset, uint64_t length)
{
    uint64_t numbers[] = {number, offset, length};

    send_numbers(peer, UDS_MSG_MESSAGE, 7, numbers, 3, -1, UDSI_FLAG_ARENA);
}

/* Reads the next frame that @peer gets into @ret_type, @ret_id and, for bodies of 8 bytes, @ret_body. False: none. */
static inline bool next_frame(int peer, uint8_t *ret_type, uint64_t *ret_id, uint64_t *ret_body)
{
    uint8_t bytes[24], body[64];
    ssize_t n = recv(peer, bytes, sizeof(bytes), MSG_DONTWAIT);
    struct udsi_reader r = {.at = bytes + 16, .left = 8}, b = {.at = body};

    if (n <= 0)
        return false;
    cr_assert_eq(n, 24);
    *ret_type = bytes[2];
    *ret_id = udsi_read_u64(&r);
    b.left = bytes[4];
    cr_assert_leq(b.left, sizeof(body));
    if (b.left > 0)
        cr_assert_eq(recv(peer, body, b.left, MSG_DONTWAIT), (ssize_t)b.left);
    *ret_body = udsi_read_u64(&b);
    return true;
}

/* The connection has granted arena @number, all of it. */
static inline void expect_release(uds_conn *conn, int peer, uint64_t number, uint64_t slots)
{
    uint64_t id, body;
    uint8_t type;

    cr_assert_geq(uds_conn_process(conn), 0, "%s", uds_conn_get_error_text(conn));
    cr_assert(udsi_conn_check(conn));
    cr_assert(next_frame(peer, &type, &id, &body), "a RELEASE is missing");
    cr_assert_eq(type, UDS_MSG_RELEASE);
    cr_assert_eq(id, number);
    cr_assert_eq(body, slots);
}

static inline void expect_close(uds_conn *conn, const char *rule)
{
    cr_assert_eq(uds_conn_process(conn), -EPROTO, "%s is not noticed", rule);
    cr_assert_not_null(strstr(uds_conn_get_error_text(conn), rule), "%s: %s", rule,
                       uds_conn_get_error_text(conn));
    cr_assert(udsi_conn_check(conn));
}

/* Arena 1 of four slots, granted. Returns its memory. */
static inline int open_arena(uds_conn *conn, int peer)
{
    int fd = make_memory(SLOT * SLOTS, SLOT * SLOTS, SEALS);

    announce(peer, 1, SLOT, fd);
    expect_release(conn, peer, 1, 0xf);
    return fd;
}

struct keeper {
    uds_msg *msgs[16];
    size_t count;
};

static inline void keep(uds_conn *conn, uds_msg *msg, void *arg)
{
    struct keeper *keeper = arg;

    (void)conn;
    cr_assert_lt(keeper->count, 16);
    keeper->msgs[keeper->count++] = msg;
}

static inline void drop_kept(struct keeper *keeper)
{
    while (keeper->count > 0)
        (void)uds_msg_unref(keeper->msgs[--keeper->count]);
}

static const struct uds_conn_callbacks keeping = {.on_message = keep};

#endif
