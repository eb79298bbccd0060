/* SPDX-License-Identifier: MIT */
/*
 * test-echo ADDRESS: a peer to talk to without a broker. Sends MESSAGEs back as they came, with their head, body and fds;
 * answers a REQUEST with its own body and fds, or, when the METHOD is "fail", with status 1007, value 42 and the body as
 * words; never answers the METHOD "silence". Says "ready" when it listens, and ends when its stdin does.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <uds/error.h>
#include <uds/listener.h>
#include <uds/rpc.h>

#define PEERS_MAX  64
#define SILENT_MAX 64

struct peer {
    uds_rpc *rpc; /* NULL: the slot is free */
    bool gone;
};

static struct peer peers[PEERS_MAX];
static uds_rpc_call *silent[SILENT_MAX]; /* calls that stay unanswered until the end */
static size_t nsilent;

/* The same message, made anew: a received one is immutable. */
static int copy_message(uds_msg **ret, uds_msg *from)
{
    size_t len, pos = 0;
    const void *body = uds_msg_peek_body(from, &len), *data;
    uint16_t tag;
    uds_msg *msg;
    int r;

    r = uds_msg_new(&msg, UDS_MSG_MESSAGE, uds_msg_get_id(from), body, len);
    if (r < 0)
        return r;
    while (r == 0 && uds_msg_next(from, &pos, &tag, &data, &len))
        r = uds_msg_add_bytes(msg, tag, data, len);
    for (size_t i = 0; r == 0 && i < uds_msg_get_fd_count(from); i++)
        r = uds_msg_push_dup_fd(msg, uds_msg_peek_fd(from, i));
    if (r < 0)
        uds_msg_unref(msg);
    else
        *ret = msg;
    return r;
}

static void on_message(uds_conn *conn, uds_msg *msg, void *arg)
{
    uds_msg *copy;

    (void)arg;
    if (uds_msg_get_type(msg) == UDS_MSG_MESSAGE && copy_message(&copy, msg) == 0) {
        if (uds_conn_send(conn, copy) < 0)
            fprintf(stderr, "test-echo: a message could not be sent back\n");
        uds_msg_unref(copy);
    }
    uds_msg_unref(msg);
}

static void on_close(uds_conn *conn, int error, void *arg)
{
    struct peer *peer = arg;

    if (error < 0)
        fprintf(stderr, "test-echo: %s\n", uds_conn_get_error_text(conn));
    peer->gone = true;
}

static void on_call(uds_rpc_call *call, void *arg)
{
    uds_msg *msg = uds_rpc_call_peek_msg(call);
    size_t len, nfds = uds_msg_get_fd_count(msg);
    const void *body = uds_msg_peek_body(msg, &len);
    const char *method = uds_rpc_call_get_method(call);
    int fds[UDS_FDS_MAX];

    (void)arg;
    if (strcmp(method, "silence") == 0 && nsilent < SILENT_MAX) {
        silent[nsilent++] = call;
        return;
    }
    if (strcmp(method, "fail") == 0) {
        char words[200];

        snprintf(words, sizeof(words), "%.*s", (int)(len < 199 ? len : 199), (const char *)body);
        (void)uds_rpc_call_fail(call, UDS_STATUS_APPLICATION + 7, 42, words);
        return;
    }
    for (size_t i = 0; i < nfds; i++)
        fds[i] = uds_msg_take_fd(msg, i);
    if (uds_rpc_call_reply(call, body, len, fds, nfds) < 0)
        for (size_t i = 0; i < nfds; i++)
            close(fds[i]);
}

static int welcome(int fd)
{
    static const struct uds_conn_callbacks callbacks = {
        .on_message = on_message,
        .on_close = on_close,
    };
    struct peer *peer = peers;
    uds_conn *conn;
    int r;

    while (peer->rpc)
        if (++peer == peers + PEERS_MAX)
            return -EUSERS;
    r = uds_conn_new(&conn, fd, NULL);
    if (r < 0)
        return r;
    r = uds_rpc_new(&peer->rpc, conn, &callbacks, peer);
    uds_conn_unref(conn);
    if (r < 0)
        return 0; /* the connection, and with it the fd, is closed */
    peer->gone = false;
    uds_rpc_set_handler(peer->rpc, on_call, peer, 0);
    return 0;
}

static void serve(struct peer *peer)
{
    while (!peer->gone && uds_conn_process(uds_rpc_get_conn(peer->rpc)) > 0)
        continue;
    if (peer->gone)
        peer->rpc = uds_rpc_free(peer->rpc);
}

static void run(uds_listener *listener)
{
    for (;;) {
        struct pollfd pfds[PEERS_MAX + 2];
        int fd;

        for (int i = 0; i < PEERS_MAX; i++) {
            uds_conn *conn = peers[i].rpc ? uds_rpc_get_conn(peers[i].rpc) : NULL;

            pfds[i] = (struct pollfd){.fd = conn ? uds_conn_get_fd(conn) : -1,
                                      .events = conn ? uds_conn_get_events(conn) : (short)0};
        }
        pfds[PEERS_MAX] = (struct pollfd){.fd = uds_listener_get_fd(listener), .events = POLLIN};
        pfds[PEERS_MAX + 1] = (struct pollfd){.fd = STDIN_FILENO, .events = POLLIN};
        if (poll(pfds, PEERS_MAX + 2, -1) < 0 && errno != EINTR)
            return;
        if (pfds[PEERS_MAX + 1].revents)
            return;
        while ((fd = uds_listener_accept(listener)) >= 0)
            if (welcome(fd) < 0)
                close(fd);
        for (int i = 0; i < PEERS_MAX; i++)
            if (peers[i].rpc)
                serve(&peers[i]);
    }
}

int main(int argc, char **argv)
{
    uds_listener *listener = NULL;
    struct uds_addr addr;
    int r;

    if (argc != 2) {
        fprintf(stderr, "usage: test-echo ADDRESS\n");
        return 2;
    }
    r = uds_addr_parse(argv[1], &addr);
    if (r == 0)
        r = uds_listener_new(&listener, &addr, NULL);
    if (r < 0) {
        fprintf(stderr, "test-echo: listening failed: on %s: %s\n", argv[1], strerror(-r));
        return 1;
    }
    puts("ready");
    fflush(stdout);
    run(listener);
    for (int i = 0; i < PEERS_MAX; i++)
        uds_rpc_free(peers[i].rpc);
    while (nsilent > 0)
        (void)uds_rpc_call_fail(silent[--nsilent], UDS_STATUS_UNAVAILABLE, 0, NULL);
    uds_listener_free(listener);
    return 0;
}
