/* SPDX-License-Identifier: MIT */

/*
 * What fails everywhere: memory at every allocation, and every sendmsg and recvmsg with every errno that they have. Each
 * scenario is played again and again, with the failure one step further each time, until it is over before it comes to it.
 * Whatever fails, nothing hangs, nothing is left behind, and what arrives is whole and in order.
 */

#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include <uds/error.h>
#include <uds/event.h>
#include <uds/rpc.h>

#include "cleanup.h"
#include "conn/conn.h"
#include "failing_heap.h"
#include "faultsock.h"
#include "guard.h"
#include "heap.h"

#define TURNS_MAX 3000

/* ---- two connections and the messages between them ---- */

static const struct {
    size_t len;
    size_t nfds;
} messages[] = {{0, 0}, {10, 1}, {3000, 0}, {40, 9}, {70000, 2}, {300000, 0}, {5, 0}};
#define MESSAGES (sizeof(messages) / sizeof(messages[0]))

struct side {
    uds_conn *conn;
    size_t queued, received;
    size_t fds_lost; /* messages that came with MSG_CTRUNC */
    unsigned
        refused; /* bits of messages that the other side was told are not sent (EPERM, with fds) */
    struct side *peer;
    bool closed;
    int error; /* why, and also of a call that failed */
};

static void on_message(uds_conn *conn, uds_msg *msg, void *arg)
{
    struct side *side = arg;
    const uint8_t *body;
    size_t len, i;

    (void)conn;
    while (side->refused & (1u << side->received))
        side->received++;
    i = side->received++;
    body = uds_msg_peek_body(msg, &len);
    cr_assert_lt(i, MESSAGES);
    cr_assert_eq(uds_msg_get_id(msg), i);
    cr_assert_eq(len, messages[i].len);
    cr_assert(len == 0 || (body[0] == i && body[len - 1] == i));
    if (uds_msg_get_error(msg) != 0)
        side->fds_lost++;
    else
        cr_assert_eq(uds_msg_get_fd_count(msg), messages[i].nfds);
    (void)uds_msg_unref(msg);
}

static void on_refused(
    uds_conn *conn, enum uds_msg_type type, uint64_t id, uds_msg *payload, int error, void *arg)
{
    struct side *side = arg;

    (void)conn;
    (void)type;
    cr_assert_eq(error, -EPERM);
    cr_assert_gt(uds_msg_get_fd_count(payload), 0);
    side->peer->refused |= 1u << id;
}

static void on_close(uds_conn *conn, int error, void *arg)
{
    struct side *side = arg;

    (void)conn;
    side->closed = true;
    if (error != 0)
        side->error = error;
}

static int queue_next(struct side *side)
{
    _cleanup_msg_ uds_msg *msg = NULL;
    size_t i = side->queued;
    void *room = NULL;
    int r = uds_msg_new(&msg, UDS_MSG_MESSAGE, i, NULL, 0);

    if (r == 0)
        r = uds_msg_reserve_body(msg, messages[i].len, &room);
    if (r < 0)
        return r;
    memset(room, (int)i, messages[i].len);
    for (size_t fd = 0; fd < messages[i].nfds && r == 0; fd++)
        r = uds_msg_push_dup_fd(msg, 0);
    if (r == 0)
        r = uds_conn_send(side->conn, msg);
    if (r == 0)
        side->queued++;
    return r;
}

static bool may_go_on(const struct side *side)
{
    return !side->closed && side->error == 0;
}

static void turn(struct side *side)
{
    if (may_go_on(side) && side->queued < MESSAGES && uds_conn_is_open(side->conn))
        side->error = queue_next(side);
    if (!side->closed)
        (void)uds_conn_process(side->conn);
    /* The peer reads no more, says the kernel (not this peer, though: no end of the stream follows). */
    if (may_go_on(side))
        side->error = side->conn->send_error;
    cr_assert(udsi_conn_check(side->conn));
}

/* Nothing but waiting is left to do: for the earlier of what both wait for. */
static void wait_for_both(const struct side *a, const struct side *b)
{
    int ta = uds_conn_get_timeout(a->conn), tb = uds_conn_get_timeout(b->conn);
    int timeout = ta < 0 || (tb >= 0 && tb < ta) ? tb : ta;

    if (timeout > 0)
        (void)poll(NULL, 0, timeout);
}

/* Plays the whole exchange, both ways at once. Both sides are freed at the end; what they saw stays in @a and @b. */
static void play(struct side *a, struct side *b)
{
    static const struct uds_conn_callbacks callbacks = {
        .on_message = on_message, .on_close = on_close, .on_refused = on_refused};
    int turns = 0;

    *a = (struct side){.peer = b};
    *b = (struct side){.peer = a};
    a->error = uds_conn_pair(&a->conn, &b->conn, NULL);
    if (a->error < 0)
        return;
    uds_conn_set_callbacks(a->conn, &callbacks, a);
    uds_conn_set_callbacks(b->conn, &callbacks, b);
    while ((may_go_on(a) || may_go_on(b)) &&
           (a->received < MESSAGES || b->received < MESSAGES || a->fds_lost)) {
        turn(a);
        turn(b);
        if (a->received == MESSAGES && b->received == MESSAGES)
            break;
        wait_for_both(a, b);
        cr_assert_lt(++turns, TURNS_MAX, "it hangs");
        if (a->closed || b->closed || a->error || b->error) {
            /* The other one learns it as soon as this one has let go. */
            if (a->error && !a->closed)
                (void)uds_conn_shutdown(a->conn, 0, NULL);
            if (b->error && !b->closed)
                (void)uds_conn_shutdown(b->conn, 0, NULL);
            for (int i = 0; i < 10; i++) {
                (void)uds_conn_process(a->conn);
                (void)uds_conn_process(b->conn);
            }
            break;
        }
    }
    a->conn = uds_conn_unref(a->conn);
    b->conn = uds_conn_unref(b->conn);
}

/* ---- memory ---- */

static void scenario_exchange(void)
{
    struct side a, b;

    play(&a, &b);
    if (heap_has_failed())
        return;
    cr_assert_eq(a.received, MESSAGES);
    cr_assert_eq(b.received, MESSAGES);
}

Test(failing_heap, harms_no_exchange_of_messages)
{
    UDS_TEST_GUARD;
    with_failing_heap(scenario_exchange, 20);
}

static void scenario_snapshot(void)
{
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL, *moved = NULL;
    _cleanup_snapshot_ uds_snapshot *s = NULL;
    struct side side = {0};

    if (uds_conn_pair(&a, &b, NULL) < 0)
        return;
    side.conn = a;
    while (side.queued < MESSAGES)
        if (queue_next(&side) < 0)
            break;
    if (uds_snapshot_new(&s) < 0)
        return;
    if (uds_conn_serialise(a, s) == 0 && uds_conn_restore(&moved, s) == 0)
        cr_assert(udsi_conn_check(moved));
    else
        cr_assert(heap_has_failed());
}

Test(failing_heap, harms_no_move_to_another_image)
{
    UDS_TEST_GUARD;
    with_failing_heap(scenario_snapshot, 15);
}

static void answer(uds_rpc_call *call, void *arg)
{
    (void)arg;
    (void)uds_rpc_call_reply(call, "abc", 3, NULL, 0);
}

/* Every call that was made ends exactly once, whatever else happens. */
static void scenario_calls(void)
{
    uds_conn *a, *b;
    uds_rpc *caller = NULL, *callee = NULL;
    unsigned made = 0, ended = 0;

    if (uds_conn_pair(&a, &b, NULL) < 0)
        return;
    if (uds_rpc_new(&caller, a, NULL, NULL) == 0 && uds_rpc_new(&callee, b, NULL, NULL) == 0) {
        uds_rpc_set_handler(callee, answer, NULL, 0);
        for (int i = 0; i < 6; i++) {
            struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
            int null = 0;
            uint64_t id;

            request.method = "a.B/C";
            request.timeout_ms = 60000;
            request.fds = &null;
            request.nfds = (size_t)i % 2;
            if (uds_rpc_request(caller, &request, count_reply, &ended, &id) == 0) {
                made++;
                if (i == 4)
                    (void)uds_rpc_cancel(caller, id);
            }
            (void)uds_conn_process(a);
            (void)uds_conn_process(b);
            (void)uds_conn_process(a);
        }
    }
    (void)uds_rpc_free(caller);
    (void)uds_rpc_free(callee);
    (void)uds_conn_unref(a);
    (void)uds_conn_unref(b);
    cr_assert_eq(made, ended);
    cr_assert(heap_has_failed() || made == 6);
}

Test(failing_heap, loses_no_call)
{
    UDS_TEST_GUARD;
    with_failing_heap(scenario_calls, 10);
}

static void scenario_loop(void)
{
    struct event_base *base = event_base_new();
    uds_event *glue = NULL;
    uds_conn *a, *b;

    if (uds_conn_pair(&a, &b, NULL) == 0) {
        if (uds_event_attach(&glue, a, base) == 0)
            event_base_loop(base, EVLOOP_NONBLOCK);
        (void)uds_event_detach(glue);
        (void)uds_conn_unref(a);
        (void)uds_conn_unref(b);
    }
    event_base_free(base);
}

Test(failing_heap, harms_no_loop)
{
    UDS_TEST_GUARD;
    with_failing_heap(scenario_loop, 3);
}

/* ---- sockets ---- */

static void with_fault(enum fault_call call, unsigned nth, enum fault_what what, int value)
{
    struct side a, b;
    struct fault faults[] = {{call, FAULT_PASS, 0, nth}, {call, what, value, 1}};
    bool passing =
        what == FAULT_LIMIT || what == FAULT_CTRUNC || value == EINTR || value == EAGAIN ||
        (call == FAULT_SEND && (value == ENOBUFS || value == ENOMEM || value == ETOOMANYREFS));

    faultsock_install(nth > 0 ? faults : faults + 1, nth > 0 ? 2 : 1);
    play(&a, &b);
    faultsock_remove();
    if (!passing)
        return;
    cr_assert_eq(a.received, MESSAGES, "%d at call %u: %s", value, nth, strerror(-a.error));
    cr_assert_eq(b.received, MESSAGES, "%d at call %u: %s", value, nth, strerror(-b.error));
    cr_assert_leq(a.fds_lost + b.fds_lost, what == FAULT_CTRUNC ? 1 : 0);
}

/* How many calls a play without faults needs. */
static void count_calls(unsigned *ret_sends, unsigned *ret_receives)
{
    struct side a, b;

    faultsock_install(NULL, 0);
    play(&a, &b);
    *ret_sends = faultsock_sends();
    *ret_receives = faultsock_receives();
    faultsock_remove();
    cr_assert_eq(a.received + b.received, 2 * MESSAGES);
}

Test(failing_socket, with_any_errno_at_any_call_ends_or_goes_on)
{
    UDS_TEST_GUARD;
    static const int errors[] = {EINTR,  EAGAIN,     ENOBUFS,  ENOMEM,   ETOOMANYREFS, EPIPE,
                                 EPERM,  ECONNRESET, EMFILE,   ENFILE,   EIO,          EBADF,
                                 EFAULT, EINVAL,     ENOTCONN, EMSGSIZE, EOPNOTSUPP};
    unsigned sends, receives;

    count_calls(&sends, &receives);
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        for (unsigned nth = 0; nth < sends; nth++)
            with_fault(FAULT_SEND, nth, FAULT_ERRNO, errors[i]);
        for (unsigned nth = 0; nth < receives; nth++)
            with_fault(FAULT_RECV, nth, FAULT_ERRNO, errors[i]);
    }
}

Test(failing_socket, that_takes_or_gives_a_part_loses_nothing)
{
    UDS_TEST_GUARD;
    static const int limits[] = {1, 23, 24, 25, 100};
    unsigned sends, receives;

    count_calls(&sends, &receives);
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        for (unsigned nth = 0; nth < sends; nth++)
            with_fault(FAULT_SEND, nth, FAULT_LIMIT, limits[i]);
        for (unsigned nth = 0; nth < receives; nth++)
            with_fault(FAULT_RECV, nth, FAULT_LIMIT, limits[i]);
    }
}

Test(failing_socket, without_room_for_descriptors_delivers_the_message_and_says_so)
{
    UDS_TEST_GUARD;
    unsigned sends, receives, lost = 0;

    count_calls(&sends, &receives);
    for (unsigned nth = 0; nth < receives; nth++) {
        struct side a, b;
        struct fault faults[] = {{FAULT_RECV, FAULT_PASS, 0, nth},
                                 {FAULT_RECV, FAULT_CTRUNC, 0, 1}};

        faultsock_install(nth > 0 ? faults : faults + 1, nth > 0 ? 2 : 1);
        play(&a, &b);
        faultsock_remove();
        lost += (unsigned)(a.fds_lost + b.fds_lost);
    }
    cr_assert_geq(lost, 6);
}
