/* SPDX-License-Identifier: MIT */
/*
 * An echo server in a bare epoll loop: what any loop has to do for a connection. epoll ADDRESS
 *
 * Before each wait every connection is asked what it waits for. A server of thousands asks those only
 * whose loop hook was called, uds_conn_set_loop_hook(), as libuds-event does.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/epoll.h>

#include <uds/conn.h>
#include <uds/error.h>
#include <uds/listener.h>

static struct peer {
    uds_conn *conn;
    struct peer *next;
    short armed; /* the events that epoll has; 0: it has not the fd */
    bool ready;
} * peers;

static int epoll;

static void on_message(uds_conn *conn, uds_msg *msg, void *arg)
{
    (void)arg;
    if (uds_conn_send(conn, msg) == -ENOBUFS) /* sends, and does not read */
        uds_conn_shutdown(conn, UDS_STATUS_SLOW_CONSUMER, "read what was sent to you");
    uds_msg_unref(msg);
}

static int accept_one(uds_listener *listener)
{
    static const struct uds_conn_callbacks callbacks = {.on_message = on_message};
    struct peer *peer = calloc(1, sizeof(*peer));
    int fd = peer ? uds_listener_accept(listener) : -ENOMEM;
    int r = fd < 0 ? fd : uds_conn_new(&peer->conn, fd, NULL);

    if (r < 0) {
        if (fd >= 0)
            close(fd);
        free(peer);
        return r == -EAGAIN || r == -ECONNABORTED ? 0 : r; /* those two: it is gone again */
    }
    uds_conn_set_callbacks(peer->conn, &callbacks, NULL);
    peer->next = peers;
    peers = peer;
    return 0;
}

/* Tells epoll what everybody waits for; how long it may sleep, ms. */
static int prepare(void)
{
    int shortest = -1;

    for (struct peer *p = peers; p; p = p->next) {
        short events = uds_conn_get_events(p->conn); /* poll(2)'s bits are epoll's */
        struct epoll_event event = {.events = (uint32_t)events, .data.ptr = p};
        int timeout = uds_conn_get_timeout(p->conn);
        /* With no event wanted the fd must be out: a peer that hung up would wake us again and again. */
        int op = !events ? EPOLL_CTL_DEL : !p->armed ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

        if (events != p->armed && epoll_ctl(epoll, op, uds_conn_get_fd(p->conn), &event) == 0)
            p->armed = events;
        shortest = (unsigned)timeout < (unsigned)shortest ? timeout : shortest; /* -1: never */
    }
    return shortest;
}

static void process(void)
{
    for (struct peer **link = &peers, *peer; (peer = *link);) {
        bool due = peer->ready || uds_conn_get_timeout(peer->conn) == 0;

        peer->ready = false;
        if (!due || uds_conn_process(peer->conn) >= 0) {
            link = &peer->next;
            continue;
        }
        *link = peer->next;
        uds_conn_unref(peer->conn); /* its fd is closed, and so gone from epoll */
        free(peer);
    }
}

int main(int argc, char **argv)
{
    struct epoll_event events[64], door = {.events = EPOLLIN}; /* data.ptr NULL: the listener */
    uds_listener *listener = NULL;
    struct uds_addr addr;
    int r = argc == 2 ? uds_addr_parse(argv[1], &addr) : -EINVAL;

    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (r == 0)
        r = uds_listener_new(&listener, &addr, NULL);
    if (r == 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, uds_listener_get_fd(listener), &door) < 0)
        r = -errno;
    if (r == 0)
        fprintf(stderr, "listening on %s\n", argv[1]);
    while (r == 0) {
        for (int n = epoll_wait(epoll, events, 64, prepare()); n > 0; n--) {
            struct peer *peer = events[n - 1].data.ptr;

            if (peer)
                peer->ready = true;
            else
                r = accept_one(listener);
        }
        process();
    }
    fprintf(stderr, "epoll: %s: %s\n", argc == 2 ? argv[1] : "one address", strerror(-r));
    uds_listener_free(listener);
    return 1;
}
