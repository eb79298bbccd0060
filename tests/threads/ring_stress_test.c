/* SPDX-License-Identifier: MIT */

/*
 * Rings under load: ring_stress_test [MESSAGES [fork]]. Two sides, threads or (fork) processes, send each other messages of
 * random sizes, now and then with a descriptor, through the smallest possible ring, and check every one. Each side in turn
 * blocks in the library, which may spin, and polls like a loop, which never does: then both sleep at every chance, and a
 * lost wake-up is a hang, which the alarm ends. Under ThreadSanitizer it shows races; built for another machine and run
 * under an emulator, that the words hold on weak memory (tests/integration/ring_aarch64.sh).
 */

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>
#include <sys/wait.h>

#include <uds/conn.h>

#define RING     4096
#define BODY_MAX 3000
#define WINDOW   8
/* For each mode; under TSan and beside others 10000 messages take some seconds. */
#define SECONDS(messages) (60 + (messages) / 500)

#define CHECK(condition)                                                    \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            _exit(1);                                                       \
        }                                                                   \
    } while (0)

struct side {
    uds_conn *conn;
    bool polls; /* as a loop does, instead of blocking in the library */
    unsigned messages;
};

/* Both sides compute what message number @id is. */
static unsigned mix(uint64_t id)
{
    return (unsigned)((id * 0x9e3779b97f4a7c15u) >> 33);
}

static size_t length_of(uint64_t id)
{
    return mix(id) % 8 == 0 ? mix(id + 1) % BODY_MAX : mix(id + 1) % 100;
}

static void wait_for(uds_conn *conn)
{
    struct pollfd pfd = {.events = uds_conn_get_events(conn)};

    pfd.fd = pfd.events ? uds_conn_get_fd(conn) : -1;
    CHECK(poll(&pfd, 1, uds_conn_get_timeout(conn)) >= 0 || errno == EINTR);
}

static void send_one(const struct side *side, uint64_t id)
{
    uds_msg *msg;
    void *body;

    CHECK(uds_msg_new(&msg, UDS_MSG_MESSAGE, id, NULL, 0) == 0);
    CHECK(uds_msg_reserve_body(msg, length_of(id), &body) == 0);
    memset(body, (int)id, length_of(id));
    if (mix(id + 2) % 64 == 0)
        CHECK(uds_msg_push_dup_fd(msg, 2) == 0);
    if (side->polls) {
        CHECK(uds_conn_send(side->conn, msg) == 0);
        CHECK(uds_conn_flush(side->conn) >= 0);
    } else {
        CHECK(uds_conn_send_wait(side->conn, msg, -1) == 0);
    }
    (void)uds_msg_unref(msg);
}

static void receive_one(const struct side *side, uint64_t id)
{
    const unsigned char *body;
    uds_msg *msg;
    size_t len;
    int r;

    if (side->polls) {
        while ((r = uds_conn_receive(side->conn, &msg)) == 0)
            wait_for(side->conn);
        CHECK(r == 1);
    } else {
        CHECK(uds_conn_receive_wait(side->conn, &msg, -1) == 0);
    }
    CHECK(uds_msg_get_id(msg) == id);
    body = uds_msg_peek_body(msg, &len);
    CHECK(len == length_of(id));
    for (size_t i = 0; i < len; i++)
        CHECK(body[i] == (unsigned char)id);
    CHECK(uds_msg_get_fd_count(msg) == (mix(id + 2) % 64 == 0 ? 1 : 0));
    (void)uds_msg_unref(msg);
}

static void *answer(void *arg)
{
    const struct side *side = arg;

    for (uint64_t id = 1; id <= side->messages; id++) {
        receive_one(side, id);
        send_one(side, id);
    }
    return NULL;
}

static void ask(const struct side *side)
{
    for (uint64_t id = 1; id <= side->messages;) {
        uint64_t end = id + mix(id + 3) % WINDOW + 1;

        if (end > side->messages + 1)
            end = side->messages + 1;
        for (uint64_t i = id; i < end; i++)
            send_one(side, i);
        for (; id < end; id++)
            receive_one(side, id);
    }
}

static void make_sides(struct side *a, struct side *b)
{
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    int pair[2];

    options.ring_bytes = RING;
    options.ring_propose = true;
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    CHECK(uds_conn_new(&a->conn, pair[0], &options) == 0);
    options.ring_propose = false;
    CHECK(uds_conn_new(&b->conn, pair[1], &options) == 0);
    for (int i = 0; i < 5; i++) {
        CHECK(uds_conn_process(a->conn) >= 0);
        CHECK(uds_conn_process(b->conn) >= 0);
    }
    CHECK(uds_conn_uses_ring(a->conn) && uds_conn_uses_ring(b->conn));
}

static void with_thread(struct side *a, struct side *b)
{
    pthread_t thread;

    CHECK(pthread_create(&thread, NULL, answer, b) == 0);
    ask(a);
    CHECK(pthread_join(thread, NULL) == 0);
    (void)uds_conn_unref(a->conn);
    (void)uds_conn_unref(b->conn);
}

static void with_process(struct side *a, struct side *b)
{
    pid_t child = fork();
    int status;

    CHECK(child >= 0);
    if (child == 0) {
        (void)alarm(SECONDS(b->messages));
        (void)close(uds_conn_get_fd(a->conn));
        (void)answer(b);
        _exit(0);
    }
    (void)uds_conn_unref(b->conn);
    ask(a);
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    (void)uds_conn_unref(a->conn);
}

int main(int argc, char **argv)
{
    unsigned messages = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 20000;
    bool processes = argc > 2 && strcmp(argv[2], "fork") == 0;

    for (int mode = 0; mode < 4; mode++) {
        struct side a = {.polls = mode & 1, .messages = messages};
        struct side b = {.polls = mode & 2, .messages = messages};

        (void)alarm(SECONDS(messages));
        make_sides(&a, &b);
        if (processes)
            with_process(&a, &b);
        else
            with_thread(&a, &b);
        printf("%u messages: %s, %s\n", messages, a.polls ? "polls" : "blocks",
               b.polls ? "polls" : "blocks");
        (void)fflush(stdout);
    }
    return 0;
}
