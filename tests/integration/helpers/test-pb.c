/* SPDX-License-Identifier: MIT */
/*
 * test-pb ADDRESS: a protobuf-c service and its stub, each on a client of its own, at a broker that lets us serve and
 * call "echo", call "nobody", and nothing else. Prints what went wrong; exit status 0 when nothing did.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/stat.h>
#include <sys/wait.h>

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

/* A stream of 1 … number, or without an end if that is 0. */
static struct {
    uds_pb_call *call;
    Uds__Test__Leaf_Closure closure;
    void *closure_data;
    uint32_t next, last;
    unsigned cancels;
} counting;

static void count_on(uds_pb_call *call, void *arg)
{
    Uds__Test__Leaf leaf;

    (void)arg;
    uds__test__leaf__init(&leaf);
    for (; counting.last == 0 || counting.next <= counting.last; counting.next++) {
        leaf.number = counting.next;
        if (uds_pb_call_send(call, &leaf.base) < 0)
            return;
    }
    counting.closure(NULL, counting.closure_data);
}

static void count_cancelled(uds_pb_call *call, void *arg)
{
    (void)call;
    (void)arg;
    counting.cancels++;
    counting.closure(NULL, counting.closure_data);
}

static void count(Uds__Test__Echo_Service *service,
                  const Uds__Test__Words *input,
                  Uds__Test__Leaf_Closure closure,
                  void *closure_data)
{
    static const struct uds_pb_call_callbacks callbacks = {.on_cancel = count_cancelled,
                                                           .on_credit = count_on};

    (void)service;
    counting.call = uds_pb_call_from(closure_data);
    counting.closure = closure;
    counting.closure_data = closure_data;
    counting.next = 1;
    counting.last = (uint32_t)input->number;
    uds_pb_call_set_callbacks(counting.call, &callbacks, NULL);
    count_on(counting.call, NULL);
}

static Uds__Test__Echo_Service echo = {
    .base = {&uds__test__echo__descriptor, protobuf_c_service_invoke_internal, NULL},
    .say = say,
    .fail = fail,
    .later = later,
    .count = count,
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

struct leaves {
    uds_pb_stub *stub;
    unsigned count, ended;
    uint64_t sum;
    uint32_t status;
    char detail[128];
    unsigned cancel_at, kill_at;
    pid_t kill_pid;
};

static void on_leaf(uds_pb_stub *stub, const ProtobufCMessage *message, void *arg)
{
    struct leaves *leaves = arg;

    leaves->count++;
    leaves->sum += ((const Uds__Test__Leaf *)message)->number;
    if (leaves->count == leaves->cancel_at)
        CHECK(uds_pb_stub_cancel(stub, uds_pb_stub_get_call(stub)) == 0, "cancel");
    if (leaves->count == leaves->kill_at)
        CHECK(kill(leaves->kill_pid, SIGKILL) == 0, "kill");
}

static void on_last(const Uds__Test__Leaf *message, void *closure_data)
{
    struct leaves *leaves = closure_data;

    (void)message;
    leaves->ended++;
    leaves->status = uds_pb_stub_get_status(leaves->stub);
    (void)snprintf(leaves->detail, sizeof(leaves->detail), "%s",
                   uds_pb_stub_get_detail(leaves->stub));
}

static void stream(struct scene *scene, struct leaves *leaves, uint64_t number, int timeout_ms)
{
    Uds__Test__Words words = words_of("", number);

    leaves->stub = scene->stub;
    uds_pb_stub_next_timeout(scene->stub, timeout_ms);
    uds_pb_stub_next_stream(scene->stub, on_leaf, leaves, 8);
    uds__test__echo__count(uds_pb_stub_service(scene->stub), &words, on_last, leaves);
    if (!run_until(scene, &leaves->ended, 1)) {
        printf("a stream did not end: %u messages\n", leaves->count);
        exit(1);
    }
}

static void shows_streams(struct scene *scene)
{
    struct leaves all = {0}, some = {.cancel_at = 20}, timed = {0};

    stream(scene, &all, 1000, DEADLINE_MS);
    CHECK(all.status == UDS_STATUS_OK && all.count == 1000 && all.sum == 500500, "%u: %u %s",
          all.count, all.status, all.detail);
    stream(scene, &some, 0, DEADLINE_MS);
    CHECK(some.status == UDS_STATUS_CANCELLED && some.count == 20, "%u: %u %s", some.count,
          some.status, some.detail);
    CHECK(run_until(scene, &counting.cancels, 1), "the method did not hear that it was taken back");
    stream(scene, &timed, 0, 200);
    CHECK(timed.status == UDS_STATUS_DEADLINE && timed.count > 0, "%u: %u %s", timed.count,
          timed.status, timed.detail);
    CHECK(run_until(scene, &counting.cancels, 2), "the method did not hear of the deadline");
}

static int connect_to(const char *address, uds_client **ret)
{
    struct uds_addr addr;
    int r = uds_addr_parse(address, &addr);

    return r < 0 ? r : uds_client_new(ret, &addr, NULL, DEADLINE_MS);
}

/* A server of its own, until it is killed. */
static pid_t start_server(const char *address)
{
    pid_t pid = fork();
    uds_client *client;
    uds_pb_server *server;

    if (pid != 0)
        return pid;
    if (connect_to(address, &client) < 0 ||
        uds_pb_serve_subject(&server, client, "echo", &echo.base, NULL, NULL) < 0)
        _exit(1);
    while (uds_client_wait(client, -1) >= 0)
        ;
    _exit(1);
}

static void shows_death(struct scene *scene, const char *address)
{
    struct leaves leaves = {.kill_at = 10};

    leaves.kill_pid = start_server(address);
    /* It is there when a call gets through. */
    Uds__Test__Words words = words_of("", 0);
    while (call(scene, uds__test__echo__say, &words).status == UDS_STATUS_NO_RESPONDERS)
        (void)sched_yield();
    stream(scene, &leaves, 0, DEADLINE_MS);
    CHECK(leaves.status == UDS_STATUS_CALLEE_LOST && leaves.count >= 10, "%u: %u %s", leaves.count,
          leaves.status, leaves.detail);
    CHECK(waitpid(leaves.kill_pid, NULL, 0) == leaves.kill_pid, "wait");
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
    shows_streams(&scene);
    shows_refusals(&scene);
    shows_absence(&scene, "nobody", UDS_STATUS_NO_RESPONDERS);
    shows_absence(&scene, "forbidden", UDS_STATUS_DENIED);
    CHECK(granted.count == 1, "acknowledged %u times", granted.count);
    server = uds_pb_server_free(server);
    shows_withdrawal(&scene);
    shows_death(&scene, argv[1]);
    (void)uds_pb_stub_free(scene.stub);
    (void)uds_client_free(scene.caller);
    (void)uds_client_free(scene.server);
    return failures > 0;
}
