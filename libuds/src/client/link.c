/* SPDX-License-Identifier: MIT */
/*
 * The client's link: how a connection comes up, what is sent on it first, how it goes down, and when the next one is
 * tried.
 *
 * Back-off doubles from 10 ms to 2 s and starts over only after a link that held for a while: a broker that accepts and
 * hangs up at once must not be dialled a hundred times a second. In a sandbox no dialling is needed: a new router sends
 * a fresh connection through the redial end (one record of 1 byte with 1 fd). Several may wait there, after several
 * routers; only the last one leads to a router that lives.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "client/client.h"
#include "clock.h"
#include "conn/conn.h"
#include "socket/io.h"

#define FIRST_BACKOFF_MS 10
#define MAX_BACKOFF_MS   2000
#define STABLE_MS        2000 /* a link that held this long was a good one */

int udsi_link_env_redial(void)
{
    struct uds_addr addr;
    const char *text = secure_getenv("UDS_BROKER_REDIAL");

    if (!text || uds_addr_parse(text, &addr) < 0 || addr.kind != UDS_ADDR_FD)
        return -1;
    return addr.fd;
}

void udsi_link_announce(uds_client *client)
{
    if (client->announced || !client->conn || client->lost || !uds_conn_is_open(client->conn))
        return;
    client->announced = true;
    client->up_since = udsi_now_ms();
    udsi_client_event(client, UDS_CLIENT_CONNECTED, 0, "", NULL);
}

static void receive_ack(uds_client *client, uds_msg *msg)
{
    struct udsi_answer answer;
    uint64_t id = uds_msg_get_id(msg);

    udsi_answer_read(msg, &answer);
    if (!udsi_sub_ack(client, id, &answer, msg))
        udsi_publish_ack(client, id, &answer);
}

static void receive_notice(uds_client *client, uds_msg *msg)
{
    struct udsi_answer answer;

    udsi_answer_read(msg, &answer);
    udsi_client_event(client, UDS_CLIENT_NOTICE, 0, answer.detail, msg);
}

static void on_message(uds_conn *conn, uds_msg *received, void *arg)
{
    uds_client *client = arg;
    _cleanup_msg_ uds_msg *msg = received;

    (void)conn;
    udsi_client_ref(client);
    udsi_link_announce(client);
    if (!client->freed) {
        switch ((int)uds_msg_get_type(msg)) {
        case UDS_MSG_DELIVER:
            udsi_sub_deliver(client, msg);
            break;
        case UDS_MSG_ACK:
            receive_ack(client, msg);
            break;
        case UDS_MSG_NOTICE:
            receive_notice(client, msg);
            break;
        default: /* no word for us: a newer broker's */
            break;
        }
    }
    udsi_client_unref(client);
}

/* Runs after all calls ended. Taking down waits for process(), which is on the stack above us. */
static void on_close(uds_conn *conn, int error, void *arg)
{
    uds_client *client = arg;

    (void)conn;
    client->lost = true;
    client->lost_error = error < 0 ? error : -ECONNRESET;
}

/* A publish whose fds the broker's socket refused. Nobody waits for one without an id, so it is an event. */
static void on_refused(
    uds_conn *conn, enum uds_msg_type type, uint64_t id, uds_msg *payload, int error, void *arg)
{
    uds_client *client = arg;
    struct udsi_answer answer = {.status = error == -ETOOMANYREFS ? UDS_STATUS_UNAVAILABLE
                                                                  : UDS_STATUS_FD_REFUSED,
                                 .detail = "its descriptors could not be sent"};

    (void)conn;
    (void)payload;
    if (type != UDS_MSG_PUBLISH || client->freed)
        return;
    udsi_client_ref(client);
    if (id != 0)
        udsi_publish_ack(client, id, &answer);
    else
        udsi_client_event(client, UDS_CLIENT_NOTICE, error, answer.detail, NULL);
    udsi_client_unref(client);
}

static void on_rearm(uds_conn *conn, void *arg)
{
    (void)conn;
    udsi_client_rearm(arg);
}

int udsi_link_up(uds_client *client, uds_conn *conn)
{
    static const struct uds_conn_callbacks fallback = {.on_message = on_message,
                                                       .on_close = on_close,
                                                       .on_rearm = on_rearm,
                                                       .on_refused = on_refused};
    uds_rpc *rpc;
    int r = uds_rpc_new(&rpc, conn, &fallback, client);

    if (r < 0) {
        (void)uds_conn_unref(conn);
        return r;
    }
    udsi_rpc_set_next_id(rpc, client->next_call_id);
    uds_rpc_set_handler(rpc, udsi_sub_serve, client, 0);
    r = uds_rpc_set_limits(rpc, &client->limits);
    (void)r;
    client->conn = conn;
    client->rpc = rpc;
    client->lost = false;
    client->retry_at = UDSI_DEADLINE_NONE;
    client->generation++;
    udsi_sub_send_all(client);
    return 0;
}

static void schedule(uds_client *client)
{
    client->retry_at = udsi_now_ms() + (uint64_t)client->backoff_ms;
    client->backoff_ms =
        client->backoff_ms * 2 < MAX_BACKOFF_MS ? client->backoff_ms * 2 : MAX_BACKOFF_MS;
}

/* What comes after a lost link, or after an attempt that failed. */
static void plan_next(uds_client *client)
{
    if (client->addr.kind != UDS_ADDR_FD)
        schedule(client);
    else if (client->redial_fd < 0)
        client->final = true;
}

/*
 * One DISCONNECTED for each CONNECTED. A link that ended before the broker had said HELLO was none to the application, but
 * the reason is worth a word: it may be the same for ever.
 */
static void tell_loss(uds_client *client)
{
    const char *detail = client->untold;
    bool was_up = client->announced;

    if (!detail)
        return;
    client->untold = NULL;
    client->announced = false;
    udsi_client_event(client, was_up ? UDS_CLIENT_DISCONNECTED : UDS_CLIENT_NOTICE,
                      client->lost_error, detail, NULL);
}

void udsi_link_down(uds_client *client)
{
    char detail[UDSI_CONN_TEXT_MAX + 64];
    const char *text = uds_conn_get_error_text(client->conn);

    (void)snprintf(detail, sizeof(detail), "%s%s",
                   client->announced ? "" : "the link ended before it was up: ",
                   text[0] != '\0' ? text : strerrordesc_np(-client->lost_error));
    if (client->announced && udsi_now_ms() - client->up_since >= STABLE_MS)
        client->backoff_ms = FIRST_BACKOFF_MS;

    uds_rpc *rpc = UDSI_TAKE(client->rpc);
    uds_conn *conn = UDSI_TAKE(client->conn);
    client->next_call_id = udsi_rpc_get_next_id(rpc);
    client->lost = false;
    client->untold = detail;
    plan_next(client);
    (void)uds_rpc_free(rpc);
    (void)uds_conn_unref(conn);
    udsi_publish_end_all(client, UDS_STATUS_CALLEE_LOST, "the link to the broker was lost");
    tell_loss(client);
    udsi_client_rearm(client);
}

/* The last connection that waits at the redial end; -EAGAIN if none does. */
static int take_redialled(uds_client *client)
{
    _cleanup_close_ int last = -1;

    for (;;) {
        int fd = udsi_recv_fd(client->redial_fd);

        if (fd >= 0) {
            udsi_close(last);
            last = fd;
            continue;
        }
        if (fd == -EPROTO)
            continue; /* not one byte with one fd: nothing that we could use */
        if (fd == -ECONNRESET)
            client->redial_fd = -1; /* nobody is there any more who could send one */
        return last >= 0 ? udsi_take_fd(&last) : fd;
    }
}

static int try_redial(uds_client *client, uds_conn **ret)
{
    _cleanup_close_ int fd = take_redialled(client);

    if (fd < 0)
        return fd;
    int r = uds_conn_new(ret, fd, &client->options);
    if (r == 0)
        (void)udsi_take_fd(&fd);
    return r;
}

void udsi_link_retry(uds_client *client)
{
    uds_conn *conn = NULL;
    int r = -EAGAIN;

    /* A callback of udsi_link_down() waits for something: the loss comes before what follows it. */
    tell_loss(client);
    if (client->freed || client->conn)
        return;
    if (client->redial_fd >= 0)
        r = try_redial(client, &conn);
    if (r < 0 && client->addr.kind != UDS_ADDR_FD) {
        if (udsi_deadline_left(client->retry_at) != 0)
            return;
        r = uds_conn_connect(&conn, &client->addr, &client->options, 0);
    }
    if (r == 0)
        r = udsi_link_up(client, conn);
    if (r < 0)
        plan_next(client);
    udsi_client_rearm(client);
}
