/* SPDX-License-Identifier: MIT */

/*
 * A peer on the other side of a ring that works against us with time: it does not read, reads too fast, rings without end, stops in
 * the middle of a message or dies there. Whoever waits with a deadline gets it, and whoever serves others comes back to them.
 */

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/socket.h>
#include <sys/wait.h>

#include "cleanup.h"
#include "clock.h"
#include "conn/conn.h"
#include "guard.h"
#include "ringpeer.h"
#include "socket/io.h"

static uint64_t cpu_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Takes everything out of the ring, as if it had been read. */
static void read_all(struct ringpeer *peer)
{
    static uint8_t bytes[RINGPEER_SIZE];
    const struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};

    while (udsi_ring_read(&peer->ring, &iov, 1) > 0)
        ;
}

Test(conn_ring_attack, reads_the_ring_and_not_the_descriptors_beside_it, .timeout = 60)
{
    UDS_TEST_GUARD;
    struct raw_seen seen = {0};
    _cleanup_ringpeer_ struct ringpeer peer = ringpeer_over(&seen);
    uint64_t before = 0, cpu = 0;
    int r = 0;

    for (int i = 0; i < 10000 && r == 0; i++) {
        _cleanup_msg_ uds_msg *msg = NULL;

        cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 1, "x", 1), 0);
        cr_assert_eq(uds_msg_push_dup_fd(msg, 0), 0);
        before = udsi_now_ms();
        cpu = cpu_ms();
        r = uds_conn_send_wait(peer.conn, msg, 200);
        read_all(&peer);
    }
    cr_assert_eq(r, -ETIMEDOUT, "%s", strerror(-r));
    cr_assert_geq(udsi_now_ms() - before, 190);
    cr_assert_lt(cpu_ms() - cpu, 100, "it has not slept");
}

/* Rings again for every look at the socket, as a peer on another core could. */
static int bell_sock;
static unsigned looks;
static ssize_t (*real_recvmsg)(int fd, struct msghdr *msg, int flags);

static ssize_t recvmsg_and_ring(int fd, struct msghdr *msg, int flags)
{
    static const char bytes[4096];
    ssize_t n = real_recvmsg(fd, msg, flags);

    cr_assert_lt(++looks, 1000, "rung for ever");
    (void)send(bell_sock, bytes, sizeof(bytes), MSG_NOSIGNAL | MSG_DONTWAIT);
    return n;
}

Test(conn_ring_attack, rings_faster_than_anybody_listens)
{
    UDS_TEST_GUARD;
    struct raw_seen seen = {0};
    _cleanup_ringpeer_ struct ringpeer peer = ringpeer_over(&seen);
    uint64_t before = udsi_now_ms();
    uds_msg *msg;

    bell_sock = peer.sock;
    real_recvmsg = udsi_io_hooks.recvmsg;
    udsi_io_hooks.recvmsg = recvmsg_and_ring;
    for (int i = 0; i < 10; i++) {
        looks = 0;
        cr_assert_eq(uds_conn_process(peer.conn), 0);
        ringpeer_bell(&peer);
    }
    ringpeer_put(&peer, 1, 10, 0);
    cr_assert_eq(uds_conn_process(peer.conn), 0);
    cr_assert_eq(seen.messages, 1, "what is there is seen all the same");

    looks = 0;
    uds_conn_set_callbacks(peer.conn, NULL, NULL);
    udsi_io_hooks.recvmsg = real_recvmsg;
    cr_assert_eq(uds_conn_receive_wait(peer.conn, &msg, 50), -ETIMEDOUT);
    cr_assert_geq(udsi_now_ms() - before, 50);
    ringpeer_put(&peer, 2, 10, 0);
    cr_assert_eq(uds_conn_receive_wait(peer.conn, &msg, 5000), 0);
    (void)uds_msg_unref(msg);
}

Test(conn_ring_attack, parks_no_more_descriptors_than_are_taken) /* P-8 */
{
    UDS_TEST_GUARD;
    struct raw_seen seen = {0};
    _cleanup_ringpeer_ struct ringpeer peer = ringpeer_over(&seen);
    size_t bytes, fds;

    ringpeer_send_fds(&peer, 16);
    cr_assert_eq(ringpeer_run(&peer), 0);
    udsi_receiver_get_unfinished(&peer.conn->in, &bytes, &fds);
    cr_assert_eq(fds, 16, "they are told of");
    ringpeer_put(&peer, 1, 10, 16);
    cr_assert_eq(ringpeer_run(&peer), 0);
    cr_assert_eq(seen.last_nfds, 16);
    ringpeer_send_fds(&peer, 17);
    ringpeer_expect(&peer, "P-8");
}

Test(conn_ring_attack, dies_behind_every_byte_of_a_message)
{
    UDS_TEST_GUARD;
    static const uint8_t body[40];

    for (uint16_t nfds = 0; nfds <= 2; nfds += 2) {
        struct raw_frame frame = {
            .id = 1, .body = body, .body_len = sizeof(body), .claimed_fds = nfds};
        static uint8_t bytes[RINGPEER_SIZE];
        size_t len = raw_encode(&frame, bytes);

        for (size_t part = 0; part <= len; part++) {
            struct raw_seen seen = {0};
            _cleanup_ringpeer_ struct ringpeer peer = ringpeer_over(&seen);
            uint64_t before;
            uds_msg *msg = NULL;
            int r = 0;

            uds_conn_set_callbacks(peer.conn, NULL, NULL);
            if (nfds > 0)
                ringpeer_send_fds(&peer, nfds);
            cr_assert_eq(udsi_ring_write(&peer.ring, bytes, part), (ssize_t)part);
            udsi_ring_publish(&peer.ring);
            /* Half of them are read before it dies. */
            if (part % 2 == 0) {
                r = uds_conn_receive(peer.conn, &msg);
                cr_assert_eq(r, part == len);
            }
            udsi_close(udsi_take_fd(&peer.sock));
            if (part == len) {
                if (r == 0)
                    cr_assert_eq(uds_conn_receive_wait(peer.conn, &msg, 1000), 0);
                cr_assert_eq(uds_msg_get_fd_count(msg), nfds);
                (void)uds_msg_unref(msg);
            }
            before = udsi_now_ms();
            cr_assert_eq(uds_conn_receive_wait(peer.conn, &msg, 2000), -ECONNRESET);
            cr_assert_lt(udsi_now_ms() - before, 1900, "found out at once, %zu of %zu", part, len);
            cr_assert_eq(strstr(uds_conn_get_error_text(peer.conn), "in the middle") != NULL,
                         part > 0 && part < len);
        }
    }
}

/* ---- a real process, that the kernel stops wherever it is ---- */

#define BODY_MAX 3000

static size_t length_of(uint64_t id)
{
    return (size_t)(id * 2654435761u >> 7) % BODY_MAX;
}

static int send_numbered(uds_conn *conn, uint64_t id, int timeout_ms)
{
    _cleanup_msg_ uds_msg *msg = NULL;
    void *body = NULL;
    int r = uds_msg_new(&msg, UDS_MSG_MESSAGE, id, NULL, 0);

    if (r == 0)
        r = uds_msg_reserve_body(msg, length_of(id), &body);
    if (r < 0)
        return r;
    memset(body, (int)id, length_of(id));
    if (id % 8 == 0)
        r = uds_msg_push_dup_fd(msg, 0);
    return r < 0 ? r : uds_conn_send_wait(conn, msg, timeout_ms);
}

static void expect_numbered(uds_msg *msg, uint64_t id)
{
    size_t len;
    const unsigned char *body = uds_msg_peek_body(msg, &len);

    cr_assert_eq(uds_msg_get_id(msg), id);
    cr_assert_eq(len, length_of(id));
    for (size_t i = 0; i < len; i++)
        cr_assert_eq(body[i], (unsigned char)id);
    cr_assert_eq(uds_msg_get_fd_count(msg), id % 8 == 0);
    (void)uds_msg_unref(msg);
}

/* Sends without end and takes what comes. */
static void talk(int sock)
{
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    uds_conn *conn;
    uds_msg *msg;

    options.ring_bytes = RINGPEER_SIZE;
    if (uds_conn_new(&conn, sock, &options) < 0)
        _exit(1);
    for (uint64_t id = 1; send_numbered(conn, id, -1) == 0; id++) {
        while (uds_conn_receive(conn, &msg) == 1)
            (void)uds_msg_unref(msg);
    }
    _exit(0);
}

static void stop(pid_t pid)
{
    int status;

    cr_assert_eq(kill(pid, SIGSTOP), 0);
    cr_assert_eq(waitpid(pid, &status, WUNTRACED), pid);
    cr_assert(WIFSTOPPED(status));
}

/* Receives until there is nothing, and sends until there is no room: both end with the caller's time. */
static void expect_timeouts(uds_conn *conn, uint64_t *next, uint64_t *sent)
{
    uint64_t before = udsi_now_ms();
    uds_msg *msg;
    int r;

    while ((r = uds_conn_receive_wait(conn, &msg, 20)) == 0)
        expect_numbered(msg, (*next)++);
    cr_assert_eq(r, -ETIMEDOUT, "%s", uds_conn_get_error_text(conn));
    while ((r = send_numbered(conn, ++*sent, 20)) == 0)
        ;
    cr_assert_eq(r, -ETIMEDOUT, "%s", uds_conn_get_error_text(conn));
    cr_assert_lt(udsi_now_ms() - before, 5000);
}

Test(conn_ring_attack, is_stopped_at_any_moment, .timeout = 120)
{
    UDS_TEST_GUARD;
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    _cleanup_conn_ uds_conn *conn = NULL;
    uint64_t next = 1, sent = 0;
    int pair[2], r;
    uds_msg *msg;
    pid_t pid;

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        udsi_close(pair[0]);
        talk(pair[1]);
    }
    udsi_close(pair[1]);
    options.ring_bytes = RINGPEER_SIZE;
    options.ring_propose = true;
    cr_assert_eq(uds_conn_new(&conn, pair[0], &options), 0);
    while (!uds_conn_uses_ring(conn)) {
        cr_assert_eq(uds_conn_receive_wait(conn, &msg, 10000), 0);
        expect_numbered(msg, next++);
    }
    for (unsigned round = 0; round < 40; round++) {
        for (unsigned i = 0; i < round * 7 % 31; i++) {
            cr_assert_eq(uds_conn_receive_wait(conn, &msg, 10000), 0);
            expect_numbered(msg, next++);
        }
        stop(pid);
        expect_timeouts(conn, &next, &sent);
        cr_assert_eq(kill(pid, SIGCONT), 0);
    }
    stop(pid);
    cr_assert_eq(kill(pid, SIGKILL), 0);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
    while ((r = uds_conn_receive_wait(conn, &msg, 1000)) == 0)
        expect_numbered(msg, next++);
    cr_assert_eq(r, -ECONNRESET, "%s", uds_conn_get_error_text(conn));
}
