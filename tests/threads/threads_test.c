/* SPDX-License-Identifier: MIT */

/*
 * What threads may do with the library, under ThreadSanitizer: each of them has connections of its own; a connection and
 * a message may be handed from one to another; pure functions may be called by all at once. A plain program, for
 * Criterion does not start under TSan. Any race ends it with TSan's report and exit status 66.
 */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include <uds/client.h>
#include <uds/conn.h>
#include <uds/cred.h>
#include <uds/error.h>
#include <uds/fdset.h>

#define THREADS 4
#define ROUNDS  2000

#define CHECK(condition)                                                    \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            _exit(1);                                                       \
        }                                                                   \
    } while (0)

static uds_msg *make(uint64_t id, size_t len)
{
    uds_msg *msg;
    void *room;

    CHECK(uds_msg_new(&msg, UDS_MSG_MESSAGE, id, NULL, 0) == 0);
    CHECK(uds_msg_reserve_body(msg, len, &room) == 0);
    memset(room, (int)id, len);
    return msg;
}

static void run_all(void *(*function)(void *arg), void *arg)
{
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_create(&threads[i], NULL, function, arg) == 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(pthread_join(threads[i], NULL) == 0);
}

/* ---- connections of its own ---- */

static void *with_own_pair(void *arg)
{
    uds_conn *a, *b;

    (void)arg;
    CHECK(uds_conn_pair(&a, &b, NULL) == 0);
    for (uint64_t i = 0; i < ROUNDS; i++) {
        uds_msg *msg = make(i, (size_t)(i * 37 % 9000));

        CHECK(uds_conn_send(a, msg) == 0);
        (void)uds_msg_unref(msg);
        CHECK(uds_conn_flush(a) >= 0);
        if (i < 2)
            CHECK(uds_conn_process(b) >= 0 && uds_conn_process(a) >= 0);
        CHECK(uds_conn_receive_wait(b, &msg, -1) == 0);
        CHECK(uds_msg_get_id(msg) == i);
        (void)uds_msg_unref(msg);
    }
    (void)uds_conn_unref(a);
    (void)uds_conn_unref(b);
    return NULL;
}

/* ---- the two ends in two threads, with descriptors ---- */

static void *send_all(void *arg)
{
    uds_conn *conn = arg;
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

    for (uint64_t i = 0; i < ROUNDS; i++) {
        uds_msg *msg = make(i, (size_t)(i % 500));

        if (i % 3 == 0)
            CHECK(uds_msg_push_dup_fd(msg, null) == 0);
        CHECK(uds_conn_send_wait(conn, msg, -1) == 0);
        (void)uds_msg_unref(msg);
    }
    close(null);
    CHECK(uds_conn_finish(conn) == 0);
    CHECK(uds_conn_flush(conn) >= 0);
    return NULL;
}

static void *receive_all(void *arg)
{
    uds_conn *conn = arg;
    uds_msg *msg;

    for (uint64_t i = 0; i < ROUNDS; i++) {
        CHECK(uds_conn_receive_wait(conn, &msg, -1) == 0);
        CHECK(uds_msg_get_id(msg) == i && uds_msg_get_fd_count(msg) == (i % 3 == 0));
        (void)uds_msg_unref(msg);
    }
    CHECK(uds_conn_receive_wait(conn, &msg, -1) == -ENODATA);
    return NULL;
}

static void two_ends(void)
{
    pthread_t sender, receiver;
    uds_conn *a, *b;

    CHECK(uds_conn_pair(&a, &b, NULL) == 0);
    CHECK(pthread_create(&receiver, NULL, receive_all, b) == 0);
    CHECK(pthread_create(&sender, NULL, send_all, a) == 0);
    CHECK(pthread_join(sender, NULL) == 0 && pthread_join(receiver, NULL) == 0);
    (void)uds_conn_unref(a);
    (void)uds_conn_unref(b);
}

/* ---- one connection, and messages, handed around under a lock ---- */

struct shared {
    pthread_mutex_t lock;
    uds_conn *a, *b;
    uint64_t sent, received;
    uds_msg *kept; /* received by one thread, freed by another */
};

static void *take_turns(void *arg)
{
    struct shared *shared = arg;

    for (int i = 0; i < ROUNDS; i++) {
        uds_msg *msg, *former;

        CHECK(pthread_mutex_lock(&shared->lock) == 0);
        msg = make(shared->sent++, 100);
        CHECK(uds_conn_send(shared->a, msg) == 0);
        CHECK(uds_conn_process(shared->a) >= 0);
        CHECK(uds_conn_flush(shared->b) >= 0);
        CHECK(uds_conn_receive_wait(shared->b, &msg, -1) == 0);
        CHECK(uds_msg_get_id(msg) == shared->received++);
        former = shared->kept;
        shared->kept = msg;
        CHECK(pthread_mutex_unlock(&shared->lock) == 0);
        (void)uds_msg_unref(former);
    }
    return NULL;
}

static void handed_around(void)
{
    struct shared shared = {.lock = PTHREAD_MUTEX_INITIALIZER};

    CHECK(uds_conn_pair(&shared.a, &shared.b, NULL) == 0);
    CHECK(uds_conn_flush(shared.b) >= 0 && uds_conn_process(shared.a) >= 0);
    run_all(take_turns, &shared);
    CHECK(shared.received == (uint64_t)THREADS * ROUNDS);
    (void)uds_msg_unref(shared.kept);
    (void)uds_conn_unref(shared.a);
    (void)uds_conn_unref(shared.b);
}

/* ---- functions that any thread may call ---- */

static void *ask(void *arg)
{
    int *pair = arg;

    for (int i = 0; i < 200; i++) {
        struct uds_fd_info info;
        struct uds_cred cred;
        struct uds_addr addr;

        CHECK(uds_fd_classify(pair[0], &info) == 0 && info.kind == UDS_FD_SOCKET_UNIX);
        CHECK(uds_fd_classify(1, &info) == 0);
        CHECK(uds_cred_init() == 0);
        CHECK(uds_cred_from_socket(pair[1], 0xffffffff, &cred) == 0 && cred.pid == getpid());
        uds_cred_clear(&cred);
        CHECK(uds_addr_parse("unix:@x", &addr) == 0);
        CHECK(uds_subject_matches("a.*", "a.b"));
        CHECK(uds_status_name(3)[0] == 'n');
    }
    return NULL;
}

int main(void)
{
    int pair[2];

    run_all(with_own_pair, NULL);
    two_ends();
    handed_around();
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    run_all(ask, pair);
    close(pair[0]);
    close(pair[1]);
    return 0;
}
