/* SPDX-License-Identifier: MIT */

/*
 * Frames that cannot go out because of their descriptors.
 *
 * A peer that said MAX_FDS in HELLO may still have its kernel refuse descriptors (SO_PASSRIGHTS, which any holder of its
 * socket can change at any time): sendmsg is EPERM then, and nothing of the frame has gone. That is no reason to end a
 * connection on which everything else works. The frame is taken out of the queue and given back to the application by
 * process(), with the reason; what stood behind it goes on in its order.
 *
 * While one waits to be given back no other frame with descriptors is accepted, so the list is never longer than what the
 * bounded queue held when the first was refused.
 */

#include "conn/refuse.h"

#include <errno.h>
#include <stdlib.h>

#include "cleanup.h"
#include "conn/conn.h"

static void push(struct udsi_refusals *refusals, struct udsi_refused *refused)
{
    if (!refusals->last)
        refusals->last = &refusals->first;
    *refusals->last = refused;
    refusals->last = &refused->next;
    refusals->total++;
}

static struct udsi_refused *pop(struct udsi_refusals *refusals)
{
    struct udsi_refused *refused = refusals->first;

    refusals->first = refused->next;
    if (!refusals->first)
        refusals->last = NULL;
    return refused;
}

/* @out leaves the queue, for which the caller cares. False: no memory, it stays. */
static bool refuse(uds_conn *conn, const struct udsi_out *out, int error)
{
    struct udsi_refused *refused = calloc(1, sizeof(*refused));

    if (!refused)
        return false;
    refused->error = error;
    udsi_out_get_id(out, &refused->type, &refused->id);
    if (out->in_arena)
        udsi_arena_unsend(conn, out);
    refused->payload = uds_msg_ref(out->payload);
    push(&conn->refused, refused);
    return true;
}

struct refusal {
    uds_conn *conn;
    uint64_t id;
    int error;
    bool failed;
};

static bool refuse_if_part(const struct udsi_out *out, void *arg)
{
    struct refusal *refusal = arg;
    uint8_t type;
    uint64_t id;

    udsi_out_get_id(out, &type, &id);
    if (refusal->failed || id != refusal->id || (type != UDS_MSG_PART && type != UDS_MSG_REPLY))
        return false;
    refusal->failed = !refuse(refusal->conn, out, refusal->error);
    return !refusal->failed;
}

bool udsi_refuse_front(uds_conn *conn, int error)
{
    struct refusal refusal = {.conn = conn, .error = error};
    uint8_t type;

    if (!udsi_sendq_begins_with_fds(&conn->out) ||
        !refuse(conn, udsi_sendq_at(&conn->out, 0), error))
        return false;
    udsi_out_get_id(udsi_sendq_at(&conn->out, 0), &type, &refusal.id);
    udsi_sendq_drop_first(&conn->out);
    /* An answer in parts is whole or it is none: what is queued of it behind the part does not go out either. */
    if (type == UDS_MSG_PART)
        udsi_sendq_sift(&conn->out, refuse_if_part, &refusal);
    return !refusal.failed;
}

void udsi_refuse_report(uds_conn *conn)
{
    while (conn->refused.first && conn->refs > 1) {
        _cleanup_free_ struct udsi_refused *refused = pop(&conn->refused);
        _cleanup_msg_ uds_msg *payload = refused->payload;

        if (conn->callbacks.on_refused)
            conn->callbacks.on_refused(conn, (enum uds_msg_type)refused->type, refused->id, payload,
                                       refused->error, conn->arg);
    }
}

int udsi_refuse_take(uds_conn *conn, const uds_msg *msg)
{
    struct udsi_refusals *refusals = &conn->refused;

    for (struct udsi_refused **at = &refusals->first; *at; at = &(*at)->next) {
        struct udsi_refused *refused = *at;
        int error = refused->error;

        if (refused->payload != msg)
            continue;
        *at = refused->next;
        if (!refused->next)
            refusals->last = refusals->first ? at : NULL;
        (void)uds_msg_unref(refused->payload);
        free(refused);
        return error;
    }
    return 0;
}

void udsi_refuse_clear(struct udsi_refusals *refusals)
{
    while (refusals->first) {
        struct udsi_refused *refused = pop(refusals);

        (void)uds_msg_unref(refused->payload);
        free(refused);
    }
}

uint64_t uds_conn_get_refused_count(const uds_conn *conn)
{
    return conn->refused.total;
}

uint64_t uds_conn_get_refused_fds(const uds_conn *conn)
{
    return conn->in.refused_fds;
}
