/* SPDX-License-Identifier: MIT */
/*
 * Echo: messages to an address and back, with the blocking calls.
 *
 *   echo serve ADDRESS             answers every message with itself, one client after another
 *   echo send ADDRESS WORD...      sends each word, prints what comes back
 *
 * The address alone says what kind of socket it is: unix:/path and unix:@name are streams, seqpacket:/path keeps records.
 * Nothing else in here depends on it: a message is a message on both.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <uds/addr.h>
#include <uds/conn.h>
#include <uds/error.h>
#include <uds/listener.h>
#include <uds/msg.h>

#define PATIENCE_MS 5000 /* with a peer that neither reads nor writes */

/* Local failures are -errno. Says what failed, on which thing and why. */
static int complain(const char *what, const char *which, int error)
{
    fprintf(stderr, "echo: %s: %s: %s\n", what, which, strerror(-error));
    return 1;
}

/* One client until it leaves. What it does wrong is its own trouble, and never the end of the server. */
static void serve_one(int fd, const char *address)
{
    uds_conn *conn;
    uds_msg *msg;
    int r = uds_conn_new(&conn, fd, NULL);

    if (r < 0) {
        close(fd); /* a failure left it ours */
        complain("connection", address, r);
        return;
    }
    while ((r = uds_conn_receive_wait(conn, &msg, PATIENCE_MS)) == 0) {
        /* A message that was received can be sent as it is: its body and its descriptors are shared, not copied. */
        r = uds_conn_send_wait(conn, msg, PATIENCE_MS);
        uds_msg_unref(msg);
        if (r < 0)
            break;
    }
    if (r != -ESHUTDOWN) /* that is the orderly end */
        complain("client", uds_conn_get_error_text(conn), r);
    uds_conn_unref(conn);
}

static int serve(const struct uds_addr *addr, const char *address)
{
    uds_listener *listener;
    int fd, r = uds_listener_new(&listener, addr, NULL); /* takes over a killed server's file */

    if (r < 0)
        return complain("listen", address, r);
    printf("listening on %s\n", address);
    fflush(stdout);
    do {
        struct pollfd waiting = {.fd = uds_listener_get_fd(listener), .events = POLLIN};

        poll(&waiting, 1, -1);
        fd = uds_listener_accept(listener);
        if (fd >= 0)
            serve_one(fd, address);
    } while (fd >= 0 || fd == -EAGAIN || fd == -ECONNABORTED); /* gone again: not our trouble */
    uds_listener_free(listener);
    return complain("accept", address, fd);
}

static int send_word(uds_conn *conn, const char *word)
{
    uds_msg *msg, *answer;
    int r = uds_msg_new(&msg, UDS_MSG_MESSAGE, 0, word, strlen(word));

    if (r < 0)
        return r;
    r = uds_conn_send_wait(conn, msg, PATIENCE_MS);
    uds_msg_unref(msg);
    if (r == 0)
        r = uds_conn_receive_wait(conn, &answer, PATIENCE_MS);
    if (r < 0)
        return r;
    size_t len;
    const char *body = uds_msg_peek_body(answer, &len); /* bytes: no NUL at their end */
    printf("%.*s\n", (int)len, body);
    uds_msg_unref(answer);
    return 0;
}

int main(int argc, char **argv)
{
    struct uds_addr addr;
    uds_conn *conn;

    if (argc < 3)
        return complain("usage", "echo serve ADDRESS | echo send ADDRESS WORD...", -EINVAL);
    int r = uds_addr_parse(argv[2], &addr);
    if (r < 0)
        return complain("address", argv[2], r);
    if (strcmp(argv[1], "serve") == 0)
        return serve(&addr, argv[2]);
    r = uds_conn_connect(&conn, &addr, NULL, PATIENCE_MS);
    if (r < 0)
        return complain("connect", argv[2], r);
    for (int i = 3; i < argc && r == 0; i++)
        r = send_word(conn, argv[i]);
    if (r == 0 && uds_conn_shutdown(conn, UDS_STATUS_OK, "no more words") == 0)
        uds_conn_flush(conn); /* the goodbye; who misses it still sees the end, as -ECONNRESET */
    uds_conn_unref(conn);
    return r < 0 ? complain("send", argv[2], r) : 0;
}
