/* SPDX-License-Identifier: MIT */
/* Descriptors that a peer's socket refuses. Too many of this user in flight are in conn_inflight_test.c. */
#include "refuse_scene.h"

/* ---- a side that wants none ---- */

Test(conn_refuse, a_side_that_takes_none_has_the_kernel_refuse_them)
{
    UDS_TEST_GUARD;
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = -1;

    options.max_fds = 0;
    peer = raw_conn(&conn, SOCK_STREAM, &options, 1);
    if (!kernel_refuses())
        cr_skip_test("this kernel has no SO_PASSRIGHTS");
    cr_assert_eq(raw_send_frame(peer, &(struct raw_frame){.claimed_fds = 1}, 0, 1), -EPERM);
    cr_assert_eq(raw_send_frame(peer, &(struct raw_frame){.id = 1}, -1, 0), 24);
    cr_assert_eq(uds_conn_process(conn), 0);
    cr_assert(uds_conn_is_open(conn));
}

Test(conn_refuse, fds_that_come_all_the_same_are_closed_and_counted)
{
    UDS_TEST_GUARD;
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int peer = -1;

    options.max_fds = 0;
    peer = raw_conn(&conn, SOCK_STREAM, &options, 1);
    (void)set_rights(conn, 1); /* as before 6.16 */
    cr_assert_eq(raw_send_frame(peer, &(struct raw_frame){.claimed_fds = 3}, 0, 3), 24);
    cr_assert_eq(uds_conn_process(conn), -EPROTO);
    cr_assert(strstr(uds_conn_get_error_text(conn), "P-8"));
    cr_assert_eq(uds_conn_get_refused_fds(conn), 3);
}

Test(conn_refuse, a_socket_that_refuses_already_makes_hello_say_so)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    int pair[2], off = 0;

    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    if (setsockopt(pair[0], SOL_SOCKET, SO_PASSRIGHTS, &off, sizeof(off)) < 0) {
        close(pair[0]);
        close(pair[1]);
        cr_skip_test("this kernel has no SO_PASSRIGHTS");
    }
    cr_assert_eq(uds_conn_new(&a, pair[0], NULL), 0);
    cr_assert_eq(uds_conn_new(&b, pair[1], NULL), 0);
    for (int i = 0; i < 3; i++) {
        cr_assert_geq(uds_conn_process(a), 0);
        cr_assert_geq(uds_conn_process(b), 0);
    }
    cr_assert_eq(uds_conn_get_peer_max_fds(b), 0);
    cr_assert_eq(send_one(b, 1, 1), -E2BIG);
    cr_assert_eq(uds_conn_get_peer_max_fds(a), UDS_FDS_DEFAULT);
}

/* ---- a peer whose socket refuses what its HELLO takes ---- */

Test(conn_refuse, only_the_messages_with_fds_come_back_and_the_rest_goes_on)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    struct seen seen[2] = {0};

    open_pair(&a, &b, seen);
    if (!set_rights(b, 0))
        cr_skip_test("this kernel has no SO_PASSRIGHTS");
    for (uint64_t id = 1; id <= 7; id++)
        cr_assert_eq(send_one(a, id, id == 2 || id == 3 || id == 7), 0);
    cr_assert_eq(uds_conn_process(a), 0);
    cr_assert(udsi_conn_check(a));
    cr_assert_eq(uds_conn_process(b), 0);
    expect_ids(seen[0].refused, seen[0].nrefused, (uint64_t[]){2, 3, 7}, 3);
    cr_assert_eq(seen[0].error, -EPERM);
    expect_ids(seen[1].got, seen[1].ngot, (uint64_t[]){1, 4, 5, 6}, 4);
    cr_assert_eq(uds_conn_get_refused_count(a), 3);
    cr_assert_eq(uds_conn_get_queued_fds(a), 0);
    cr_assert(uds_conn_is_open(a));
    /* The kernel decides anew each time. */
    cr_assert(set_rights(b, 1));
    cr_assert_eq(send_one(a, 8, 1), 0);
    cr_assert_eq(uds_conn_process(a), 0);
    cr_assert_eq(uds_conn_process(b), 0);
    cr_assert_eq(seen[1].got[4], 8);
}

Test(conn_refuse, is_said_at_once_until_process_has_told)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    struct seen seen[2] = {0};

    open_pair(&a, &b, seen);
    FAULTSOCK({FAULT_SEND, FAULT_ERRNO, EPERM, 1});
    cr_assert_eq(send_one(a, 1, 1), 0);
    cr_assert_eq(send_one(a, 2, 0), 0);
    cr_assert_eq(uds_conn_flush(a), 0);
    cr_assert_eq(seen[0].nrefused, 0, "flush calls nobody");
    cr_assert_eq(uds_conn_get_timeout(a), 0, "process() is due");
    cr_assert_eq(send_one(a, 3, 1), -EPERM);
    cr_assert_eq(send_one(a, 4, 0), 0);
    cr_assert_eq(uds_conn_process(a), 0);
    expect_ids(seen[0].refused, seen[0].nrefused, (uint64_t[]){1}, 1);
    cr_assert_eq(uds_conn_get_timeout(a), -1);
    cr_assert_eq(send_one(a, 5, 1), 0);
    cr_assert_eq(uds_conn_process(a), 0);
    cr_assert_eq(uds_conn_process(b), 0);
    expect_ids(seen[1].got, seen[1].ngot, (uint64_t[]){2, 4, 5}, 3);
}

Test(conn_refuse, is_the_result_of_send_wait_and_of_nothing_else)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *with = make(2, 1), *without = make(3, 0);
    struct seen seen[2] = {0};

    open_pair(&a, &b, seen);
    FAULTSOCK({FAULT_SEND, FAULT_ERRNO, EPERM, 2});
    cr_assert_eq(send_one(a, 1, 1), 0);
    cr_assert_eq(uds_conn_send_wait(a, with, 1000), -EPERM);
    cr_assert_eq(uds_conn_send_wait(a, without, 1000), 0);
    cr_assert_geq(fcntl(uds_msg_peek_fd(with, 0), F_GETFD), 0, "its fds are still its own");
    cr_assert_eq(uds_conn_process(a), 0);
    expect_ids(seen[0].refused, seen[0].nrefused, (uint64_t[]){1}, 1);
    cr_assert_eq(uds_conn_process(b), 0);
    expect_ids(seen[1].got, seen[1].ngot, (uint64_t[]){3}, 1);
}

Test(conn_refuse, may_free_the_connection_in_the_callback)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *b = NULL;
    uds_conn *a = NULL;
    struct seen seen[2] = {{.unref = true}};
    FAULTSOCK({FAULT_SEND, FAULT_PASS, 0, 2}, {FAULT_SEND, FAULT_ERRNO, EPERM, 2});

    open_pair(&a, &b, seen);
    cr_assert_eq(send_one(a, 1, 1), 0);
    cr_assert_eq(send_one(a, 2, 1), 0);
    (void)uds_conn_process(a);
    cr_assert_eq(seen[0].nrefused, 1, "the second is closed with the connection");
}

Test(conn_refuse, eperm_without_fds_ends_the_connection_as_ever)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    struct seen seen[2] = {0};

    open_pair(&a, &b, seen);
    FAULTSOCK({FAULT_SEND, FAULT_ERRNO, EPERM, 1});
    cr_assert_eq(send_one(a, 1, 0), 0);
    cr_assert_eq(uds_conn_process(a), -EPERM);
}

static uds_msg *make_large(uint64_t id)
{
    uds_msg *msg = NULL;
    void *room;

    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, id, NULL, 0), 0);
    cr_assert_eq(uds_msg_reserve_body(msg, 256 << 10, &room), 0);
    memset(room, 'x', 256 << 10);
    return msg;
}

static void on_any(uds_conn *conn, uds_msg *msg, void *arg)
{
    (void)conn;
    (void)arg;
    (void)uds_msg_unref(msg);
}

Test(conn_refuse, frees_the_place_of_a_large_body)
{
    UDS_TEST_GUARD;
    static const struct uds_conn_callbacks sinks = {.on_message = on_any, .on_refused = on_refused};
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *last = make_large(99);
    struct seen seen[2] = {0};
    bool lies = false;

    open_pair(&a, &b, seen);
    uds_conn_set_callbacks(a, &sinks, &seen[0]);
    uds_conn_set_callbacks(b, &sinks, &seen[1]);
    for (uint64_t id = 0; id < 200 && !lies; id++) {
        _cleanup_msg_ uds_msg *msg = make_large(id);

        cr_assert_eq(uds_conn_send(a, msg), 0);
        lies = udsi_sendq_at(&a->out, a->out.count - 1)->in_arena;
        for (int i = 0; i < 10; i++) {
            cr_assert_geq(uds_conn_process(a), 0);
            cr_assert_geq(uds_conn_process(b), 0);
        }
    }
    cr_assert(lies, "no arena came about");
    uint64_t before = a->arenas->own[0].out;

    cr_assert_eq(uds_msg_push_dup_fd(last, 0), 0);
    FAULTSOCK({FAULT_SEND, FAULT_ERRNO, EPERM, 1});
    cr_assert_eq(uds_conn_send(a, last), 0);
    cr_assert(udsi_sendq_at(&a->out, a->out.count - 1)->in_arena);
    cr_assert_neq(a->arenas->own[0].out, before);
    cr_assert_eq(uds_conn_process(a), 0);
    expect_ids(seen[0].refused, seen[0].nrefused, (uint64_t[]){99}, 1);
    cr_assert_eq(a->arenas->own[0].out, before);
    cr_assert(udsi_conn_check(a));
}

/* ---- calls ---- */

struct types {
    int seen[8];
    size_t count;
};

static void on_refused_type(
    uds_conn *conn, enum uds_msg_type type, uint64_t id, uds_msg *payload, int error, void *arg)
{
    struct types *types = arg;

    (void)conn;
    (void)payload;
    cr_assert_eq(id, 5);
    cr_assert_eq(error, -EPERM);
    cr_assert_lt(types->count, 8);
    types->seen[types->count++] = (int)type;
}

Test(conn_refuse, takes_the_rest_of_an_answer_in_parts_along)
{
    UDS_TEST_GUARD;
    static const struct uds_conn_callbacks of_types = {.on_refused = on_refused_type};
    static const struct {
        enum uds_msg_type type;
        uint64_t id;
        size_t nfds;
    } sends[] = {{UDS_MSG_MESSAGE, 9, 0}, {UDS_MSG_PART, 5, 1},    {UDS_MSG_PART, 6, 0},
                 {UDS_MSG_PART, 5, 0},    {UDS_MSG_MESSAGE, 5, 0}, {UDS_MSG_REPLY, 5, 2},
                 {UDS_MSG_REPLY, 6, 0}};
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    struct seen seen[2] = {0};
    struct types types = {0};

    open_pair(&a, &b, seen);
    uds_conn_set_callbacks(a, &of_types, &types);
    FAULTSOCK({FAULT_SEND, FAULT_PASS, 0, 1}, {FAULT_SEND, FAULT_ERRNO, EPERM, 1});
    for (size_t i = 0; i < sizeof(sends) / sizeof(sends[0]); i++) {
        _cleanup_msg_ uds_msg *msg = NULL;

        cr_assert_eq(uds_msg_new(&msg, sends[i].type, sends[i].id, "x", 1), 0);
        for (size_t k = 0; k < sends[i].nfds; k++)
            cr_assert_eq(uds_msg_push_dup_fd(msg, 0), 0);
        cr_assert_eq(uds_conn_send(a, msg), 0);
    }
    cr_assert_eq(uds_conn_process(a), 0);
    cr_assert(udsi_conn_check(a));
    cr_assert_eq(uds_conn_process(b), 0);
    cr_assert_eq(types.count, 3);
    cr_assert_eq(types.seen[0], UDS_MSG_PART);
    cr_assert_eq(types.seen[1], UDS_MSG_PART);
    cr_assert_eq(types.seen[2], UDS_MSG_REPLY);
    expect_ids(seen[1].got, seen[1].ngot, (uint64_t[]){9, 6, 5, 6}, 4);
    cr_assert_eq(uds_conn_get_queued_fds(a), 0);
    cr_assert_eq(uds_conn_get_queued_bytes(a), 0);
}

static void count_refused(
    uds_conn *conn, enum uds_msg_type type, uint64_t id, uds_msg *payload, int error, void *arg)
{
    (void)conn;
    (void)payload;
    (void)error;
    cr_assert_eq(type, UDS_MSG_PART);
    cr_assert_eq(id, 5);
    ++*(unsigned *)arg;
}

/* A peer that has its kernel refuse descriptors when much is queued shall not make us search and move it each time. */
Test(conn_refuse, takes_a_long_answer_along_in_one_walk)
{
    UDS_TEST_GUARD;
    static const struct uds_conn_callbacks counting = {.on_refused = count_refused};
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *first = NULL;
    struct seen seen[2] = {0};
    struct timespec before, after;
    unsigned refused = 0;

    open_pair(&a, &b, seen);
    uds_conn_set_callbacks(a, &counting, &refused);
    cr_assert_eq(uds_msg_new(&first, UDS_MSG_PART, 5, "x", 1), 0);
    cr_assert_eq(uds_msg_push_dup_fd(first, 0), 0);
    cr_assert_eq(uds_conn_send(a, first), 0);
    for (uint64_t i = 0; i < 120000; i++)
        cr_assert_eq(uds_conn_forward(a, UDS_MSG_PART, 5 + i % 2, NULL, 0, NULL, false), 0);
    FAULTSOCK({FAULT_SEND, FAULT_ERRNO, EPERM, 1}, {FAULT_SEND, FAULT_ERRNO, EAGAIN, 1});
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    cr_assert_eq(uds_conn_process(a), 0);
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    cr_assert(udsi_conn_check(a));
    cr_assert_eq(refused, 60001);
    cr_assert_eq(uds_conn_get_queued_bytes(a), 60000 * 24);
    cr_assert_lt((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000,
                 500);
}

static void on_reply(const struct uds_rpc_reply *reply, void *arg)
{
    *(uint32_t *)arg = reply->status;
}

static void answer_with_fd(uds_rpc_call *call, void *arg)
{
    int fd = 0;

    (void)arg;
    cr_assert_eq(uds_rpc_call_reply(call, "ok", 2, &fd, 1), 0);
}

Test(conn_refuse, ends_a_call_whose_request_or_reply_it_was)
{
    UDS_TEST_GUARD;
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    uds_rpc *caller, *callee;
    int fd = 0;

    cr_assert_eq(uds_conn_pair(&a, &b, NULL), 0);
    cr_assert_eq(uds_rpc_new(&caller, a, NULL, NULL), 0);
    cr_assert_eq(uds_rpc_new(&callee, b, NULL, NULL), 0);
    uds_rpc_set_handler(callee, answer_with_fd, NULL, 0);
    for (int i = 0; i < 3; i++) {
        cr_assert_geq(uds_conn_process(a), 0);
        cr_assert_geq(uds_conn_process(b), 0);
    }
    for (int of_reply = 0; of_reply < 2; of_reply++) {
        uint32_t status = UDS_STATUS_OK;

        request.fds = &fd;
        request.nfds = of_reply ? 0 : 1;
        FAULTSOCK({FAULT_SEND, FAULT_PASS, 0, (unsigned)of_reply},
                  {FAULT_SEND, FAULT_ERRNO, EPERM, 1});
        if (!of_reply)
            faults_[0] = (struct fault){FAULT_SEND, FAULT_ERRNO, EPERM, 1};
        cr_assert_eq(uds_rpc_request(caller, &request, on_reply, &status, NULL), 0);
        for (int i = 0; i < 3; i++) {
            cr_assert_geq(uds_conn_process(a), 0);
            cr_assert_geq(uds_conn_process(b), 0);
        }
        cr_assert_eq(status, UDS_STATUS_FD_REFUSED, "%d: %u", of_reply, status);
    }
    uds_rpc_free(caller);
    uds_rpc_free(callee);
}

/* ---- records ---- */

Test(conn_records, tell_the_largest_that_fits)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL, *c = NULL, *d = NULL;
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    _cleanup_msg_ uds_msg *msg = NULL, *got = NULL;
    void *room;
    size_t max;

    options.arena_bytes = 0; /* with arenas a larger one may go, see arena_record_test.c */
    cr_assert_eq(uds_conn_pair(&a, &b, NULL), 0);
    cr_assert_eq(uds_conn_get_max_record(a), 0, "a stream has none");
    cr_assert_eq(uds_conn_pair_records(&c, &d, &options), 0);
    for (int i = 0; i < 3; i++) {
        cr_assert_geq(uds_conn_process(c), 0);
        cr_assert_geq(uds_conn_process(d), 0);
    }
    max = uds_conn_get_max_record(c);
    cr_assert_gt(max, 4000);
    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 1, NULL, 0), 0);
    cr_assert_eq(uds_msg_reserve_body(msg, max - 24 + 1, &room), 0);
    memset(room, 0, max - 24 + 1);
    cr_assert_eq(uds_msg_get_size(msg), max + 1);
    cr_assert_eq(uds_conn_send(c, msg), -EMSGSIZE);
    cr_assert_eq(uds_msg_reserve_body(msg, max - 24, &room), 0);
    cr_assert_eq(uds_conn_send(c, msg), 0);
    cr_assert_eq(uds_conn_flush(c), 0, "the kernel takes it");
    cr_assert_eq(uds_conn_receive(d, &got), 1);
    cr_assert_eq(uds_msg_get_size(got), max);
}

/* What the library offers on its own account is a luxury: a peer whose socket refuses it goes without. */
Test(conn_refuse, of_an_offered_ring_leaves_the_connection_as_it_is)
{
    UDS_TEST_GUARD;
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    struct seen seen[2] = {0};

    options.ring_bytes = 65536;
    options.ring_propose = true;
    cr_assert_eq(uds_conn_pair(&a, &b, &options), 0);
    b->ring_propose = false;
    if (!set_rights(b, 0))
        cr_skip_test("this kernel has no SO_PASSRIGHTS");
    uds_conn_set_callbacks(a, &callbacks, &seen[0]);
    uds_conn_set_callbacks(b, &callbacks, &seen[1]);
    cr_assert_eq(send_one(a, 1, 0), 0);
    for (int i = 0; i < 5; i++) {
        cr_assert_geq(uds_conn_process(a), 0);
        cr_assert_geq(uds_conn_process(b), 0);
        cr_assert(udsi_conn_check(a));
    }
    cr_assert_null(a->ring);
    cr_assert(uds_conn_is_open(a));
    cr_assert_eq(send_one(a, 2, 0), 0);
    cr_assert_geq(uds_conn_process(a), 0);
    cr_assert_geq(uds_conn_process(b), 0);
    expect_ids(seen[1].got, seen[1].ngot, (uint64_t[]){1, 2}, 2);
    cr_assert_eq(seen[0].nrefused, 0);
}
