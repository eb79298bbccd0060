/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_SEND_H
#define ROUTER_SEND_H

#include <stdbool.h>
#include <stdint.h>

#include <uds/msg.h>

#include "head.h"

struct account;
struct peer;

/**
 * peer_forward() - queue a frame for a peer, on @sender's account (NULL: its own)
 * -ENOBUFS its queue is full; -EDQUOT the sender's share of it is; -EMSGSIZE, -E2BIG more than it takes; -ENOTCONN; -ENOMEM.
 */
int peer_forward(struct peer *peer,
                 struct account *sender,
                 enum uds_msg_type type,
                 uint64_t id,
                 const struct head_out *head,
                 uds_msg *payload,
                 bool with_fds);

/* Between send.c and waiting.c: a frame, of which nothing is taken over, and whose account it stands on. */
struct frame {
    struct account *sender;
    enum uds_msg_type type;
    uint64_t id;
    const void *head;
    size_t head_len; /* UDS_HEAD_MAX at most */
    uds_msg *payload;
    bool with_fds;
};

/** send_now() - peer_forward() without standing in line (waiting.c). */
int send_now(struct peer *peer, const struct frame *frame);

/** send_status() - what to tell the sender of a message that peer_forward() refused with @error. */
uint32_t send_status(int error, const char **ret_detail);
/** peer_is_full() - would a small message get -ENOBUFS? */
bool peer_is_full(struct peer *peer);
/** peer_settle() - release the charges of what has left its queue. */
void peer_settle(struct peer *peer);

/* Our own frames. A peer that does not read them until its queue is full is kicked. NULL or "": left out. */
void peer_ack(struct peer *peer,
              uint64_t id,
              uint32_t status,
              uint64_t value,
              const char *detail,
              const char *rule);
void peer_reply(struct peer *peer,
                uint64_t id,
                uint32_t status,
                uint64_t value,
                const char *detail,
                const char *rule);
void peer_notice(struct peer *peer,
                 uint64_t id,
                 uint32_t status,
                 uint64_t dropped,
                 const char *detail,
                 const char *rule);
/** peer_tell_drops() - a NOTICE of a subscription's drops; false: not now, its queue is full. */
bool peer_tell_drops(struct peer *peer, uint64_t id, uint64_t dropped);
/** peer_cancel() - nobody waits for call @id any more; if its queue is full, it will answer in vain. */
void peer_cancel(struct peer *peer, uint64_t id);
/** peer_credit() - call @id may have @n more parts; false: not now. */
bool peer_credit(struct peer *peer, uint64_t id, uint32_t n);
/** peer_answer() - a REPLY of our own with a body. */
void peer_answer(struct peer *peer, uint64_t id, const void *body, size_t len);

#endif
