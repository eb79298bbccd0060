/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_TEST_WORLD_H
#define ROUTER_TEST_WORLD_H

/*
 * A router in the test's own loop, without a supervisor, and clients at the other ends of socketpairs (sandbox links)
 * and of a listening socket (host peers). Nothing here sleeps: wait_for() turns the loop and the clients until a
 * condition holds.
 */

#include <criterion/criterion.h>
#include <event2/event.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/socket.h>
#include <sys/un.h>

#include <uds/conn.h>
#include <uds/error.h>
#include <uds/snapshot.h>

#include "guard.h"
#include "head.h"
#include "peer.h"
#include "router.h"

struct world {
    struct event_base *base;
    struct router *router;
    struct sockaddr_un address;
    socklen_t address_len;
};

#define RULES_MAX 8

/* A configuration on the stack: two sandboxes and some rules. */
struct world_config {
    Uds__Supervisor__Configuration configuration;
    Uds__Supervisor__Quota quota;
    Uds__Supervisor__Sandbox sandbox[2];
    Uds__Supervisor__Sandbox *sandboxes[2];
    Uds__Supervisor__Rule rule[RULES_MAX];
    Uds__Supervisor__Rule *rules[RULES_MAX];
};

static inline Uds__Supervisor__Rule *world_rule(struct world_config *c, char *sandbox, char *label)
{
    size_t i = c->configuration.n_rules++;
    uds__supervisor__rule__init(&c->rule[i]);
    c->rules[i] = &c->rule[i];
    c->rule[i].sandbox = sandbox;
    c->rule[i].label = label;
    return &c->rule[i];
}

/* Sandboxes 1 "decoder" and 2 "other", running; no rules; our uid owns nothing. */
static inline void world_config_init(struct world_config *c)
{
    static char names[2][8] = {"decoder", "other"};
    memset(c, 0, sizeof(*c));
    uds__supervisor__configuration__init(&c->configuration);
    uds__supervisor__quota__init(&c->quota);
    c->configuration.quota = &c->quota;
    c->configuration.rules = c->rules;
    c->configuration.sandboxes = c->sandboxes;
    c->configuration.n_sandboxes = 2;
    for (uint32_t i = 0; i < 2; i++) {
        uds__supervisor__sandbox__init(&c->sandbox[i]);
        c->sandboxes[i] = &c->sandbox[i];
        c->sandbox[i].id = i + 1;
        c->sandbox[i].name = names[i];
        c->sandbox[i].state = UDS__SUPERVISOR__STATE__RUNNING;
        c->sandbox[i].generation = 1;
        c->sandbox[i].memory_limit = 64u << 20;
        c->sandbox[i].uid_first = 0x70000000u + i * 65536;
        c->sandbox[i].uid_count = 65536;
    }
}

static inline void world_open(struct world *w, const struct world_config *c)
{
    memset(w, 0, sizeof(*w));
    w->base = event_base_new();
    cr_assert_eq(router_new(&w->router, w->base), 0);
    cr_assert_eq(router_configure(w->router, &c->configuration), 0);
}

static inline void world_close(struct world *w)
{
    router_free(w->router);
    event_base_free(w->base);
}

/* Carries the state over as an upgrade does: bytes and fds, nothing else. */
static inline void world_move(struct world *w)
{
    uds_snapshot *out, *in;
    const void *data;
    const int *fds;
    size_t len, nfds;
    cr_assert_eq(uds_snapshot_new(&out), 0);
    cr_assert_eq(router_serialise(w->router, out), 0);
    uds_snapshot_peek(out, &data, &len, &fds, &nfds);
    int *copies = calloc(nfds + 1, sizeof(int));
    for (size_t i = 0; i < nfds; i++)
        copies[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
    cr_assert_eq(uds_snapshot_open(&in, data, len, copies, nfds), 0);
    free(copies);
    uds_snapshot_free(out);
    w->router = router_free(w->router);
    event_base_free(w->base);
    w->base = event_base_new();
    int r = router_restore(&w->router, w->base, in);
    cr_assert_eq(r, 0, "restore: %s", strerror(-r));
    uds_snapshot_free(in);
}

static inline void world_turn(struct world *w)
{
    for (int i = 0; i < 3; i++)
        event_base_loop(w->base, EVLOOP_NONBLOCK);
}

static inline uint64_t world_ms(void)
{
    return router_now_usec() / 1000;
}

/* Turns the loop until @condition, for 5 s at most. */
#define WAIT_FOR(world, condition)                                 \
    do {                                                           \
        uint64_t until_ = world_ms() + 5000;                       \
        while (!(condition) && world_ms() < until_)                \
            world_turn(world);                                     \
        cr_assert(condition, "never became true: %s", #condition); \
    } while (0)

static inline uds_conn *world_adopt(struct world *w, int fd)
{
    uds_conn *conn;
    cr_assert_eq(uds_conn_new(&conn, fd, NULL), 0);
    WAIT_FOR(w, uds_conn_process(conn) >= 0 && uds_conn_is_open(conn));
    return conn;
}

/* A client at the end of a launch link of sandbox @id. */
static inline uds_conn *world_link(struct world *w, uint32_t id, uint32_t generation)
{
    Uds__Supervisor__Link link = UDS__SUPERVISOR__LINK__INIT;
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    link.sandbox_id = id;
    link.generation = generation;
    cr_assert_eq(router_add_link(w->router, &link, pair[0]), 0);
    return world_adopt(w, pair[1]);
}

static inline void world_listen(struct world *w, uint32_t id, uint32_t sandbox_id)
{
    Uds__Supervisor__Listener listener = UDS__SUPERVISOR__LISTENER__INIT;
    struct sockaddr_un any = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&any, sizeof(sa_family_t)), 0);
    cr_assert_eq(listen(fd, 16), 0);
    w->address_len = sizeof(w->address);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)&w->address, &w->address_len), 0);
    listener.id = id;
    listener.sandbox_id = sandbox_id;
    static char address[] = "test";
    listener.address = address;
    cr_assert_eq(router_add_listener(w->router, &listener, fd), 0);
}

static inline int world_dial(struct world *w)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&w->address, w->address_len), 0);
    return fd;
}

static inline uds_conn *world_connect(struct world *w)
{
    return world_adopt(w, world_dial(w));
}

/* The next message for a client. The caller unrefs it. NULL: the connection ended. */
static inline uds_msg *world_receive(struct world *w, uds_conn *conn)
{
    uds_msg *msg = NULL;
    uint64_t until = world_ms() + 5000;
    while (world_ms() < until) {
        int r = uds_conn_process(conn);
        if (r >= 0)
            r = uds_conn_receive(conn, &msg);
        if (r == 1)
            return msg;
        if (r < 0)
            return NULL;
        world_turn(w);
    }
    cr_assert_fail("no message came");
    return NULL;
}

static inline uds_msg *
world_expect(struct world *w, uds_conn *conn, enum uds_msg_type type, uint64_t id)
{
    uds_msg *msg = world_receive(w, conn);
    cr_assert_not_null(msg, "the connection ended: %s", uds_conn_get_error_text(conn));
    cr_assert_eq(uds_msg_get_type(msg), type, "type %d instead of %d", uds_msg_get_type(msg), type);
    cr_assert_eq(uds_msg_get_id(msg), id);
    return msg;
}

static inline uint32_t world_status(const uds_msg *msg)
{
    uint32_t status = 0;
    (void)!uds_msg_get_u32(msg, UDS_FIELD_STATUS, &status);
    return status;
}

static inline const char *world_text(const uds_msg *msg, uint16_t tag)
{
    static char buf[1024];
    if (uds_msg_get_string(msg, tag, buf, sizeof(buf)) < 0)
        buf[0] = '\0';
    return buf;
}

/* Expects and drops a message; returns its status. */
static inline uint32_t
world_answer(struct world *w, uds_conn *conn, enum uds_msg_type type, uint64_t id)
{
    uds_msg *msg = world_expect(w, conn, type, id);
    uint32_t status = world_status(msg);
    uds_msg_unref(msg);
    return status;
}

static inline uds_msg *
world_msg(enum uds_msg_type type, uint64_t id, const char *subject, const char *body)
{
    uds_msg *msg;
    cr_assert_eq(uds_msg_new(&msg, type, id, body, body != NULL ? strlen(body) : 0), 0);
    if (subject != NULL)
        cr_assert_eq(uds_msg_add_string(msg, UDS_FIELD_SUBJECT, subject), 0);
    return msg;
}

/* Consumes @msg. */
static inline void world_send(uds_conn *conn, uds_msg *msg)
{
    cr_assert_eq(uds_conn_send(conn, msg), 0);
    uds_msg_unref(msg);
    (void)uds_conn_process(conn);
}

static inline void
world_subscribe(struct world *w, uds_conn *conn, uint64_t id, const char *subject, uint32_t mode)
{
    uds_msg *msg = world_msg(UDS_MSG_SUBSCRIBE, id, subject, NULL);
    cr_assert_eq(uds_msg_add_u32(msg, UDS_FIELD_MODE, mode), 0);
    world_send(conn, msg);
    msg = world_expect(w, conn, UDS_MSG_ACK, id);
    cr_assert_eq(world_status(msg), UDS_STATUS_OK, "%s (%s)", world_text(msg, UDS_FIELD_DETAIL),
                 subject);
    uds_msg_unref(msg);
}

static inline void world_sandbox(struct world *w, const Uds__Supervisor__Sandbox *sandbox)
{
    cr_assert_eq(router_sandbox_changed(w->router, sandbox), 0);
}

static inline bool world_body_is(const uds_msg *msg, const char *text)
{
    size_t len;
    const void *body = uds_msg_peek_body(msg, &len);
    return len == strlen(text) && memcmp(body, text, len) == 0;
}

/* Is nothing charged to anybody and nobody there? */
static inline bool world_is_empty(const struct world *w)
{
    return w->router->peers.count == 0 && w->router->calls.count == 0 &&
           w->router->quota.accounts.count == 0 && w->router->groups.count == 0;
}

#endif
