/* SPDX-License-Identifier: MIT */
/* Calls through the broker: those of rpc.h on whatever link there is, with a subject that is checked first. */

#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "client/client.h"
#include "rpc/rpc.h"

int uds_client_request(uds_client *client,
                       const struct uds_rpc_request *request,
                       uds_rpc_reply_fn on_reply,
                       void *arg,
                       uint64_t *ret_id)
{
    if (!request->subject ||
        !uds_subject_is_valid(request->subject, strlen(request->subject), false))
        return -EINVAL;
    return client->rpc ? uds_rpc_request(client->rpc, request, on_reply, arg, ret_id) : -ENOTCONN;
}

int uds_client_request_wait(uds_client *client,
                            const struct uds_rpc_request *request,
                            struct uds_rpc_reply *ret_reply)
{
    struct udsi_waiter waiter = {.done = false};
    uint64_t id;
    int r = uds_client_request(client, request, udsi_waiter_on_reply, &waiter, &id);

    if (r < 0)
        return r;
    udsi_client_ref(client);
    while (!waiter.done && r >= 0)
        r = uds_client_wait(client, -1);
    if (!waiter.done)
        (void)uds_client_cancel(client, id); /* the waiter is on this stack */
    else
        r = waiter.ours && waiter.reply.status == UDS_STATUS_CALLEE_LOST ? -ECONNRESET : 0;
    udsi_client_unref(client);
    if (r < 0)
        return r;
    *ret_reply = waiter.reply;
    return 0;
}

int uds_client_cancel(uds_client *client, uint64_t id)
{
    return client->rpc ? uds_rpc_cancel(client->rpc, id) : -ENOENT;
}

int uds_client_grant(uds_client *client, uint64_t id, uint32_t n)
{
    return client->rpc ? uds_rpc_grant(client->rpc, id, n) : -ENOENT;
}

int uds_client_set_limits(uds_client *client, const struct uds_rpc_limits *limits)
{
    if (limits->size != sizeof(*limits))
        return -EINVAL;
    client->limits = *limits;
    return client->rpc ? uds_rpc_set_limits(client->rpc, limits) : 0;
}
