/* SPDX-License-Identifier: MIT */
/*
 * Publishing: PUBLISH frames, and a table of those whose ACK somebody waits for. As with calls, an entry leaves the table
 * before its on_ack runs, which it does exactly once: by the ACK, the loss of the link, or the end of the client.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "client/client.h"
#include "conn/header.h"

static int build(uds_msg **ret, uint64_t id, const struct uds_publish *publish)
{
    _cleanup_msg_ uds_msg *msg = NULL;
    int r = uds_msg_new(&msg, UDS_MSG_PUBLISH, id, publish->body, publish->body_len);

    if (r == 0)
        r = uds_msg_add_string(msg, UDS_FIELD_SUBJECT, publish->subject);
    if (r == 0)
        r = udsi_headers_add(msg, publish->headers);
    for (size_t i = 0; r == 0 && i < publish->nfds; i++)
        r = uds_msg_push_dup_fd(msg, publish->fds[i]);
    if (r < 0)
        return r;
    *ret = UDSI_TAKE(msg);
    return 0;
}

static int publish(
    uds_client *client, const struct uds_publish *p, uds_ack_fn on_ack, void *arg, uint64_t *ret_id)
{
    _cleanup_msg_ uds_msg *msg = NULL;
    _cleanup_free_ struct udsi_publish *entry = NULL;

    if (p->size != sizeof(*p) || !p->subject ||
        !uds_subject_is_valid(p->subject, strlen(p->subject), false))
        return -EINVAL;
    if (!client->conn)
        return -ENOTCONN;
    uint64_t id = on_ack ? client->next_id : 0;
    int r = build(&msg, id, p);
    if (r < 0)
        return r;
    if (!on_ack)
        return uds_conn_send(client->conn, msg);

    entry = calloc(1, sizeof(*entry));
    if (!entry)
        return -ENOMEM;
    *entry = (struct udsi_publish){.id.id = id, .on_ack = on_ack, .arg = arg};
    r = udsi_ids_add(&client->publishes, &entry->id);
    if (r < 0)
        return r;
    r = uds_conn_send(client->conn, msg);
    if (r < 0) {
        udsi_ids_remove(&client->publishes, &entry->id);
        return r;
    }
    client->next_id++;
    *ret_id = id;
    (void)UDSI_TAKE(entry);
    return 0;
}

int uds_client_publish(uds_client *client,
                       const struct uds_publish *p,
                       uds_ack_fn on_ack,
                       void *arg)
{
    uint64_t id;

    return publish(client, p, on_ack, arg, &id);
}

static struct udsi_publish *take_entry(uds_client *client, uint64_t id)
{
    struct udsi_publish *entry = udsi_ids_find(&client->publishes, id);

    if (entry)
        udsi_ids_remove(&client->publishes, &entry->id);
    return entry;
}

void udsi_publish_ack(uds_client *client, uint64_t id, const struct udsi_answer *answer)
{
    _cleanup_free_ struct udsi_publish *entry = take_entry(client, id);

    if (entry)
        entry->on_ack(client, answer->status, answer->detail, answer->rule, entry->arg);
}

void udsi_publish_end_all(uds_client *client, enum uds_status status, const char *detail)
{
    /* Without a link none can be added, so this ends. */
    while (client->publishes.first) {
        _cleanup_free_ struct udsi_publish *entry = take_entry(client, client->publishes.first->id);

        if (!entry)
            return;
        entry->on_ack(client, status, detail, "", entry->arg);
    }
}

struct waiter {
    bool done;
    unsigned generation; /* of the link, when the answer came */
    uint32_t status;
    char *detail;
    size_t size;
};

static void
waiter_on_ack(uds_client *client, uint32_t status, const char *detail, const char *rule, void *arg)
{
    struct waiter *waiter = arg;

    (void)rule;
    waiter->done = true;
    waiter->status = status;
    waiter->generation = client->conn ? client->generation : 0;
    if (waiter->detail && waiter->size > 0)
        (void)snprintf(waiter->detail, waiter->size, "%s", detail);
}

int uds_client_publish_wait(uds_client *client,
                            const struct uds_publish *p,
                            int timeout_ms,
                            uint32_t *ret_status,
                            char *ret_detail,
                            size_t size)
{
    struct waiter waiter = {.detail = ret_detail, .size = size};
    uint64_t deadline = udsi_deadline_after(timeout_ms);
    uint64_t id;
    int r = publish(client, p, waiter_on_ack, &waiter, &id);

    if (r < 0)
        return r;
    unsigned generation = client->generation;
    udsi_client_ref(client);
    while (!waiter.done && r >= 0) {
        int left = udsi_deadline_left(deadline);

        r = left == 0 ? -ETIMEDOUT : uds_client_wait(client, left);
    }
    if (!waiter.done)
        free(take_entry(client, id)); /* the waiter is on this stack: no ACK may find it later */
    else
        r = waiter.generation == generation ? 0 : -ECONNRESET;
    udsi_client_unref(client);
    if (r == 0)
        *ret_status = waiter.status;
    return r;
}
