/* SPDX-License-Identifier: MIT */
/* Stubs, servers, calls and connections of protobuf-c services: whoever is freed first. */
#include "pb_scene.h"

Test(pb_rpc, freeing_the_stub_cancels_its_calls)
{
    UDS_TEST_GUARD;
    struct bench t;
    struct outcome o = {.bench = &t}, p = {.bench = &t, .call_again = true};
    Uds__Test__Words words = words_of("", 0);

    bench_open(&t);
    uds__test__echo__later(t.echo, &words, on_words, &o);
    uds__test__echo__say(t.echo, &words, on_words, &p);
    t.stub = (uds_pb_stub *)t.echo; /* on_words reads it while it is being freed */
    uds_pb_stub_free(t.stub);
    t.stub = NULL;
    cr_assert_eq(o.ended, 1);
    cr_assert_eq(o.status, UDS_STATUS_CANCELLED);
    cr_assert_eq(p.ended, 2, "the call that was made from a closure of the free ended too");
    cr_assert_eq(p.status, UDS_STATUS_CANCELLED);
    turn(&t);
    cr_assert_eq(o.ended, 1);
    if (served.closure)
        answer_later();
    bench_close(&t);
}

Test(pb_rpc, a_closure_may_free_its_stub)
{
    UDS_TEST_GUARD;
    struct bench t;
    struct outcome o = {.bench = &t, .free_stub = true};
    Uds__Test__Words words = words_of("", 0);

    bench_open(&t);
    uds__test__echo__say(t.echo, &words, on_words, &o);
    turn(&t);
    cr_assert_eq(o.ended, 1);
    cr_assert_null(t.stub);
    bench_close(&t);
}

Test(pb_rpc, freeing_the_server_answers_its_open_calls)
{
    UDS_TEST_GUARD;
    struct bench t;
    struct outcome o = {.bench = &t};
    Uds__Test__Words words = words_of("", 0);

    bench_open(&t);
    uds__test__echo__later(t.echo, &words, on_words, &o);
    turn(&t);
    t.server = uds_pb_server_free(t.server);
    turn(&t);
    cr_assert_eq(o.ended, 1);
    cr_assert_eq(o.status, UDS_STATUS_UNAVAILABLE);
    answer_later(); /* an orphan */
    uds__test__echo__say(t.echo, &words, on_words, &o);
    turn(&t);
    cr_assert_eq(o.ended, 2);
    cr_assert_eq(o.status, UDS_STATUS_UNIMPLEMENTED);
    bench_close(&t);
}

Test(pb_rpc, a_lost_connection_ends_calls_on_both_sides)
{
    UDS_TEST_GUARD;
    struct bench t;
    struct outcome o = {.bench = &t};
    Uds__Test__Words words = words_of("", 0);

    bench_open(&t);
    uds__test__echo__later(t.echo, &words, on_words, &o);
    turn(&t);
    t.server = uds_pb_server_free(t.server);
    t.callee = uds_rpc_free(t.callee);
    turn(&t);
    cr_assert_eq(o.ended, 1);
    answer_later();

    uds__test__echo__say(t.echo, &words, on_words, &o);
    cr_assert_eq(o.ended, 2);
    cr_assert_eq(o.status, UDS_STATUS_CALLEE_LOST);
    bench_close(&t);
}

Test(pb_rpc, a_method_may_outlive_the_rpc)
{
    UDS_TEST_GUARD;
    struct bench t;
    struct outcome o = {.bench = &t};
    Uds__Test__Words words = words_of("", 0);

    bench_open(&t);
    uds__test__echo__later(t.echo, &words, on_words, &o);
    turn(&t);
    uds_pb_stub_free(t.stub);
    t.stub = NULL;
    t.caller = uds_rpc_free(t.caller);
    turn(&t); /* the callee sees the end */
    answer_later();
    cr_assert_eq(o.ended, 1);
    cr_assert_eq(o.status, UDS_STATUS_CANCELLED);
    bench_close(&t);
}
