/* SPDX-License-Identifier: MIT */
#ifndef UDS_TEST_PAIR_H
#define UDS_TEST_PAIR_H

#include <uds/conn.h>

/* Two connections of ours that are each other's peer, in one process, and what is sent between them. */

/* Both, after their HELLOs. @options: of both, may be NULL. */
void pair_open(uds_conn **ret_a, uds_conn **ret_b, const struct uds_conn_options *options);

/* A MESSAGE of @len bytes that are all the letter of @id. */
uds_msg *pair_msg(uint64_t id, size_t len);

/* Queues one. */
void pair_send(uds_conn *conn, uint64_t id, size_t len);

/* Runs until @conn is closed or has nothing to do, checking its invariants after each step. Returns what process() said last. */
int pair_run(uds_conn *conn);

#endif
