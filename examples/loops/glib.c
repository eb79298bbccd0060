/* SPDX-License-Identifier: MIT */
/*
 * An echo server in GLib's loop: a GSource that drives a connection. glib ADDRESS
 *
 *   prepare    what to wait for: uds_conn_get_events(), uds_conn_get_timeout()
 *   check      is it ready, or the time over?
 *   dispatch   uds_conn_process(): all of the work, callbacks included
 *
 * GLib prepares every source before it polls: what another's callback has queued here is not missed.
 */
#include <errno.h>
#include <glib-unix.h>
#include <signal.h>
#include <unistd.h>

#include <uds/conn.h>
#include <uds/error.h>
#include <uds/listener.h>

struct conn_source {
    GSource source; /* first: GLib allocates the whole */
    uds_conn *conn; /* our reference */
    gpointer fd;    /* GLib's name for the fd, NULL while it is not polled */
};

static gboolean conn_prepare(GSource *source, gint *ret_timeout)
{
    struct conn_source *s = (struct conn_source *)source;
    GIOCondition events =
        (GIOCondition)uds_conn_get_events(s->conn); /* poll(2)'s bits are GLib's */

    if (s->fd)
        g_source_remove_unix_fd(source, s->fd);
    /* With no event wanted the fd must be out: a peer that hung up would wake us again and again. */
    s->fd = events ? g_source_add_unix_fd(source, uds_conn_get_fd(s->conn), events) : NULL;
    *ret_timeout = uds_conn_get_timeout(s->conn);
    return *ret_timeout == 0;
}

static gboolean conn_check(GSource *source)
{
    struct conn_source *s = (struct conn_source *)source;

    return (s->fd && g_source_query_unix_fd(source, s->fd)) || uds_conn_get_timeout(s->conn) == 0;
}

/* Once closed, GLib drops the source, and with it our reference. */
static gboolean conn_dispatch(GSource *source, GSourceFunc unused, gpointer arg)
{
    uds_conn *conn = ((struct conn_source *)source)->conn;

    (void)unused, (void)arg;
    return uds_conn_process(conn) >= 0;
}

static void conn_finalize(GSource *source)
{
    uds_conn_unref(((struct conn_source *)source)->conn);
}

static void on_message(uds_conn *conn, uds_msg *msg, void *arg)
{
    (void)arg;
    if (uds_conn_send(conn, msg) == -ENOBUFS) /* sends, and does not read */
        uds_conn_shutdown(conn, UDS_STATUS_SLOW_CONSUMER, "read what was sent to you");
    uds_msg_unref(msg);
}

static gboolean on_waiting(gint unused, GIOCondition condition, gpointer listener)
{
    static const struct uds_conn_callbacks callbacks = {.on_message = on_message};
    static GSourceFuncs functions = {.prepare = conn_prepare,
                                     .check = conn_check,
                                     .dispatch = conn_dispatch,
                                     .finalize = conn_finalize};
    uds_conn *conn = NULL;
    int fd = uds_listener_accept(listener), r = fd < 0 ? fd : uds_conn_new(&conn, fd, NULL);

    (void)unused, (void)condition;
    if (r < 0) {
        if (fd >= 0)
            close(fd);
        g_printerr("accept: %s\n", g_strerror(-r));
        return r == -EAGAIN || r == -ECONNABORTED; /* it is gone again; else we accept no more */
    }
    uds_conn_set_callbacks(conn, &callbacks, NULL);
    GSource *source = g_source_new(&functions, sizeof(struct conn_source));
    ((struct conn_source *)source)->conn = conn;
    g_source_attach(source, NULL);
    g_source_unref(source); /* the loop has it */
    return G_SOURCE_CONTINUE;
}

static gboolean on_signal(gpointer loop)
{
    g_main_loop_quit(loop);
    return G_SOURCE_REMOVE;
}

int main(int argc, char **argv)
{
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    uds_listener *listener = NULL;
    struct uds_addr addr;
    int r = argc == 2 ? uds_addr_parse(argv[1], &addr) : -EINVAL;

    if (r == 0)
        r = uds_listener_new(&listener, &addr, NULL);
    if (r < 0) {
        g_printerr("glib: %s: %s\n", argc == 2 ? argv[1] : "one address", g_strerror(-r));
        return 1;
    }
    g_unix_fd_add(uds_listener_get_fd(listener), G_IO_IN, on_waiting, listener);
    g_unix_signal_add(SIGTERM, on_signal, loop);
    g_print("listening on %s\n", argv[1]);
    g_main_loop_run(loop);
    uds_listener_free(listener); /* takes the socket's file with it */
    return 0;
}
