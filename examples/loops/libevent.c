/* SPDX-License-Identifier: MIT */
/*
 * An echo server in libevent's loop: libuds-event does the polling, the timers and the accepting.
 *
 *   libevent ADDRESS       until SIGTERM or SIGINT
 *
 * What any number of messages make us send during one turn of the loop goes out together at its end.
 */
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <uds/error.h>
#include <uds/event.h>

struct peer {
    uds_conn *conn;
    uds_event *attached;
};

/* Owns the message. It may be sent back as it is, descriptors and all. */
static void on_message(uds_conn *conn, uds_msg *msg, void *arg)
{
    (void)arg;
    if (uds_conn_send(conn, msg) ==
        -ENOBUFS) /* it sends and does not read: nothing grows without a bound */
        uds_conn_shutdown(conn, UDS_STATUS_SLOW_CONSUMER, "read what was sent to you");
    uds_msg_unref(msg);
}

/* Once, the last callback of a connection, and the place to let go of it. */
static void on_close(uds_conn *conn, int error, void *arg)
{
    struct peer *peer = arg;

    if (error)
        fprintf(stderr, "client: %s\n", uds_conn_get_error_text(conn));
    uds_event_detach(peer->attached);
    uds_conn_unref(peer->conn);
    free(peer);
}

/* Owns fd, which may be -errno: then accepting pauses for a moment by itself. */
static void on_accept(int fd, void *base)
{
    static const struct uds_conn_callbacks callbacks = {.on_message = on_message,
                                                        .on_close = on_close};
    struct peer *peer = fd < 0 ? NULL : calloc(1, sizeof(*peer));
    int r = fd < 0 ? fd : peer ? uds_conn_new(&peer->conn, fd, NULL) : -ENOMEM;

    if (r < 0 && fd >= 0)
        close(fd);
    if (r == 0) {
        uds_conn_set_callbacks(peer->conn, &callbacks, peer);
        r = uds_event_attach(&peer->attached, peer->conn, base);
    }
    if (r < 0) {
        fprintf(stderr, "accept: %s\n", strerror(-r));
        if (peer)
            uds_conn_unref(peer->conn);
        free(peer);
    }
}

static void on_signal(evutil_socket_t number, short what, void *base)
{
    (void)number, (void)what;
    event_base_loopbreak(base);
}

int main(int argc, char **argv)
{
    struct event_base *base = event_base_new();
    struct event *term = NULL, *interrupt = NULL;
    uds_listener *listener = NULL;
    uds_event *accepting = NULL;
    struct uds_addr addr;
    int r = argc == 2 ? uds_addr_parse(argv[1], &addr) : -EINVAL;

    if (base) {
        term = evsignal_new(base, SIGTERM, on_signal, base);
        interrupt = evsignal_new(base, SIGINT, on_signal, base);
    }
    if (r == 0 &&
        (!term || !interrupt || evsignal_add(term, NULL) < 0 || evsignal_add(interrupt, NULL) < 0))
        r = -ENOMEM;
    if (r == 0)
        r = uds_listener_new(&listener, &addr, NULL);
    if (r == 0)
        r = uds_event_listen(&accepting, listener, base, on_accept, base);
    if (r == 0) {
        printf("listening on %s\n", argv[1]);
        fflush(stdout);
        event_base_dispatch(base);
    } else {
        fprintf(stderr, "libevent: %s: %s\n", argc == 2 ? argv[1] : "one address", strerror(-r));
    }
    uds_event_detach(accepting); /* what is connected still ends with the process */
    uds_listener_free(listener); /* and takes the socket's file with it */
    if (term)
        event_free(term);
    if (interrupt)
        event_free(interrupt);
    if (base)
        event_base_free(base);
    return r < 0;
}
