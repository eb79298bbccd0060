/* SPDX-License-Identifier: MIT */

/*
 * Bodies that fit no record of a SEQPACKET socket: they go by arenas or not at all. Who sends waits for a slot and is told when
 * there is one; what can never go is said at once.
 */

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>
#include <sys/wait.h>

#include <uds/rpc.h>

#include "cleanup.h"
#include "conn/conn.h"
#include "conn/msg.h"
#include "faultsock.h"
#include "guard.h"
#include "nofile.h"
#include "pair.h"

#define HUGE (1000u * 1000)

struct scene {
    uds_conn *a, *b;
    unsigned writable; /* of a */
    uds_msg *got[64];  /* of b */
    size_t ngot;
};

static void on_writable(uds_conn *conn, void *arg)
{
    (void)conn;
    ++*(unsigned *)arg;
}

static void on_message(uds_conn *conn, uds_msg *msg, void *arg)
{
    struct scene *scene = arg;

    (void)conn;
    cr_assert_lt(scene->ngot, 64);
    scene->got[scene->ngot++] = msg;
}

static void turn(struct scene *scene)
{
    for (int i = 0; i < 4; i++) {
        cr_assert_geq(uds_conn_process(scene->a), 0, "%s", uds_conn_get_error_text(scene->a));
        cr_assert(udsi_conn_check(scene->a));
        cr_assert_geq(uds_conn_process(scene->b), 0, "%s", uds_conn_get_error_text(scene->b));
        cr_assert(udsi_conn_check(scene->b));
    }
}

static void scene_wire(struct scene *scene)
{
    static const struct uds_conn_callbacks sender = {.on_writable = on_writable},
                                           receiver = {.on_message = on_message};

    uds_conn_set_callbacks(scene->a, &sender, &scene->writable);
    uds_conn_set_callbacks(scene->b, &receiver, scene);
}

static void scene_open(struct scene *scene, const struct uds_conn_options *options)
{
    memset(scene, 0, sizeof(*scene));
    cr_assert_eq(uds_conn_pair_records(&scene->a, &scene->b, options), 0);
    scene_wire(scene);
}

static void drop_got(struct scene *scene)
{
    for (size_t i = 0; i < scene->ngot; i++)
        (void)uds_msg_unref(scene->got[i]);
    scene->ngot = 0;
}

static void scene_close(struct scene *scene)
{
    drop_got(scene);
    (void)uds_conn_unref(scene->a);
    (void)uds_conn_unref(scene->b);
}

static int send_one(uds_conn *conn, uint64_t id, size_t len)
{
    _cleanup_msg_ uds_msg *msg = NULL;
    void *room = NULL;

    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, id, NULL, 0), 0);
    cr_assert_eq(uds_msg_reserve_body(msg, len, &room), 0);
    memset(room, (int)id, len);
    return uds_conn_send(conn, msg);
}

static void expect_got(const struct scene *scene, size_t index, uint64_t id, size_t len)
{
    size_t have;
    const uint8_t *body = uds_msg_peek_body(scene->got[index], &have);

    cr_assert_eq(uds_msg_get_id(scene->got[index]), id);
    cr_assert_eq(have, len);
    cr_assert(len == 0 || (body[0] == (uint8_t)id && memcmp(body, body + 1, len - 1) == 0));
}

Test(arena_record, takes_a_body_that_no_record_holds_and_keeps_the_order)
{
    UDS_TEST_GUARD;
    struct scene scene;

    scene_open(&scene, NULL);
    /* Before the peer's HELLO nobody knows; then the arena is to be granted; then it goes. */
    cr_expect_eq(send_one(scene.a, 1, HUGE), -ENOBUFS);
    turn(&scene);
    cr_expect_eq(scene.writable, 1);
    cr_expect_eq(send_one(scene.a, 1, HUGE), -ENOBUFS);
    turn(&scene);
    cr_expect_eq(scene.writable, 2);
    cr_expect_eq(send_one(scene.a, 1, 10), 0);
    cr_expect_eq(send_one(scene.a, 2, HUGE), 0);
    cr_expect_eq(send_one(scene.a, 3, 100), 0);
    turn(&scene);
    cr_assert_eq(scene.ngot, 3);
    expect_got(&scene, 0, 1, 10);
    expect_got(&scene, 1, 2, HUGE);
    expect_got(&scene, 2, 3, 100);
    cr_expect_eq(scene.writable, 2, "nobody waits any more");
    scene_close(&scene);
}

Test(arena_record, waits_for_a_slot_and_hears_of_it)
{
    UDS_TEST_GUARD;
    struct scene scene;
    unsigned sent = 0, before;
    int r;

    scene_open(&scene, NULL);
    turn(&scene);
    cr_assert_eq(send_one(scene.a, 1, HUGE), -ENOBUFS);
    turn(&scene);
    while ((r = send_one(scene.a, 1, HUGE)) == 0 && sent < 60) {
        sent++;
        turn(&scene);
    }
    cr_assert_eq(r, -ENOBUFS, "the peer holds all: %d after %u", r, sent);
    cr_expect_eq(scene.ngot, sent);
    before = scene.writable;
    turn(&scene);
    cr_expect_eq(scene.writable, before, "told of a slot that is not there");
    cr_expect_eq(uds_conn_get_events(scene.b) & POLLOUT, 0);
    scene.ngot--;
    (void)uds_msg_unref(scene.got[scene.ngot]);
    /* The loop of the peer sleeps meanwhile, but not for ever, and sends what nothing else would send now. */
    int timeout = uds_conn_get_timeout(scene.b);
    cr_expect(timeout >= 0 && timeout <= UDSI_ARENA_LOOK_MS, "%d", timeout);
    cr_expect_eq(uds_conn_get_events(scene.b) & POLLOUT, POLLOUT);
    turn(&scene);
    cr_expect_eq(scene.writable, before + 1);
    cr_expect_eq(uds_conn_get_timeout(scene.b), -1);
    cr_expect_eq(send_one(scene.a, 2, HUGE), 0);
    turn(&scene);
    expect_got(&scene, scene.ngot - 1, 2, HUGE);
    scene_close(&scene);
}

Test(arena_record, takes_a_body_that_was_to_go_inside_a_frame_of_another_connection)
{
    UDS_TEST_GUARD;
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    _cleanup_conn_ uds_conn *left = NULL, *right = NULL;
    _cleanup_msg_ uds_msg *msg = NULL;
    struct scene scene;
    void *room = NULL;

    options.body_path = UDS_BODY_PATH_IN_FRAMES;
    pair_open(&left, &right, &options);
    cr_assert_eq(send_one(left, 1, HUGE), 0);
    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 2, NULL, 0), 0);
    cr_assert_eq(uds_conn_reserve_body(left, msg, HUGE, &room), 0);
    cr_assert(msg->is_placed);
    memset(room, 2, HUGE);

    scene_open(&scene, NULL);
    turn(&scene);
    cr_expect_eq(uds_conn_send(scene.a, msg), -ENOBUFS, "the arena is to be granted");
    turn(&scene);
    cr_expect_eq(uds_conn_send(scene.a, msg), 0);
    turn(&scene);
    cr_assert_eq(scene.ngot, 1);
    expect_got(&scene, 0, 2, HUGE);
    scene_close(&scene);
}

Test(arena_record, says_at_once_what_can_never_go)
{
    UDS_TEST_GUARD;
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    struct scene scene;
    int pair[2];

    /* We allow no arenas: known before the peer has said a word. */
    options.arena_bytes = 0;
    scene_open(&scene, &options);
    cr_expect_eq(send_one(scene.a, 1, HUGE), -EMSGSIZE);
    scene_close(&scene);

    /* The peer allows none: known after its HELLO. */
    memset(&scene, 0, sizeof(scene));
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    cr_assert_eq(uds_conn_new(&scene.a, pair[0], NULL), 0);
    cr_assert_eq(uds_conn_new(&scene.b, pair[1], &options), 0);
    scene_wire(&scene);
    cr_expect_eq(send_one(scene.a, 1, HUGE), -ENOBUFS);
    turn(&scene);
    cr_expect_eq(scene.writable, 1, "whoever waits must hear that there is nothing to wait for");
    cr_expect_eq(send_one(scene.a, 1, HUGE), -EMSGSIZE);
    scene_close(&scene);

    /* What is agreed is too small. */
    options.arena_bytes = 512u << 10;
    scene_open(&scene, &options);
    turn(&scene);
    cr_expect_eq(send_one(scene.a, 1, HUGE), -EMSGSIZE);
    cr_expect_eq(send_one(scene.a, 1, 300u << 10), -ENOBUFS);
    scene_close(&scene);
}

Test(arena_record, says_what_it_lacks_and_tries_again)
{
    UDS_TEST_GUARD;
    struct scene scene;
    rlim_t before;

    scene_open(&scene, NULL);
    turn(&scene);
    before = nofile_set(nofile_next());
    cr_expect_eq(send_one(scene.a, 1, HUGE), -EMFILE);
    nofile_set(before);
    cr_expect_eq(scene.writable, 0, "nothing would come to whoever waited");
    cr_expect_eq(send_one(scene.a, 1, HUGE), -ENOBUFS);
    turn(&scene);
    cr_expect_eq(send_one(scene.a, 1, HUGE), 0);
    scene_close(&scene);
}

/* The ARENA itself cannot go out; that is tried a few times and then over. */
Test(arena_record, gives_up_when_no_arena_gets_through)
{
    UDS_TEST_GUARD;
    struct scene scene;
    unsigned waits = 0;
    int r;

    scene_open(&scene, NULL);
    turn(&scene);
    FAULTSOCK({FAULT_SEND, FAULT_ERRNO, ETOOMANYREFS, 0});
    while ((r = send_one(scene.a, 1, HUGE)) == -ENOBUFS && waits++ < 100) {
        unsigned before = scene.writable;

        cr_assert_geq(uds_conn_process(scene.a), 0);
        cr_assert_eq(scene.writable, before + 1, "it waits for what will never come");
    }
    cr_expect_eq(r, -EMSGSIZE);
    cr_expect_lt(waits, 20);
    scene_close(&scene);
}

Test(arena_record, holds_small_bodies_too_where_records_are_smaller_still)
{
    UDS_TEST_GUARD;
    struct scene scene;
    int pair[2], size = 2048;

    memset(&scene, 0, sizeof(scene));
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    cr_assert_eq(setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
    cr_assert_eq(uds_conn_new(&scene.a, pair[0], NULL), 0);
    cr_assert_eq(uds_conn_new(&scene.b, pair[1], NULL), 0);
    scene_wire(&scene);
    cr_assert_lt(uds_conn_get_max_record(scene.a), 10000);
    turn(&scene);
    cr_expect_eq(send_one(scene.a, 1, 10000), -ENOBUFS);
    turn(&scene);
    cr_expect_eq(send_one(scene.a, 1, 10000), 0);
    turn(&scene);
    cr_assert_eq(scene.ngot, 1);
    expect_got(&scene, 0, 1, 10000);
    scene_close(&scene);
}

Test(arena_record, waits_on_in_another_image)
{
    UDS_TEST_GUARD;
    _cleanup_snapshot_ uds_snapshot *s = NULL;
    struct scene scene;

    scene_open(&scene, NULL);
    turn(&scene);
    cr_assert_eq(send_one(scene.a, 1, HUGE), -ENOBUFS);
    cr_assert_eq(uds_snapshot_new(&s), 0);
    cr_assert_eq(uds_conn_serialise(scene.a, s), 0);
    scene.a = uds_conn_unref(scene.a);
    cr_assert_eq(uds_conn_restore(&scene.a, s), 0);
    scene_wire(&scene);
    cr_expect_eq(uds_conn_get_timeout(scene.a), 0, "on_writable is due");
    for (int i = 0; i < 10 && send_one(scene.a, 1, HUGE) == -ENOBUFS; i++) {
        unsigned before = scene.writable;

        turn(&scene);
        cr_assert_gt(scene.writable, before);
    }
    turn(&scene);
    cr_assert_eq(scene.ngot, 1);
    expect_got(&scene, 0, 1, HUGE);
    scene_close(&scene);
}

/* ---- the blocking forms ---- */

#define ROUNDS 40

static int send_rounds(int fd)
{
    _cleanup_conn_ uds_conn *conn = NULL;
    int r = uds_conn_new(&conn, fd, NULL);

    for (uint64_t i = 0; r == 0 && i < ROUNDS; i++) {
        _cleanup_msg_ uds_msg *msg = NULL;
        void *room = NULL;

        r = uds_msg_new(&msg, UDS_MSG_MESSAGE, i, NULL, 0);
        if (r == 0)
            r = uds_msg_reserve_body(msg, HUGE, &room);
        if (r == 0) {
            memset(room, (int)i, HUGE);
            r = uds_conn_send_wait(conn, msg, 20000);
        }
    }
    return r;
}

Test(arena_record, makes_a_blocking_send_wait)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *conn = NULL;
    int pair[2], status = -1;
    pid_t pid;

    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    pid = fork();
    cr_assert_geq(pid, 0);
    if (pid == 0) {
        close(pair[1]);
        _exit(-send_rounds(pair[0]));
    }
    close(pair[0]);
    cr_assert_eq(uds_conn_new(&conn, pair[1], NULL), 0);
    for (uint64_t i = 0; i < ROUNDS; i++) {
        _cleanup_msg_ uds_msg *msg = NULL;
        struct scene scene = {.ngot = 1};

        cr_assert_eq(uds_conn_receive_wait(conn, &msg, 20000), 0, "message %lu", (unsigned long)i);
        scene.got[0] = msg;
        expect_got(&scene, 0, i, HUGE);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(status, 0, "send_wait: %s", strerror(WEXITSTATUS(status)));
}

Test(arena_record, does_not_wait_behind_a_message_that_nobody_takes)
{
    UDS_TEST_GUARD;
    _cleanup_msg_ uds_msg *msg = NULL;
    struct scene scene;
    void *room = NULL;

    scene_open(&scene, NULL);
    turn(&scene);
    uds_conn_set_callbacks(scene.a, NULL, NULL);
    cr_assert_eq(send_one(scene.b, 5, 10), 0);
    cr_assert_eq(uds_conn_flush(scene.b), 0);
    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 1, NULL, 0), 0);
    cr_assert_eq(uds_msg_reserve_body(msg, HUGE, &room), 0);
    memset(room, 0, HUGE);
    cr_expect_eq(uds_conn_send_wait(scene.a, msg, 5000), -ENOBUFS);
    scene_close(&scene);
}

/* ---- streams of large parts ---- */

struct feed {
    uds_rpc_call *call;
    unsigned sent, credits, received;
    bool ended;
};

static const unsigned parts = 30;
static char part_body[HUGE];

static void feed_more(uds_rpc_call *call, void *arg)
{
    struct feed *feed = arg;
    int r = 0;

    feed->credits++;
    while (feed->sent < parts &&
           (r = uds_rpc_call_send_part(call, part_body, sizeof(part_body), NULL, 0)) == 0)
        feed->sent++;
    cr_assert(r == 0 || r == -EAGAIN, "%d", r);
    if (feed->sent == parts)
        cr_assert_eq(uds_rpc_call_reply(call, NULL, 0, NULL, 0), 0);
}

static void on_call(uds_rpc_call *call, void *arg)
{
    static const struct uds_rpc_call_callbacks callbacks = {.on_credit = feed_more};

    uds_rpc_call_set_callbacks(call, &callbacks, arg);
    feed_more(call, arg);
}

static void on_part(uint64_t id, uds_msg *part, void *arg)
{
    struct feed *feed = arg;
    size_t len;

    (void)id;
    (void)uds_msg_peek_body(part, &len);
    cr_assert_eq(len, sizeof(part_body));
    feed->received++;
}

static void on_reply(const struct uds_rpc_reply *reply, void *arg)
{
    struct feed *feed = arg;

    cr_assert_eq(reply->status, 0);
    feed->ended = true;
}

Test(arena_record, feeds_a_stream_of_large_parts_without_spinning)
{
    UDS_TEST_GUARD;
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
    struct feed feed = {.sent = 0};
    uds_rpc *caller, *callee;
    struct scene scene;

    memset(&scene, 0, sizeof(scene));
    cr_assert_eq(uds_conn_pair_records(&scene.a, &scene.b, NULL), 0);
    cr_assert_eq(uds_rpc_new(&caller, scene.a, NULL, NULL), 0);
    cr_assert_eq(uds_rpc_new(&callee, scene.b, NULL, NULL), 0);
    uds_rpc_set_handler(callee, on_call, &feed, 0);
    turn(&scene);
    request.on_part = on_part;
    cr_assert_eq(uds_rpc_request(caller, &request, on_reply, &feed, NULL), 0);
    for (int i = 0; i < 200 && !feed.ended; i++)
        turn(&scene);
    cr_expect(feed.ended);
    cr_expect_eq(feed.received, parts);
    cr_expect_lt(feed.credits, 3 * parts, "it tries again without reason");
    (void)uds_rpc_free(caller);
    (void)uds_rpc_free(callee);
    scene_close(&scene);
}
