/* SPDX-License-Identifier: MIT */
/*
 * A client of the broker: its life and its loop.
 *
 *   CONNECTED ── link lost ──▶ waiting (back-off, or for the redial end) ──▶ CONNECTED …
 *                                  └──▶ final: an fd: link without a redial end does not come back
 *
 * The application sees one object that survives its connections. process() is the only place where a connection is taken
 * down or made, so that nothing disappears under a function that merely sends.
 */

#include "client/client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/socket.h>

#include "cleanup.h"

#define FIRST_BACKOFF_MS 10
#define MAX_BACKOFF_MS   2000

void uds_client_set_loop_hook(uds_client *client,
                              void (*hook)(uds_client *client, void *arg),
                              void *arg)
{
    client->loop_hook = hook;
    client->loop_arg = arg;
}

void udsi_client_ref(uds_client *client)
{
    client->refs++;
}

void udsi_client_unref(uds_client *client)
{
    if (--client->refs > 0)
        return;
    udsi_ids_deinit(&client->subs);
    udsi_ids_deinit(&client->publishes);
    free(client);
}

void udsi_client_rearm(uds_client *client)
{
    if (client->freed)
        return;
    udsi_client_ref(client);
    if (client->loop_hook)
        client->loop_hook(client, client->loop_arg);
    if (!client->freed && client->callbacks.on_rearm)
        client->callbacks.on_rearm(client, client->arg);
    udsi_client_unref(client);
}

void udsi_client_event(
    uds_client *client, enum uds_client_event event, int error, const char *detail, uds_msg *notice)
{
    if (!client->freed && client->callbacks.on_event)
        client->callbacks.on_event(client, event, error, detail, notice, client->arg);
}

/* Is this a reason to try again, or will it be the same next time? */
static bool is_transient(int r)
{
    return r == -ECONNREFUSED || r == -ENOENT || r == -EAGAIN || r == -ETIMEDOUT;
}

static int connect_first(const uds_client *client, int timeout_ms, uds_conn **ret)
{
    uint64_t deadline = udsi_deadline_after(timeout_ms);

    for (int wait_ms = FIRST_BACKOFF_MS;;) {
        int left = udsi_deadline_left(deadline);
        int r = uds_conn_connect(ret, &client->addr, &client->options, left);

        if (!is_transient(r) || timeout_ms == 0)
            return r;
        left = udsi_deadline_left(deadline);
        if (left == 0)
            return r;
        (void)poll(NULL, 0, left > 0 && left < wait_ms ? left : wait_ms);
        wait_ms = wait_ms * 2 < MAX_BACKOFF_MS ? wait_ms * 2 : MAX_BACKOFF_MS;
    }
}

/* Where to, and what to do when it is lost. */
static int choose_address(uds_client *client, const struct uds_addr *addr)
{
    if (addr) {
        client->addr = *addr;
        return 0;
    }
    int r = uds_addr_default(&client->addr);
    if (r < 0)
        return r;
    client->redial_fd = udsi_link_env_redial();
    /* What the environment names is for us; our children shall not hold our link open. */
    if (client->redial_fd >= 0)
        (void)fcntl(client->redial_fd, F_SETFD, FD_CLOEXEC);
    if (client->addr.kind == UDS_ADDR_FD)
        (void)fcntl(client->addr.fd, F_SETFD, FD_CLOEXEC);
    return 0;
}

int uds_client_new(uds_client **ret,
                   const struct uds_addr *addr,
                   const struct uds_conn_options *options,
                   int timeout_ms)
{
    static const struct uds_conn_options defaults = UDS_CONN_OPTIONS_INIT;
    _cleanup_free_ uds_client *client = calloc(1, sizeof(*client));
    uds_conn *conn;

    if (!client)
        return -ENOMEM;
    client->refs = 1;
    client->owner = getpid();
    client->options = options ? *options : defaults;
    client->redial_fd = -1;
    client->retry_at = UDSI_DEADLINE_NONE;
    client->backoff_ms = FIRST_BACKOFF_MS;
    client->next_id = client->next_call_id = 1;
    client->limits = (struct uds_rpc_limits)UDS_RPC_LIMITS_INIT;
    int r = choose_address(client, addr);
    if (r < 0)
        return r;
    r = connect_first(client, timeout_ms, &conn);
    if (r < 0)
        return r;
    r = udsi_link_up(client, conn);
    if (r < 0)
        return r;
    *ret = UDSI_TAKE(client);
    return 0;
}

uds_client *uds_client_free(uds_client *client)
{
    if (!client || client->freed)
        return NULL;
    client->freed = true;
    uds_conn *conn = UDSI_TAKE(client->conn);
    uds_rpc *rpc = UDSI_TAKE(client->rpc);
    client->redial_fd = -1;
    /* A loop that polls our fd must let go of it before it is closed. */
    if (client->loop_hook)
        client->loop_hook(client, client->loop_arg);
    if (conn && client->owner == getpid()) {
        (void)uds_conn_flush(conn);
        /* An inherited socket stays open under its number in this process; the broker shall see the end all the same. */
        if (client->addr.kind == UDS_ADDR_FD && uds_conn_get_fd(conn) >= 0)
            (void)shutdown(uds_conn_get_fd(conn), SHUT_RDWR);
    }
    (void)uds_rpc_free(rpc);
    (void)uds_conn_unref(conn);
    udsi_publish_end_all(client, UDS_STATUS_CANCELLED, "the client was closed");
    udsi_sub_free_all(client);
    udsi_client_unref(client);
    return NULL;
}

void uds_client_set_callbacks(uds_client *client,
                              const struct uds_client_callbacks *callbacks,
                              void *arg)
{
    static const struct uds_client_callbacks none;

    client->callbacks = callbacks ? *callbacks : none;
    client->arg = arg;
}

int uds_client_get_fd(const uds_client *client)
{
    if (client->conn)
        return uds_conn_get_fd(client->conn);
    return client->final ? -1 : client->redial_fd;
}

short uds_client_get_events(const uds_client *client)
{
    return client->conn ? uds_conn_get_events(client->conn) : POLLIN;
}

static int earlier(int a, int b)
{
    if (a < 0 || b < 0)
        return a < 0 ? b : a;
    return a < b ? a : b;
}

int uds_client_get_timeout(const uds_client *client)
{
    if (client->final)
        return -1;
    if (!client->conn)
        return udsi_deadline_left(client->retry_at);
    if (client->lost || client->more)
        return 0;
    return earlier(uds_conn_get_timeout(client->conn), uds_rpc_get_timeout(client->rpc));
}

static int process_link(uds_client *client)
{
    uds_conn *conn = uds_conn_ref(client->conn);
    int r = uds_conn_process(conn);

    /* A callback may have freed the client, or waited for something and so run process() inside this one. */
    if (!client->freed && client->conn == conn) {
        uds_rpc_process_timeouts(client->rpc);
        udsi_link_announce(client);
    }
    if (!client->freed && client->conn == conn && (client->lost || r < 0)) {
        if (!client->lost)
            client->lost_error = r;
        udsi_link_down(client);
        r = 1;
    }
    (void)uds_conn_unref(conn);
    return r < 0 ? 1 : r;
}

int uds_client_process(uds_client *client)
{
    int r = 0;

    if (client->final)
        return -ECONNRESET;
    udsi_client_ref(client);
    client->more = false;
    if (!client->conn)
        udsi_link_retry(client);
    if (client->conn && !client->freed)
        r = process_link(client);
    if (client->freed || client->final)
        r = 0;
    client->more = r > 0;
    udsi_client_unref(client);
    return r;
}

int uds_client_wait(uds_client *client, int timeout_ms)
{
    if (client->final)
        return -ECONNRESET;

    if (client->conn)
        (void)uds_conn_flush(client->conn);

    int own = uds_client_get_timeout(client);
    int timeout = earlier(own, timeout_ms);
    struct pollfd p = {.fd = uds_client_get_fd(client), .events = uds_client_get_events(client)};
    int n = poll(&p, 1, timeout);

    if (n < 0 && errno != EINTR)
        return -errno;
    if (n <= 0 && (own < 0 || (timeout_ms >= 0 && timeout_ms < own)))
        return 0;
    int r = uds_client_process(client);
    return r < 0 ? r : 1;
}

int uds_client_flush(uds_client *client, int timeout_ms)
{
    uint64_t deadline = udsi_deadline_after(timeout_ms);
    unsigned generation = client->generation;

    udsi_client_ref(client);
    int r;
    for (;;) {
        r = -ENOTCONN;
        if (client->freed || !client->conn || client->generation != generation)
            break;
        r = 0;
        if (uds_conn_flush(client->conn) == 0 || uds_conn_get_queued_bytes(client->conn) == 0)
            break;
        r = -ETIMEDOUT;
        if (udsi_deadline_left(deadline) == 0)
            break;
        r = uds_client_wait(client, udsi_deadline_left(deadline));
        if (r < 0)
            break;
    }
    udsi_client_unref(client);
    return r == -ECONNRESET ? -ENOTCONN : r;
}
