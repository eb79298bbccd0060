/* SPDX-License-Identifier: MIT */

/*
 * A connection on its way into another process image, in the middle of a frame if need be: options, state, what was
 * received and not yet delivered, what is queued and how much of its first frame has gone, and the socket.
 *
 * The reader trusts the bytes no further than a peer's: counts and lengths are checked before they are used, and
 * anything odd makes the whole restore -EBADMSG with every fd closed.
 */

#include <errno.h>
#include <string.h>

#include "block.h"
#include "cleanup.h"
#include "conn/conn.h"
#include "conn/msg.h"
#include "wire/head.h"

#define STATE_VERSION 6
#define ERRNO_MAX     4095 /* the kernel's MAX_ERRNO */

/* Of frames that are our own. */
static const struct udsi_limits unlimited = {
    .max_body = UINT32_MAX, .max_fds = UDS_FDS_MAX, .features = UINT64_MAX};

/* A body that lies in an arena of the peer's becomes an ordinary one. */
static void put_msg(uds_snapshot *s, const uds_msg *msg, bool with_fds)
{
    const void *body;
    size_t body_len;

    uds_snapshot_put_u32(s, msg != NULL);
    if (!msg)
        return;
    uds_snapshot_put_u32(s, msg->type);
    uds_snapshot_put_u64(s, msg->id);
    uds_snapshot_put_u32(s, msg->error != 0);
    uds_snapshot_put_bytes(s, msg->head, msg->head_len);
    body = uds_msg_peek_body(msg, &body_len);
    uds_snapshot_put_bytes(s, body, body_len);
    uds_snapshot_put_u32(s, with_fds ? msg->nfds : 0);
    for (size_t i = 0; with_fds && i < msg->nfds; i++)
        uds_snapshot_put_fd(s, msg->fds[i]);
}

/* @count fds of the snapshot become @msg's. */
static int get_fds(uds_snapshot *s, uds_msg *msg, size_t count)
{
    if (count > UDS_FDS_MAX)
        return -EBADMSG;
    for (size_t i = 0; i < count; i++) {
        _cleanup_close_ int fd = uds_snapshot_get_fd(s);
        int r = udsi_msg_adopt_fds(msg, &fd, 1);

        if (r < 0)
            return r;
        (void)udsi_take_fd(&fd);
    }
    return uds_snapshot_error(s);
}

/* Head and body with room for @head_cap and @body_cap bytes. *@ret may become NULL: there was none. */
static int get_msg(uds_snapshot *s, size_t head_cap, size_t body_cap, uds_msg **ret)
{
    _cleanup_msg_ uds_msg *msg = NULL;
    size_t head_len, body_len;
    const void *head, *body;
    uint32_t type, error;
    uint64_t id;
    int r;

    if (uds_snapshot_get_u32(s) == 0) {
        *ret = NULL;
        return uds_snapshot_error(s);
    }
    type = uds_snapshot_get_u32(s);
    id = uds_snapshot_get_u64(s);
    error = uds_snapshot_get_u32(s);
    head = uds_snapshot_get_bytes(s, &head_len);
    body = uds_snapshot_get_bytes(s, &body_len);
    if (uds_snapshot_error(s) || type > UINT8_MAX || head_len > UDS_HEAD_MAX ||
        body_len > UINT32_MAX)
        return -EBADMSG;
    r = udsi_msg_alloc(&msg, (uint8_t)type, id, head_len > head_cap ? head_len : head_cap,
                       body_len > body_cap ? body_len : body_cap);
    if (r < 0)
        return r;
    memcpy(msg->head, head, head_len);
    memcpy(msg->body, body, body_len);
    msg->head_len = (uint16_t)head_len;
    msg->body_len = body_len;
    msg->error = error ? -EMFILE : 0;
    msg->sealed = true;
    r = get_fds(s, msg, uds_snapshot_get_u32(s));
    if (r < 0)
        return r;
    *ret = UDSI_TAKE(msg);
    return 0;
}

static void put_receiver(uds_snapshot *s, const struct udsi_receiver *rx)
{
    uds_snapshot_put_u64(s, rx->received);
    uds_snapshot_put_bytes(s, rx->data ? rx->data + rx->start : NULL, rx->end - rx->start);
    uds_snapshot_put_u32(s, (uint32_t)rx->nbatches);
    for (size_t i = 0; i < rx->nbatches; i++) {
        const struct udsi_batch *batch = &rx->batches[i];

        uds_snapshot_put_u64(s, batch->start);
        uds_snapshot_put_u64(s, batch->end);
        uds_snapshot_put_u32(s, batch->truncated);
        uds_snapshot_put_u32(s, (uint32_t)batch->nfds);
        for (size_t j = 0; j < batch->nfds; j++)
            uds_snapshot_put_fd(s, batch->fds[j]);
    }
    uds_snapshot_put_u32(s, rx->header.flags);
    uds_snapshot_put_u32(s, rx->header.head_length);
    uds_snapshot_put_u32(s, rx->header.body_length);
    put_msg(s, rx->partial, true);
}

static int get_batch(uds_snapshot *s, struct udsi_receiver *rx)
{
    struct udsi_batch *batch = &rx->batches[rx->nbatches];
    size_t count;

    *batch = (struct udsi_batch){0};
    batch->start = uds_snapshot_get_u64(s);
    batch->end = uds_snapshot_get_u64(s);
    batch->truncated = uds_snapshot_get_u32(s) != 0;
    count = uds_snapshot_get_u32(s);
    if (uds_snapshot_error(s) || count > rx->limits.max_fds || batch->start >= batch->end ||
        batch->end > rx->received)
        return -EBADMSG;
    if (count > 0) {
        batch->fds = udsi_block_alloc(count * sizeof(int));
        if (!batch->fds)
            return -ENOMEM;
        batch->room = count;
    }
    rx->nbatches++; /* from here on udsi_receiver_clear() closes what is in it */
    while (batch->nfds < count) {
        int fd = uds_snapshot_get_fd(s);

        if (fd < 0)
            return -EBADMSG;
        batch->fds[batch->nfds++] = fd;
    }
    return 0;
}

static int get_receiver(uds_snapshot *s, struct udsi_receiver *rx)
{
    const void *data;
    size_t len;
    uint32_t count, flags, head_length, body_length;
    int r = 0;

    rx->received = uds_snapshot_get_u64(s);
    data = uds_snapshot_get_bytes(s, &len);
    count = uds_snapshot_get_u32(s);
    if (uds_snapshot_error(s) || len > rx->received || count > UDSI_BATCHES)
        return -EBADMSG;
    if (len > 0) {
        /* With room for the rest of a header: a receive into no room looks like the end of the stream. */
        rx->cap = len < UDSI_BUFFER_SMALL ? UDSI_BUFFER_SMALL : len + UDSI_BUFFER_LARGE;
        rx->data = udsi_block_alloc(rx->cap);
        if (!rx->data) {
            rx->cap = 0;
            return -ENOMEM;
        }
        memcpy(rx->data, data, len);
        rx->end = len;
    }
    while (r == 0 && rx->nbatches < count)
        r = get_batch(s, rx);
    if (r < 0)
        return r;
    flags = uds_snapshot_get_u32(s);
    head_length = uds_snapshot_get_u32(s);
    body_length = uds_snapshot_get_u32(s);
    if (flags > UINT8_MAX || head_length > UDS_HEAD_MAX || body_length > rx->limits.max_body ||
        ((flags & UDSI_FLAG_ARENA) && body_length != UDSI_BODYREF_SIZE))
        return -EBADMSG;
    rx->header.flags = (uint8_t)flags;
    rx->header.head_length = (uint16_t)head_length;
    rx->header.body_length = body_length;
    r = get_msg(s, head_length, 0, &rx->partial);
    if (r < 0 || !rx->partial)
        return r;
    rx->partial->sealed = false;
    rx->partial->in_arena = flags & UDSI_FLAG_ARENA;
    rx->header.type = rx->partial->type;
    rx->header.id = rx->partial->id;
    /* Nor is one that is whole half here. */
    if (rx->partial->head_len > head_length || rx->partial->body_len > body_length ||
        (rx->partial->head_len == head_length && rx->partial->body_len == body_length))
        return -EBADMSG;
    return 0;
}

/* The frame that begins at byte @at of an entry with many. Returns its length. */
static size_t frame_at(const struct udsi_out *out, size_t at, struct udsi_header *ret)
{
    (void)udsi_header_decode(out->own_head + at, &unlimited, ret);
    return UDSI_HEADER_SIZE + (size_t)ret->head_length + ret->body_length;
}

/* How many frames an entry has of which the first @sent bytes have gone, and how much of the first of them. */
static size_t count_frames(const struct udsi_out *out, size_t sent, size_t *ret_sent)
{
    size_t count = 0;

    *ret_sent = sent;
    if (!out->packed)
        return 1;
    for (size_t at = 0, len; at < out->body_len; at += len) {
        struct udsi_header header;

        len = frame_at(out, at, &header);
        if (at + len <= sent)
            *ret_sent -= len;
        else
            count++;
    }
    return count;
}

/* As put_queue() writes an entry of one frame, whose payload is a message of its own. */
static void put_packed(uds_snapshot *s, const struct udsi_out *out, size_t sent)
{
    for (size_t at = 0, len; at < out->body_len; at += len) {
        const uint8_t *bytes = out->own_head + at, *head = bytes + UDSI_HEADER_SIZE;
        struct udsi_header header;

        len = frame_at(out, at, &header);
        if (at + len <= sent)
            continue;
        uds_snapshot_put_u32(s, false);
        uds_snapshot_put_bytes(s, bytes, UDSI_HEADER_SIZE);
        uds_snapshot_put_bytes(s, head, header.head_length);
        uds_snapshot_put_bytes(s, NULL, 0);
        uds_snapshot_put_u32(s, false);
        uds_snapshot_put_u32(s, true);
        uds_snapshot_put_u32(s, header.type);
        uds_snapshot_put_u64(s, header.id);
        uds_snapshot_put_u32(s, 0);
        uds_snapshot_put_bytes(s, head, header.head_length);
        uds_snapshot_put_bytes(s, head + header.head_length, header.body_length);
        uds_snapshot_put_u32(s, 0);
    }
}

static void put_queue(uds_snapshot *s, const struct udsi_sendq *queue)
{
    size_t sent = queue->sent, count = 0, none;

    for (size_t i = 0; i < queue->count; i++)
        count +=
            count_frames(udsi_sendq_at(queue, i), i == 0 ? queue->sent : 0, i == 0 ? &sent : &none);
    uds_snapshot_put_u32(s, queue->hello_sent);
    uds_snapshot_put_u32(s, queue->released);
    uds_snapshot_put_u32(s, queue->over);
    uds_snapshot_put_u64(s, sent);
    uds_snapshot_put_u64(s, count);
    for (size_t i = 0; i < queue->count; i++) {
        const struct udsi_out *out = udsi_sendq_at(queue, i);

        if (out->packed) {
            put_packed(s, out, i == 0 ? queue->sent : 0);
            continue;
        }
        uds_snapshot_put_u32(s, out->last);
        uds_snapshot_put_bytes(s, out->header, sizeof(out->header));
        uds_snapshot_put_bytes(s, udsi_out_head(out), out->head_len);
        uds_snapshot_put_bytes(s, out->in_arena ? udsi_out_body(out) : NULL,
                               out->in_arena ? out->body_len : 0);
        uds_snapshot_put_u32(s, out->nfds > 0);
        put_msg(s, out->payload, out->nfds > 0);
    }
}

static int get_queued(uds_snapshot *s, struct udsi_sendq *queue)
{
    _cleanup_msg_ uds_msg *payload = NULL;
    const void *bytes, *head, *ref;
    struct udsi_header header;
    size_t len, head_len, ref_len, body_len;
    bool with_fds, last;
    int r;

    last = uds_snapshot_get_u32(s) != 0;
    bytes = uds_snapshot_get_bytes(s, &len);
    head = uds_snapshot_get_bytes(s, &head_len);
    ref = uds_snapshot_get_bytes(s, &ref_len);
    with_fds = uds_snapshot_get_u32(s) != 0;
    r = get_msg(s, 0, 0, &payload);
    if (r < 0)
        return r;
    body_len = ref_len > 0 ? ref_len : payload ? payload->body_len : 0;
    if (len != UDSI_HEADER_SIZE ||
        udsi_header_decode(bytes, &unlimited, &header) != UDSI_RULE_NONE ||
        header.head_length != head_len || header.body_length != body_len ||
        (ref_len > 0) != ((header.flags & UDSI_FLAG_ARENA) != 0) ||
        (with_fds && (!payload || header.fd_count != payload->nfds || payload->nfds == 0)))
        return -EBADMSG;
    r = ref_len > 0
            ? udsi_sendq_push_ref(queue, header.type, header.id, head, head_len, payload, with_fds,
                                  ref)
            : udsi_sendq_push(queue, header.type, header.id, head, head_len, payload, with_fds);
    if (r < 0)
        return r;
    /* The fds of a frame that is partly out have gone, but its header still says how many there were. */
    memcpy(udsi_sendq_at(queue, queue->count - 1)->header, bytes, UDSI_HEADER_SIZE);
    udsi_sendq_at(queue, queue->count - 1)->last = last;
    return 0;
}

static int get_queue(uds_snapshot *s, struct udsi_sendq *queue)
{
    uint32_t hello_sent = uds_snapshot_get_u32(s);
    bool released = uds_snapshot_get_u32(s) != 0;
    bool over = uds_snapshot_get_u32(s) != 0;
    uint64_t sent = uds_snapshot_get_u64(s), count = uds_snapshot_get_u64(s);

    if (uds_snapshot_error(s) || hello_sent > queue->hello_len)
        return -EBADMSG;
    for (uint64_t i = 0; i < count; i++) {
        int r = get_queued(s, queue);

        if (r < 0)
            return r;
    }
    if (sent > 0 && (queue->count == 0 || sent >= udsi_out_size(udsi_sendq_at(queue, 0)) ||
                     udsi_sendq_at(queue, 0)->nfds > 0))
        return -EBADMSG;
    queue->hello_sent = (uint8_t)hello_sent;
    queue->released = released;
    queue->over = over;
    queue->sent = (size_t)sent;
    queue->bytes -= (size_t)sent;
    return 0;
}

int uds_conn_serialise(uds_conn *conn, uds_snapshot *s)
{
    if (conn->state == UDSI_CONN_CLOSED)
        return -ENOTCONN;
    (void)udsi_arena_queue_releases(conn); /* refusals do not travel but in the queue */
    uds_snapshot_put_u32(s, STATE_VERSION);
    uds_snapshot_put_fd(s, conn->fd);
    uds_snapshot_put_u32(s, conn->in.limits.max_body);
    uds_snapshot_put_u32(s, conn->in.limits.max_fds);
    uds_snapshot_put_u64(s, conn->max_bytes);
    uds_snapshot_put_u64(s, conn->max_fds_queued);
    uds_snapshot_put_u64(s, conn->high_water);
    uds_snapshot_put_u64(s, conn->low_water);
    uds_snapshot_put_u32(s, conn->beat.interval_ms);
    uds_snapshot_put_u64(s, conn->arena_bytes);
    uds_snapshot_put_u32(s, conn->body_path);
    uds_snapshot_put_u32(s, conn->ring_bytes);
    uds_snapshot_put_u32(s, conn->ring_propose);
    uds_snapshot_put_u32(s, conn->max_stall_ms);
    uds_snapshot_put_u32(s, (uint32_t)conn->state);
    uds_snapshot_put_u32(s, conn->said_goodbye);
    uds_snapshot_put_u32(s, conn->said_finish);
    uds_snapshot_put_u32(s, conn->peer_done);
    uds_snapshot_put_u32(s, conn->peer_finished);
    uds_snapshot_put_u32(s, conn->finish_due);
    uds_snapshot_put_u32(s, conn->above_high);
    uds_snapshot_put_u32(s, conn->writable || conn->slot_due);
    uds_snapshot_put_u32(s, (uint32_t)-conn->send_error);
    uds_snapshot_put_u32(s, conn->paused);
    uds_snapshot_put_u32(s, conn->peer_max_body);
    uds_snapshot_put_u32(s, conn->peer_max_fds);
    uds_snapshot_put_u64(s, conn->features);
    uds_snapshot_put_u64(s, conn->in.limits.features);
    uds_snapshot_put_u32(s, conn->beat.asked);
    uds_snapshot_put_u64(s, conn->beat.id);
    uds_snapshot_put_string(s, conn->text);
    put_receiver(s, &conn->in);
    put_queue(s, &conn->out);
    put_msg(s, conn->ready, true);
    udsi_arenas_serialise(conn, s);
    udsi_ringlink_serialise(conn, s);
    return uds_snapshot_error(s);
}

static int get_options(uds_snapshot *s, struct uds_conn_options *ret)
{
    *ret = (struct uds_conn_options)UDS_CONN_OPTIONS_INIT;
    ret->max_body = uds_snapshot_get_u32(s);
    ret->max_fds = uds_snapshot_get_u32(s);
    ret->send_queue_bytes = (size_t)uds_snapshot_get_u64(s);
    ret->send_queue_fds = (size_t)uds_snapshot_get_u64(s);
    ret->high_water = (size_t)uds_snapshot_get_u64(s);
    ret->low_water = (size_t)uds_snapshot_get_u64(s);
    ret->heartbeat_ms = uds_snapshot_get_u32(s);
    ret->arena_bytes = (size_t)uds_snapshot_get_u64(s);
    ret->body_path = (enum uds_body_path)uds_snapshot_get_u32(s);
    ret->ring_bytes = uds_snapshot_get_u32(s);
    ret->ring_propose = uds_snapshot_get_u32(s) != 0;
    ret->max_stall_ms = uds_snapshot_get_u32(s);
    return uds_snapshot_error(s);
}

static int get_rest(uds_snapshot *s, uds_conn *conn)
{
    _cleanup_free_ char *text = NULL;
    uint32_t state = uds_snapshot_get_u32(s), send_error;
    int r;

    conn->said_goodbye = uds_snapshot_get_u32(s) != 0;
    conn->said_finish = uds_snapshot_get_u32(s) != 0;
    conn->peer_done = uds_snapshot_get_u32(s) != 0;
    conn->peer_finished = uds_snapshot_get_u32(s) != 0;
    conn->finish_due = uds_snapshot_get_u32(s) != 0;
    conn->above_high = uds_snapshot_get_u32(s) != 0;
    conn->writable = uds_snapshot_get_u32(s) != 0;
    send_error = uds_snapshot_get_u32(s);
    conn->paused = uds_snapshot_get_u32(s);
    conn->peer_max_body = uds_snapshot_get_u32(s);
    conn->peer_max_fds = uds_snapshot_get_u32(s);
    conn->features = uds_snapshot_get_u64(s);
    conn->in.limits.features = uds_snapshot_get_u64(s);
    udsi_heartbeat_start(conn); /* the time that the move took is not the peer's silence */
    conn->beat.asked = uds_snapshot_get_u32(s) != 0;
    conn->beat.id = uds_snapshot_get_u64(s);
    conn->beat.asked_at = conn->beat.asked ? conn->beat.heard_at : 0;
    text = uds_snapshot_get_string(s);
    if (uds_snapshot_error(s) || state >= UDSI_CONN_CLOSED || send_error > ERRNO_MAX ||
        (conn->in.limits.features & ~conn->features))
        return -EBADMSG;
    udsi_hello_make(conn); /* with the features, should it still have to go out */
    conn->state = (enum udsi_conn_state)state;
    conn->send_error = -(int)send_error;
    if (text)
        memccpy(conn->text, text, 0, sizeof(conn->text) - 1);
    r = get_receiver(s, &conn->in);
    if (r == 0)
        r = get_queue(s, &conn->out);
    conn->finish_sent = r == 0 && conn->said_finish && conn->out.count == 0;
    if (r == 0)
        r = get_msg(s, 0, 0, &conn->ready);
    if (r == 0)
        r = udsi_arenas_restore(conn, s);
    if (r == 0)
        r = udsi_ringlink_restore(conn, s);
    if (r < 0)
        return r;
    conn->more = true; /* what the buffer holds does not wake poll */
    conn->beat.answers = conn->out.count > 0;
    return udsi_conn_check(conn) ? 0 : -EBADMSG;
}

int uds_conn_restore(uds_conn **ret, uds_snapshot *s)
{
    _cleanup_conn_ uds_conn *conn = NULL;
    _cleanup_close_ int fd = -1;
    struct uds_conn_options options;
    uint32_t version = uds_snapshot_get_u32(s);
    int r;

    fd = uds_snapshot_get_fd(s);
    r = get_options(s, &options);
    if (r < 0 || version != STATE_VERSION || fd < 0 || options.max_body == 0) {
        uds_snapshot_fail(s);
        return -EBADMSG;
    }
    r = uds_conn_new(&conn, fd, &options);
    if (r == 0) {
        (void)udsi_take_fd(&fd);
        conn->in.limits.max_fds =
            options.max_fds; /* as our HELLO said, whatever the socket does now */
        r = get_rest(s, conn);
    }
    if (r == -ENOMEM)
        return r;
    if (r < 0) {
        uds_snapshot_fail(s);
        return -EBADMSG;
    }
    *ret = UDSI_TAKE(conn);
    return 0;
}
