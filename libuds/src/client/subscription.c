/* SPDX-License-Identifier: MIT */
/*
 * Subscriptions and services: a table by id, written to the broker now and again after every reconnect, and what comes
 * back for them.
 *
 * One that the broker refused stays in the table until it is unsubscribed and is asked for again on the next link:
 * policy may have changed. A refusal is never silent: on_ack gets it, or without one an on_event.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "client/client.h"
#include "rpc/rpc.h"

#define MODE_SERVE 1u

static struct udsi_sub *find_sub(uds_client *client, uint64_t id)
{
    return udsi_ids_find(&client->subs, id);
}

static void sub_unref(struct udsi_sub *sub)
{
    if (!sub || --sub->refs > 0)
        return;
    free(sub->subject);
    free(sub->queue);
    free(sub);
}

static void sub_unrefp(struct udsi_sub **sub)
{
    sub_unref(*sub);
}

#define _cleanup_sub_ UDSI_CLEANUP(sub_unrefp)

static int send_sub(uds_client *client, const struct udsi_sub *sub)
{
    _cleanup_msg_ uds_msg *msg = NULL;
    int r = uds_msg_new(&msg, UDS_MSG_SUBSCRIBE, sub->id.id, NULL, 0);

    if (r == 0)
        r = uds_msg_add_string(msg, UDS_FIELD_SUBJECT, sub->subject);
    if (r == 0 && sub->queue)
        r = uds_msg_add_string(msg, UDS_FIELD_QUEUE, sub->queue);
    if (r == 0 && sub->serve)
        r = uds_msg_add_u32(msg, UDS_FIELD_MODE, MODE_SERVE);
    return r < 0 ? r : uds_conn_send(client->conn, msg);
}

static void tell(uds_client *client, const struct udsi_sub *sub, const char *why, uds_msg *notice)
{
    char detail[2 * UDSI_NAME_MAX + UDSI_DETAIL_MAX];

    (void)snprintf(detail, sizeof(detail), "%s \"%s\" failed: %s",
                   sub->serve ? "serving" : "subscribing to", sub->subject, why);
    udsi_client_event(client, UDS_CLIENT_NOTICE, 0, detail, notice);
}

void udsi_sub_send_all(uds_client *client)
{
    for (struct udsi_id *item = client->subs.first; item; item = item->next) {
        const struct udsi_sub *sub = (const struct udsi_sub *)item;
        int r = send_sub(client, sub);

        if (r == 0)
            continue;
        /* The queue is full of subscriptions alone. A callback could change the table under us: say it once. */
        tell(client, sub, strerrordesc_np(-r), NULL);
        return;
    }
}

/* Takes the strings and the callbacks over into the table and tells the broker, if there is one now. */
static int add_sub(uds_client *client, struct udsi_sub *template, uint64_t *ret_id)
{
    _cleanup_sub_ struct udsi_sub *sub = calloc(1, sizeof(*sub));

    if (!sub)
        return -ENOMEM;
    *sub = *template;
    sub->refs = 1;
    sub->id.id = client->next_id;
    sub->subject = strdup(template->subject);
    sub->queue = template->queue ? strdup(template->queue) : NULL;
    if (!sub->subject || (template->queue && !sub->queue))
        return -ENOMEM;
    if (client->conn) {
        int r = send_sub(client, sub);
        /* A link that is about to be taken down: the next one gets it. */
        if (r < 0 && r != -ENOTCONN)
            return r;
    }
    int r = udsi_ids_add(&client->subs, &sub->id);
    if (r < 0)
        return r;
    client->next_id++;
    if (ret_id)
        *ret_id = sub->id.id;
    (void)UDSI_TAKE(sub);
    return 0;
}

int uds_client_subscribe(uds_client *client,
                         const char *subject,
                         const char *queue,
                         uds_delivery_fn on_delivery,
                         uds_ack_fn on_ack,
                         void *arg,
                         uint64_t *ret_id)
{
    struct udsi_sub sub = {.on_delivery = on_delivery, .on_ack = on_ack, .arg = arg};

    if (client->final)
        return -ENOTCONN;
    if (!uds_subject_is_valid(subject, strlen(subject), true) ||
        (queue && !uds_subject_is_valid(queue, strlen(queue), false)))
        return -EINVAL;
    char subject_copy[UDSI_NAME_MAX + 1], queue_copy[UDSI_NAME_MAX + 1];
    sub.subject = strcpy(subject_copy, subject);
    sub.queue = queue ? strcpy(queue_copy, queue) : NULL;
    return add_sub(client, &sub, ret_id);
}

int uds_client_serve(uds_client *client,
                     const char *subject,
                     uds_rpc_handler_fn handler,
                     uds_ack_fn on_ack,
                     void *arg,
                     uint64_t *ret_id)
{
    struct udsi_sub sub = {.serve = true, .handler = handler, .on_ack = on_ack, .arg = arg};
    char subject_copy[UDSI_NAME_MAX + 1];

    if (client->final)
        return -ENOTCONN;
    if (!uds_subject_is_valid(subject, strlen(subject), true))
        return -EINVAL;
    sub.subject = strcpy(subject_copy, subject);
    return add_sub(client, &sub, ret_id);
}

int uds_client_unsubscribe(uds_client *client, uint64_t id)
{
    struct udsi_sub *sub = find_sub(client, id);
    _cleanup_msg_ uds_msg *msg = NULL;
    int r = 0;

    if (!sub)
        return -ENOENT;
    udsi_ids_remove(&client->subs, &sub->id);
    sub_unref(sub);
    if (client->conn) {
        r = uds_msg_new(&msg, UDS_MSG_UNSUBSCRIBE, id, NULL, 0);
        if (r == 0)
            r = uds_conn_send(client->conn, msg);
    }
    return r == -ENOTCONN ? 0 : r; /* without a link the broker has forgotten it anyway */
}

bool udsi_sub_ack(uds_client *client, uint64_t id, const struct udsi_answer *answer, uds_msg *msg)
{
    _cleanup_sub_ struct udsi_sub *sub = find_sub(client, id);
    bool ok = answer->status == UDS_STATUS_OK;

    if (!sub)
        return false;
    sub->refs++;
    bool known = sub->acked;
    sub->acked = sub->acked || ok;
    if (sub->on_ack && (!ok || !known)) {
        sub->on_ack(client, answer->status, answer->detail, answer->rule, sub->arg);
    } else if (!ok) {
        tell(client, sub,
             answer->detail[0] != '\0' ? answer->detail : uds_status_name(answer->status), msg);
    }
    return true;
}

void udsi_sub_deliver(uds_client *client, uds_msg *msg)
{
    static const uint16_t known[] = {UDS_FIELD_SUBJECT, UDS_FIELD_SENDER, UDS_FIELD_SEQUENCE,
                                     UDS_FIELD_DROPPED, UDS_FIELD_HEADER, 0};
    char subject[UDSI_NAME_MAX + 1], sender[UDSI_NAME_MAX + 1];
    struct uds_delivery delivery = {.subject = subject, .sender = sender, .msg = msg};
    _cleanup_sub_ struct udsi_sub *sub = find_sub(client, uds_msg_get_id(msg));

    if (sub)
        sub->refs++;
    if (!sub || sub->serve)
        return; /* unsubscribed while it was on its way */
    sender[0] = '\0';
    if (!udsi_text_fields_known(msg, known) ||
        uds_msg_get_string(msg, UDS_FIELD_SUBJECT, subject, sizeof(subject)) < 0 ||
        uds_msg_get_u64(msg, UDS_FIELD_SEQUENCE, &delivery.sequence) == -EBADMSG ||
        uds_msg_get_u64(msg, UDS_FIELD_DROPPED, &delivery.dropped) == -EBADMSG) {
        tell(client, sub, "a delivery could not be understood and was dropped", msg);
        return;
    }
    udsi_text_get(msg, UDS_FIELD_SENDER, sender, sizeof(sender));
    sub->on_delivery(client, &delivery, sub->arg);
}

void udsi_sub_serve(uds_rpc_call *call, void *arg)
{
    uds_client *client = arg;
    _cleanup_sub_ struct udsi_sub *sub = find_sub(client, uds_rpc_call_get_subscription(call));

    if (sub)
        sub->refs++;
    if (!sub || !sub->serve) {
        /* Not NO_RESPONDERS: whether others serve it is the broker's to say. */
        (void)uds_rpc_call_fail(call, UDS_STATUS_UNAVAILABLE, 0,
                                "the service was withdrawn while the request was on its way");
        return;
    }
    udsi_client_ref(client);
    sub->handler(call, sub->arg);
    udsi_client_unref(client);
}

void udsi_sub_free_all(uds_client *client)
{
    while (client->subs.first) {
        struct udsi_sub *sub = (struct udsi_sub *)client->subs.first;

        udsi_ids_remove(&client->subs, &sub->id);
        sub_unref(sub);
    }
}
