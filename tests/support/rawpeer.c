/* SPDX-License-Identifier: MIT */

/* Plain sendmsg on purpose: the tests of the receive path must not lean on the send path. */

#include "rawpeer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

static void put_le(uint8_t *at, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

size_t raw_encode(const struct raw_frame *frame, uint8_t *out)
{
    memset(out, 0, 24);
    out[0] = 0xD5;
    out[1] = 1;
    out[2] = frame->type ? frame->type : UDS_MSG_MESSAGE;
    put_le(out + 4, frame->body_len, 4);
    put_le(out + 8, frame->head_len, 2);
    put_le(out + 10, frame->claimed_fds, 2);
    put_le(out + 16, frame->id, 8);
    if (frame->head_len > 0)
        memcpy(out + 24, frame->head, frame->head_len);
    if (frame->body_len > 0)
        memcpy(out + 24 + frame->head_len, frame->body, frame->body_len);
    return 24 + frame->head_len + frame->body_len;
}

ssize_t raw_send(int sock, const void *data, size_t len, int fd, size_t nfds)
{
    static union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(int) * 300)];
    } control;
    union {
        const void *in;
        void *out;
    } base = {.in = data};
    struct iovec iov = {.iov_base = base.out, .iov_len = len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;

    if (nfds > 0) {
        struct cmsghdr *cmsg = &control.align;

        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
        for (size_t i = 0; i < nfds; i++)
            memcpy(CMSG_DATA(cmsg) + i * sizeof(int), &fd, sizeof(int));
    }
    n = sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    return n < 0 ? -errno : n;
}

ssize_t raw_send_frame(int sock, const struct raw_frame *frame, int fd, size_t nfds)
{
    static uint8_t bytes[RAW_FRAME_MAX];

    return raw_send(sock, bytes, raw_encode(frame, bytes), fd, nfds);
}

void raw_send_hello(int sock)
{
    uint8_t head[16] = {32, 0, 4, 0, 0, 0, 0, 1, 33, 0, 4, 0, 253, 0, 0, 0};
    struct raw_frame hello = {.type = UDS_MSG_HELLO, .head = head, .head_len = sizeof(head)};

    if (raw_send_frame(sock, &hello, -1, 0) < 0)
        abort();
}

void raw_drain(int sock)
{
    static uint8_t bytes[1 << 16];

    while (recv(sock, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        ;
}

int raw_conn(uds_conn **ret, int type, const struct uds_conn_options *options, int hello)
{
    int pair[2];

    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair) < 0 ||
        uds_conn_new(ret, pair[0], options) < 0)
        abort();
    if (hello) {
        raw_send_hello(pair[1]);
        if (uds_conn_process(*ret) < 0 || !uds_conn_is_open(*ret))
            abort();
        raw_drain(pair[1]);
    }
    return pair[1];
}

static void see_message(uds_conn *conn, uds_msg *msg, void *arg)
{
    struct raw_seen *seen = arg;

    (void)conn;
    seen->messages++;
    seen->last_id = uds_msg_get_id(msg);
    (void)uds_msg_peek_body(msg, &seen->last_body_len);
    seen->last_nfds = uds_msg_get_fd_count(msg);
    seen->last_msg_error = uds_msg_get_error(msg);
    (void)uds_msg_unref(msg);
}

static void see_close(uds_conn *conn, int error, void *arg)
{
    struct raw_seen *seen = arg;

    (void)conn;
    seen->closes++;
    seen->close_error = error;
}

static void see_writable(uds_conn *conn, void *arg)
{
    struct raw_seen *seen = arg;

    (void)conn;
    seen->writables++;
}

const struct uds_conn_callbacks raw_callbacks = {
    .on_message = see_message, .on_close = see_close, .on_writable = see_writable};
