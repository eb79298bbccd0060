/* SPDX-License-Identifier: MIT */
/*
 * Generated stubs and service structs, unchanged, over a pair of connections: answers at once and later, descriptors both
 * ways, deadlines, typed failures. Who is freed first is in pb_end_test.c.
 */
#include "pb_scene.h"

Test(pb_rpc, generated_stub_calls_generated_service)
{
    UDS_TEST_GUARD;
    struct bench t;
    struct outcome o = {.bench = &t};
    Uds__Test__Words words = words_of("hello", UINT64_MAX);
    Uds__Test__Leaf leaf = UDS__TEST__LEAF__INIT, *leaves[] = {&leaf, &leaf};

    bench_open(&t);
    words.n_leaves = 2;
    words.leaves = leaves;
    uds__test__echo__say(t.echo, &words, on_words, &o);
    cr_assert_eq(o.ended, 0, "a call ended inside the stub function");
    turn(&t);
    cr_assert_eq(o.ended, 1);
    cr_assert_eq(o.status, UDS_STATUS_OK);
    cr_assert_str_eq(o.text, "hello");
    cr_assert_eq(o.number, UINT64_MAX);
    cr_assert_eq(o.nleaves, 2);
    cr_assert_eq(o.fd, -ENOENT);
    cr_assert_eq(served.timeout_ms, -1);
    bench_close(&t);
}

Test(pb_rpc, carries_descriptors_there_and_back)
{
    UDS_TEST_GUARD;
    struct bench t;
    struct outcome o = {.bench = &t};
    Uds__Test__Words words = words_of("", 0);
    struct stat there, back;
    int p[2];

    bench_open(&t);
    cr_assert_eq(pipe(p), 0);
    uds_pb_stub_next_fds(t.stub, p, 2);
    uds__test__echo__say(t.echo, &words, on_words, &o);
    turn(&t);
    cr_assert_eq(o.status, UDS_STATUS_OK);
    cr_assert_geq(o.fd, 0);
    cr_assert_eq(fstat(p[0], &there), 0);
    cr_assert_eq(fstat(o.fd, &back), 0);
    cr_assert_eq(there.st_ino, back.st_ino);
    close(o.fd);

    /* The fds were for that one call. */
    uds__test__echo__say(t.echo, &words, on_words, &o);
    turn(&t);
    cr_assert_eq(o.ended, 2);
    cr_assert_eq(o.fd, -ENOENT);
    close(p[0]);
    close(p[1]);
    bench_close(&t);
}

Test(pb_rpc, a_failure_arrives_with_status_value_and_words)
{
    UDS_TEST_GUARD;
    struct bench t;
    struct outcome o = {.bench = &t};
    Uds__Test__Words words = words_of("no more of this", UDS_STATUS_APPLICATION + 7);

    bench_open(&t);
    uds__test__echo__fail(t.echo, &words, on_words, &o);
    turn(&t);
    cr_assert_eq(o.ended, 1);
    cr_assert_not(o.has_message);
    cr_assert_eq(o.status, UDS_STATUS_APPLICATION + 7);
    cr_assert_eq(o.value, 2 * (UDS_STATUS_APPLICATION + 7));
    cr_assert_str_eq(o.detail, "no more of this");
    /* A failure cannot say OK. */
    words.number = UDS_STATUS_OK;
    uds__test__echo__fail(t.echo, &words, on_words, &o);
    turn(&t);
    cr_assert_eq(o.status, UDS_STATUS_INTERNAL);
    bench_close(&t);
}

Test(pb_rpc, an_answer_may_come_later)
{
    UDS_TEST_GUARD;
    struct bench t;
    struct outcome o = {.bench = &t};
    Uds__Test__Words words = words_of("", 0);

    bench_open(&t);
    uds__test__echo__later(t.echo, &words, on_words, &o);
    turn(&t);
    cr_assert_eq(o.ended, 0);
    answer_later();
    turn(&t);
    cr_assert_eq(o.ended, 1);
    cr_assert_str_eq(o.text, "at last");
    bench_close(&t);
}

Test(pb_rpc, a_deadline_travels_and_ends_the_call)
{
    UDS_TEST_GUARD;
    struct bench t;
    struct outcome o = {.bench = &t};
    Uds__Test__Words words = words_of("", 0);

    bench_open(&t);
    uds_pb_stub_next_timeout(t.stub, 5000);
    uds__test__echo__say(t.echo, &words, on_words, &o);
    turn(&t);
    cr_assert_eq(o.status, UDS_STATUS_OK);
    cr_assert(served.timeout_ms > 4000 && served.timeout_ms <= 5000, "%d", served.timeout_ms);

    uds_pb_stub_next_timeout(t.stub, 20);
    uds__test__echo__later(t.echo, &words, on_words, &o);
    turn(&t);
    cr_assert_not_null(served.closure);
    cr_assert_eq(uds_pb_stub_wait(t.stub, 5000), 0);
    cr_assert_eq(o.ended, 2);
    cr_assert_eq(o.status, UDS_STATUS_DEADLINE);
    cr_assert_not(o.has_message);
    /* The late answer harms nobody. */
    answer_later();
    turn(&t);
    cr_assert_eq(o.ended, 2);
    bench_close(&t);
}

Test(pb_rpc, what_is_not_implemented_says_so)
{
    UDS_TEST_GUARD;
    struct bench t;
    struct outcome o = {.bench = &t};
    Uds__Test__Words words = words_of("", 0);
    uds_pb_stub *other;
    Uds__Supervisor__SandboxRef ref = UDS__SUPERVISOR__SANDBOX_REF__INIT;

    bench_open(&t);
    uds__test__echo__unfinished(t.echo, &words, on_words, &o);
    turn(&t);
    cr_assert_eq(o.ended, 1);
    cr_assert_eq(o.status, UDS_STATUS_UNIMPLEMENTED);

    cr_assert_eq(
        uds_pb_stub_new(&other, t.caller, NULL, NULL, &uds__supervisor__supervisor__descriptor), 0);
    uds_pb_stub *mine = t.stub;
    t.stub = other; /* where on_words reads the outcome */
    uds__supervisor__supervisor__start(uds_pb_stub_service(other), &ref,
                                       (Uds__Supervisor__Empty_Closure)(void (*)(void))on_words,
                                       &o);
    turn(&t);
    cr_assert_eq(o.ended, 2);
    cr_assert_eq(o.status, UDS_STATUS_UNIMPLEMENTED);
    t.stub = mine;
    uds_pb_stub_free(other);
    bench_close(&t);
}

struct raw {
    unsigned ended;
    uint32_t status;
};

static void on_raw(const struct uds_rpc_reply *reply, void *arg)
{
    struct raw *raw = arg;

    raw->ended++;
    raw->status = reply->status;
}

static uint32_t ask_raw(struct bench *t, const char *method, const void *body, size_t len)
{
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
    struct raw raw = {0};

    request.method = method;
    request.body = body;
    request.body_len = len;
    cr_assert_eq(uds_rpc_request(t->caller, &request, on_raw, &raw, NULL), 0);
    turn(t);
    cr_assert_eq(raw.ended, 1);
    return raw.status;
}

Test(pb_rpc, bytes_that_are_no_message_are_a_bad_request)
{
    UDS_TEST_GUARD;
    static uint8_t deep[256];
    struct bench t;

    bench_open(&t);
    cr_assert_eq(ask_raw(&t, "uds.test.Echo/Say", "\xff\xff\xff", 3), UDS_STATUS_BAD_REQUEST);
    /* A hundred levels of {1: {1: …}}, innermost first. */
    for (size_t i = 0; i < 60; i++) {
        deep[2 * i] = 0x0a;
        deep[2 * i + 1] = (uint8_t)(2 * (59 - i));
    }
    cr_assert_eq(ask_raw(&t, "uds.test.Echo/Tie", deep, 120), UDS_STATUS_BAD_REQUEST);
    cr_assert_eq(ask_raw(&t, "uds.test.Echo/Nothing", "", 0), UDS_STATUS_UNIMPLEMENTED);
    cr_assert_eq(ask_raw(&t, "uds.test.Echo", "", 0), UDS_STATUS_UNIMPLEMENTED);
    cr_assert_eq(ask_raw(&t, "uds.test.EchoX/Say", "", 0), UDS_STATUS_UNIMPLEMENTED);
    cr_assert_eq(ask_raw(&t, NULL, "", 0), UDS_STATUS_UNIMPLEMENTED);
    cr_assert_eq(served.said, 0);
    cr_assert_eq(ask_raw(&t, "uds.test.Echo/Say", "", 0), UDS_STATUS_OK);
    bench_close(&t);
}

Test(pb_rpc, an_answer_of_another_type_does_not_leave)
{
    UDS_TEST_GUARD;
    struct bench t;

    bench_open(&t);
    cr_assert_eq(ask_raw(&t, "uds.test.Echo/Tie", "", 0), UDS_STATUS_INTERNAL);
    bench_close(&t);
}

static void answer_garbage(uds_rpc_call *call, void *arg)
{
    (void)arg;
    (void)uds_rpc_call_reply(call, "\xff", 1, NULL, 0);
}

Test(pb_rpc, a_reply_that_is_no_message_is_a_failure)
{
    UDS_TEST_GUARD;
    struct bench t;
    struct outcome o = {.bench = &t};
    Uds__Test__Words words = words_of("", 0);

    bench_open(&t);
    uds_rpc_set_handler(t.callee, answer_garbage, NULL, 0);
    uds__test__echo__say(t.echo, &words, on_words, &o);
    turn(&t);
    cr_assert_eq(o.ended, 1);
    cr_assert_eq(o.status, UDS_STATUS_INTERNAL);
    cr_assert_not(o.has_message);
    bench_close(&t);
}

Test(pb_rpc, a_call_that_cannot_be_queued_ends_at_once)
{
    UDS_TEST_GUARD;
    struct bench t;
    struct outcome o = {.bench = &t};
    Uds__Test__Words words = words_of("", 0);
    int fds[UDS_FDS_MAX + 1];

    bench_open(&t);
    for (size_t i = 0; i < UDS_FDS_MAX + 1; i++)
        fds[i] = 0;
    uds_pb_stub_next_fds(t.stub, fds, UDS_FDS_MAX + 1);
    uds__test__echo__say(t.echo, &words, on_words, &o);
    cr_assert_eq(o.ended, 1);
    cr_assert_eq(o.status, UDS_STATUS_TOO_LARGE);
    /* The peer takes 16. */
    uds_pb_stub_next_fds(t.stub, fds, UDS_FDS_DEFAULT + 1);
    uds__test__echo__say(t.echo, &words, on_words, &o);
    cr_assert_eq(o.ended, 2);
    cr_assert_eq(o.status, UDS_STATUS_TOO_LARGE);
    bench_close(&t);
}

Test(pb_rpc, waiting_gives_up_in_time_and_succeeds_when_answered)
{
    UDS_TEST_GUARD;
    struct bench t;
    struct outcome o = {.bench = &t};
    Uds__Test__Words words = words_of("", 0);

    bench_open(&t);
    cr_assert_eq(uds_pb_stub_wait(t.stub, 0), 0, "nothing to wait for");
    uds__test__echo__say(t.echo, &words, on_words, &o);
    cr_assert_eq(uds_pb_stub_wait(t.stub, 10), -ETIMEDOUT);
    cr_assert_eq(o.ended, 0);
    (void)uds_conn_process(uds_rpc_get_conn(t.callee));
    cr_assert_eq(uds_pb_stub_wait(t.stub, 1000), 0);
    cr_assert_eq(o.ended, 1);

    uds__test__echo__later(t.echo, &words, on_words, &o);
    t.server = uds_pb_server_free(t.server);
    t.callee = uds_rpc_free(t.callee);
    cr_assert_eq(uds_pb_stub_wait(t.stub, 1000), -ECONNRESET);
    cr_assert_eq(o.ended, 2);
    cr_assert_eq(o.status, UDS_STATUS_CALLEE_LOST);
    bench_close(&t);
}

/* ---- the two services between supervisor and router, each calling the other ---- */

struct both {
    uds_rpc *rpc;
    unsigned answered;
};

static void add_link(Uds__Supervisor__Router_Service *service,
                     const Uds__Supervisor__Link *input,
                     Uds__Supervisor__Empty_Closure closure,
                     void *closure_data)
{
    Uds__Supervisor__Empty empty = UDS__SUPERVISOR__EMPTY__INIT;
    uds_pb_call *call = uds_pb_call_from(closure_data);
    int fd = uds_pb_call_take_fd(call, 0);

    (void)service;
    if (fd < 0)
        uds_pb_call_fail(call, UDS_STATUS_BAD_REQUEST, 0, "a link comes with a socket");
    else
        close(fd);
    cr_assert_eq(input->sandbox_id, 7);
    closure(&empty, closure_data);
}

static void stats(Uds__Supervisor__Supervisor_Service *service,
                  const Uds__Supervisor__SandboxRef *input,
                  Uds__Supervisor__SandboxStats_Closure closure,
                  void *closure_data)
{
    Uds__Supervisor__SandboxStats out = UDS__SUPERVISOR__SANDBOX_STATS__INIT;

    (void)service;
    out.known = 1;
    out.pids = input->id + 1;
    closure(&out, closure_data);
}

static void on_empty(const Uds__Supervisor__Empty *message, void *arg)
{
    cr_assert_not_null(message);
    (*(unsigned *)arg)++;
}

static void on_stats(const Uds__Supervisor__SandboxStats *message, void *arg)
{
    cr_assert_not_null(message);
    cr_assert_eq(message->pids, 43);
    (*(unsigned *)arg)++;
}

Test(pb_rpc, both_sides_serve_and_call_at_once)
{
    UDS_TEST_GUARD;
    Uds__Supervisor__Router_Service router = {
        .base = {&uds__supervisor__router__descriptor, protobuf_c_service_invoke_internal, NULL},
        .add_link = add_link,
    };
    Uds__Supervisor__Supervisor_Service supervisor = {
        .base = {&uds__supervisor__supervisor__descriptor, protobuf_c_service_invoke_internal,
                 NULL},
        .stats = stats,
    };
    Uds__Supervisor__Link link = UDS__SUPERVISOR__LINK__INIT;
    Uds__Supervisor__SandboxRef ref = UDS__SUPERVISOR__SANDBOX_REF__INIT;
    struct bench t = {0};
    uds_pb_server *at_router, *at_supervisor;
    uds_pb_stub *to_router, *to_supervisor;
    unsigned answered = 0;
    uds_conn *a, *b;

    cr_assert_eq(uds_conn_pair(&a, &b, NULL), 0);
    cr_assert_eq(uds_rpc_new(&t.caller, a, NULL, NULL), 0);
    cr_assert_eq(uds_rpc_new(&t.callee, b, NULL, NULL), 0);
    uds_conn_unref(a);
    uds_conn_unref(b);
    cr_assert_eq(uds_pb_serve(&at_supervisor, t.caller, &supervisor.base), 0);
    cr_assert_eq(uds_pb_serve(&at_router, t.callee, &router.base), 0);
    cr_assert_eq(
        uds_pb_stub_new(&to_router, t.caller, NULL, NULL, &uds__supervisor__router__descriptor), 0);
    cr_assert_eq(uds_pb_stub_new(&to_supervisor, t.callee, NULL, NULL,
                                 &uds__supervisor__supervisor__descriptor),
                 0);

    link.sandbox_id = 7;
    ref.id = 42;
    for (int i = 0; i < 3; i++) {
        int fd = STDIN_FILENO;

        uds_pb_stub_next_fds(to_router, &fd, 1);
        uds__supervisor__router__add_link(uds_pb_stub_service(to_router), &link, on_empty,
                                          &answered);
        uds__supervisor__supervisor__stats(uds_pb_stub_service(to_supervisor), &ref, on_stats,
                                           &answered);
    }
    turn(&t);
    cr_assert_eq(answered, 6);

    uds_pb_stub_free(to_router);
    uds_pb_stub_free(to_supervisor);
    uds_pb_server_free(at_router);
    uds_pb_server_free(at_supervisor);
    uds_rpc_free(t.caller);
    uds_rpc_free(t.callee);
}

Test(pb_rpc, a_stub_needs_exactly_one_way_to_call)
{
    UDS_TEST_GUARD;
    uds_pb_stub *stub;

    cr_assert_eq(uds_pb_stub_new(&stub, NULL, NULL, NULL, &uds__test__echo__descriptor), -EINVAL);
}

/* What both sides unpack lies in memory that is used again, and so do their calls. */
Test(pb_rpc, a_call_after_the_other_asks_the_heap_for_nothing)
{
    UDS_TEST_GUARD;
    struct bench t;
    struct outcome o = {.bench = &t};
    Uds__Test__Words words = words_of("hello", 7);
    Uds__Test__Leaf leaf = UDS__TEST__LEAF__INIT, *leaves[] = {&leaf, &leaf};
    size_t before = 0;

    bench_open(&t);
    words.n_leaves = 2;
    words.leaves = leaves;
    for (unsigned i = 0; i < 200; i++) {
        if (i == 100)
            before = heap_count();
        uds__test__echo__say(t.echo, &words, on_words, &o);
        turn(&t);
    }
    cr_expect_eq(heap_count(), before, "%zu allocations in 100 calls", heap_count() - before);
    cr_assert_eq(o.ended, 200);
    cr_assert_str_eq(o.text, "hello");
    cr_assert_eq(o.nleaves, 2);

    /* One that is larger than that memory goes all the same. */
    char *large = malloc(100000);
    cr_assert_not_null(large);
    memset(large, 'x', 99999);
    large[99999] = '\0';
    words.text = large;
    uds__test__echo__say(t.echo, &words, on_words, &o);
    turn(&t);
    cr_assert_eq(o.ended, 201);
    cr_assert_eq(o.status, UDS_STATUS_OK);
    cr_assert_eq(o.text[62], 'x');
    free(large);
    bench_close(&t);
}
