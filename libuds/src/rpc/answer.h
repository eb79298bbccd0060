/* SPDX-License-Identifier: MIT */
#ifndef UDSI_RPC_ANSWER_H
#define UDSI_RPC_ANSWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uds/msg.h>
#include <uds/rpc.h>

#define UDSI_NAME_MAX   255  /* subject, method, sender, queue */
#define UDSI_DETAIL_MAX 1024 /* longer ones are cut */
#define UDSI_RULE_MAX   255

/* Words of a peer for people: cut to fit, control characters replaced by '?', "" when absent. */
void udsi_text_get(const uds_msg *msg, uint16_t tag, char *buf, size_t size);

/* Words of ours for people, as a field; cut to UDSI_DETAIL_MAX. */
int udsi_text_add(uds_msg *msg, uint16_t tag, const char *text);

/* Is every field without bit 15 one of @known (ended by 0)? */
bool udsi_text_fields_known(const uds_msg *msg, const uint16_t *known);

/* What a REPLY, an ACK or a NOTICE says. */
struct udsi_answer {
    uint32_t status;
    uint64_t value;
    char detail[UDSI_DETAIL_MAX + 1];
    char rule[UDSI_RULE_MAX + 1];
};

/* Never fails: an answer that cannot be understood is INTERNAL with a detail that says why. */
void udsi_answer_read(const uds_msg *msg, struct udsi_answer *ret);

/* A blocking caller's copy of the reply. */
struct udsi_waiter {
    bool done;
    bool ours; /* the status came from this process: no message stands behind it */
    struct uds_rpc_reply reply;
};

/* uds_rpc_reply_fn; @arg is the waiter. Its strings live as long as its message. */
void udsi_waiter_on_reply(const struct uds_rpc_reply *reply, void *arg);

#endif
