/* SPDX-License-Identifier: MIT */
/*
 * Headers, the application's own fields: on a message, on requests, replies, failures and the parts of a stream, and through
 * generated stubs.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <uds/error.h>
#include <uds/pb.h>
#include <uds/rpc.h>

#include "cleanup.h"
#include "guard.h"
#include "test.pb-c.h"

/* All headers of @msg as "a=1;b=2;", as far as they fit. */
static const char *all(const uds_msg *msg, char text[256])
{
    const char *name, *value;
    size_t pos = 0, len, used = 0;

    text[0] = '\0';
    while (msg && used < 256 && uds_msg_next_header(msg, &pos, &name, &value, &len) == 1)
        used += (size_t)snprintf(text + used, 256 - used, "%s=%.*s;", name, (int)len, value);
    return text;
}

/* ---- a message ---- */

Test(header, keeps_its_order_and_may_occur_again)
{
    UDS_TEST_GUARD;
    _cleanup_conn_ uds_conn *a = NULL, *b = NULL;
    _cleanup_msg_ uds_msg *msg = NULL, *got = NULL;
    const char *value = NULL;
    char text[256];
    size_t len = 0;

    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 0, "body", 4), 0);
    cr_assert_eq(uds_msg_add_header(msg, "b", "2"), 0);
    cr_assert_eq(uds_msg_add_string(msg, UDS_FIELD_SUBJECT, "between"), 0);
    cr_assert_eq(uds_msg_add_header(msg, "a", ""), 0);
    cr_assert_eq(uds_msg_add_header(msg, "b", "line\nline"), 0);
    cr_assert_eq(uds_conn_pair(&a, &b, NULL), 0);
    cr_assert_eq(uds_conn_send(a, msg), 0);
    (void)uds_conn_process(b);
    (void)uds_conn_process(a);
    cr_assert_eq(uds_conn_receive(b, &got), 1);
    cr_expect_str_eq(all(got, text), "b=2;a=;b=line\nline;");
    cr_assert_eq(uds_msg_find_header(got, "b", &value, &len), 0);
    cr_expect(len == 1 && value[0] == '2', "not the first of its name");
    cr_assert_eq(uds_msg_find_header(got, "a", &value, &len), 0);
    cr_expect_eq(len, 0);
    cr_expect_eq(uds_msg_find_header(got, "B", &value, &len), -ENOENT);
    cr_expect_eq(uds_msg_add_header(got, "late", "x"), -EBUSY);
}

Test(header, has_a_name_and_fits_the_head)
{
    UDS_TEST_GUARD;
    _cleanup_msg_ uds_msg *msg = NULL;
    char large[UDS_HEAD_MAX + 1];

    memset(large, 'x', sizeof(large));
    large[UDS_HEAD_MAX] = '\0';
    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 0, NULL, 0), 0);
    cr_expect_eq(uds_msg_add_header(msg, "", "x"), -EINVAL);
    cr_expect_eq(uds_msg_add_header(msg, "a\nb", "x"), -EINVAL);
    cr_expect_eq(uds_msg_add_header(msg, "a\x7f", "x"), -EINVAL);
    cr_expect_eq(uds_msg_add_header(msg, "a", large), -ENOSPC);
    cr_expect_eq(uds_msg_add_header(msg, large, ""), -ENOSPC);
    large[UDS_HEAD_MAX - 4 - 2] = '\0'; /* a field's four bytes, "a" and its NUL */
    cr_expect_eq(uds_msg_add_header(msg, "a", large), 0);
    cr_expect_eq(uds_msg_add_header(msg, "a", ""), -ENOSPC);
}

Test(header, of_a_stranger_that_is_none_is_passed_over)
{
    UDS_TEST_GUARD;
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {{"", 0}, {"no nul", 6}, {"\0value", 6}, {"a\0b\0c", 5}, {"a\tb\0v", 5}};
    _cleanup_msg_ uds_msg *msg = NULL;
    char text[256];

    cr_assert_eq(uds_msg_new(&msg, UDS_MSG_MESSAGE, 0, NULL, 0), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_eq(uds_msg_add_bytes(msg, UDS_FIELD_HEADER, bad[i].bytes, bad[i].len), 0);
    cr_assert_eq(uds_msg_add_header(msg, "good", "1"), 0);
    cr_expect_str_eq(all(msg, text), "good=1;");
}

/* ---- calls ---- */

struct scene {
    uds_rpc *caller, *callee;
    uds_rpc_call *call;
    char request[256], reply[256], parts[256];
    unsigned replies, nparts, credits;
    uint32_t status;
};

static void on_call(uds_rpc_call *call, void *arg)
{
    struct scene *scene = arg;

    scene->call = call;
    (void)all(uds_rpc_call_peek_msg(call), scene->request);
}

static void on_reply(const struct uds_rpc_reply *reply, void *arg)
{
    struct scene *scene = arg;

    scene->replies++;
    scene->status = reply->status;
    (void)all(reply->msg, scene->reply);
}

static void on_part(uint64_t id, uds_msg *part, void *arg)
{
    struct scene *scene = arg;
    char text[256];

    (void)id;
    scene->nparts++;
    (void)strncat(scene->parts, all(part, text), sizeof(scene->parts) - strlen(scene->parts) - 1);
    (void)strncat(scene->parts, "|", sizeof(scene->parts) - strlen(scene->parts) - 1);
}

static void turn(struct scene *scene)
{
    for (int i = 0; i < 4; i++) {
        (void)uds_conn_process(uds_rpc_get_conn(scene->caller));
        (void)uds_conn_process(uds_rpc_get_conn(scene->callee));
    }
}

static void scene_open(struct scene *scene)
{
    uds_conn *a, *b;

    memset(scene, 0, sizeof(*scene));
    cr_assert_eq(uds_conn_pair(&a, &b, NULL), 0);
    cr_assert_eq(uds_rpc_new(&scene->caller, a, NULL, NULL), 0);
    cr_assert_eq(uds_rpc_new(&scene->callee, b, NULL, NULL), 0);
    uds_rpc_set_handler(scene->callee, on_call, scene, 0);
    (void)uds_conn_unref(a);
    (void)uds_conn_unref(b);
    turn(scene);
}

static void scene_close(struct scene *scene)
{
    (void)uds_rpc_free(scene->caller);
    (void)uds_rpc_free(scene->callee);
}

/* Makes a call with @headers, which is then in scene->call. */
static uint64_t call(struct scene *scene, const char *const *headers, uint32_t window)
{
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
    uint64_t id;

    request.headers = headers;
    request.on_part = window > 0 ? on_part : NULL;
    request.window = window;
    scene->call = NULL;
    cr_assert_eq(uds_rpc_request(scene->caller, &request, on_reply, scene, &id), 0);
    turn(scene);
    cr_assert_not_null(scene->call);
    return id;
}

Test(call_header, goes_with_the_request_and_with_the_reply)
{
    UDS_TEST_GUARD;
    static const char *const headers[] = {"trace", "17", "trace", "18", NULL};
    struct scene scene;

    scene_open(&scene);
    (void)call(&scene, headers, 0);
    cr_expect_str_eq(scene.request, "trace=17;trace=18;");
    cr_assert_eq(uds_rpc_call_add_header(scene.call, "cost", "3"), 0);
    cr_assert_eq(uds_rpc_call_add_header(scene.call, "cost", "4"), 0);
    cr_expect_eq(uds_rpc_call_add_header(scene.call, "", "4"), -EINVAL);
    cr_assert_eq(uds_rpc_call_reply(scene.call, "x", 1, NULL, 0), 0);
    turn(&scene);
    cr_expect_eq(scene.replies, 1);
    cr_expect_str_eq(scene.reply, "cost=3;cost=4;");

    /* The memory of a call is used again; its headers are not. */
    (void)call(&scene, NULL, 0);
    cr_expect_str_eq(scene.request, "");
    cr_assert_eq(uds_rpc_call_reply(scene.call, "x", 1, NULL, 0), 0);
    turn(&scene);
    cr_expect_str_eq(scene.reply, "");
    scene_close(&scene);
}

Test(call_header, goes_with_a_failure_however_long_its_words)
{
    UDS_TEST_GUARD;
    struct scene scene;
    char value[7000], detail[5000];

    memset(value, 'v', sizeof(value));
    memset(detail, 'd', sizeof(detail));
    value[sizeof(value) - 1] = detail[sizeof(detail) - 1] = '\0';
    scene_open(&scene);
    (void)call(&scene, NULL, 0);
    cr_assert_eq(uds_rpc_call_add_header(scene.call, "retry-after", "5"), 0);
    cr_assert_eq(uds_rpc_call_add_header(scene.call, "large", value), 0);
    cr_expect_eq(uds_rpc_call_add_header(scene.call, "more", value), -ENOSPC);
    cr_assert_eq(uds_rpc_call_fail(scene.call, UDS_STATUS_QUOTA, UINT64_MAX, detail), 0);
    turn(&scene);
    cr_expect_eq(scene.replies, 1);
    cr_expect_eq(scene.status, UDS_STATUS_QUOTA);
    cr_expect_eq(strncmp(scene.reply, "retry-after=5;large=v", 21), 0, "%s", scene.reply);
    scene_close(&scene);
}

static void on_credit(uds_rpc_call *incoming, void *arg)
{
    struct scene *scene = arg;

    (void)incoming;
    scene->credits++;
}

Test(call_header, goes_with_one_part_and_waits_for_it)
{
    UDS_TEST_GUARD;
    static const struct uds_rpc_call_callbacks callbacks = {.on_credit = on_credit};
    struct scene scene;

    scene_open(&scene);
    (void)call(&scene, NULL, 1);
    uds_rpc_call_set_callbacks(scene.call, &callbacks, &scene);
    cr_assert_eq(uds_rpc_call_add_header(scene.call, "row", "1"), 0);
    cr_assert_eq(uds_rpc_call_send_part(scene.call, "a", 1, NULL, 0), 0);
    cr_assert_eq(uds_rpc_call_add_header(scene.call, "row", "2"), 0);
    cr_assert_eq(uds_rpc_call_send_part(scene.call, "b", 1, NULL, 0), -EAGAIN);
    turn(&scene);
    cr_assert_eq(scene.credits, 1);
    cr_assert_eq(uds_rpc_call_send_part(scene.call, "b", 1, NULL, 0), 0);
    turn(&scene);
    cr_assert_eq(uds_rpc_call_send_part(scene.call, "c", 1, NULL, 0), 0);
    turn(&scene);
    cr_assert_eq(uds_rpc_call_add_header(scene.call, "rows", "3"), 0);
    cr_assert_eq(uds_rpc_call_reply(scene.call, NULL, 0, NULL, 0), 0);
    turn(&scene);
    cr_expect_str_eq(scene.parts, "row=1;|row=2;||");
    cr_expect_str_eq(scene.reply, "rows=3;");
    scene_close(&scene);
}

Test(call_header, that_cannot_be_makes_no_call)
{
    UDS_TEST_GUARD;
    static const char *const odd[] = {"a", "1", "b", NULL}, *const unnamed[] = {"", "1", NULL};
    struct uds_rpc_request request = UDS_RPC_REQUEST_INIT;
    struct scene scene;
    char large[UDS_HEAD_MAX];

    memset(large, 'x', sizeof(large));
    large[sizeof(large) - 1] = '\0';
    scene_open(&scene);
    request.headers = odd;
    cr_expect_eq(uds_rpc_request(scene.caller, &request, on_reply, &scene, NULL), -EINVAL);
    request.headers = unnamed;
    cr_expect_eq(uds_rpc_request(scene.caller, &request, on_reply, &scene, NULL), -EINVAL);
    request.headers = (const char *const[]){"large", large, NULL};
    cr_expect_eq(uds_rpc_request(scene.caller, &request, on_reply, &scene, NULL), -ENOSPC);
    turn(&scene);
    cr_expect_null(scene.call);
    scene_close(&scene);
    cr_expect_eq(scene.replies, 0);
}

Test(call_header, of_a_call_that_was_taken_back_goes_nowhere)
{
    UDS_TEST_GUARD;
    struct scene scene;

    scene_open(&scene);
    uint64_t id = call(&scene, NULL, 0);
    cr_assert_eq(uds_rpc_call_add_header(scene.call, "early", "1"), 0);
    cr_assert_eq(uds_rpc_cancel(scene.caller, id), 0);
    turn(&scene);
    cr_assert_eq(uds_rpc_call_add_header(scene.call, "late", "1"), 0);
    cr_assert_eq(uds_rpc_call_reply(scene.call, NULL, 0, NULL, 0), 0);
    scene_close(&scene);
    cr_expect_eq(scene.replies, 1);
}

/* ---- generated stubs ---- */

static struct {
    char request[256], reply[256];
    unsigned ended;
    uint32_t status;
    uds_pb_stub *stub;
} words_seen;

static void say(Uds__Test__Echo_Service *service,
                const Uds__Test__Words *input,
                Uds__Test__Words_Closure closure,
                void *closure_data)
{
    uds_pb_call *incoming = uds_pb_call_from(closure_data);

    (void)service;
    (void)all(uds_pb_call_peek_msg(incoming), words_seen.request);
    cr_assert_eq(uds_pb_call_add_header(incoming, "served-by", "test"), 0);
    closure(input, closure_data);
}

static Uds__Test__Echo_Service echo = {
    .base = {&uds__test__echo__descriptor, protobuf_c_service_invoke_internal, NULL}, .say = say};

static void on_words(const Uds__Test__Words *message, void *closure_data)
{
    (void)message;
    (void)closure_data;
    words_seen.ended++;
    words_seen.status = uds_pb_stub_get_status(words_seen.stub);
    (void)all(uds_pb_stub_peek_msg(words_seen.stub), words_seen.reply);
}

Test(pb_header, goes_there_and_back_for_one_call)
{
    UDS_TEST_GUARD;
    static const char *const headers[] = {"trace", "17", NULL}, *const unnamed[] = {"", "1", NULL};
    Uds__Test__Words words;
    uds_pb_server *server;
    struct scene scene;

    uds__test__words__init(&words);
    memset(&words_seen, 0, sizeof(words_seen));
    scene_open(&scene);
    cr_assert_eq(uds_pb_serve(&server, scene.callee, &echo.base), 0);
    cr_assert_eq(
        uds_pb_stub_new(&words_seen.stub, scene.caller, NULL, NULL, &uds__test__echo__descriptor),
        0);
    ProtobufCService *service = uds_pb_stub_service(words_seen.stub);
    cr_expect_null(uds_pb_stub_peek_msg(words_seen.stub));
    uds_pb_stub_next_headers(words_seen.stub, headers);
    uds__test__echo__say(service, &words, on_words, NULL);
    turn(&scene);
    cr_expect_eq(words_seen.ended, 1);
    cr_expect_str_eq(words_seen.request, "trace=17;");
    cr_expect_str_eq(words_seen.reply, "served-by=test;");
    uds__test__echo__say(service, &words, on_words, NULL);
    turn(&scene);
    cr_expect_eq(words_seen.ended, 2);
    cr_expect_str_eq(words_seen.request, "", "they were for one call");
    uds_pb_stub_next_headers(words_seen.stub, unnamed);
    uds__test__echo__say(service, &words, on_words, NULL);
    cr_expect_eq(words_seen.ended, 3);
    cr_expect_eq(words_seen.status, UDS_STATUS_INTERNAL);
    (void)uds_pb_stub_free(words_seen.stub);
    (void)uds_pb_server_free(server);
    scene_close(&scene);
}
