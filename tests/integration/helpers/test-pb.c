/* SPDX-License-Identifier: MIT */
/*
 * test-pb ADDRESS: a protobuf-c service and its stub, each on a client of its own, at a broker that lets us serve and
 * call "echo", call "nobody", and nothing else. Prints what went wrong; exit status 0 when nothing did.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>

#include <uds/error.h>
#include <uds/pb.h>

#include "test.pb-c.h"

#define DEADLINE_MS 30000

static unsigned failures;

#define CHECK(condition, ...)                              \
    do {                                                   \
        if (!(condition)) {                                \
            printf("line %d: %s: ", __LINE__, #condition); \
            printf(__VA_ARGS__);                           \
            printf("\n");                                  \
            failures++;                                    \
        }                                                  \
    } while (0)

/* ---- the service ---- */

static struct {
    int timeout_ms;
    char sender[64];
    Uds__Test__Words_Closure closure; /* of the Later call that waits */
    void *closure_data;
} served;

static void say(Uds__Test__Echo_Service *service,
                const Uds__Test__Words *input,
                Uds__Test__Words_Closure closure,
                void *closure_data)
{
    uds_pb_call *call = uds_pb_call_from(closure_data);

    (void)service;
    served.timeout_ms = uds_pb_call_get_timeout(call);
    (void)snprintf(served.sender, sizeof(served.sender), "%s", uds_pb_call_get_sender(call));
    for (size_t i = 0; i < uds_pb_call_get_fd_count(call); i++) {
        int fd = uds_pb_call_take_fd(call, i);

        if (fd < 0 || uds_pb_call_push_fd(call, fd) < 0)
            uds_pb_call_fail(call, UDS_STATUS_INTERNAL, 0, "no descriptor");
    }
    closure(input, closure_data);
}

static void fail(Uds__Test__Echo_Service *service,
                 const Uds__Test__Words *input,
                 Uds__Test__Words_Closure closure,
                 void *closure_data)
{
    (void)service;
    uds_pb_call_fail(uds_pb_call_from(closure_data), (uint32_t)input->number, 7, input->text);
    closure(NULL, closure_data);
}

static void later(Uds__Test__Echo_Service *service,
                  const Uds__Test__Words *input,
                  Uds__Test__Words_Closure closure,
                  void *closure_data)
{
    (void)service;
    (void)input;
    served.closure = closure;
    served.closure_data = closure_data;
}

static Uds__Test__Echo_Service echo = {
    .base = {&uds__test__echo__descriptor, protobuf_c_service_invoke_internal, NULL},
    .say = say,
    .fail = fail,
    .later = later,
};

/* ---- both sides ---- */

struct scene {
    uds_client *server, *caller;
    uds_pb_stub *stub;
    unsigned notices;
    char notice[256];
};

struct acked {
    unsigned count;
    uint32_t status;
    char rule[256];
    uds_pb_server *free_server;
};

struct outcome {
    uds_pb_stub *stub;
    unsigned ended;
    bool has_message;
    char text[64];
    uint32_t status;
    char detail[256];
    int fd;
};

static void on_event(uds_client *client,
                     enum uds_client_event event,
                     int error,
                     const char *detail,
                     uds_msg *notice,
                     void *arg)
{
    struct scene *scene = arg;

    (void)client;
    (void)error;
    (void)notice;
    if (event != UDS_CLIENT_NOTICE)
        return;
    scene->notices++;
    (void)snprintf(scene->notice, sizeof(scene->notice), "%s", detail);
}

static void
on_ack(uds_client *client, uint32_t status, const char *detail, const char *rule, void *arg)
{
    struct acked *acked = arg;

    (void)client;
    (void)detail;
    acked->count++;
    acked->status = status;
    (void)snprintf(acked->rule, sizeof(acked->rule), "%s", rule);
    if (acked->free_server)
        acked->free_server = uds_pb_server_free(acked->free_server);
}

static void on_words(const Uds__Test__Words *message, void *closure_data)
{
    struct outcome *o = closure_data;

    o->ended++;
    o->has_message = message != NULL;
    o->status = uds_pb_stub_get_status(o->stub);
    o->fd = uds_pb_stub_take_fd(o->stub, 0);
    (void)snprintf(o->detail, sizeof(o->detail), "%s", uds_pb_stub_get_detail(o->stub));
    if (message)
        (void)snprintf(o->text, sizeof(o->text), "%s", message->text);
}

/* Turns both clients until *@count is @goal. */
static bool run_until(struct scene *scene, const unsigned *count, unsigned goal)
{
    for (int left_ms = DEADLINE_MS; *count < goal && left_ms > 0; left_ms--) {
        if (uds_client_wait(scene->caller, 0) < 0 || uds_client_wait(scene->server, 1) < 0)
            return false;
    }
    return *count >= goal;
}

static Uds__Test__Words words_of(const char *text, uint64_t number)
{
    Uds__Test__Words words;

    uds__test__words__init(&words);
    words.text = (char *)(uintptr_t)text;
    words.number = number;
    return words;
}

typedef void (*method_fn)(ProtobufCService *service,
                          const Uds__Test__Words *input,
                          Uds__Test__Words_Closure closure,
                          void *closure_data);

static struct outcome call(struct scene *scene, method_fn method, const Uds__Test__Words *words)
{
    struct outcome o = {.stub = scene->stub, .fd = -1};

    method(uds_pb_stub_service(scene->stub), words, on_words, &o);
    if (!run_until(scene, &o.ended, 1)) {
        printf("a call did not end\n");
        exit(1); /* its closure would find no outcome any more */
    }
    return o;
}

/* ---- what is shown ---- */

static void shows_answers(struct scene *scene)
{
    Uds__Test__Words words = words_of("through a broker", 1);
    struct stat there, back;
    struct outcome o;
    int p[2];

    if (pipe(p) < 0) {
        CHECK(false, "pipe: %s", strerror(errno));
        return;
    }
    uds_pb_stub_next_timeout(scene->stub, DEADLINE_MS);
    uds_pb_stub_next_fds(scene->stub, &p[0], 1);
    o = call(scene, uds__test__echo__say, &words);
    CHECK(o.status == UDS_STATUS_OK, "%s: %s", uds_status_name(o.status), o.detail);
    CHECK(strcmp(o.text, "through a broker") == 0, "%s", o.text);
    CHECK(strncmp(served.sender, "uid:", 4) == 0, "sender %s", served.sender);
    CHECK(served.timeout_ms > 0 && served.timeout_ms <= DEADLINE_MS, "%d", served.timeout_ms);
    CHECK(o.fd >= 0 && fstat(o.fd, &back) == 0 && fstat(p[0], &there) == 0 &&
              there.st_ino == back.st_ino,
          "descriptor %d", o.fd);
    if (o.fd >= 0)
        close(o.fd);
    close(p[0]);
    close(p[1]);
}

static void shows_failures(struct scene *scene)
{
    Uds__Test__Words words = words_of("not today", UDS_STATUS_APPLICATION + 1);
    struct outcome o = call(scene, uds__test__echo__fail, &words);

    CHECK(o.status == UDS_STATUS_APPLICATION + 1 && !o.has_message, "%u", o.status);
    CHECK(strcmp(o.detail, "not today") == 0, "%s", o.detail);
    o = call(scene, uds__test__echo__unfinished, &words);
    CHECK(o.status == UDS_STATUS_UNIMPLEMENTED, "%u", o.status);
}

static void shows_deadlines(struct scene *scene)
{
    Uds__Test__Words words = words_of("", 0);
    struct outcome o;

    /* Long enough for the request to arrive on a busy machine: then the late answer is a case of its own. */
    uds_pb_stub_next_timeout(scene->stub, 500);
    o = call(scene, uds__test__echo__later, &words);
    CHECK(o.status == UDS_STATUS_DEADLINE && !o.has_message, "%u", o.status);
    CHECK(served.closure != NULL, "the request did not arrive in time");
    if (served.closure)
        served.closure(&words, served.closure_data);
    o = call(scene, uds__test__echo__say, &words);
    CHECK(o.status == UDS_STATUS_OK, "after a late answer: %u %s", o.status, o.detail);
}

static void shows_refusals(struct scene *scene)
{
    struct acked denied = {0};
    uds_pb_server *told = NULL, *untold = NULL;

    CHECK(uds_pb_serve_subject(&told, scene->server, "forbidden", &echo.base, on_ack, &denied) == 0,
          "serve");
    denied.free_server = told;
    CHECK(run_until(scene, &denied.count, 1), "no ACK");
    CHECK(denied.status == UDS_STATUS_DENIED, "%u", denied.status);
    CHECK(denied.rule[0] != '\0', "a denial names its rule");
    CHECK(scene->notices == 0, "told twice: %s", scene->notice);

    CHECK(uds_pb_serve_subject(&untold, scene->server, "forbidden", &echo.base, NULL, NULL) == 0,
          "serve");
    CHECK(run_until(scene, &scene->notices, 1), "no NOTICE");
    CHECK(strstr(scene->notice, "forbidden"), "%s", scene->notice);
    (void)uds_pb_server_free(untold);
}

static void shows_absence(struct scene *scene, const char *subject, uint32_t status)
{
    Uds__Test__Words words = words_of("", 0);
    uds_pb_stub *stub = scene->stub;
    struct outcome o;

    CHECK(uds_pb_stub_new(&scene->stub, NULL, scene->caller, subject,
                          &uds__test__echo__descriptor) == 0,
          "stub");
    o = call(scene, uds__test__echo__say, &words);
    CHECK(o.status == status, "%s: %s: %s", subject, uds_status_name(o.status), o.detail);
    (void)uds_pb_stub_free(scene->stub);
    scene->stub = stub;
}

/* A call may meet the service while the broker has not yet heard of its end: then it is unavailable, and never anything else. */
static void shows_withdrawal(struct scene *scene)
{
    Uds__Test__Words words = words_of("", 0);
    struct outcome o;

    do {
        o = call(scene, uds__test__echo__say, &words);
    } while (o.status == UDS_STATUS_UNAVAILABLE);
    CHECK(o.status == UDS_STATUS_NO_RESPONDERS, "%s: %s", uds_status_name(o.status), o.detail);
}

static int connect_to(const char *address, uds_client **ret)
{
    struct uds_addr addr;
    int r = uds_addr_parse(address, &addr);

    return r < 0 ? r : uds_client_new(ret, &addr, NULL, DEADLINE_MS);
}

int main(int argc, char **argv)
{
    static const struct uds_client_callbacks callbacks = {.on_event = on_event};
    struct scene scene = {0};
    struct acked granted = {0};
    uds_pb_server *server = NULL;

    if (argc != 2 || connect_to(argv[1], &scene.server) < 0 ||
        connect_to(argv[1], &scene.caller) < 0 ||
        uds_pb_stub_new(&scene.stub, NULL, scene.caller, "echo", &uds__test__echo__descriptor) <
            0 ||
        uds_pb_serve_subject(&server, scene.server, "echo", &echo.base, on_ack, &granted) < 0) {
        (void)fprintf(stderr, "test-pb: cannot begin: give the ADDRESS of a broker\n");
        return 2;
    }
    uds_client_set_callbacks(scene.server, &callbacks, &scene);
    CHECK(run_until(&scene, &granted.count, 1) && granted.status == UDS_STATUS_OK, "serve: %u",
          granted.status);
    shows_answers(&scene);
    shows_failures(&scene);
    shows_deadlines(&scene);
    shows_refusals(&scene);
    shows_absence(&scene, "nobody", UDS_STATUS_NO_RESPONDERS);
    shows_absence(&scene, "forbidden", UDS_STATUS_DENIED);
    CHECK(granted.count == 1, "acknowledged %u times", granted.count);
    server = uds_pb_server_free(server);
    shows_withdrawal(&scene);
    (void)uds_pb_stub_free(scene.stub);
    (void)uds_client_free(scene.caller);
    (void)uds_client_free(scene.server);
    return failures > 0;
}
