/* SPDX-License-Identifier: MIT */

/* The soak's server: a libevent loop. Checks what comes and answers each message by a short one, and calls by many parts. */

#include <event2/event.h>
#include <signal.h>
#include <unistd.h>

#include <sys/prctl.h>

#include <uds/conn.h>
#include <uds/error.h>
#include <uds/event.h>
#include <uds/rpc.h>

#include "soak.h"

struct server {
    struct event_base *base;
    uint64_t passed, messages; /* received, and parts that were sent */
    unsigned guests;
    bool ending;
    bool failed;
};

struct guest {
    struct server *server;
    uds_conn *conn;
    uds_rpc *rpc; /* NULL: messages only */
    uds_event *glue;
    uint64_t expected;
};

/* A call that is being answered. */
struct answer {
    struct server *server;
    uds_rpc_call *call;
    uint64_t next, end; /* parts */
    unsigned one_in;    /* of them is large */
};

static void count(struct server *server)
{
    server->passed++;
    level_look();
    if (server->passed >= server->messages / 10)
        level_settle();
}

/* The client has gone, and so has every connection: what broke off is read to its end first. */
static void end_if_done(struct server *server)
{
    if (!server->ending || server->guests > 0)
        return;
    server->failed = !level_is_kept();
    (void)event_base_loopbreak(server->base);
}

/* ---- messages ---- */

static void on_message(uds_conn *conn, uds_msg *msg, void *arg)
{
    struct guest *guest = arg;
    uint64_t number = guest->expected++;
    uds_msg *answer;
    int r;

    label_check(msg, number);
    (void)uds_msg_unref(msg);
    CHECK(uds_msg_new(&answer, UDS_MSG_MESSAGE, number + 1, NULL, 0) == 0);
    r = uds_conn_send(conn, answer);
    CHECK(r == 0 || r == -ENOTCONN); /* it broke off; what it sent before still comes */
    (void)uds_msg_unref(answer);
    count(guest->server);
}

static void on_finish(uds_conn *conn, void *arg)
{
    (void)arg;
    CHECK(uds_conn_finish(conn) == 0);
}

static void on_close(uds_conn *conn, int error, void *arg)
{
    struct guest *guest = arg;

    if (error != 0 && error != -ECONNRESET &&
        error != -EPIPE) { /* breaking off is part of the game */
        fprintf(stderr, "soak: server: %s: %s\n", strerror(-error), uds_conn_get_error_text(conn));
        exit(1);
    }
    (void)uds_event_detach(guest->glue);
    (void)uds_rpc_free(guest->rpc);
    (void)uds_conn_unref(conn);
    guest->server->guests--;
    end_if_done(guest->server);
    free(guest);
}

static const struct uds_conn_callbacks callbacks = {
    .on_message = on_message, .on_close = on_close, .on_finish = on_finish};

/* ---- calls ---- */

/* Returns false when the caller has to give credit first (on_credit tells when it has), or does not want any more. */
static bool send_part(struct answer *answer)
{
    static uint8_t body[BODY_MAX];
    struct label label = label_draw(answer->next, sizeof(body), answer->one_in);
    int fds[sizeof(label.which)], r;

    label_write(&label, body);
    for (size_t i = 0; i < label.nfds; i++) {
        fds[i] = dup(cargo_of(label.which[i]));
        CHECK(fds[i] >= 0);
    }
    r = uds_rpc_call_send_part(answer->call, body, label.len, fds, label.nfds);
    if (r == 0)
        return true;
    CHECK(r == -EAGAIN || r == -ECANCELED || r == -ENOTCONN);
    for (size_t i = 0; i < label.nfds; i++)
        (void)close(fds[i]);
    return false;
}

static void go_on(struct answer *answer)
{
    for (; answer->next < answer->end; answer->next++) {
        if (!send_part(answer))
            return;
        count(answer->server);
    }
    (void)uds_rpc_call_reply(answer->call, NULL, 0, NULL, 0); /* whoever has gone misses it */
    free(answer);
}

static void on_credit(uds_rpc_call *call, void *arg)
{
    (void)call;
    go_on(arg);
}

static void on_cancel(uds_rpc_call *call, void *arg)
{
    struct answer *answer = arg;

    (void)uds_rpc_call_fail(call, UDS_STATUS_CANCELLED, 0, NULL);
    free(answer);
}

static void on_call(uds_rpc_call *call, void *arg)
{
    static const struct uds_rpc_call_callbacks call_callbacks = {.on_cancel = on_cancel,
                                                                 .on_credit = on_credit};
    uds_msg *msg = uds_rpc_call_peek_msg(call);
    struct answer *answer = calloc(1, sizeof(*answer));
    struct guest *guest = arg;
    struct question question;
    size_t len;
    const void *body = uds_msg_peek_body(msg, &len);

    CHECK(answer != NULL && len == sizeof(question) && uds_msg_get_fd_count(msg) == 1);
    memcpy(&question, body, sizeof(question));
    CHECK(question.number == guest->expected++);
    CHECK(cargo_is(uds_msg_peek_fd(msg, 0), question.number));
    answer->server = guest->server;
    answer->call = call;
    answer->end = question.parts;
    answer->one_in = large_draw();
    uds_rpc_call_set_callbacks(call, &call_callbacks, answer);
    if (uds_rpc_call_is_cancelled(call))
        on_cancel(call, answer); /* taken back in the same breath: nobody tells us again */
    else
        go_on(answer);
}

/* ---- connections ---- */

static bool is_stream(int fd)
{
    socklen_t len = sizeof(int);
    int type;

    CHECK(getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0);
    return type == SOCK_STREAM;
}

static struct guest *guest_new(struct server *server, int fd)
{
    struct uds_conn_options options = UDS_CONN_OPTIONS_INIT;
    struct guest *guest = calloc(1, sizeof(*guest));

    CHECK(guest != NULL && fd >= 0);
    guest->server = server;
    server->guests++;
    options.ring_bytes = is_stream(fd) ? RING : 0; /* taken, if the client offers one */
    CHECK(uds_conn_new(&guest->conn, fd, &options) == 0);
    return guest;
}

static void on_accept(int fd, void *arg)
{
    struct guest *guest = guest_new(arg, fd);

    uds_conn_set_callbacks(guest->conn, &callbacks, guest);
    CHECK(uds_event_attach(&guest->glue, guest->conn, guest->server->base) == 0);
}

static void on_accept_caller(int fd, void *arg)
{
    struct guest *guest = guest_new(arg, fd);

    CHECK(uds_rpc_new(&guest->rpc, guest->conn, &callbacks, guest) == 0);
    uds_rpc_set_handler(guest->rpc, on_call, guest, 0);
    CHECK(uds_event_attach_rpc(&guest->glue, guest->rpc, guest->server->base) == 0);
}

/* The parent closes its end of the pipe. */
static void on_end(evutil_socket_t fd, short what, void *arg)
{
    struct server *server = arg;

    (void)fd;
    (void)what;
    server->ending = true;
    end_if_done(server);
}

int serve(uds_listener *const listeners[WAYS], int end, uint64_t messages)
{
    struct server server = {.messages = messages};
    uds_event *glue[WAYS];
    struct event *event;

    CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
    server.base = event_base_new();
    for (int i = 0; i < WAYS; i++)
        CHECK(uds_event_listen(&glue[i], listeners[i], server.base,
                               i == WAY_CALLS ? on_accept_caller : on_accept, &server) == 0);
    event = event_new(server.base, end, EV_READ, on_end, &server);
    CHECK(event && event_add(event, NULL) == 0);
    level_begin("server");
    event_base_dispatch(server.base);
    event_free(event);
    for (int i = 0; i < WAYS; i++)
        (void)uds_event_detach(glue[i]);
    event_base_free(server.base);
    return server.failed;
}
