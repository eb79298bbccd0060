/* SPDX-License-Identifier: MIT */
#ifndef UDSI_CONN_REFUSE_H
#define UDSI_CONN_REFUSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uds/conn.h>

/* A frame that did not go out because of its descriptors, until the application was told. */
struct udsi_refused {
    struct udsi_refused *next;
    uint8_t type;
    uint64_t id;
    uds_msg *payload; /* one reference */
    int error;
};

/* In the order in which they were to be sent. */
struct udsi_refusals {
    struct udsi_refused *first, **last; /* last is NULL while there are none */
    uint64_t total;
};

/* Takes the first frame of the send queue, if it has descriptors that are still to be sent. False if not, or without memory. */
bool udsi_refuse_front(uds_conn *conn, int error);

/* Tells the application of all that were refused. With a reference held, for it may give up its own. */
void udsi_refuse_report(uds_conn *conn);

/* Was @msg refused and not reported? Then it is forgotten, and its error returned; otherwise 0. */
int udsi_refuse_take(uds_conn *conn, const uds_msg *msg);

void udsi_refuse_clear(struct udsi_refusals *refusals);

#endif
