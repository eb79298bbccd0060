/* SPDX-License-Identifier: MIT */
/*
 * Ring: an echo through shared memory, and how long a round trip takes with and without it.
 *
 *   ring serve ADDRESS             answers every message with itself, one client after another
 *   ring ping ADDRESS [COUNT]      COUNT round trips (default 10000) over the socket, then as many over a ring
 *
 * All that a ring needs is in the options: both sides say how large it may be, one of them proposes it. While both
 * processes run, on two processors, a round trip makes no system call.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <uds/addr.h>
#include <uds/conn.h>
#include <uds/listener.h>
#include <uds/msg.h>

#define PATIENCE_MS 5000
#define RING_BYTES  65536 /* each direction */

static int complain(const char *what, const char *which, int error)
{
    fprintf(stderr, "ring: %s: %s: %s\n", what, which, strerror(-error));
    return 1;
}

static void serve_one(int fd, const char *address)
{
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    uds_conn *conn;
    uds_msg *msg;
    int r;

    options.ring_bytes =
        RING_BYTES; /* we take a ring of a client that proposes one, if it is no larger */
    r = uds_conn_new(&conn, fd, &options);
    if (r < 0) {
        close(fd);
        complain("connection", address, r);
        return;
    }
    while (r == 0 && uds_conn_receive_wait(conn, &msg, PATIENCE_MS) == 0) {
        r = uds_conn_send_wait(conn, msg, PATIENCE_MS);
        uds_msg_unref(msg);
    }
    uds_conn_unref(conn);
}

static int serve(const struct uds_addr *addr, const char *address)
{
    uds_listener *listener;
    int r = uds_listener_new(&listener, addr, NULL);

    if (r < 0)
        return complain("listen", address, r);
    printf("listening on %s\n", address);
    fflush(stdout);
    for (;;) {
        struct pollfd waiting = {.fd = uds_listener_get_fd(listener), .events = POLLIN};
        int fd = poll(&waiting, 1, -1) < 0 ? -EAGAIN : uds_listener_accept(listener);

        if (fd >= 0)
            serve_one(fd, address);
    }
}

static int ping(const struct uds_addr *addr, bool ring, long count)
{
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    struct timespec start, end;
    uds_conn *conn = NULL;
    uds_msg *msg = NULL, *answer;

    options.ring_bytes = ring ? RING_BYTES : 0;
    options.ring_propose = ring;
    int r = uds_conn_connect(&conn, addr, &options, PATIENCE_MS);
    if (r == 0)
        r = uds_msg_new(&msg, UDS_MSG_MESSAGE, 0, "hello", 5); /* may be sent any number of times */
    for (long i = -10; i < count && r == 0; i++) { /* the first ones agree on the ring */
        if (i == 0)
            clock_gettime(CLOCK_MONOTONIC, &start);
        r = uds_conn_send_wait(conn, msg, PATIENCE_MS);
        if (r == 0 && (r = uds_conn_receive_wait(conn, &answer, PATIENCE_MS)) == 0)
            uds_msg_unref(answer);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    if (r == 0)
        printf("%s: %.2f us a round trip\n", uds_conn_uses_ring(conn) ? "ring" : "socket",
               ((double)(end.tv_sec - start.tv_sec) * 1e6 +
                (double)(end.tv_nsec - start.tv_nsec) / 1e3) /
                   (double)count);
    uds_msg_unref(msg);
    uds_conn_unref(conn);
    return r;
}

int main(int argc, char **argv)
{
    struct uds_addr addr;
    long count = argc > 3 ? strtol(argv[3], NULL, 10) : 10000;

    int r = argc < 3 || count < 1 ? -EINVAL : uds_addr_parse(argv[2], &addr);

    if (argc < 3)
        return complain("usage", "ring serve ADDRESS | ring ping ADDRESS [COUNT]", r);
    if (r == 0 && strcmp(argv[1], "serve") == 0)
        return serve(&addr, argv[2]);
    if (r == 0)
        r = ping(&addr, false, count);
    if (r == 0)
        r = ping(&addr, true, count);
    return r < 0 ? complain(argv[1], argv[2], r) : 0;
}
