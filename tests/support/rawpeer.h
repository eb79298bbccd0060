/* SPDX-License-Identifier: MIT */
#ifndef UDS_TEST_RAWPEER_H
#define UDS_TEST_RAWPEER_H

#include <stddef.h>
#include <stdint.h>

#include <uds/conn.h>

/*
 * A peer that writes bytes and fds as it likes, honest or not, opposite a connection of ours. It does not go through
 * libuds: what it sends is what the test says.
 */

struct raw_frame {
    uint8_t type; /* 0: UDS_MSG_MESSAGE */
    uint64_t id;
    const void *head;
    size_t head_len;
    const void *body;
    size_t body_len;
    uint16_t claimed_fds;
};

#define RAW_FRAME_MAX (1u << 20)

/* Encodes into @out, which has RAW_FRAME_MAX bytes or at least what the frame needs. Returns the length. */
size_t raw_encode(const struct raw_frame *frame, uint8_t *out);

/* Sends bytes with @nfds fds (each one a duplicate of @fd) in one sendmsg. Returns what sendmsg says, -errno on failure. */
ssize_t raw_send(int sock, const void *data, size_t len, int fd, size_t nfds);

/* The same for one frame. */
ssize_t raw_send_frame(int sock, const struct raw_frame *frame, int fd, size_t nfds);

/* A HELLO with MAX_BODY 16 MiB and MAX_FDS 253. */
void raw_send_hello(int sock);

/* A connection of ours and the other end of its socket, after both HELLOs if @hello. @type SOCK_STREAM or SOCK_SEQPACKET. */
int raw_conn(uds_conn **ret, int type, const struct uds_conn_options *options, int hello);

/* Reads and drops what is there. */
void raw_drain(int sock);

/* What callbacks have seen; give &raw_callbacks and a struct raw_seen. */
struct raw_seen {
    unsigned messages, closes, writables;
    uint64_t last_id;
    size_t last_body_len, last_nfds;
    int last_msg_error;
    int close_error;
};
extern const struct uds_conn_callbacks raw_callbacks;

#endif
