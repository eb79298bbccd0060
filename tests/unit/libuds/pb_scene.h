/* SPDX-License-Identifier: MIT */
#ifndef PB_SCENE_H
#define PB_SCENE_H

/* The service of tests/proto/test.proto, and two sides in one thread that speak it. */

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

#include <uds/error.h>
#include <uds/pb.h>

#include "guard.h"
#include "heap.h"
#include "supervisor.pb-c.h"
#include "test.pb-c.h"

static struct {
    unsigned said;
    int timeout_ms;
    Uds__Test__Words_Closure closure; /* of a Later call that waits */
    void *closure_data;
} served;

static inline void say(Uds__Test__Echo_Service *service,
                       const Uds__Test__Words *input,
                       Uds__Test__Words_Closure closure,
                       void *closure_data)
{
    uds_pb_call *call = uds_pb_call_from(closure_data);
    size_t nfds = uds_pb_call_get_fd_count(call);

    (void)service;
    served.said++;
    served.timeout_ms = uds_pb_call_get_timeout(call);
    cr_assert_str_eq(uds_pb_call_get_sender(call), "");
    for (size_t i = 0; i < nfds; i++) {
        int fd = uds_pb_call_take_fd(call, i);

        cr_assert_geq(fd, 0);
        cr_assert_eq(uds_pb_call_push_fd(call, fd), 0);
    }
    cr_assert_eq(uds_pb_call_take_fd(call, nfds), -ENOENT);
    closure(input, closure_data);
}

static inline void fail(Uds__Test__Echo_Service *service,
                        const Uds__Test__Words *input,
                        Uds__Test__Words_Closure closure,
                        void *closure_data)
{
    (void)service;
    uds_pb_call_fail(uds_pb_call_from(closure_data), (uint32_t)input->number, input->number * 2,
                     input->text);
    closure(NULL, closure_data);
}

static inline void later(Uds__Test__Echo_Service *service,
                         const Uds__Test__Words *input,
                         Uds__Test__Words_Closure closure,
                         void *closure_data)
{
    (void)service;
    (void)input;
    cr_assert_null(served.closure);
    served.closure = closure;
    served.closure_data = closure_data;
}

static inline void answer_later(void)
{
    Uds__Test__Words words;

    uds__test__words__init(&words); /* the macro's cast drops a const, and clang says so here */
    words.text = (char *)(uintptr_t) "at last";
    served.closure(&words, served.closure_data);
    served.closure = NULL;
}

static inline void tie(Uds__Test__Echo_Service *service,
                       const Uds__Test__Knot *input,
                       Uds__Test__Leaf_Closure closure,
                       void *closure_data)
{
    Uds__Test__Knot knot;

    (void)service;
    (void)input;
    uds__test__knot__init(&knot);
    /* Another type than the method's own: a mistake of the application. */
    closure((const Uds__Test__Leaf *)(const void *)&knot, closure_data);
}

static Uds__Test__Echo_Service echo = {
    .base = {&uds__test__echo__descriptor, protobuf_c_service_invoke_internal, NULL},
    .say = say,
    .fail = fail,
    .later = later,
    .tie = tie,
};

/* ---- two sides in one thread ---- */

struct bench {
    uds_rpc *caller, *callee;
    uds_pb_stub *stub;
    uds_pb_server *server;
    ProtobufCService *echo; /* what the generated functions call */
};

static inline void turn(struct bench *t)
{
    for (int i = 0; i < 10; i++) {
        if (t->caller && uds_conn_process(uds_rpc_get_conn(t->caller)) >= 0)
            uds_rpc_process_timeouts(t->caller);
        if (t->callee && uds_conn_process(uds_rpc_get_conn(t->callee)) >= 0)
            uds_rpc_process_timeouts(t->callee);
    }
}

static inline void bench_open(struct bench *t)
{
    uds_conn *a, *b;

    memset(t, 0, sizeof(*t));
    memset(&served, 0, sizeof(served));
    cr_assert_eq(uds_conn_pair(&a, &b, NULL), 0);
    cr_assert_eq(uds_rpc_new(&t->caller, a, NULL, NULL), 0);
    cr_assert_eq(uds_rpc_new(&t->callee, b, NULL, NULL), 0);
    uds_conn_unref(a);
    uds_conn_unref(b);
    cr_assert_eq(uds_pb_serve(&t->server, t->callee, &echo.base), 0);
    cr_assert_eq(uds_pb_stub_new(&t->stub, t->caller, NULL, NULL, &uds__test__echo__descriptor), 0);
    t->echo = uds_pb_stub_service(t->stub);
    turn(t);
}

static inline void bench_close(struct bench *t)
{
    uds_pb_server_free(t->server);
    uds_pb_stub_free(t->stub);
    uds_rpc_free(t->caller);
    uds_rpc_free(t->callee);
}

/* How a call ended, as its closure saw it. */
struct outcome {
    struct bench *bench;
    unsigned ended;
    bool has_message;
    char text[64];
    uint64_t number;
    size_t nleaves;
    uint32_t status;
    uint64_t value;
    char detail[128];
    int fd;
    bool free_stub;
    bool call_again;
};

static inline void on_words(const Uds__Test__Words *message, void *closure_data)
{
    struct outcome *o = closure_data;
    uds_pb_stub *stub = o->bench->stub;

    o->ended++;
    o->status = uds_pb_stub_get_status(stub);
    o->value = uds_pb_stub_get_value(stub);
    snprintf(o->detail, sizeof(o->detail), "%s", uds_pb_stub_get_detail(stub));
    o->fd = uds_pb_stub_take_fd(stub, 0);
    o->has_message = message != NULL;
    if (message) {
        snprintf(o->text, sizeof(o->text), "%s", message->text);
        o->number = message->number;
        o->nleaves = message->n_leaves;
    }
    if (o->call_again) {
        Uds__Test__Words words;

        uds__test__words__init(&words);
        o->call_again = false;
        uds__test__echo__say(o->bench->echo, &words, on_words, o);
    }
    if (o->free_stub)
        o->bench->stub = uds_pb_stub_free(stub);
}

static inline Uds__Test__Words words_of(const char *text, uint64_t number)
{
    Uds__Test__Words words;

    uds__test__words__init(&words);
    words.text = (char *)(uintptr_t)text;
    words.number = number;
    return words;
}

#endif
