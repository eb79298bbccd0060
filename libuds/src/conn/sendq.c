/* SPDX-License-Identifier: MIT */

/*
 * The send queue: a ring of frames, each a header, a head and a reference to a body that may be shared with other
 * queues. One send gathers as many frames as it can: headers, heads and small bodies are copied side by side into a
 * scratch area (cheaper than an iovec each: the kernel pays per segment), large bodies are named where they lie. Small
 * messages that nobody waits to see go are copied at once, many to an entry: then there is nothing to gather.
 *
 * The fd rule, docs/protocol.md: a frame with fds begins a sendmsg of its own and is the only one in it that has any;
 * frames without fds may follow it. The kernel ties fds to the first byte of a sendmsg, so this is what ties them to
 * the frame.
 *
 * A frame leaves the ring before its payload is unreferenced: release hooks find the queue in order.
 */

#include "conn/sendq.h"

#include <errno.h>
#include <string.h>

#include "block.h"
#include "cleanup.h"
#include "conn/msg.h"
#include "socket/io.h"
#include "wire/cursor.h"

#define SCRATCH_SIZE (24 * 1024) /* more than the largest header and head */
#define COPY_MAX     2048        /* bodies up to here are copied into the scratch area */
#define IOV_COUNT    64          /* well below IOV_MAX, which is 1024 */
#define RING_INITIAL 8
#define RING_KEEP    64 /* an empty ring larger than this is given back */

_Static_assert(SCRATCH_SIZE > UDSI_HEADER_SIZE + UDS_HEAD_MAX + UDSI_HELLO_MAX, "scratch room");

/* What one sendmsg will carry. */
struct gather {
    struct iovec iov[IOV_COUNT];
    size_t niov;
    size_t total;
    size_t used; /* of the scratch area */
    const int *fds;
    size_t nfds;
    uint8_t scratch[SCRATCH_SIZE];
};

const uint8_t *udsi_out_head(const struct udsi_out *out)
{
    if (out->own_head)
        return out->own_head;
    return out->payload ? out->payload->head : NULL;
}

const uint8_t *udsi_out_body(const struct udsi_out *out)
{
    if (out->in_arena || out->packed)
        return out->own_head + out->head_len;
    return out->payload ? out->payload->body : NULL;
}

/* All fds of a frame are on their way, or the frame is dropped. */
static inline void unpin(struct udsi_sendq *queue, struct udsi_out *out)
{
    if (out->nfds == 0)
        return;
    queue->fds -= out->nfds;
    out->nfds = 0;
    out->payload->pins--;
}

/* A frame is not in the queue any more, but for its payload. */
static inline void discount(struct udsi_sendq *queue, struct udsi_out *out)
{
    unpin(queue, out);
    queue->bytes -= udsi_out_size(out);
    if (out->packed) {
        udsi_block_free(out->own_head, UDSI_PACK_SIZE);
        queue->packs--;
    } else if (out->own_head) {
        udsi_block_free(out->own_head, out->head_len + (out->in_arena ? out->body_len : 0));
    }
}

/* Takes the first frame out of the ring, then lets its payload go. */
static inline void pop(struct udsi_sendq *queue)
{
    struct udsi_out *out = udsi_sendq_at(queue, 0);
    uds_msg *payload = out->payload;

    queue->bytes += queue->sent;
    queue->over |= out->last;
    discount(queue, out);
    queue->first = (queue->first + 1) & (queue->cap - 1);
    queue->count--;
    queue->sent = 0;
    (void)uds_msg_unref(payload);
}

static void drop_ring(struct udsi_sendq *queue)
{
    udsi_block_free(queue->ring, queue->cap * sizeof(*queue->ring));
    queue->ring = NULL;
    queue->cap = queue->first = 0;
}

void udsi_sendq_clear(struct udsi_sendq *queue)
{
    while (queue->count > 0)
        pop(queue);
    drop_ring(queue);
    queue->hello_sent = queue->hello_len;
}

__attribute__((noinline)) static int set_ring(struct udsi_sendq *queue, size_t cap)
{
    struct udsi_out *ring = udsi_block_alloc(cap * sizeof(*ring));
    if (!ring)
        return -ENOMEM;
    for (size_t i = 0; i < queue->count; i++)
        ring[i] = *udsi_sendq_at(queue, i);
    udsi_block_free(queue->ring, queue->cap * sizeof(*ring));
    queue->ring = ring;
    queue->cap = cap;
    queue->first = 0;
    return 0;
}

/* Makes sure that there is a place for one more frame. */
static inline int grow_ring(struct udsi_sendq *queue)
{
    if (queue->count < queue->cap)
        return 0;
    return set_ring(queue, queue->cap ? queue->cap * 2 : RING_INITIAL);
}

/* Appends what @out says, which has no header yet; there is room in the ring. */
static inline void
append(struct udsi_sendq *queue, uint8_t type, uint64_t id, const struct udsi_out *out)
{
    struct udsi_out *at = udsi_sendq_at(queue, queue->count++);

    at->head_len = out->head_len;
    at->nfds = out->nfds;
    at->in_arena = out->in_arena;
    at->own_head = out->own_head;
    at->payload = out->payload;
    at->body_len = out->body_len;
    at->last = at->packed = false;
    udsi_header_encode(&(struct udsi_header){.type = type,
                                             .flags = out->in_arena ? UDSI_FLAG_ARENA : 0,
                                             .head_length = out->head_len,
                                             .fd_count = out->nfds,
                                             .body_length = (uint32_t)out->body_len,
                                             .id = id},
                       at->header);
    if (out->payload)
        out->payload->refs++;
    if (out->nfds > 0)
        out->payload->pins++;
    queue->bytes += udsi_out_size(out);
    queue->fds += out->nfds;
}

int udsi_sendq_push_plain(struct udsi_sendq *queue, uds_msg *msg)
{
    int r = grow_ring(queue);

    if (r == 0)
        append(queue, msg->type, msg->id,
               &(struct udsi_out){
                   .head_len = msg->head_len, .payload = msg, .body_len = msg->body_len});
    return r;
}

/* A whole frame of @msg, side by side. Returns its length. */
static inline size_t write_frame(uint8_t *bytes, const uds_msg *msg)
{
    size_t front = UDSI_HEADER_SIZE + (size_t)msg->head_len;

    udsi_header_encode(&(struct udsi_header){.type = msg->type,
                                             .head_length = msg->head_len,
                                             .fd_count = msg->nfds,
                                             .body_length = (uint32_t)msg->body_len,
                                             .id = msg->id},
                       bytes);
    if (msg->head_len > 0)
        memcpy(bytes + UDSI_HEADER_SIZE, msg->head, msg->head_len);
    if (msg->body_len > 0)
        memcpy(bytes + front, msg->body, msg->body_len);
    return front + msg->body_len;
}

/* An entry for many frames, at the end of the queue. NULL: no memory. */
__attribute__((noinline)) static struct udsi_out *new_pack(struct udsi_sendq *queue)
{
    struct udsi_out *out;
    uint8_t *block;

    if (grow_ring(queue) < 0)
        return NULL;
    block = udsi_block_alloc(UDSI_PACK_SIZE);
    if (!block)
        return NULL;
    out = udsi_sendq_at(queue, queue->count++);
    *out = (struct udsi_out){.own_head = block, .packed = true};
    queue->packs++;
    return out;
}

int udsi_sendq_pack(struct udsi_sendq *queue, uds_msg *msg)
{
    struct udsi_out *out = queue->count > 0 ? udsi_sendq_at(queue, queue->count - 1) : NULL;
    size_t size;

    if (!out || !out->packed || UDSI_PACK_SIZE - out->body_len < UDSI_SMALL_MAX) {
        if (queue->packs * (UDSI_PACK_SIZE / UDSI_PACK_USE) > queue->bytes)
            return udsi_sendq_push_plain(queue, msg);
        out = new_pack(queue);
    }
    if (!out)
        return -ENOMEM;
    size = write_frame(out->own_head + out->body_len, msg);
    out->body_len += size;
    queue->bytes += size;
    return 0;
}

int udsi_sendq_push(struct udsi_sendq *queue,
                    uint8_t type,
                    uint64_t id,
                    const void *head,
                    size_t head_len,
                    uds_msg *payload,
                    bool with_fds)
{
    uint8_t *own_head = NULL;
    int r = grow_ring(queue);

    if (r < 0)
        return r;
    if (head && head_len > 0) {
        own_head = udsi_block_alloc(head_len);
        if (!own_head)
            return -ENOMEM;
        memcpy(own_head, head, head_len);
    } else if (!head) {
        head_len = payload ? payload->head_len : 0;
    }
    append(queue, type, id,
           &(struct udsi_out){
               .head_len = (uint16_t)head_len,
               .nfds = with_fds && payload ? payload->nfds : 0,
               .own_head = own_head,
               .payload = payload,
               .body_len = payload ? payload->body_len : 0,
           });
    return 0;
}

int udsi_sendq_push_ref(struct udsi_sendq *queue,
                        uint8_t type,
                        uint64_t id,
                        const void *head,
                        size_t head_len,
                        uds_msg *payload,
                        bool with_fds,
                        const uint8_t ref[UDSI_BODYREF_SIZE])
{
    size_t nfds = with_fds && payload ? payload->nfds : 0;
    uint8_t *own_head;
    int r = grow_ring(queue);

    if (r < 0)
        return r;
    if (!head && payload) {
        head = payload->head;
        head_len = payload->head_len;
    }
    own_head = udsi_block_alloc(head_len + UDSI_BODYREF_SIZE);
    if (!own_head)
        return -ENOMEM;
    if (head_len > 0)
        memcpy(own_head, head, head_len);
    memcpy(own_head + head_len, ref, UDSI_BODYREF_SIZE);
    append(queue, type, id,
           &(struct udsi_out){
               .head_len = (uint16_t)head_len,
               .nfds = (uint16_t)nfds,
               .in_arena = true,
               .own_head = own_head,
               .payload = nfds > 0 ? payload : NULL,
               .body_len = UDSI_BODYREF_SIZE,
           });
    return 0;
}

void udsi_sendq_drop_first(struct udsi_sendq *queue)
{
    pop(queue);
}

bool udsi_sendq_begins_with_fds(const struct udsi_sendq *queue)
{
    return queue->released && queue->hello_sent == queue->hello_len && queue->count > 0 &&
           queue->sent == 0 && udsi_sendq_at(queue, 0)->nfds > 0;
}

void udsi_out_get_id(const struct udsi_out *out, uint8_t *ret_type, uint64_t *ret_id)
{
    struct udsi_reader reader = {.at = out->header, .left = UDSI_HEADER_SIZE};

    (void)udsi_read_bytes(&reader, 2);
    *ret_type = udsi_read_u8(&reader);
    (void)udsi_read_bytes(&reader, 13);
    *ret_id = udsi_read_u64(&reader);
}

void udsi_sendq_sift(struct udsi_sendq *queue,
                     bool (*takes)(const struct udsi_out *out, void *arg),
                     void *arg)
{
    size_t kept = 0;

    for (size_t i = 0; i < queue->count; i++) {
        struct udsi_out *out = udsi_sendq_at(queue, i);

        if (out->packed || !takes(out, arg)) {
            *udsi_sendq_at(queue, kept++) = *out;
            continue;
        }
        discount(queue, out);
        (void)uds_msg_unref(out->payload);
    }
    queue->count = kept;
}

/* Appends @len bytes that lie at @data and stay there until they are sent; what lies behind the last ones is one with them. */
static void add_piece(struct gather *gather, const void *data, size_t len)
{
    struct iovec *last = gather->niov > 0 ? &gather->iov[gather->niov - 1] : NULL;
    union {
        const void *in;
        void *out;
    } base = {.in = data};

    gather->total += len;
    if (last && (uint8_t *)last->iov_base + last->iov_len == data)
        last->iov_len += len;
    else
        gather->iov[gather->niov++] = (struct iovec){.iov_base = base.out, .iov_len = len};
}

/* Appends a frame from byte @skip on. False if it must wait for the next sendmsg. */
static inline bool gather_frame(struct gather *gather, const struct udsi_out *out, size_t skip)
{
    size_t front = UDSI_HEADER_SIZE + (size_t)out->head_len;
    bool copy_body = out->body_len <= COPY_MAX;
    size_t copied = front + (copy_body ? out->body_len : 0);
    uint8_t *to = gather->scratch + gather->used;

    if (out->packed && gather->niov < IOV_COUNT) {
        add_piece(gather, out->own_head + skip, out->body_len - skip);
        return true;
    }
    if (gather->niov + 2 > IOV_COUNT || gather->used + copied > sizeof(gather->scratch))
        return false;
    if (out->nfds > 0) {
        if (gather->total > 0)
            return false;
        gather->fds = out->payload->fds;
        gather->nfds = out->nfds;
    }
    memcpy(to, out->header, UDSI_HEADER_SIZE);
    if (out->head_len > 0)
        memcpy(to + UDSI_HEADER_SIZE, udsi_out_head(out), out->head_len);
    if (copy_body && out->body_len > 0)
        memcpy(to + front, udsi_out_body(out), out->body_len);
    gather->used += copied;
    if (skip < copied)
        add_piece(gather, to + skip, copied - skip);
    if (!copy_body) {
        skip = skip > copied ? skip - copied : 0;
        add_piece(gather, udsi_out_body(out) + skip, out->body_len - skip);
    }
    return true;
}

static void gather_all(struct gather *gather, const struct udsi_sendq *queue)
{
    gather->niov = gather->total = gather->used = gather->nfds = 0;
    gather->fds = NULL;
    if (queue->hello_sent < queue->hello_len) {
        add_piece(gather, queue->hello + queue->hello_sent,
                  (size_t)queue->hello_len - queue->hello_sent);
        if (queue->records)
            return;
    }
    for (size_t i = 0; queue->released && i < queue->count; i++) {
        const struct udsi_out *out = udsi_sendq_at(queue, i);

        if (!gather_frame(gather, out, i == 0 ? queue->sent : 0) || queue->records || out->last)
            return;
    }
}

void udsi_sendq_end_stream(struct udsi_sendq *queue)
{
    udsi_sendq_at(queue, queue->count - 1)->last = true;
}

void udsi_sendq_unpin(struct udsi_sendq *queue)
{
    unpin(queue, udsi_sendq_at(queue, 0));
}

void udsi_sendq_consume(struct udsi_sendq *queue, size_t n)
{
    size_t hello = (size_t)queue->hello_len - queue->hello_sent;

    if (hello > n)
        hello = n;
    queue->hello_sent = (uint8_t)(queue->hello_sent + hello);
    n -= hello;
    while (n > 0) {
        struct udsi_out *out = udsi_sendq_at(queue, 0);
        size_t left = udsi_out_size(out) - queue->sent;

        if (n < left) {
            unpin(queue, out);
            queue->sent += n;
            queue->bytes -= n;
            return;
        }
        n -= left;
        pop(queue);
    }
    if (queue->count == 0 && queue->cap > RING_KEEP)
        drop_ring(queue);
}

/* What was sent of @total bytes leaves the queue. */
static int after_send(struct udsi_sendq *queue, ssize_t n, size_t total)
{
    if (n < 0)
        return (int)n;
    udsi_sendq_consume(queue, (size_t)n);
    if ((size_t)n < total)
        return -EAGAIN;
    return queue->over ||
           udsi_sendq_has_work(queue); /* over: the ring's turn, were it with nothing */
}

/* A whole frame, side by side. */
static size_t copy_out(uint8_t bytes[UDSI_SMALL_MAX], const struct udsi_out *out)
{
    size_t front = UDSI_HEADER_SIZE + (size_t)out->head_len;

    memcpy(bytes, out->header, UDSI_HEADER_SIZE);
    if (out->head_len > 0)
        memcpy(bytes + UDSI_HEADER_SIZE, udsi_out_head(out), out->head_len);
    if (out->body_len > 0)
        memcpy(bytes + front, udsi_out_body(out), out->body_len);
    return front + out->body_len;
}

ssize_t
udsi_sendq_lay_out(struct udsi_sendq *queue, const uds_msg *msg, uint8_t bytes[UDSI_SMALL_MAX])
{
    int r;

    if (queue->count > 0 || !queue->released || queue->hello_sent < queue->hello_len ||
        uds_msg_get_size(msg) > UDSI_SMALL_MAX)
        return 0;
    r = grow_ring(queue);
    if (r < 0)
        return r;
    return (ssize_t)write_frame(bytes, msg);
}

void udsi_sendq_push_rest(struct udsi_sendq *queue, uds_msg *msg, const uint8_t *bytes, size_t sent)
{
    struct udsi_out *out = udsi_sendq_at(queue, queue->count++);

    *out = (struct udsi_out){
        .head_len = msg->head_len, .payload = uds_msg_ref(msg), .body_len = msg->body_len};
    memcpy(out->header, bytes, UDSI_HEADER_SIZE);
    queue->sent = sent;
    queue->bytes += udsi_out_size(out) - sent;
}

/* One small frame and nothing else, of which nothing has gone: what request and reply are made of. */
static bool is_one_small_frame(const struct udsi_sendq *queue)
{
    return queue->count == 1 && queue->released && queue->sent == 0 &&
           queue->hello_sent == queue->hello_len && !udsi_sendq_at(queue, 0)->packed &&
           udsi_out_size(udsi_sendq_at(queue, 0)) <= UDSI_SMALL_MAX;
}

static int send_small_frame(struct udsi_sendq *queue, int fd)
{
    const struct udsi_out *out = udsi_sendq_at(queue, 0);
    uint8_t bytes[UDSI_SMALL_MAX];
    const struct iovec iov = {.iov_base = bytes, .iov_len = copy_out(bytes, out)};

    return after_send(queue,
                      udsi_send(fd, &iov, 1, out->nfds > 0 ? out->payload->fds : NULL, out->nfds),
                      iov.iov_len);
}

/* Apart, so that the pages of its scratch area are touched only when there is something to gather. */
__attribute__((noinline)) static int send_gathered(struct udsi_sendq *queue, int fd)
{
    struct gather gather;

    gather_all(&gather, queue);
    if (gather.total == 0)
        return 0;
    return after_send(queue, udsi_send(fd, gather.iov, gather.niov, gather.fds, gather.nfds),
                      gather.total);
}

int udsi_sendq_send(struct udsi_sendq *queue, int fd)
{
    if (!udsi_sendq_has_work(queue))
        return 0;
    return is_one_small_frame(queue) ? send_small_frame(queue, fd) : send_gathered(queue, fd);
}

bool udsi_sendq_ends_stream(const struct udsi_sendq *queue)
{
    bool ends = queue->over;

    for (size_t i = 0; i < queue->count; i++)
        ends |= udsi_sendq_at(queue, i)->last;
    return ends;
}

bool udsi_sendq_check(const struct udsi_sendq *queue)
{
    size_t bytes = 0, fds = 0, ends = queue->over, packs = 0;

    for (size_t i = 0; i < queue->count; i++) {
        const struct udsi_out *out = udsi_sendq_at(queue, i);

        bytes += udsi_out_size(out);
        fds += out->nfds;
        ends += out->last;
        packs += out->packed;
        if (out->nfds > 0 && (!out->payload || out->payload->pins == 0))
            return false;
    }
    if (queue->count == 0 ? queue->sent != 0
                          : queue->sent >= udsi_out_size(udsi_sendq_at(queue, 0)))
        return false;
    return queue->bytes == bytes - queue->sent && queue->fds == fds &&
           queue->hello_sent <= queue->hello_len && queue->count <= queue->cap && ends <= 1 &&
           queue->packs == packs;
}
