/* SPDX-License-Identifier: MIT */
#ifndef CLIENT_SCENE_H
#define CLIENT_SCENE_H

/*
 * The client of the broker, against a broker that is a bare connection in the same test: it sees every frame and answers
 * what the test says.
 */

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/socket.h>

#include <uds/client.h>
#include <uds/error.h>
#include <uds/listener.h>

#include "cleanup.h"
#include "client/client.h"
#include "guard.h"
#include "socket/io.h"

struct seen {
    unsigned connected, disconnected, notices, deliveries, acks, replies, calls;
    int error;
    uint32_t status;
    char detail[1400], rule[300], subject[300], sender[300];
    uint64_t sequence, dropped;
    uds_rpc_call *call;
    uds_client *free_in_callback;
    uint64_t unsubscribe_in_callback;
    bool publish_in_callback;
};

struct scene {
    struct uds_addr addr;
    char path[64];
    uds_listener *listener;
    uds_conn *broker; /* its end of the one link */
    uds_client *client;
};

static inline void after_callback(uds_client *client, struct seen *seen)
{
    if (seen->unsubscribe_in_callback) {
        (void)uds_client_unsubscribe(client, seen->unsubscribe_in_callback);
        seen->unsubscribe_in_callback = 0;
    }
    if (seen->free_in_callback) {
        (void)uds_client_free(seen->free_in_callback);
        seen->free_in_callback = NULL;
    }
}

static inline void on_event(uds_client *client,
                            enum uds_client_event event,
                            int error,
                            const char *detail,
                            uds_msg *notice,
                            void *arg)
{
    struct seen *seen = arg;

    (void)notice;
    seen->connected += event == UDS_CLIENT_CONNECTED;
    seen->disconnected += event == UDS_CLIENT_DISCONNECTED;
    seen->notices += event == UDS_CLIENT_NOTICE;
    if (event == UDS_CLIENT_DISCONNECTED)
        seen->error = error;
    (void)snprintf(seen->detail, sizeof(seen->detail), "%s", detail);
    after_callback(client, seen);
}

static inline void on_delivery(uds_client *client, const struct uds_delivery *delivery, void *arg)
{
    struct seen *seen = arg;

    seen->deliveries++;
    seen->sequence = delivery->sequence;
    seen->dropped = delivery->dropped;
    (void)snprintf(seen->subject, sizeof(seen->subject), "%s", delivery->subject);
    (void)snprintf(seen->sender, sizeof(seen->sender), "%s", delivery->sender);
    after_callback(client, seen);
}

static inline void
on_ack(uds_client *client, uint32_t status, const char *detail, const char *rule, void *arg)
{
    struct seen *seen = arg;

    seen->acks++;
    seen->status = status;
    (void)snprintf(seen->detail, sizeof(seen->detail), "%s", detail);
    (void)snprintf(seen->rule, sizeof(seen->rule), "%s", rule);
    if (seen->publish_in_callback) {
        struct uds_publish publish = UDS_PUBLISH_INIT;

        publish.subject = "again";
        cr_expect_eq(uds_client_publish(client, &publish, on_ack, arg), -ENOTCONN);
    }
    after_callback(client, seen);
}

static inline void on_reply(const struct uds_rpc_reply *reply, void *arg)
{
    struct seen *seen = arg;

    seen->replies++;
    seen->status = reply->status;
    (void)snprintf(seen->detail, sizeof(seen->detail), "%s", reply->detail);
}

static inline void on_call(uds_rpc_call *call, void *arg)
{
    struct seen *seen = arg;

    seen->calls++;
    seen->call = call;
}

static const struct uds_client_callbacks callbacks = {.on_event = on_event};

static inline void broker_accept(struct scene *scene)
{
    struct pollfd p = {.fd = uds_listener_get_fd(scene->listener), .events = POLLIN};

    cr_assert_eq(poll(&p, 1, 5000), 1, "the client did not dial");
    int fd = uds_listener_accept(scene->listener);
    cr_assert_geq(fd, 0);
    cr_assert_eq(uds_conn_new(&scene->broker, fd, NULL), 0);
}

static inline void turn(struct scene *scene)
{
    for (int i = 0; i < 4; i++) {
        if (scene->client)
            (void)uds_client_process(scene->client);
        if (scene->broker)
            (void)uds_conn_process(scene->broker);
    }
}

static inline void scene_listen(struct scene *scene)
{
    char text[80];

    (void)snprintf(scene->path, sizeof(scene->path), "/tmp/uds-client-%d", getpid());
    (void)snprintf(text, sizeof(text), "unix:%s", scene->path);
    cr_assert_eq(uds_addr_parse(text, &scene->addr), 0);
    cr_assert_eq(uds_listener_new(&scene->listener, &scene->addr, NULL), 0);
}

static inline void scene_make(struct scene *scene, struct seen *seen)
{
    memset(scene, 0, sizeof(*scene));
    memset(seen, 0, sizeof(*seen));
    scene_listen(scene);
    cr_assert_eq(uds_client_new(&scene->client, &scene->addr, NULL, 0), 0);
    uds_client_set_callbacks(scene->client, &callbacks, seen);
    broker_accept(scene);
    turn(scene);
    cr_assert_eq(seen->connected, 1);
}

static inline void scene_end(struct scene *scene)
{
    scene->client = uds_client_free(scene->client);
    scene->broker = uds_conn_unref(scene->broker);
    scene->listener = uds_listener_free(scene->listener);
}

/* The next frame at the broker, which must be of @type. The caller unrefs it. */
static inline uds_msg *broker_expect(struct scene *scene, enum uds_msg_type type)
{
    uds_msg *msg = NULL;

    for (int i = 0; i < 4; i++) {
        (void)uds_client_process(scene->client);
        (void)uds_conn_process(scene->broker);
        if (uds_conn_receive(scene->broker, &msg) == 1)
            break;
    }
    cr_assert(msg, "no frame of type %d came", (int)type);
    cr_assert_eq(uds_msg_get_type(msg), type, "type %d", (int)uds_msg_get_type(msg));
    return msg;
}

static inline uint64_t broker_expect_id(struct scene *scene, enum uds_msg_type type)
{
    _cleanup_msg_ uds_msg *msg = broker_expect(scene, type);

    return uds_msg_get_id(msg);
}

static inline bool broker_has_frame(struct scene *scene)
{
    _cleanup_msg_ uds_msg *msg = NULL;

    turn(scene);
    return uds_conn_receive(scene->broker, &msg) == 1;
}

struct field {
    uint16_t tag;
    const char *text;
    uint64_t number; /* when text is NULL and wide */
    bool wide;
};

static inline void
broker_send(struct scene *scene, enum uds_msg_type type, uint64_t id, const struct field *fields)
{
    _cleanup_msg_ uds_msg *msg = NULL;

    cr_assert_eq(uds_msg_new(&msg, type, id, "body", 4), 0);
    for (; fields && fields->tag; fields++) {
        int r = fields->text   ? uds_msg_add_string(msg, fields->tag, fields->text)
                : fields->wide ? uds_msg_add_u64(msg, fields->tag, fields->number)
                               : uds_msg_add_u32(msg, fields->tag, (uint32_t)fields->number);
        cr_assert_eq(r, 0);
    }
    cr_assert_eq(uds_conn_send(scene->broker, msg), 0);
    turn(scene);
}

static inline void broker_ack(struct scene *scene, uint64_t id, uint32_t status)
{
    broker_send(scene, UDS_MSG_ACK, id,
                (struct field[]){{UDS_FIELD_STATUS, NULL, status, false}, {0}});
}

/* The broker dies and comes back; the client is not told but by the sockets. */
static inline void broker_restart(struct scene *scene)
{
    scene->broker = uds_conn_unref(scene->broker);
    for (int i = 0; i < 1000 && uds_client_get_fd(scene->client) >= 0; i++)
        (void)uds_client_process(scene->client);
    for (int i = 0; i < 1000; i++) {
        struct pollfd p = {.fd = uds_listener_get_fd(scene->listener), .events = POLLIN};

        (void)uds_client_wait(scene->client, 100);
        if (poll(&p, 1, 0) == 1)
            break;
    }
    broker_accept(scene);
    turn(scene);
}

static inline uint64_t subscribe(struct scene *scene, struct seen *seen, const char *subject)
{
    uint64_t id = 0;

    cr_assert_eq(uds_client_subscribe(scene->client, subject, NULL, on_delivery, on_ack, seen, &id),
                 0);
    return id;
}

#endif
