/* SPDX-License-Identifier: MIT */
#ifndef UDSI_CONN_MSG_H
#define UDSI_CONN_MSG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <uds/msg.h>

#include "block.h"
#include "conn/region.h"

#define UDSI_MSG_INLINE_FDS 4

/*
 * I1  body_len <= body_cap, head_len <= head_cap, nfds <= fds_cap
 * I2  head and body point into inline_room, or into an allocation of their own (owns_head: a block of head_cap bytes;
 *     owns_body: malloc's, or a block of body_cap bytes if it came by an arena); never NULL. fds point to inline_fds or to a block of fds_cap numbers
 * I3  sealed: type, id, head, body and the set of fds no longer change; only fds may be taken out (-1)
 * I4  pins counts the send queues that still have to send the fds: while > 0 none may be taken out
 * I5  a lease on a slot of ours: body is that slot. On a peer's: body is private memory, and means something only once
 *     the lease was copied out
 */
struct uds_msg {
    unsigned refs;
    unsigned pins;
    uint8_t type;
    bool sealed;
    bool owns_head, owns_body;
    /* on its way in: the body is a reference (wire/bodyref.h) to where the real one lies */
    bool in_arena;
    bool is_placed; /* uds_conn_reserve_body() has chosen which way the body goes */
    int error;
    uint64_t id;
    size_t block; /* bytes of the allocation that this struct begins */

    uint8_t *head;
    uint8_t *body;
    int *fds;
    size_t body_len, body_cap;
    uint16_t head_len, head_cap;
    uint16_t nfds, fds_cap;

    struct udsi_lease *lease; /* owned; NULL: the body lies in no arena */

    void (*release)(void *arg);
    void *release_arg;

    int inline_fds[UDSI_MSG_INLINE_FDS];
    uint8_t inline_room[];
};

/*
 * All fields but the numbers of fds. In two steps, each short enough for plain stores: a literal, or one step, becomes a
 * "rep stos" (gcc 12), which costs more than all the rest of a message's making.
 */
static inline void udsi_msg_clear(uds_msg *msg)
{
    const size_t half = offsetof(uds_msg, body_len);

    memset(msg, 0, half);
    memset((uint8_t *)msg + half, 0, offsetof(uds_msg, inline_fds) - half);
}

/*
 * Any type, unsealed, body undefined: room for @head_cap and @body_cap bytes inside the one allocation; the caller knows that
 * they are not too many. NULL: no memory. Inline, for every message that comes is made so.
 */
static inline uds_msg *udsi_msg_make(uint8_t type, uint64_t id, size_t head_cap, size_t body_cap)
{
    size_t size = sizeof(uds_msg) + head_cap + body_cap;
    uds_msg *msg = udsi_block_alloc(size);

    if (!msg)
        return NULL;
    udsi_msg_clear(msg);
    msg->refs = 1;
    msg->type = type;
    msg->id = id;
    msg->block = size;
    msg->head_cap = (uint16_t)head_cap;
    msg->body_cap = body_cap;
    msg->fds_cap = UDSI_MSG_INLINE_FDS;
    msg->head = msg->inline_room;
    msg->body = msg->inline_room + head_cap;
    msg->fds = msg->inline_fds;
    return msg;
}

/* The same for lengths that somebody else has said. 0, -EINVAL, -ENOMEM. */
int udsi_msg_alloc(uds_msg **ret, uint8_t type, uint64_t id, size_t head_cap, size_t body_cap);

/* Makes room for @cap bytes of body, keeping what is there. 0 or -ENOMEM. */
int udsi_msg_grow_body(uds_msg *msg, size_t cap);

/* Copies of @nfds fd numbers become the message's; on failure they stay the caller's. 0 or -ENOMEM. */
int udsi_msg_adopt_fds(uds_msg *msg, const int *fds, size_t nfds);

/* Does a frame of this type mean something outside a connection's life? Not HELLO, GOODBYE, nor what needs a feature. */
static inline bool udsi_msg_is_free_type(uint8_t type)
{
    return type == UDS_MSG_MESSAGE || (type >= UDS_MSG_REQUEST && type <= UDS_MSG_CREDIT) ||
           (type >= UDS_MSG_SUBSCRIBE && type <= UDS_MSG_NOTICE);
}

/* The body, empty, moves to a slot of ours with room for @cap bytes. The lease is the message's. */
void udsi_msg_build_in(uds_msg *msg, struct udsi_lease *lease, size_t len, size_t cap);

/* A body of @len bytes that lies in a peer's arena. Success takes the lease. 0 or -ENOMEM. */
int udsi_msg_lease_body(uds_msg *msg, struct udsi_lease *lease, size_t len);

/* Are all fds still in place? Otherwise the message cannot go out with them. */
bool udsi_msg_has_all_fds(const uds_msg *msg);

#endif
