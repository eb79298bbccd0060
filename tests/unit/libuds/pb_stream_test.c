/* SPDX-License-Identifier: MIT */
/*
 * Streams of generated messages over a pair of connections, cancellation, and what one message may cost.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <uds/error.h>
#include <uds/pb.h>

#include "guard.h"
#include "test.pb-c.h"

/* ---- the service: counts up to what it was asked for, as fast as it may ---- */

static struct {
    uds_pb_call *call;
    Uds__Test__Leaf_Closure closure;
    void *closure_data;
    uint64_t next, last;
    unsigned cancels, credits, refusals;
    int error; /* of the last send that failed */
    bool with_fds, finish_in_cancel, wrong_type, fail_at_end;
} served;

static void finish(void)
{
    Uds__Test__Leaf_Closure closure = served.closure;

    served.closure = NULL;
    if (served.fail_at_end)
        uds_pb_call_fail(served.call, UDS_STATUS_APPLICATION + 5, 6, "enough");
    closure(NULL, served.closure_data);
}

static void go_on(void)
{
    while (served.next <= served.last) {
        Uds__Test__Leaf leaf;

        uds__test__leaf__init(&leaf);
        leaf.number = (uint32_t)served.next;
        if (served.with_fds && served.error == 0)
            cr_assert_eq(uds_pb_call_push_fd(served.call, dup(STDERR_FILENO)), 0);
        served.error = uds_pb_call_send(served.call, &leaf.base);
        if (served.error < 0)
            return;
        served.next++;
    }
    finish();
}

static void on_credit(uds_pb_call *call, void *arg)
{
    cr_expect_eq(call, served.call);
    cr_expect_eq(arg, &served);
    served.credits++;
    go_on();
}

static void on_cancel(uds_pb_call *call, void *arg)
{
    (void)arg;
    served.cancels++;
    cr_expect(uds_pb_call_is_cancelled(call));
    if (served.finish_in_cancel && served.closure)
        finish();
}

static void count(Uds__Test__Echo_Service *service,
                  const Uds__Test__Words *input,
                  Uds__Test__Leaf_Closure closure,
                  void *closure_data)
{
    static const struct uds_pb_call_callbacks callbacks = {.on_cancel = on_cancel,
                                                           .on_credit = on_credit};

    (void)service;
    served.call = uds_pb_call_from(closure_data);
    served.closure = closure;
    served.closure_data = closure_data;
    served.next = 1;
    served.last = input->number;
    uds_pb_call_set_callbacks(served.call, &callbacks, &served);
    if (served.wrong_type) {
        cr_expect_eq(uds_pb_call_send(served.call, &input->base), -EINVAL);
        finish();
        return;
    }
    if (!uds_pb_call_is_streaming(served.call)) {
        Uds__Test__Leaf leaf;

        uds__test__leaf__init(&leaf);
        cr_expect_eq(uds_pb_call_send(served.call, &leaf.base), -EOPNOTSUPP);
        served.closure = NULL;
        closure(NULL, closure_data);
        return;
    }
    go_on();
}

static Uds__Test__Echo_Service echo = {
    .base = {&uds__test__echo__descriptor, protobuf_c_service_invoke_internal, NULL},
    .count = count,
};

/* ---- both sides ---- */

struct scene {
    uds_conn *conns[2];
    uds_rpc *caller, *callee;
    uds_pb_server *server;
    uds_pb_stub *stub;
    unsigned messages, ended, fds;
    uint64_t sum, value;
    uint32_t status;
    char detail[100];
    bool has_message;
    unsigned cancel_at, free_at;
};

static void on_leaf(uds_pb_stub *stub, const ProtobufCMessage *message, void *arg)
{
    const Uds__Test__Leaf *leaf = (const Uds__Test__Leaf *)message;
    struct scene *scene = arg;
    int fd = uds_pb_stub_take_fd(stub, 0);

    scene->messages++;
    scene->sum += leaf->number;
    if (fd >= 0) {
        scene->fds++;
        close(fd);
    }
    if (scene->messages == scene->cancel_at)
        cr_expect_eq(uds_pb_stub_cancel(stub, uds_pb_stub_get_call(stub)), 0);
    if (scene->messages == scene->free_at)
        scene->stub = uds_pb_stub_free(stub);
}

static void on_end(const Uds__Test__Leaf *message, void *closure_data)
{
    struct scene *scene = closure_data;

    scene->ended++;
    scene->has_message = message != NULL;
    if (!scene->stub)
        return;
    scene->status = uds_pb_stub_get_status(scene->stub);
    scene->value = uds_pb_stub_get_value(scene->stub);
    strncpy(scene->detail, uds_pb_stub_get_detail(scene->stub), sizeof(scene->detail) - 1);
}

static void scene_make(struct scene *scene)
{
    memset(scene, 0, sizeof(*scene));
    memset(&served, 0, sizeof(served));
    cr_assert_eq(uds_conn_pair(&scene->conns[0], &scene->conns[1], NULL), 0);
    cr_assert_eq(uds_rpc_new(&scene->caller, scene->conns[0], NULL, NULL), 0);
    cr_assert_eq(uds_rpc_new(&scene->callee, scene->conns[1], NULL, NULL), 0);
    cr_assert_eq(uds_pb_serve(&scene->server, scene->callee, &echo.base), 0);
    cr_assert_eq(
        uds_pb_stub_new(&scene->stub, scene->caller, NULL, NULL, &uds__test__echo__descriptor), 0);
}

static void turn(struct scene *scene)
{
    for (int i = 0; i < 20; i++) {
        (void)uds_conn_process(scene->conns[0]);
        (void)uds_conn_process(scene->conns[1]);
    }
}

static void scene_end(struct scene *scene)
{
    (void)uds_pb_stub_free(scene->stub);
    (void)uds_pb_server_free(scene->server);
    if (served.closure)
        finish();
    (void)uds_rpc_free(scene->caller);
    (void)uds_rpc_free(scene->callee);
    (void)uds_conn_unref(scene->conns[0]);
    (void)uds_conn_unref(scene->conns[1]);
}

static void ask(struct scene *scene, uint64_t number, uint32_t window)
{
    Uds__Test__Words words;

    uds__test__words__init(&words);
    words.number = number;
    if (window > 0)
        uds_pb_stub_next_stream(scene->stub, on_leaf, scene, window);
    uds__test__echo__count(uds_pb_stub_service(scene->stub), &words, on_end, scene);
}

Test(pb_stream, brings_every_message_and_then_the_end)
{
    UDS_TEST_GUARD;
    struct scene scene;

    scene_make(&scene);
    ask(&scene, 100, 4);
    for (int i = 0; i < 100 && scene.ended == 0; i++)
        turn(&scene);
    cr_expect_eq(scene.messages, 100);
    cr_expect_eq(scene.sum, 5050);
    cr_expect_eq(scene.ended, 1);
    cr_expect_eq(scene.status, UDS_STATUS_OK);
    cr_expect_not(scene.has_message);
    cr_expect_geq(served.credits, 24, "held back by a window of four");
    scene_end(&scene);
}

Test(pb_stream, brings_descriptors_and_ends_with_a_failure)
{
    UDS_TEST_GUARD;
    struct scene scene;

    scene_make(&scene);
    served.with_fds = served.fail_at_end = true;
    ask(&scene, 9, 2);
    for (int i = 0; i < 100 && scene.ended == 0; i++)
        turn(&scene);
    cr_expect_eq(scene.messages, 9);
    cr_expect_eq(scene.fds, 9);
    cr_expect_eq(scene.status, UDS_STATUS_APPLICATION + 5);
    cr_expect_eq(scene.value, 6);
    cr_expect_str_eq(scene.detail, "enough");
    scene_end(&scene);
}

Test(pb_stream, may_be_empty)
{
    UDS_TEST_GUARD;
    struct scene scene;

    scene_make(&scene);
    ask(&scene, 0, 2);
    turn(&scene);
    cr_expect_eq(scene.messages, 0);
    cr_expect_eq(scene.ended, 1);
    cr_expect_eq(scene.status, UDS_STATUS_OK);
    scene_end(&scene);
}

Test(pb_stream, is_not_sent_to_who_did_not_ask)
{
    UDS_TEST_GUARD;
    struct scene scene;

    scene_make(&scene);
    ask(&scene, 3, 0);
    turn(&scene);
    cr_expect_eq(scene.messages, 0);
    cr_expect_eq(scene.status, UDS_STATUS_INTERNAL);
    scene_end(&scene);
}

Test(pb_stream, takes_no_other_type_than_the_method_s_own)
{
    UDS_TEST_GUARD;
    struct scene scene;

    scene_make(&scene);
    served.wrong_type = true;
    ask(&scene, 3, 1);
    turn(&scene);
    cr_expect_eq(scene.status, UDS_STATUS_OK);
    scene_end(&scene);
}

Test(pb_stream, that_is_taken_back_tells_the_method)
{
    UDS_TEST_GUARD;
    struct scene scene;

    scene_make(&scene);
    scene.cancel_at = 5;
    served.finish_in_cancel = true;
    ask(&scene, 1000, 2);
    uint64_t id = uds_pb_stub_get_call(scene.stub);
    turn(&scene);
    cr_expect_eq(scene.messages, 5);
    cr_expect_eq(scene.ended, 1);
    cr_expect_eq(scene.status, UDS_STATUS_CANCELLED);
    cr_expect_eq(served.cancels, 1);
    cr_expect_null(served.closure);
    cr_expect_eq(uds_pb_stub_cancel(scene.stub, id), -ENOENT);
    scene_end(&scene);
}

Test(pb_stream, survives_that_a_message_frees_its_stub)
{
    UDS_TEST_GUARD;
    struct scene scene;

    scene_make(&scene);
    scene.free_at = 2;
    ask(&scene, 1000, 4);
    turn(&scene);
    cr_expect_eq(scene.messages, 2);
    cr_expect_eq(scene.ended, 1);
    cr_expect_eq(served.cancels, 1);
    scene_end(&scene);
}

Test(pb_stream, whose_server_is_freed_ends_unavailable_and_the_method_hears)
{
    UDS_TEST_GUARD;
    struct scene scene;

    scene_make(&scene);
    ask(&scene, 1000000, 1);
    (void)uds_conn_process(scene.conns[0]);
    (void)uds_conn_process(scene.conns[1]);
    turn(&scene);
    served.finish_in_cancel = true;
    scene.server = uds_pb_server_free(scene.server);
    cr_expect_eq(served.cancels, 1);
    cr_expect_null(served.closure);
    turn(&scene);
    cr_expect_eq(scene.ended, 1);
    cr_expect_eq(scene.status, UDS_STATUS_UNAVAILABLE);
    scene_end(&scene);
}

/* ---- a callee that is not honest ---- */

static void answer_with_garbage(uds_rpc_call *call, void *arg)
{
    (void)arg;
    cr_expect_eq(uds_rpc_call_send_part(call, "\x08\x07", 2, NULL, 0), 0);
    cr_expect_eq(uds_rpc_call_send_part(call, "\x0f", 1, NULL, 0), 0);
    cr_expect_eq(uds_rpc_call_send_part(call, "\x08\x08", 2, NULL, 0), 0);
    cr_expect_eq(uds_rpc_call_reply(call, NULL, 0, NULL, 0), 0);
}

Test(pb_stream, ends_with_a_message_that_cannot_be_unpacked)
{
    UDS_TEST_GUARD;
    struct scene scene;

    scene_make(&scene);
    uds_rpc_set_handler(scene.callee, answer_with_garbage, NULL, 0);
    ask(&scene, 1, 4);
    turn(&scene);
    cr_expect_eq(scene.messages, 1);
    cr_expect_eq(scene.sum, 7);
    cr_expect_eq(scene.ended, 1);
    cr_expect_eq(scene.status, UDS_STATUS_INTERNAL);
    cr_expect_str_eq(scene.detail, "the answer is not a valid message of its type");
    scene_end(&scene);
}

/* ---- what one message may cost ---- */

static const ProtobufCMessageDescriptor *const words_desc = &uds__test__words__descriptor;
static const ProtobufCMessageDescriptor *const knot_desc = &uds__test__knot__descriptor;

static int unpack(const ProtobufCMessageDescriptor *desc,
                  const void *data,
                  size_t len,
                  const struct uds_pb_limits *limits)
{
    ProtobufCMessage *message;
    int r = uds_pb_unpack_limited(desc, data, len, limits, &message);

    if (r == 0)
        protobuf_c_message_free_unpacked(message, NULL);
    return r;
}

/* Two bytes on the wire, a struct and a pointer in memory. */
Test(pb_cost, of_empty_sub_messages_is_bounded)
{
    UDS_TEST_GUARD;
    struct uds_pb_limits limits = UDS_PB_LIMITS_INIT;
    static uint8_t bytes[2 * 20000];

    for (size_t i = 0; i < sizeof(bytes); i += 2)
        bytes[i] = 0x22; /* leaves, length 0 */
    cr_expect_eq(unpack(words_desc, bytes, sizeof(bytes), NULL), 0);
    limits.memory = 256 << 10;
    cr_expect_eq(unpack(words_desc, bytes, sizeof(bytes), &limits), -E2BIG);
    limits.memory = 0;
    limits.fields = 19999;
    cr_expect_eq(unpack(words_desc, bytes, sizeof(bytes), &limits), -E2BIG);
}

/* One byte on the wire, four in memory. */
Test(pb_cost, of_packed_numbers_is_bounded)
{
    UDS_TEST_GUARD;
    struct uds_pb_limits limits = UDS_PB_LIMITS_INIT;
    size_t n = 1 << 20;
    uint8_t *bytes = calloc(1, n + 5);

    bytes[0] = 0x3a;
    bytes[1] = bytes[2] = 0x80;
    bytes[3] = 0x40;
    cr_expect_eq(unpack(words_desc, bytes, n + 4, NULL), 0);
    limits.memory = 3 << 20;
    cr_expect_eq(unpack(words_desc, bytes, n + 4, &limits), -E2BIG);
    free(bytes);
}

/* A sub-message in pieces is put together anew with each: without the bound this copies gigabytes. */
Test(pb_cost, of_a_sub_message_in_many_pieces_is_bounded)
{
    UDS_TEST_GUARD;
    const size_t pieces = 20000;
    uint8_t *bytes = malloc(4 * pieces);

    for (size_t i = 0; i < pieces; i++)
        memcpy(bytes + 4 * i, "\x0a\x02\x1a\x00", 4); /* child { children {} } */
    cr_expect_eq(unpack(knot_desc, bytes, 4 * pieces, NULL), -E2BIG);
    cr_expect_eq(unpack(knot_desc, bytes, 4 * 100, NULL), 0);
    free(bytes);
}

Test(pb_cost, of_unknown_fields_is_bounded)
{
    UDS_TEST_GUARD;
    struct uds_pb_limits limits = UDS_PB_LIMITS_INIT;
    static uint8_t bytes[3 * 10000];

    for (size_t i = 0; i < sizeof(bytes); i += 3)
        memcpy(bytes + i, "\xfa\x07\x00", 3); /* field 127, length 0 */
    cr_expect_eq(unpack(words_desc, bytes, sizeof(bytes), NULL), 0);
    limits.memory = 100000;
    cr_expect_eq(unpack(words_desc, bytes, sizeof(bytes), &limits), -E2BIG);
}

Test(pb_cost, limits_are_checked_and_zero_is_the_default)
{
    UDS_TEST_GUARD;
    struct uds_pb_limits limits = UDS_PB_LIMITS_INIT;
    uint8_t deep[2 * 40];

    for (size_t i = 0; i < 40; i++) {
        deep[2 * i] = 0x0a;
        deep[2 * i + 1] = (uint8_t)(sizeof(deep) - 2 * i - 2);
    }
    cr_expect_eq(unpack(knot_desc, deep, sizeof(deep), &limits), -ELOOP);
    limits.depth = 41;
    cr_expect_eq(unpack(knot_desc, deep, sizeof(deep), &limits), 0);
    limits.size = 1;
    cr_expect_eq(unpack(knot_desc, deep, sizeof(deep), &limits), -EINVAL);
}

/* Whatever the budget is, what was begun is given back: every one of its steps fails once. */
Test(pb_cost, leaves_nothing_behind_wherever_the_budget_ends)
{
    UDS_TEST_GUARD;
    static const uint8_t bytes[] = "\x0a\x02hi\x22\x02\x08\x07\x22\x00\x2a\x03one\x32\x02\x08\x01"
                                   "\x1a\x03xyz\x3a\x03\x01\x02\x03\xfa\x07\x01q";
    struct uds_pb_limits limits = UDS_PB_LIMITS_INIT;
    int r = -E2BIG;

    for (limits.memory = 1; limits.memory < 4096; limits.memory++) {
        r = unpack(words_desc, bytes, sizeof(bytes) - 1, &limits);
        cr_assert(r == 0 || r == -E2BIG, "%d", r);
    }
    cr_expect_eq(r, 0);
}

Test(pb_cost, is_the_server_s_and_the_stub_s_to_set)
{
    UDS_TEST_GUARD;
    struct uds_pb_limits limits = UDS_PB_LIMITS_INIT;
    struct scene scene;

    scene_make(&scene);
    limits.memory = 10;
    cr_assert_eq(uds_pb_server_set_limits(scene.server, &limits), 0);
    ask(&scene, 1, 1);
    turn(&scene);
    cr_expect_eq(scene.status, UDS_STATUS_TOO_LARGE);
    cr_assert_eq(uds_pb_server_set_limits(scene.server, NULL), 0);
    cr_assert_eq(uds_pb_stub_set_limits(scene.stub, &limits), 0);
    served.finish_in_cancel = true;
    ask(&scene, 5, 1);
    turn(&scene);
    cr_expect_eq(scene.messages, 0);
    cr_expect_eq(scene.status, UDS_STATUS_INTERNAL);
    cr_expect_str_eq(scene.detail, "the answer has too many fields or would take too much memory");
    limits.size = 0;
    cr_expect_eq(uds_pb_stub_set_limits(scene.stub, &limits), -EINVAL);
    cr_expect_eq(uds_pb_server_set_limits(scene.server, &limits), -EINVAL);
    scene_end(&scene);
}
