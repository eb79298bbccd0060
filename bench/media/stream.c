/* SPDX-License-Identifier: MIT */
/*
 * Byte streams without a library: a Unix socketpair, TCP over loopback with TCP_NODELAY, two pipes. The floors that
 * everything with a protocol is held against, so nothing here parses, allocates or polls: a message is so many bytes.
 *
 * A batch is written side by side into one buffer and sent by one call. Small messages are received as many as there
 * are; a large one is received into its place, and is read when all of it is there, as for every other medium.
 *
 * A descriptor is handed over: its sender closes its own, its receiver owns the new one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "media.h"

#define RECEIVE_ROOM (64 * 1024)

struct stream {
    int in[2],
        out[2]; /* of the driver, of the peer; -1 closed. Of a socket both are the same number */
    bool is_pipe;
    uint8_t *send_buffer, *receive_buffer;
    size_t receive_room;
    size_t
        have; /* bytes of a message that is not whole yet; they lie at the start of the buffer if it is a large one */
};

static int stream_new(struct link *link, struct stream **ret)
{
    struct stream *stream = calloc(1, sizeof(*stream));

    if (!stream)
        return link_fail(link, -ENOMEM, "open");
    for (int side = 0; side < 2; side++)
        stream->in[side] = stream->out[side] = -1;
    link->state = *ret = stream;
    return 0;
}

static int open_pair(struct link *link)
{
    struct stream *stream;
    int pair[2], r = stream_new(link, &stream);

    if (r < 0)
        return r;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return link_fail(link, -errno, "socketpair");
    for (int side = 0; side < 2; side++)
        stream->in[side] = stream->out[side] = pair[side];
    return 0;
}

static int open_pipes(struct link *link)
{
    struct stream *stream;
    int r = stream_new(link, &stream);

    if (r < 0)
        return r;
    stream->is_pipe = true;
    for (int side = 0; side < 2; side++) {
        int ends[2];

        if (pipe2(ends, O_CLOEXEC) < 0)
            return link_fail(link, -errno, "pipe2");
        stream->in[side] = ends[0];
        stream->out[1 - side] = ends[1];
    }
    return 0;
}

/* Connects @stream's two sides over loopback, through @listener, which the caller closes. */
static int connect_sides(struct link *link, struct stream *stream, int listener)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    int one = 1;

    if (bind(listener, (struct sockaddr *)&address, len) < 0 || listen(listener, 1) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &len) < 0)
        return link_fail(link, -errno, "listen on 127.0.0.1");
    stream->in[0] = stream->out[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (stream->in[0] < 0 || connect(stream->in[0], (struct sockaddr *)&address, len) < 0)
        return link_fail(link, -errno, "connect to 127.0.0.1");
    stream->in[1] = stream->out[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (stream->in[1] < 0)
        return link_fail(link, -errno, "accept");
    for (int side = 0; side < 2; side++)
        if (setsockopt(stream->in[side], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
            return link_fail(link, -errno, "TCP_NODELAY");
    return 0;
}

static int open_tcp(struct link *link)
{
    struct stream *stream;
    int listener, r = stream_new(link, &stream);

    if (r < 0)
        return r;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0)
        return link_fail(link, -errno, "socket");
    r = connect_sides(link, stream, listener);
    (void)close(listener);
    return r;
}

static void close_side(struct stream *stream, int side)
{
    if (stream->in[side] >= 0)
        (void)close(stream->in[side]);
    if (stream->out[side] >= 0 && stream->out[side] != stream->in[side])
        (void)close(stream->out[side]);
    stream->in[side] = stream->out[side] = -1;
}

static int attach(struct link *link)
{
    struct stream *stream = link->state;

    close_side(stream, 1 - (int)link->side);
    stream->receive_room = link->in.size > RECEIVE_ROOM ? link->in.size : RECEIVE_ROOM;
    stream->send_buffer = malloc(link->batch * link->out.size);
    stream->receive_buffer = malloc(stream->receive_room);
    return stream->send_buffer && stream->receive_buffer ? 0 : link_fail(link, -ENOMEM, "buffers");
}

static void close_stream(struct link *link)
{
    struct stream *stream = link->state;

    if (!stream)
        return;
    close_side(stream, 0);
    close_side(stream, 1);
    free(stream->send_buffer);
    free(stream->receive_buffer);
    free(stream);
    link->state = NULL;
}

static ssize_t send_with_fd(int socket, const uint8_t *data, size_t len, int fd)
{
    union {
        struct cmsghdr header;
        uint8_t bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof(control)};

    control.header = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
    memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    return sendmsg(socket, &msg, MSG_NOSIGNAL);
}

static ssize_t receive_with_fd(int socket, uint8_t *data, size_t room, int *ret_fd)
{
    union {
        struct cmsghdr header;
        uint8_t bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = data, .iov_len = room};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(socket, &msg, MSG_CMSG_CLOEXEC);
    struct cmsghdr *cmsg = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;

    if (cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS &&
        cmsg->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(ret_fd, CMSG_DATA(cmsg), sizeof(int));
    return n;
}

static int send_all(struct link *link, const uint8_t *data, size_t len)
{
    struct stream *stream = link->state;
    int fd = stream->out[link->side];

    while (len > 0) {
        ssize_t n;

        if (link->fd >= 0) {
            n = send_with_fd(fd, data, len, link->fd);
            (void)close(link->fd);
            link->fd = -1;
        } else if (stream->is_pipe) {
            n = write(fd, data, len);
        } else {
            n = send(fd, data, len, MSG_NOSIGNAL);
        }
        if (n < 0)
            return link_fail(link, -errno, "send");
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

static int send_messages(struct link *link, size_t count)
{
    struct stream *stream = link->state;
    size_t size = link->out.size;

    for (size_t i = 0; i < count; i++)
        memcpy(stream->send_buffer + i * size, body_source_next(&link->out), size);
    return send_all(link, stream->send_buffer, count * size);
}

static ssize_t receive_some(struct link *link, uint8_t *data, size_t room)
{
    struct stream *stream = link->state;
    int fd = stream->in[link->side];
    ssize_t n;

    if (link->with_fd && link->fd < 0)
        n = receive_with_fd(fd, data, room, &link->fd);
    else if (stream->is_pipe)
        n = read(fd, data, room);
    else
        n = recv(fd, data, room, 0);
    return n < 0 ? link_fail(link, -errno, "receive") : n;
}

/* One message that is larger than the usual buffer. */
static int receive_large(struct link *link)
{
    struct stream *stream = link->state;
    size_t have = 0;

    while (have < link->in.size) {
        ssize_t n = receive_some(link, stream->receive_buffer + have, link->in.size - have);

        if (n <= 0)
            return n < 0 ? (int)n : have > 0 ? link_fail(link, -ECONNRESET, "receive") : 0;
        have += (size_t)n;
    }
    body_sink_take(&link->in, stream->receive_buffer, have);
    return 1;
}

static int receive(struct link *link)
{
    struct stream *stream = link->state;
    size_t messages;

    if (link->in.size >= RECEIVE_ROOM)
        return receive_large(link);
    do {
        ssize_t n = receive_some(link, stream->receive_buffer, stream->receive_room);

        if (n <= 0)
            return n < 0 ? (int)n : stream->have > 0 ? link_fail(link, -ECONNRESET, "receive") : 0;
        body_sink_take(&link->in, stream->receive_buffer, (size_t)n);
        stream->have += (size_t)n;
        messages = stream->have / link->in.size;
        stream->have %= link->in.size;
    } while (messages == 0);
    return (int)messages;
}

static int finish(struct link *link)
{
    struct stream *stream = link->state;

    if (!stream->is_pipe)
        return shutdown(stream->out[link->side], SHUT_WR) < 0 ? link_fail(link, -errno, "shutdown")
                                                              : 0;
    (void)close(stream->out[link->side]);
    stream->out[link->side] = -1;
    return 0;
}

#define STREAM_VERBS                                                                    \
    .attach = attach, .close = close_stream, .send = send_messages, .receive = receive, \
    .finish = finish

const struct medium medium_uds_stream = {
    .name = "uds-stream",
    .summary = "Unix stream socketpair, blocking send and recv",
    .traits = MEDIUM_CARRIES_FDS,
    .open = open_pair,
    STREAM_VERBS,
};

const struct medium medium_tcp = {
    .name = "tcp",
    .summary = "TCP over loopback with TCP_NODELAY, blocking send and recv",
    .open = open_tcp,
    STREAM_VERBS,
};

const struct medium medium_pipe = {
    .name = "pipe",
    .summary = "two pipes, blocking write and read",
    .open = open_pipes,
    STREAM_VERBS,
};
