/* SPDX-License-Identifier: MIT */
#ifndef UDSI_CONN_RECV_H
#define UDSI_CONN_RECV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/types.h>
#include <sys/uio.h>

#include <uds/msg.h>

#include "wire/frame.h"

/* The fds of one receive, which brought the bytes [start, end) of the stream. */
struct udsi_batch {
    uint64_t start, end;
    int *fds;          /* owned, with the descriptors */
    size_t nfds, room; /* in use, and what the block was made for */
    bool truncated;    /* the kernel dropped them; the bytes came all the same */
};

#define UDSI_BATCHES 2

struct udsi_ancillary;
struct udsi_ringlink;

/* Moves the fds of a receive into an empty @batch. Takes them in any case. 0 or -ENOMEM. */
int udsi_batch_take(struct udsi_batch *batch, struct udsi_ancillary *ancillary);
void udsi_batch_drop(struct udsi_batch *batch);

/* A body of a power of two comes with its header, and a head of usual size, in one receive: sizes of blocks (block.h). */
#define UDSI_BUFFER_SMALL (4 * 1024 + 512)  /* what an idle connection keeps */
#define UDSI_BUFFER_LARGE (64 * 1024 + 512) /* what a busy one grows to */

/*
 * I1  data[start … end) are bytes that no frame has claimed; received counts all bytes of the stream so far
 * I2  while a message is being filled (partial) the buffer is empty
 * I3  before a receive at most one batch is unclaimed, and then the buffer holds the beginning of a header that began
 *     in its range: so two slots are enough, and a peer can park at most one batch on us
 */
struct udsi_receiver {
    struct udsi_limits limits;
    bool records;
    struct udsi_ringlink *ring; /* borrowed; what comes instead of the socket, NULL: the socket */

    uint8_t *data;
    size_t cap, start, end;
    uint64_t received;
    size_t burst; /* bytes since the socket was last found drained */
    bool quiet;   /* it is drained, and the last burst was small */

    struct udsi_batch batches[UDSI_BATCHES];
    size_t nbatches;
    uint64_t refused_fds; /* came although we take none, or not so many: closed */

    uds_msg *partial;
    struct udsi_header header; /* of partial */

    enum udsi_rule rule; /* what the peer broke, with -EPROTO */
};

void udsi_receiver_clear(struct udsi_receiver *rx);

/* The next message, if all of it is in the buffer, and is like most: without fds, and none of the library's own. Otherwise NULL. */
uds_msg *udsi_receiver_take(struct udsi_receiver *rx);

/* Takes the next whole frame out of what was received. 1 and the message, 0 more bytes are needed, -EPROTO, -ENOMEM. */
int udsi_receiver_next(struct udsi_receiver *rx, uds_msg **ret);

/* Where the bytes of one receive go. */
struct udsi_room {
    struct iovec iov[3];
    size_t niov, len;
};

/*
 * One receive from @fd, which never blocks. 1 there may be more at once, 0 the socket is drained, -EAGAIN, -ENODATA the end
 * of the stream, -EPROTO, -ENOMEM, or what recvmsg said. Only to be called after udsi_receiver_next() returned 0.
 */
int udsi_receiver_fill(struct udsi_receiver *rx, int fd);

/*
 * The same around the caller's own udsi_recv(), of a stream that no ring has taken the place of: before it, 0 or -errno;
 * after it, with what it returned, as udsi_receiver_fill().
 */
int udsi_receiver_prepare(struct udsi_receiver *rx, int fd, struct udsi_room *ret);
int udsi_receiver_complete(struct udsi_receiver *rx,
                           const struct udsi_room *room,
                           ssize_t n,
                           struct udsi_ancillary *ancillary);

/* The last frame of the stream was taken: everything else comes from @ring. 0, -EPROTO. */
int udsi_receiver_go_over(struct udsi_receiver *rx, struct udsi_ringlink *ring);

/* Is a frame half here, or one that udsi_receiver_next() will give? */
static inline bool udsi_receiver_in_frame(const struct udsi_receiver *rx)
{
    return rx->partial || rx->end > rx->start;
}
/* What the half frame costs: the memory of its body, and its descriptors or those that wait for its header. */
void udsi_receiver_get_unfinished(const struct udsi_receiver *rx,
                                  size_t *ret_bytes,
                                  size_t *ret_fds);
bool udsi_receiver_check(const struct udsi_receiver *rx);

#endif
