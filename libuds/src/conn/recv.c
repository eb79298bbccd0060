/* SPDX-License-Identifier: MIT */

/*
 * From bytes and fds to messages.
 *
 * Bytes go through a buffer as long as frames are small: one receive, many frames, parsed one at a time when somebody
 * wants the next. A body that is larger than what is there is received straight into its message, in steps: what we
 * hold grows with what has arrived, never with what a header claims.
 *
 * fds and frames meet by position, not by luck. A receive that brings fds brings them for a frame whose first byte is
 * among *its* bytes (socket/io.c says why), but bytes of earlier frames may come with them. So a batch remembers which
 * bytes of the stream it came with, and
 *   - a frame that claims fds takes the oldest batch, which must cover the frame's first byte and have the same count;
 *   - a batch that no frame can claim any more, because all frames that begin in its range have passed, is an error.
 * The second is decided before every receive, so at most one batch ever waits, and that one for a header that is only
 * partly here.
 */

#include "conn/recv.h"

#include <errno.h>
#include <string.h>

#include "block.h"
#include "cleanup.h"
#include "conn/msg.h"
#include "conn/ringlink.h"
#include "socket/io.h"
#include "wire/head.h"

#define BODY_INLINE (64 * 1024) /* bodies up to here are one allocation with their message */

static int broken(struct udsi_receiver *rx, enum udsi_rule rule)
{
    rx->rule = rule;
    return -EPROTO;
}

void udsi_batch_drop(struct udsi_batch *batch)
{
    for (size_t i = 0; i < batch->nfds; i++)
        uds_fd_close(batch->fds[i]);
    udsi_block_free(batch->fds, batch->room * sizeof(int));
    *batch = (struct udsi_batch){0};
}

int udsi_batch_take(struct udsi_batch *batch, struct udsi_ancillary *ancillary)
{
    batch->truncated = ancillary->truncated;
    if (ancillary->nfds == 0)
        return 0;
    batch->fds = udsi_block_alloc(ancillary->nfds * sizeof(int));
    if (!batch->fds) {
        udsi_ancillary_clear(ancillary);
        return -ENOMEM;
    }
    batch->room = batch->nfds = ancillary->nfds;
    memcpy(batch->fds, ancillary->fds, ancillary->nfds * sizeof(int));
    return 0;
}

void udsi_receiver_clear(struct udsi_receiver *rx)
{
    for (size_t i = 0; i < rx->nbatches; i++)
        udsi_batch_drop(&rx->batches[i]);
    rx->nbatches = 0;
    rx->partial = uds_msg_unref(rx->partial);
    udsi_block_free(rx->data, rx->cap);
    rx->data = NULL;
    rx->cap = rx->start = rx->end = 0;
}

void udsi_receiver_get_unfinished(const struct udsi_receiver *rx,
                                  size_t *ret_bytes,
                                  size_t *ret_fds)
{
    *ret_bytes = rx->partial ? rx->partial->body_cap : 0;
    *ret_fds = rx->partial ? rx->partial->nfds : 0;
    for (size_t i = 0; i < rx->nbatches; i++)
        *ret_fds += rx->batches[i].nfds;
    for (size_t i = 0; rx->ring && i < rx->ring->nheld; i++)
        *ret_fds += rx->ring->held[i].nfds;
}

/* Beside a ring, fds come on the socket: the next batch there is for the frame that begins at @position. */
static int claim_from_ring(struct udsi_receiver *rx, uint64_t position)
{
    int r = udsi_ringlink_claim(rx->ring, &rx->batches[0]);

    if (r == -EPROTO)
        rx->rule = rx->ring->rule;
    if (r < 0)
        return r;
    rx->batches[0].start = position;
    rx->batches[0].end = position + 1;
    rx->nbatches = 1;
    return 0;
}

/* The batch of the frame that begins at @position and claims @count fds moves to @msg. */
__attribute__((noinline)) static int
claim_batch(struct udsi_receiver *rx, uint64_t position, size_t count, uds_msg *msg)
{
    struct udsi_batch *batch = &rx->batches[0];
    int r = 0;

    if (rx->ring && count > 0) {
        r = claim_from_ring(rx, position);
        if (r < 0)
            return r;
    }
    if (rx->nbatches > 0 && batch->end <= position)
        return broken(rx, UDSI_RULE_FDS_UNCLAIMED);
    if (count == 0)
        return 0;
    if (rx->nbatches == 0 || batch->start > position || (!batch->truncated && batch->nfds != count))
        return broken(rx, UDSI_RULE_FDS_MISSING);
    if (batch->truncated)
        msg->error = -EMFILE;
    else
        r = udsi_msg_adopt_fds(msg, batch->fds, batch->nfds);
    if (r < 0)
        return r;
    batch->nfds = 0;
    udsi_batch_drop(batch);
    rx->batches[0] = rx->batches[1];
    rx->nbatches--;
    rx->batches[1] = (struct udsi_batch){0};
    return 0;
}

/* Nothing more can be parsed without bytes from the socket: does a batch wait that no frame can claim? */
static int refuse_stray_batch(struct udsi_receiver *rx)
{
    uint64_t position = rx->received - (rx->end - rx->start);
    const struct udsi_batch *batch = &rx->batches[0];

    if (rx->nbatches == 0)
        return 0;
    if (rx->nbatches == 1 && !rx->partial && rx->end > rx->start && batch->start <= position &&
        position < batch->end)
        return 0;
    return broken(rx, UDSI_RULE_FDS_UNCLAIMED);
}

/* A whole header is in the buffer: make the message that the frame will fill. */
static inline int begin_frame(struct udsi_receiver *rx)
{
    size_t have = rx->end - rx->start;
    struct udsi_header *header = &rx->header;
    enum udsi_rule rule = udsi_header_decode(rx->data + rx->start, &rx->limits, header);
    size_t head_len = header->head_length, body_len = header->body_length;
    uds_msg *msg;

    if (rule != UDSI_RULE_NONE)
        return broken(rx, rule);
    if (rx->records && have != UDSI_HEADER_SIZE + head_len + body_len)
        return broken(rx, UDSI_RULE_RECORD);
    msg = udsi_msg_make(header->type, header->id, head_len, body_len <= BODY_INLINE ? body_len : 0);
    if (!msg)
        return -ENOMEM;
    if (header->fd_count > 0 || rx->nbatches > 0) {
        int r = claim_batch(rx, rx->received - have, header->fd_count, msg);

        if (r < 0) {
            (void)uds_msg_unref(msg);
            return r;
        }
    }
    msg->in_arena = header->flags & UDSI_FLAG_ARENA;
    rx->start += UDSI_HEADER_SIZE;
    rx->partial = msg;
    return 0;
}

/* Makes sure that the body can take at least one more byte, in doubling steps. */
static int grow_body(struct udsi_receiver *rx)
{
    uds_msg *msg = rx->partial;
    size_t cap = msg->body_cap < BODY_INLINE / 2 ? BODY_INLINE : msg->body_cap * 2;

    if (msg->body_len < msg->body_cap || msg->body_len == rx->header.body_length)
        return 0;
    if (cap > rx->header.body_length)
        cap = rx->header.body_length;
    return udsi_msg_grow_body(msg, cap);
}

/* Moves what the buffer has into the message. 1 the message is whole, 0 not yet, -ENOMEM. */
__attribute__((noinline)) static int fill_from_buffer(struct udsi_receiver *rx)
{
    uds_msg *msg = rx->partial;

    for (;;) {
        size_t have = rx->end - rx->start;
        size_t head_left = (size_t)rx->header.head_length - msg->head_len;
        size_t n;
        int r;

        if (head_left > 0) {
            n = have < head_left ? have : head_left;
            if (n == 0)
                return 0;
            memcpy(msg->head + msg->head_len, rx->data + rx->start, n);
            msg->head_len = (uint16_t)(msg->head_len + n);
            rx->start += n;
            continue;
        }
        if (msg->body_len == rx->header.body_length)
            return 1;
        r = grow_body(rx);
        if (r < 0)
            return r;
        n = msg->body_cap - msg->body_len;
        if (n > rx->header.body_length - msg->body_len)
            n = rx->header.body_length - msg->body_len;
        if (n > have)
            n = have;
        if (n == 0)
            return 0;
        memcpy(msg->body + msg->body_len, rx->data + rx->start, n);
        msg->body_len += n;
        rx->start += n;
    }
}

/* The socket was drained with little: the large buffer goes back as soon as it is empty. */
static void release_buffer(struct udsi_receiver *rx)
{
    if (!rx->quiet || rx->start != rx->end || rx->cap <= UDSI_BUFFER_SMALL)
        return;
    udsi_block_free(rx->data, rx->cap);
    rx->data = NULL;
    rx->cap = rx->start = rx->end = 0;
}

static void settle(struct udsi_receiver *rx)
{
    /* One that a record made larger than usual is not kept for the next: thousands of peers may send one each. */
    rx->quiet = rx->burst < UDSI_BUFFER_LARGE || rx->cap > UDSI_BUFFER_LARGE;
    rx->burst = 0;
    release_buffer(rx);
}

/* @n bytes of the buffer have found their message. */
static inline void consume(struct udsi_receiver *rx, size_t n)
{
    rx->start += n;
    if (rx->start == rx->end) {
        rx->start = rx->end = 0;
        release_buffer(rx);
    }
}

uds_msg *udsi_receiver_take(struct udsi_receiver *rx)
{
    size_t have = rx->end - rx->start, len;
    const uint8_t *bytes;
    struct udsi_header header;
    uds_msg *msg;

    if (have < UDSI_HEADER_SIZE || rx->partial || rx->nbatches > 0 || rx->records)
        return NULL;
    bytes = rx->data + rx->start;
    if (!udsi_header_is_common(bytes, &rx->limits, &header) || header.fd_count > 0)
        return NULL;
    len = (size_t)header.head_length + header.body_length;
    if (len > have - UDSI_HEADER_SIZE || header.body_length > BODY_INLINE ||
        (header.head_length > 0 &&
         !udsi_head_is_valid(bytes + UDSI_HEADER_SIZE, header.head_length)))
        return NULL;
    msg = udsi_msg_make(header.type, header.id, header.head_length, header.body_length);
    if (!msg)
        return NULL;
    /* The body stands behind the head in the block as it does in the frame. */
    memcpy(msg->inline_room, bytes + UDSI_HEADER_SIZE, len);
    msg->head_len = header.head_length;
    msg->body_len = header.body_length;
    msg->sealed = true;
    consume(rx, UDSI_HEADER_SIZE + len);
    return msg;
}

int udsi_receiver_next(struct udsi_receiver *rx, uds_msg **ret)
{
    uds_msg *whole = udsi_receiver_take(rx);
    int r;

    if (whole) {
        *ret = whole;
        return 1;
    }
    if (!rx->partial) {
        if (rx->end - rx->start < UDSI_HEADER_SIZE)
            return rx->records && rx->end > rx->start ? broken(rx, UDSI_RULE_RECORD) : 0;
        r = begin_frame(rx);
        if (r < 0)
            return r;
    }
    r = fill_from_buffer(rx);
    consume(rx, 0);
    if (r <= 0)
        return r;
    if (rx->partial->head_len > 0 && !udsi_head_is_valid(rx->partial->head, rx->partial->head_len))
        return broken(rx, UDSI_RULE_HEAD_FIELDS);
    rx->partial->sealed = true;
    *ret = UDSI_TAKE(rx->partial);
    return 1;
}

static int set_buffer(struct udsi_receiver *rx, size_t cap)
{
    uint8_t *data = udsi_block_alloc(cap);

    if (!data)
        return -ENOMEM;
    if (rx->end > rx->start)
        memcpy(data, rx->data + rx->start, rx->end - rx->start);
    udsi_block_free(rx->data, rx->cap);
    rx->data = data;
    rx->end -= rx->start;
    rx->start = 0;
    rx->cap = cap;
    return 0;
}

/* Room for the next receive: small while little comes, large as soon as one receive has filled the small one. */
static int prepare_buffer(struct udsi_receiver *rx, int fd)
{
    size_t want = rx->cap;

    if (rx->records) {
        /* A record that does not fit is lost, so ask for its length first. It is bounded before memory is. */
        uint64_t limit = (uint64_t)UDSI_HEADER_SIZE + UDS_HEAD_MAX + rx->limits.max_body;
        ssize_t len = udsi_peek_length(fd);

        if (len < 0)
            return (int)len;
        if ((uint64_t)len > limit)
            return broken(rx, UDSI_RULE_BODY_LENGTH);
        if ((size_t)len > want)
            want = (size_t)len;
        return want == rx->cap && rx->data
                   ? 0
                   : set_buffer(rx, want < UDSI_BUFFER_SMALL ? UDSI_BUFFER_SMALL : want);
    }
    if (want == 0 || (want == UDSI_BUFFER_SMALL && rx->burst >= UDSI_BUFFER_SMALL))
        return set_buffer(rx, want == 0 ? UDSI_BUFFER_SMALL : UDSI_BUFFER_LARGE);
    if (rx->start > 0) {
        memmove(rx->data, rx->data + rx->start, rx->end - rx->start);
        rx->end -= rx->start;
        rx->start = 0;
    }
    return 0;
}

/* What must be in order before a receive: no batch that nobody claims, room for bytes and for the body. */
__attribute__((noinline)) static int put_in_order(struct udsi_receiver *rx, int fd)
{
    int r = refuse_stray_batch(rx);

    if (r == 0)
        r = prepare_buffer(rx, fd);
    if (r == 0 && rx->partial)
        r = grow_body(rx);
    if (r == -EAGAIN)
        settle(rx);
    return r;
}

static void add_room(struct udsi_room *room, uint8_t *data, size_t len)
{
    room->iov[room->niov++] = (struct iovec){.iov_base = data, .iov_len = len};
    room->len += len;
}

/* Where the next bytes go: what is left of the message that is being filled, then the buffer. */
static void place(struct udsi_receiver *rx, struct udsi_room *room)
{
    uds_msg *msg = rx->partial;
    size_t len;

    room->niov = room->len = 0;
    if (msg) {
        len = (size_t)rx->header.head_length - msg->head_len;
        if (len > 0)
            add_room(room, msg->head + msg->head_len, len);
        len = (msg->body_cap < rx->header.body_length ? msg->body_cap : rx->header.body_length) -
              msg->body_len;
        if (len > 0)
            add_room(room, msg->body + msg->body_len, len);
        if (msg->body_cap < rx->header.body_length)
            return;
    }
    add_room(room, rx->data + rx->end, rx->cap - rx->end);
}

/* @n bytes came where place() said. */
static void account(struct udsi_receiver *rx, size_t n)
{
    uds_msg *msg = rx->partial;
    size_t take;

    rx->received += n;
    rx->burst += n;
    if (msg) {
        take = (size_t)rx->header.head_length - msg->head_len;
        if (take > n)
            take = n;
        msg->head_len = (uint16_t)(msg->head_len + take);
        n -= take;
        take = rx->header.body_length - msg->body_len;
        if (take > n)
            take = n;
        msg->body_len += take;
        n -= take;
    }
    rx->end += n;
}

/* Files the fds of a receive that brought the bytes from @start on. Consumes them in every case. */
__attribute__((noinline)) static int
file_batch(struct udsi_receiver *rx, struct udsi_ancillary *ancillary, uint64_t start)
{
    struct udsi_batch *batch = &rx->batches[rx->nbatches];
    int r = 0;

    if (rx->nbatches == UDSI_BATCHES)
        r = broken(rx, UDSI_RULE_FDS_UNCLAIMED);
    else if (ancillary->nfds > rx->limits.max_fds)
        r = broken(rx, UDSI_RULE_FD_COUNT);
    if (r < 0) {
        rx->refused_fds += ancillary->nfds;
        udsi_ancillary_clear(ancillary);
        return r;
    }
    r = udsi_batch_take(batch, ancillary);
    if (r < 0)
        return r;
    batch->start = start;
    batch->end = rx->received;
    rx->nbatches++;
    return 0;
}

int udsi_receiver_go_over(struct udsi_receiver *rx, struct udsi_ringlink *ring)
{
    int r = 0;

    /* Bytes behind the last frame are doorbells; fds that no frame of the stream has claimed are for the first of the ring. */
    rx->start = rx->end = 0;
    for (size_t i = 0; i < rx->nbatches && r == 0; i++) {
        rx->batches[i].start = rx->batches[i].end = 0;
        r = udsi_ringlink_hold(ring, &rx->batches[i]);
    }
    rx->nbatches = 0;
    rx->ring = ring;
    return r;
}

/* From the ring. The socket says when there is no more: -EAGAIN, and not a receive that stops short. */
static int fill_from_ring(struct udsi_receiver *rx, const struct iovec *iov, size_t niov)
{
    ssize_t n = udsi_ringlink_read(rx->ring, iov, niov);

    if (n == -EAGAIN)
        settle(rx);
    if (n == -EPROTO)
        rx->rule = rx->ring->rule;
    if (n <= 0)
        return n == 0 ? -ENODATA : (int)n;
    account(rx, (size_t)n);
    return 1;
}

int udsi_receiver_prepare(struct udsi_receiver *rx, int fd, struct udsi_room *ret)
{
    /* A buffer that is empty, and as large as it shall be, is all that most receives need. */
    if (rx->end > 0 || !rx->data || rx->burst > 0 || rx->partial || rx->nbatches > 0 ||
        rx->records) {
        int r = put_in_order(rx, fd);

        if (r < 0)
            return r;
    }
    rx->quiet = false;
    place(rx, ret);
    return 0;
}

int udsi_receiver_complete(struct udsi_receiver *rx,
                           const struct udsi_room *room,
                           ssize_t n,
                           struct udsi_ancillary *ancillary)
{
    int r = 0;

    if (n == -EAGAIN)
        settle(rx);
    if (n <= 0)
        return n == 0 ? -ENODATA : (int)n;
    account(rx, (size_t)n);
    udsi_close(udsi_take_fd(&ancillary->pidfd));
    if (ancillary->nfds > 0 || ancillary->truncated)
        r = file_batch(rx, ancillary, rx->received - (size_t)n);
    if (r < 0)
        return r;
    if (ancillary->record_truncated)
        return broken(rx, UDSI_RULE_RECORD);
    /* A receive stops short of the buffer's end only when the socket is empty, or right after fds. */
    if ((size_t)n == room->len || rx->records || rx->nbatches > 0)
        return 1;
    settle(rx);
    return 0;
}

int udsi_receiver_fill(struct udsi_receiver *rx, int fd)
{
    struct udsi_ancillary ancillary;
    struct udsi_room room;
    ssize_t n;
    int r = udsi_receiver_prepare(rx, fd, &room);

    if (r < 0)
        return r;
    if (rx->ring)
        return fill_from_ring(rx, room.iov, room.niov);
    n = udsi_recv(fd, room.iov, room.niov, MSG_DONTWAIT, &ancillary);
    return udsi_receiver_complete(rx, &room, n, &ancillary);
}

bool udsi_receiver_check(const struct udsi_receiver *rx)
{
    const uds_msg *msg = rx->partial;

    if (rx->start > rx->end || rx->end > rx->cap || rx->nbatches > UDSI_BATCHES)
        return false;
    for (size_t i = 0; i < rx->nbatches; i++) {
        if (rx->batches[i].end > rx->received || rx->batches[i].start >= rx->batches[i].end)
            return false;
    }
    return !msg || (msg->head_len <= rx->header.head_length && msg->body_len <= msg->body_cap &&
                    msg->body_len <= rx->header.body_length);
}
