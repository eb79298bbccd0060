/* SPDX-License-Identifier: MIT */

/*
 * soak [MESSAGES [SEED]]: two processes exchange messages of random sizes, some with descriptors, over connections that
 * end in order, half-close, or break off at random, through sockets, rings and arenas; 10 million unless told otherwise. Each message says which number it
 * is, how long it is and which descriptors it has; what does not agree ends the run. At the end neither process may
 * hold more descriptors or noticeably more memory than after the first tenth.
 *
 *   client (parent): connects, sends bursts, receives what the server returns (the number alone), ends, connects again
 *   server (child):  a libevent loop; checks what comes and answers each message by a short one
 *
 * Run by tests/run.sh --long.
 */

#include <dirent.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <uds/conn.h>
#include <uds/event.h>
#include <uds/listener.h>

#define BODY_MAX (512u << 10) /* large enough for arenas */
#define RING     (64u << 10)
#define CARGO    8 /* memfds whose size says which one it is */
#define WINDOW   256
#define LIFE_MAX 40000 /* messages of one connection */
#define MEMORY_KB \
    8192 /* that a process may grow by after the first tenth: heaps are never quite flat */

#define CHECK(condition)                                                             \
    do {                                                                             \
        if (!(condition)) {                                                          \
            fprintf(stderr, "soak: %s:%d: %s: %s\n", __FILE__, __LINE__, #condition, \
                    strerror(errno));                                                \
            exit(1);                                                                 \
        }                                                                            \
    } while (0)

/* What every body begins with. */
struct label {
    uint64_t number;
    uint32_t len;  /* of the whole body */
    uint32_t nfds; /* that come with it */
    uint8_t which[8];
};

static uint64_t random_state;

static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static size_t count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t n = 0;

    CHECK(dir != NULL);
    while (readdir(dir))
        n++;
    (void)closedir(dir);
    return n;
}

static size_t resident_kb(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long size = 0, resident = 0;

    CHECK(file && fscanf(file, "%lu %lu", &size, &resident) == 2);
    (void)fclose(file);
    return resident * (size_t)getpagesize() / 1024;
}

/* Held against itself at a tenth and at the end. */
struct level {
    const char *who;
    size_t fds, kb;
};

static void level_note(struct level *level)
{
    level->fds = count_fds();
    level->kb = resident_kb();
}

static bool level_is_kept(const struct level *level)
{
    size_t fds = count_fds(), kb = resident_kb();

    printf("%s: %zu descriptors (after a tenth %zu), %zu KiB (after a tenth %zu)\n", level->who,
           fds, level->fds, kb, level->kb);
    return fds <= level->fds && kb <= level->kb + MEMORY_KB;
}

/* ---- server ---- */

struct server {
    struct event_base *base;
    struct level level;
    uint64_t received, messages;
    bool failed;
};

struct guest {
    struct server *server;
    uds_conn *conn;
    uds_event *glue;
    uint64_t expected;
};

static void check_cargo(uds_msg *msg, const struct label *label)
{
    for (size_t i = 0; i < label->nfds; i++) {
        struct stat st;
        int fd = i % 2 ? uds_msg_take_fd(msg, i) : uds_msg_peek_fd(msg, i);

        CHECK(fd >= 0 && fstat(fd, &st) == 0);
        CHECK(st.st_size == label->which[i] + 1);
        if (i % 2)
            close(fd);
    }
}

static void on_message(uds_conn *conn, uds_msg *msg, void *arg)
{
    struct guest *guest = arg;
    const uint8_t *body;
    struct label label;
    uds_msg *answer;
    size_t len;
    int r;

    body = uds_msg_peek_body(msg, &len);
    CHECK(len >= sizeof(label));
    memcpy(&label, body, sizeof(label));
    CHECK(label.len == len && label.number == guest->expected);
    CHECK(uds_msg_get_fd_count(msg) == label.nfds && uds_msg_get_error(msg) == 0);
    CHECK(len == sizeof(label) || body[len - 1] == (uint8_t)label.number);
    check_cargo(msg, &label);
    (void)uds_msg_unref(msg);

    guest->expected++;
    CHECK(uds_msg_new(&answer, UDS_MSG_MESSAGE, label.number + 1, NULL, 0) == 0);
    r = uds_conn_send(conn, answer);
    CHECK(r == 0 || r == -ENOTCONN); /* it broke off; what it sent before still comes */
    (void)uds_msg_unref(answer);
    if (++guest->server->received == guest->server->messages / 10)
        level_note(&guest->server->level);
}

static void on_finish(uds_conn *conn, void *arg)
{
    (void)arg;
    CHECK(uds_conn_finish(conn) == 0);
}

static void on_close(uds_conn *conn, int error, void *arg)
{
    struct guest *guest = arg;

    (void)error; /* breaking off is part of the game */
    (void)uds_event_detach(guest->glue);
    (void)uds_conn_unref(conn);
    free(guest);
}

static bool is_stream(int fd)
{
    socklen_t len = sizeof(int);
    int type;

    CHECK(getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0);
    return type == SOCK_STREAM;
}

static void on_accept(int fd, void *arg)
{
    static const struct uds_conn_callbacks callbacks = {
        .on_message = on_message, .on_close = on_close, .on_finish = on_finish};
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    struct guest *guest = calloc(1, sizeof(*guest));

    CHECK(guest != NULL && fd >= 0);
    guest->server = arg;
    options.ring_bytes = is_stream(fd) ? RING : 0; /* taken, if the client offers one */
    CHECK(uds_conn_new(&guest->conn, fd, &options) == 0);
    uds_conn_set_callbacks(guest->conn, &callbacks, guest);
    CHECK(uds_event_attach(&guest->glue, guest->conn, guest->server->base) == 0);
}

/* The parent closes its end of the pipe: all is done, and the connections are gone. */
static void on_end(evutil_socket_t fd, short what, void *arg)
{
    struct server *server = arg;

    (void)fd;
    (void)what;
    server->failed = !level_is_kept(&server->level);
    (void)event_base_loopbreak(server->base);
}

static int serve(uds_listener *listeners[2], int end, uint64_t messages)
{
    struct server server = {.level = {.who = "server"}, .messages = messages};
    uds_event *glue[2];
    struct event *event;

    CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
    server.base = event_base_new();
    for (int i = 0; i < 2; i++)
        CHECK(uds_event_listen(&glue[i], listeners[i], server.base, on_accept, &server) == 0);
    event = event_new(server.base, end, EV_READ, on_end, &server);
    CHECK(event && event_add(event, NULL) == 0);
    event_base_dispatch(server.base);
    event_free(event);
    for (int i = 0; i < 2; i++)
        (void)uds_event_detach(glue[i]);
    event_base_free(server.base);
    for (int i = 0; i < 2; i++)
        (void)uds_listener_abandon(listeners[i]);
    return server.failed;
}

/* ---- client ---- */

static int cargo[CARGO];

static void make_cargo(void)
{
    for (int i = 0; i < CARGO; i++) {
        cargo[i] = memfd_create("cargo", MFD_CLOEXEC);
        CHECK(cargo[i] >= 0 && ftruncate(cargo[i], i + 1) == 0);
    }
}

/* Most are small, some large: the exponent is what is drawn. */
static size_t draw_size(size_t max)
{
    size_t size = (size_t)1 << (random_next() % 12);

    if (random_next() % 512 == 0)
        size = random_next() % max;
    size = sizeof(struct label) + random_next() % size;
    return size > max ? max : size;
}

static uds_msg *draw_message(uint64_t number, size_t max)
{
    struct label label = {.number = number, .len = (uint32_t)draw_size(max)};
    uint8_t *body;
    void *room;
    uds_msg *msg;

    if (random_next() % 64 == 0)
        label.nfds = (uint32_t)(1 + random_next() % sizeof(label.which));
    CHECK(uds_msg_new(&msg, UDS_MSG_MESSAGE, number, NULL, 0) == 0);
    CHECK(uds_msg_reserve_body(msg, label.len, &room) == 0);
    body = room;
    for (size_t i = 0; i < label.nfds; i++) {
        label.which[i] = (uint8_t)(random_next() % CARGO);
        CHECK(uds_msg_push_dup_fd(msg, cargo[label.which[i]]) == 0);
    }
    memcpy(body, &label, sizeof(label));
    if (label.len > sizeof(label))
        body[label.len - 1] = (uint8_t)number;
    return msg;
}

/* Takes every answer that is there; waits for one if @wait. */
static void take_answers(uds_conn *conn, uint64_t *answered, bool wait)
{
    uds_msg *msg;

    for (;;) {
        int r = wait ? uds_conn_receive_wait(conn, &msg, 30000) : uds_conn_receive(conn, &msg);

        if (!wait && (r == 0 || r == -ESHUTDOWN))
            return; /* none now; or none any more, both sides having finished */
        if (r < 0)
            fprintf(stderr, "soak: receive: %s: %s\n", strerror(-r), uds_conn_get_error_text(conn));
        CHECK(r == (wait ? 0 : 1));
        CHECK(uds_msg_get_id(msg) == ++*answered);
        (void)uds_msg_unref(msg);
        wait = false;
    }
}

static void end_connection(uds_conn *conn, uint64_t sent, uint64_t answered)
{
    uds_msg *msg;

    switch (random_next() % 3) {
    case 0: /* in order, when everything is answered */
        while (answered < sent)
            take_answers(conn, &answered, true);
        CHECK(uds_conn_shutdown(conn, 0, NULL) == 0);
        (void)uds_conn_flush(conn);
        break;
    case 1: /* half-close: the rest is still answered */
        CHECK(uds_conn_finish(conn) == 0);
        while (answered < sent)
            take_answers(conn, &answered, true);
        CHECK(uds_conn_receive_wait(conn, &msg, 30000) == -ESHUTDOWN);
        break;
    default: /* break off, wherever it is */
        break;
    }
    (void)uds_conn_unref(conn);
}

/* One connection's life. Returns how many messages it has sent. */
static uint64_t live(const struct uds_addr *addr, uint64_t most)
{
    uint64_t life = 1 + random_next() % LIFE_MAX, sent = 0, answered = 0;
    size_t max = addr->sock_type == SOCK_STREAM ? BODY_MAX : 100000;
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    uds_conn *conn;

    /* A third of the connections over streams go through a ring, a third does without arenas. */
    if (addr->sock_type == SOCK_STREAM && random_next() % 3 == 0) {
        options.ring_bytes = RING;
        options.ring_propose = true;
    }
    if (random_next() % 3 == 0)
        options.arena_bytes = 0;
    CHECK(uds_conn_connect(&conn, addr, &options, 30000) == 0);
    if (life > most)
        life = most;
    while (sent < life) {
        uint64_t burst = 1 + random_next() % 64;

        for (; burst > 0 && sent < life; burst--) {
            uds_msg *msg = draw_message(sent, max);

            CHECK(uds_conn_send(conn, msg) == 0);
            (void)uds_msg_unref(msg);
            sent++;
        }
        CHECK(uds_conn_flush(conn) >= 0);
        take_answers(conn, &answered, false);
        while (sent - answered > WINDOW)
            take_answers(conn, &answered, true);
    }
    end_connection(conn, sent, answered);
    return sent;
}

int main(int argc, char **argv)
{
    uint64_t messages = argc > 1 ? strtoull(argv[1], NULL, 10) : 10000000, sent = 0, lives = 0;
    struct level level = {.who = "client"};
    struct uds_addr addrs[2];
    uds_listener *listeners[2];
    int pipe_fds[2], status;
    char text[64];
    bool kept;

    random_state = argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)getpid() * 2654435761u;
    random_state |= 1;
    printf("soak: %" PRIu64 " messages, seed %" PRIu64 "\n", messages, random_state);
    (void)fflush(stdout);
    for (int i = 0; i < 2; i++) {
        (void)snprintf(text, sizeof(text), "%s:@soak-%d", i ? "seqpacket" : "unix", (int)getpid());
        CHECK(uds_addr_parse(text, &addrs[i]) == 0);
        CHECK(uds_listener_new(&listeners[i], &addrs[i], NULL) == 0);
    }
    CHECK(pipe2(pipe_fds, O_CLOEXEC) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        close(pipe_fds[1]);
        return serve(listeners, pipe_fds[0], messages);
    }
    close(pipe_fds[0]);
    make_cargo();
    while (sent < messages) {
        bool early = sent < messages / 10;

        sent += live(&addrs[random_next() % 2], messages - sent);
        lives++;
        if (early && sent >= messages / 10)
            level_note(&level);
    }
    kept = level_is_kept(&level);
    for (int i = 0; i < 2; i++)
        (void)uds_listener_free(listeners[i]);
    close(pipe_fds[1]);
    CHECK(waitpid(child, &status, 0) == child);
    printf("soak: %" PRIu64 " messages over %" PRIu64 " connections: %s\n", sent, lives,
           kept && status == 0 ? "descriptors and memory are flat" : "FAILED");
    return kept && status == 0 ? 0 : 1;
}
