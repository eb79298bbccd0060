/* SPDX-License-Identifier: MIT */
/*
 * Record sockets without a library: SEQPACKET and DGRAM socketpairs. One record a message; a batch is one sendmmsg,
 * received by one recvmmsg. A record cannot be longer than the send buffer allows, and that is what the largest body is.
 *
 * The end is an empty record: closing one end of a datagram pair does not wake the other.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>
#include <sys/uio.h>

#include "media.h"

#define OVERHEAD 32 /* unix_dgram_sendmsg(): a record is at most sk_sndbuf - 32 */

struct record {
    int sockets[2]; /* -1 closed */
    uint8_t *send_buffer, *receive_buffer;
    struct mmsghdr *send_headers, *receive_headers;
    struct iovec *send_iov, *receive_iov;
    bool ended; /* the end mark came with the last records of a batch */
};

static int open_records(struct link *link, int type)
{
    struct record *record = calloc(1, sizeof(*record));
    int room;
    socklen_t len = sizeof(room);

    if (!record)
        return link_fail(link, -ENOMEM, "open");
    record->sockets[0] = record->sockets[1] = -1;
    link->state = record;
    if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, record->sockets) < 0)
        return link_fail(link, -errno, "socketpair");
    if (getsockopt(record->sockets[0], SOL_SOCKET, SO_SNDBUF, &room, &len) < 0)
        return link_fail(link, -errno, "SO_SNDBUF");
    if (link->out.size > (size_t)room - OVERHEAD || link->in.size > (size_t)room - OVERHEAD)
        return link_fail(link, -EMSGSIZE, "a record that large");
    return 0;
}

static int open_seqpacket(struct link *link)
{
    return open_records(link, SOCK_SEQPACKET);
}

static int open_dgram(struct link *link)
{
    return open_records(link, SOCK_DGRAM);
}

static void
set_up(struct mmsghdr *headers, struct iovec *iov, uint8_t *buffer, size_t size, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        iov[i] = (struct iovec){.iov_base = buffer + i * size, .iov_len = size};
        headers[i].msg_hdr.msg_iov = &iov[i];
        headers[i].msg_hdr.msg_iovlen = 1;
    }
}

static int attach(struct link *link)
{
    struct record *record = link->state;
    size_t batch = link->batch;

    (void)close(record->sockets[1 - link->side]);
    record->sockets[1 - link->side] = -1;
    record->send_buffer = malloc(batch * link->out.size);
    record->receive_buffer = malloc(batch * link->in.size);
    record->send_headers = calloc(batch, sizeof(*record->send_headers));
    record->receive_headers = calloc(batch, sizeof(*record->receive_headers));
    record->send_iov = calloc(batch, sizeof(*record->send_iov));
    record->receive_iov = calloc(batch, sizeof(*record->receive_iov));
    if (!record->send_buffer || !record->receive_buffer || !record->send_headers ||
        !record->receive_headers || !record->send_iov || !record->receive_iov)
        return link_fail(link, -ENOMEM, "buffers");
    set_up(record->send_headers, record->send_iov, record->send_buffer, link->out.size, batch);
    set_up(record->receive_headers, record->receive_iov, record->receive_buffer, link->in.size,
           batch);
    return 0;
}

static void close_records(struct link *link)
{
    struct record *record = link->state;

    if (!record)
        return;
    for (int side = 0; side < 2; side++)
        if (record->sockets[side] >= 0)
            (void)close(record->sockets[side]);
    free(record->send_buffer);
    free(record->receive_buffer);
    free(record->send_headers);
    free(record->receive_headers);
    free(record->send_iov);
    free(record->receive_iov);
    free(record);
    link->state = NULL;
}

static int send_records(struct link *link, size_t count)
{
    struct record *record = link->state;
    int socket = record->sockets[link->side];
    size_t size = link->out.size;

    for (size_t i = 0; i < count; i++)
        memcpy(record->send_buffer + i * size, body_source_next(&link->out), size);
    if (count == 1)
        return send(socket, record->send_buffer, size, MSG_NOSIGNAL) < 0
                   ? link_fail(link, -errno, "send")
                   : 0;
    for (size_t done = 0; done < count;) {
        int n =
            sendmmsg(socket, record->send_headers + done, (unsigned)(count - done), MSG_NOSIGNAL);

        if (n < 0)
            return link_fail(link, -errno, "sendmmsg");
        done += (size_t)n;
    }
    return 0;
}

/* One record that was received: 1, 0 the end, or a record of another length. */
static int take(struct link *link, const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    if (len != link->in.size)
        return link_fail(link, -EBADMSG, "a record of another length");
    body_sink_take(&link->in, data, len);
    return 1;
}

/* Up to a batch by one call. Nothing follows an end mark. */
static int receive_batch(struct link *link)
{
    struct record *record = link->state;
    int messages = 0, n;

    if (record->ended)
        return 0;
    n = recvmmsg(record->sockets[link->side], record->receive_headers, (unsigned)link->batch,
                 MSG_WAITFORONE, NULL);
    if (n < 0)
        return link_fail(link, -errno, "recvmmsg");
    for (int i = 0; i < n; i++) {
        int r = take(link, record->receive_iov[i].iov_base, record->receive_headers[i].msg_len);

        if (r < 0)
            return r;
        record->ended = r == 0;
        messages += r;
    }
    return messages;
}

static int receive(struct link *link)
{
    struct record *record = link->state;
    ssize_t n;

    if (link->batch > 1)
        return receive_batch(link);
    n = recv(record->sockets[link->side], record->receive_buffer, link->in.size, MSG_TRUNC);
    return n < 0 ? link_fail(link, -errno, "recv") : take(link, record->receive_buffer, (size_t)n);
}

static int finish(struct link *link)
{
    struct record *record = link->state;

    return send(record->sockets[link->side], "", 0, MSG_NOSIGNAL) < 0
               ? link_fail(link, -errno, "send")
               : 0;
}

#define RECORD_VERBS                                                                    \
    .attach = attach, .close = close_records, .send = send_records, .receive = receive, \
    .finish = finish

const struct medium medium_uds_seqpacket = {
    .name = "uds-seqpacket",
    .summary = "Unix SEQPACKET socketpair; batches by sendmmsg and recvmmsg",
    .open = open_seqpacket,
    RECORD_VERBS,
};

const struct medium medium_uds_dgram = {
    .name = "uds-dgram",
    .summary = "Unix DGRAM socketpair; batches by sendmmsg and recvmmsg",
    .open = open_dgram,
    RECORD_VERBS,
};
