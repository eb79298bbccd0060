/* SPDX-License-Identifier: MIT */
#ifndef UDSI_CLIENT_CLIENT_H
#define UDSI_CLIENT_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include <uds/client.h>
#include <uds/error.h>

#include "rpc/answer.h"
#include "rpc/deadline.h"
#include "rpc/ids.h"
#include "rpc/rpc.h"

/* A subscription or a service: what is sent again after every reconnect. */
struct udsi_sub {
    struct udsi_id id; /* first: the table hands out this */
    unsigned refs;     /* the table's, and one while its callback runs */
    bool serve;
    bool acked; /* the application knows that it was accepted once */
    char *subject, *queue;
    uds_delivery_fn on_delivery;
    uds_rpc_handler_fn handler;
    uds_ack_fn on_ack;
    void *arg;
};

/* A confirmed publish that waits for its ACK. */
struct udsi_publish {
    struct udsi_id id; /* first, as above */
    uds_ack_fn on_ack;
    void *arg;
};

/*
 * I1  rpc and conn are both set or both NULL
 * I2  while conn is NULL: retry_at says when to dial, or UDSI_DEADLINE_NONE; final: nothing will bring a connection back
 * I3  publishes is empty while conn is NULL
 * I4  announced alternates: CONNECTED sets it, DISCONNECTED clears it, and neither is told twice in a row
 * I5  freed: conn, subs and publishes are gone, and only functions that are still running hold references
 */
struct uds_client {
    unsigned refs;
    bool freed;
    pid_t owner; /* who made it: a child of a fork(2) sends nothing when it frees its copy */
    struct uds_client_callbacks callbacks;
    void *arg;
    void (*loop_hook)(uds_client *client, void *arg);
    void *loop_arg;

    struct uds_addr addr;
    struct uds_conn_options options;
    int redial_fd; /* borrowed from the environment; -1 none */

    uds_conn *conn;
    uds_rpc *rpc;
    bool announced; /* CONNECTED was told, and the loss of that connection was not yet */
    bool lost;      /* it is over, and still to be taken down */
    bool more;      /* process() wants to be called again at once */
    bool final;
    int lost_error; /* -errno */
    /* why it was lost, while its callers hear of it and before the application does; else NULL */
    const char *untold;
    unsigned generation; /* of the connection */
    uint64_t up_since, retry_at;
    int backoff_ms;

    uint64_t next_id;      /* of subscriptions and publishes: one space, as their ACKs share one */
    uint64_t next_call_id; /* goes on over reconnects */
    struct udsi_ids subs, publishes;
    struct uds_rpc_limits limits; /* of every rpc that it makes */
};

void udsi_client_ref(uds_client *client);
void udsi_client_unref(uds_client *client);
void udsi_client_rearm(uds_client *client);
void udsi_client_event(uds_client *client,
                       enum uds_client_event event,
                       int error,
                       const char *detail,
                       uds_msg *notice);

/* link.c: the connection's coming and going. */
int udsi_link_up(uds_client *client, uds_conn *conn); /* takes the reference in any case */
void udsi_link_down(uds_client *client);
void udsi_link_retry(uds_client *client); /* dials, if it is time to */
void udsi_link_announce(uds_client *client);
int udsi_link_env_redial(void); /* $UDS_BROKER_REDIAL as a number, -1 none */

/* subscription.c */
void udsi_sub_send_all(uds_client *client);
bool udsi_sub_ack(uds_client *client, uint64_t id, const struct udsi_answer *answer, uds_msg *msg);
void udsi_sub_deliver(uds_client *client, uds_msg *msg);
void udsi_sub_serve(uds_rpc_call *call, void *client);
void udsi_sub_free_all(uds_client *client);

/* publish.c */
void udsi_publish_ack(uds_client *client, uint64_t id, const struct udsi_answer *answer);
void udsi_publish_end_all(uds_client *client, enum uds_status status, const char *detail);

#endif
