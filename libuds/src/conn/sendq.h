/* SPDX-License-Identifier: MIT */
#ifndef UDSI_CONN_SENDQ_H
#define UDSI_CONN_SENDQ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/types.h>

#include <uds/msg.h>

#include "wire/bodyref.h"
#include "wire/frame.h"

#define UDSI_HELLO_MAX 96
#define UDSI_SMALL_MAX 1024 /* a frame up to here that waits alone needs no gathering */

/* One frame that waits. The head is the payload's own, or a copy (forwarded frames). */
struct udsi_out {
    uint8_t header[UDSI_HEADER_SIZE];
    uint16_t head_len;
    uint16_t nfds;     /* still to be sent: 0 once the first byte has gone */
    bool in_arena;     /* the body is the reference that follows own_head in its block */
    uint8_t *own_head; /* NULL: the payload's */
    uds_msg *payload;  /* NULL: no body, or one in an arena and no fds */
    size_t body_len;
    bool last; /* of the stream: everything behind it goes to the ring */
    /* not one frame but many, whole and side by side: own_head is a block of UDSI_PACK_SIZE bytes, body_len of them in use,
     * and there is no header, no head and no payload */
    bool packed;
};

#define UDSI_PACK_SIZE (8 * 1024 + 512) /* a size of blocks (block.h) */
#define UDSI_PACK_USE  8 /* one part in so many of all blocks waits, or no other is begun */

/*
 * I1  bytes == what is left of all frames, fds == sum of their nfds; neither counts the HELLO
 * I2  sent < size of the first frame; sent > 0 only if there is one
 * I3  until @released only the HELLO may go out
 * I4  an entry with nfds > 0 pins its payload (msg.h I4)
 * I5  one entry at most is last, and none once over
 * I6  packs == how many entries are packed
 */
struct udsi_sendq {
    struct udsi_out *ring;
    size_t cap, first, count;
    size_t sent;
    size_t bytes, fds;
    size_t packs;
    uint8_t hello[UDSI_HELLO_MAX];
    uint8_t hello_len, hello_sent;
    bool released;
    bool records; /* SEQPACKET: one frame a send */
    bool over;    /* the frame that is last of the stream has gone out */
};

void udsi_sendq_clear(struct udsi_sendq *queue);

/* Queues a frame that shares @payload (may be NULL), taking a reference. @head NULL: the payload's. 0 or -ENOMEM. */
int udsi_sendq_push(struct udsi_sendq *queue,
                    uint8_t type,
                    uint64_t id,
                    const void *head,
                    size_t head_len,
                    uds_msg *payload,
                    bool with_fds);

/* The same for a message with its own head and without fds. */
int udsi_sendq_push_plain(struct udsi_sendq *queue, uds_msg *msg);

/*
 * The same for one of UDSI_SMALL_MAX bytes at most, on a stream, by a copy beside others: then nothing of @msg is kept. Not where
 * entries of other kinds stand between them: a block for each would be a hundred times what the queue is limited to.
 */
int udsi_sendq_pack(struct udsi_sendq *queue, uds_msg *msg);

/*
 * The same for a body that lies in an arena: @ref stands for it. @payload gives the head, if @head is NULL, and the fds, and
 * is kept for those alone.
 */
int udsi_sendq_push_ref(struct udsi_sendq *queue,
                        uint8_t type,
                        uint64_t id,
                        const void *head,
                        size_t head_len,
                        uds_msg *payload,
                        bool with_fds,
                        const uint8_t ref[UDSI_BODYREF_SIZE]);

/* Takes the front back, of which nothing has been sent. */
void udsi_sendq_drop_first(struct udsi_sendq *queue);

/* Anything that may be sent now? */
static inline bool udsi_sendq_has_work(const struct udsi_sendq *queue)
{
    return queue->hello_sent < queue->hello_len || (queue->released && queue->count > 0);
}

/* One send on @fd. 1 all of the attempt went out and there is more, 0 nothing is left, -EAGAIN also after a partial write,
 * or -errno. */
int udsi_sendq_send(struct udsi_sendq *queue, int fd);

/* What was queued last is the last frame of the stream. */
void udsi_sendq_end_stream(struct udsi_sendq *queue);
/* Is there, or has there been, a last frame of the stream? */
bool udsi_sendq_ends_stream(const struct udsi_sendq *queue);

/* @n bytes have gone: the HELLO first, then frames in order. */
void udsi_sendq_consume(struct udsi_sendq *queue, size_t n);
/* The fds of the first frame have gone. */
void udsi_sendq_unpin(struct udsi_sendq *queue);

/*
 * A small message can go without a place in the queue, when nothing waits before it: its frame is written to @bytes and
 * sent by the caller, with the fds of @msg. Returns its length; 0 push it, and send(); -ENOMEM.
 */
ssize_t
udsi_sendq_lay_out(struct udsi_sendq *queue, const uds_msg *msg, uint8_t bytes[UDSI_SMALL_MAX]);
/* What is left of it, if only @sent bytes (at least 1) have gone, waits as if it had been queued and partly sent. */
void udsi_sendq_push_rest(struct udsi_sendq *queue,
                          uds_msg *msg,
                          const uint8_t *bytes,
                          size_t sent);

/* Would the next sendmsg begin with a frame that has fds? */
bool udsi_sendq_begins_with_fds(const struct udsi_sendq *queue);

/* What a frame is. */
void udsi_out_get_id(const struct udsi_out *out, uint8_t *ret_type, uint64_t *ret_id);

/* Takes out, unsent, whatever frame @takes says, in one walk; nothing of the first has gone. Who takes a frame has a reference
 * of its payload, so that no release hook finds the queue in between. */
void udsi_sendq_sift(struct udsi_sendq *queue,
                     bool (*takes)(const struct udsi_out *out, void *arg),
                     void *arg);

/* Frame number @index from the front, index < count. */
static inline struct udsi_out *udsi_sendq_at(const struct udsi_sendq *queue, size_t index)
{
    return &queue->ring[(queue->first + index) & (queue->cap - 1)];
}

static inline size_t udsi_out_size(const struct udsi_out *out)
{
    return (out->packed ? 0 : UDSI_HEADER_SIZE) + (size_t)out->head_len + out->body_len;
}

const uint8_t *udsi_out_head(const struct udsi_out *out);
const uint8_t *udsi_out_body(const struct udsi_out *out);

bool udsi_sendq_check(const struct udsi_sendq *queue);

#endif
