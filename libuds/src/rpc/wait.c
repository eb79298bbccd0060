/* SPDX-License-Identifier: MIT */
/* The blocking form of a call: the same request, with poll(2) between turns of the same core. */

#include <errno.h>
#include <poll.h>

#include "rpc/rpc.h"

/* The earlier of two poll(2) timeouts, where -1 is never. */
static int earlier(int a, int b)
{
    if (a < 0 || b < 0)
        return a < 0 ? b : a;
    return a < b ? a : b;
}

static int wait_for_socket(uds_rpc *rpc, const uds_conn *conn)
{
    struct pollfd p = {.fd = uds_conn_get_fd(conn), .events = uds_conn_get_events(conn)};
    int timeout = earlier(uds_conn_get_timeout(conn), uds_rpc_get_timeout(rpc));

    return poll(&p, 1, timeout) < 0 && errno != EINTR ? -errno : 0;
}

static int drive(uds_rpc *rpc, uds_conn *conn, const struct udsi_waiter *waiter)
{
    for (;;) {
        int r = uds_conn_process(conn);

        if (!waiter->done)
            uds_rpc_process_timeouts(rpc);
        if (waiter->done)
            return 0;
        if (r < 0)
            return r;
        if (r == 0) {
            r = wait_for_socket(rpc, conn);
            if (r < 0)
                return r;
        }
    }
}

int uds_rpc_request_wait(uds_rpc *rpc,
                         const struct uds_rpc_request *request,
                         struct uds_rpc_reply *ret_reply)
{
    struct udsi_waiter waiter = {.done = false};
    uint64_t id;
    int r = uds_rpc_request(rpc, request, udsi_waiter_on_reply, &waiter, &id);

    if (r < 0)
        return r;

    uds_conn *conn = uds_conn_ref(uds_rpc_get_conn(rpc));
    udsi_rpc_ref(rpc);
    r = drive(rpc, conn, &waiter);
    /* The waiter is on this stack: the call must not outlive it. */
    if (!waiter.done)
        (void)uds_rpc_cancel(rpc, id);
    else if (waiter.ours && waiter.reply.status == UDS_STATUS_CALLEE_LOST)
        r = rpc->close_error < 0 ? rpc->close_error : -ECONNRESET;
    udsi_rpc_unref(rpc);
    (void)uds_conn_unref(conn);
    if (r < 0)
        return r;
    *ret_reply = waiter.reply;
    return 0;
}
