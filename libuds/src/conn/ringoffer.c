/* SPDX-License-Identifier: MIT */

/*
 * How two sides agree on a ring, and how each direction goes over to it, docs/protocol.md "Rings".
 *
 *        the side that offers                     the other
 *        OFFER (memory) ───────────────────────▶ maps it
 *        reads the ring  ◀─────────────── ACCEPT, its last frame on the stream; writes the ring
 *        SWITCH, its last frame on the stream ─▶ reads the ring
 *        writes the ring
 *
 * Order is kept because each direction goes over by itself, right behind a frame of its own. When both offer at once
 * the OFFER with the higher id stands and the other is as if it had never been sent; both sides see both ids.
 */

#include <errno.h>

#include <sys/random.h>

#include "cleanup.h"
#include "conn/conn.h"
#include "conn/msg.h"
#include "socket/io.h"
#include "socket/ringmem.h"

static struct udsi_ringlink *link_new(const uds_conn *conn)
{
    struct udsi_ringlink *link = calloc(1, sizeof(*link));

    if (!link)
        return NULL;
    link->fd = conn->fd;
    link->memfd = link->nap_fd = -1;
    link->max_fds = conn->in.limits.max_fds;
    return link;
}

static void set_memory(struct udsi_ringlink *link, int memfd, void *base, uint32_t size)
{
    link->memfd = memfd;
    link->base = base;
    udsi_ring_init(&link->ring, base, size, link->side);
}

/* Queues a step. @memfd: -1 or what goes with it, dup'ed. */
static int
queue_step(uds_conn *conn, uint64_t id, enum udsi_ring_step step, uint32_t bytes, int memfd)
{
    _cleanup_msg_ uds_msg *msg = NULL;
    int r = udsi_msg_alloc(&msg, UDS_MSG_RING, id, 0, 0);

    if (r == 0)
        r = uds_msg_add_u32(msg, UDSI_FIELD_RING_STEP, step);
    if (r == 0 && bytes > 0)
        r = uds_msg_add_u32(msg, UDSI_FIELD_RING_BYTES, bytes);
    if (r == 0 && memfd >= 0)
        r = uds_msg_push_dup_fd(msg, memfd);
    if (r == 0) {
        msg->sealed = true;
        r = udsi_sendq_push(&conn->out, UDS_MSG_RING, id, NULL, 0, msg, memfd >= 0);
    }
    if (r < 0)
        return r;
    if (step == UDSI_RING_ACCEPT || step == UDSI_RING_SWITCH)
        udsi_sendq_end_stream(&conn->out);
    return 0;
}

static void drop(uds_conn *conn)
{
    conn->ring = udsi_ringlink_free(conn->ring);
}

/* A ring is a luxury: without memory or descriptors for it the connection goes on as it is. */
void udsi_ring_propose(uds_conn *conn)
{
    struct udsi_ringlink *link;
    void *base = NULL;
    int fd;

    if (!conn->ring_propose || !(conn->in.limits.features & UDS_FEATURE_RING) ||
        conn->peer_max_fds == 0 || conn->ring || conn->state != UDSI_CONN_OPEN)
        return;
    link = link_new(conn);
    if (!link)
        return;
    while (link->id == 0 && getrandom(&link->id, sizeof(link->id), 0) == sizeof(link->id))
        ;
    fd = udsi_ringmem_new(udsi_ring_total(conn->ring_bytes), &base);
    if (fd >= 0)
        set_memory(link, fd, base, conn->ring_bytes);
    if (fd < 0 || link->id == 0 ||
        queue_step(conn, link->id, UDSI_RING_OFFER, conn->ring_bytes, fd) < 0) {
        (void)udsi_ringlink_free(link);
        return;
    }
    link->offered = true;
    conn->ring = link;
}

bool udsi_ring_take_back(uds_conn *conn)
{
    uint64_t id;
    uint8_t type;

    if (!udsi_sendq_begins_with_fds(&conn->out))
        return false;
    udsi_out_get_id(udsi_sendq_at(&conn->out, 0), &type, &id);
    if (type != UDS_MSG_RING)
        return false;
    if (conn->ring && conn->ring->offered && conn->ring->id == id)
        drop(conn);
    udsi_sendq_drop_first(&conn->out);
    return true;
}

/* A ring that the peer has made. 0 it is ours too, 1 no thanks, -EPROTO, -ENOMEM. */
static int adopt(uds_conn *conn, uds_msg *msg, uint32_t bytes)
{
    struct udsi_ringlink *link;
    void *base = NULL;
    int fd, r;

    if (msg->error != 0) /* the kernel had no descriptor left for us */
        return 1;
    if (bytes > conn->ring_bytes)
        return 1;
    r = udsi_ringmem_map(msg->fds[0], udsi_ring_total(bytes), &base);
    if (r < 0)
        return r == -EINVAL ? -EPROTO : 1;
    link = link_new(conn);
    fd = link ? uds_msg_take_fd(msg, 0) : -1;
    if (fd < 0) {
        udsi_ringmem_unmap(base, udsi_ring_total(bytes));
        (void)udsi_ringlink_free(link);
        return 1;
    }
    link->side = 1;
    link->id = msg->id;
    set_memory(link, fd, base, bytes);
    conn->ring = link;
    return 0;
}

static void take_offer(uds_conn *conn, uds_msg *msg, uint32_t bytes)
{
    int r;

    if (conn->ring_asked || (conn->ring && !conn->ring->offered)) {
        udsi_conn_fail_rule(conn, UDSI_RULE_RING_TURN);
        return;
    }
    conn->ring_asked = true;
    if (conn->ring) {
        uint64_t ours = conn->ring->id;

        if (ours > msg->id)
            return; /* ours stands */
        drop(conn);
        if (ours == msg->id)
            return; /* neither does */
    }
    r = adopt(conn, msg, bytes);
    if (r == -EPROTO) {
        udsi_conn_fail_rule(conn, UDSI_RULE_RING_MEMORY);
        return;
    }
    r = queue_step(conn, msg->id, r == 0 ? UDSI_RING_ACCEPT : UDSI_RING_DECLINE, 0, -1);
    if (r < 0)
        udsi_conn_fail(conn, r, "no memory to answer the peer's offer of a ring");
}

/* From here on the peer's bytes come from the ring. */
static void read_ring(uds_conn *conn)
{
    conn->ring->in_over = conn->ring->listening = true;
    conn->drained = false; /* the socket was */
    if (udsi_receiver_go_over(&conn->in, conn->ring) < 0)
        udsi_conn_fail_rule(conn, UDSI_RULE_RING_FDS);
}

static void take_accept(uds_conn *conn, const uds_msg *msg)
{
    int r = queue_step(conn, msg->id, UDSI_RING_SWITCH, 0, -1);

    conn->ring->offered = false;
    if (r < 0)
        udsi_conn_fail(conn, r, "no memory to go over to the ring");
    else
        read_ring(conn);
}

void udsi_ring_take(uds_conn *conn, uds_msg *msg)
{
    uint32_t step = 0, bytes = 0;
    bool has_bytes = uds_msg_get_u32(msg, UDSI_FIELD_RING_BYTES, &bytes) == 0;
    bool offer, answers;

    if (uds_msg_get_u32(msg, UDSI_FIELD_RING_STEP, &step) < 0)
        step = 0;
    offer = step == UDSI_RING_OFFER;
    if (msg->id == 0 || msg->body_len > 0 || step < UDSI_RING_OFFER || step > UDSI_RING_SWITCH ||
        has_bytes != offer || (offer && !udsi_ring_size_is_valid(bytes)) ||
        (msg->error == 0 && msg->nfds != (offer ? 1 : 0))) {
        udsi_conn_fail_rule(conn, UDSI_RULE_RING_FRAME);
        return;
    }
    if (offer) {
        take_offer(conn, msg, bytes);
        return;
    }
    answers = step != UDSI_RING_SWITCH;
    if (!conn->ring || conn->ring->id != msg->id || conn->ring->offered != answers ||
        (!answers && (conn->ring->side == 0 || conn->ring->in_over))) {
        udsi_conn_fail_rule(conn, UDSI_RULE_RING_TURN);
        return;
    }
    if (step == UDSI_RING_ACCEPT)
        take_accept(conn, msg);
    else if (step == UDSI_RING_DECLINE)
        drop(conn);
    else
        read_ring(conn);
}

bool uds_conn_uses_ring(const uds_conn *conn)
{
    return conn->ring && conn->ring->in_over && conn->ring->out_over;
}

/* ---- moving into another process image ---- */

static void put_batches(const struct udsi_ringlink *link, uds_snapshot *s)
{
    uds_snapshot_put_u32(s, (uint32_t)link->nheld);
    for (size_t i = 0; i < link->nheld; i++) {
        uds_snapshot_put_u32(s, link->held[i].truncated);
        uds_snapshot_put_u32(s, (uint32_t)link->held[i].nfds);
        for (size_t j = 0; j < link->held[i].nfds; j++)
            uds_snapshot_put_fd(s, link->held[i].fds[j]);
    }
}

void udsi_ringlink_serialise(const uds_conn *conn, uds_snapshot *s)
{
    const struct udsi_ringlink *link = conn->ring;

    uds_snapshot_put_u32(s, conn->ring_asked);
    uds_snapshot_put_u32(s, link != NULL);
    if (!link)
        return;
    uds_snapshot_put_fd(s, link->memfd);
    uds_snapshot_put_u64(s, link->id);
    uds_snapshot_put_u32(s, link->side);
    uds_snapshot_put_u32(s, link->offered);
    uds_snapshot_put_u32(s, link->in_over);
    uds_snapshot_put_u32(s, link->ring.size);
    uds_snapshot_put_u32(s, link->ring.tail);
    uds_snapshot_put_u32(s, link->ring.out_tail);
    uds_snapshot_put_u32(s, link->ring.out_head);
    uds_snapshot_put_u32(s, link->ring.head);
    uds_snapshot_put_u32(s, link->ring.in_tail);
    uds_snapshot_put_u32(s, link->ring.sleep);
    put_batches(link, s);
}

static int get_batches(uds_snapshot *s, struct udsi_ringlink *link)
{
    uint32_t count = uds_snapshot_get_u32(s);

    if (count > UDSI_BATCHES)
        return -EBADMSG;
    while (link->nheld < count) {
        struct udsi_ancillary ancillary = {.pidfd = -1, .truncated = uds_snapshot_get_u32(s) != 0};
        uint32_t nfds = uds_snapshot_get_u32(s);
        int r = nfds > link->max_fds || (ancillary.truncated && nfds > 0) ? -EBADMSG : 0;

        while (r == 0 && ancillary.nfds < nfds) {
            int fd = uds_snapshot_get_fd(s);

            if (fd < 0)
                r = -EBADMSG;
            else
                ancillary.fds[ancillary.nfds++] = fd;
        }
        if (r < 0) {
            udsi_ancillary_clear(&ancillary);
            return r;
        }
        r = udsi_batch_take(&link->held[link->nheld], &ancillary);
        if (r < 0)
            return r;
        link->nheld++;
    }
    return 0;
}

static int get_link(uds_snapshot *s, const uds_conn *conn, struct udsi_ringlink *link)
{
    uint32_t size;
    void *base = NULL;
    int r;

    link->memfd = uds_snapshot_get_fd(s);
    link->id = uds_snapshot_get_u64(s);
    link->side = uds_snapshot_get_u32(s);
    link->offered = uds_snapshot_get_u32(s) != 0;
    link->in_over = uds_snapshot_get_u32(s) != 0;
    link->out_over = conn->out.over;
    size = uds_snapshot_get_u32(s);
    if (uds_snapshot_error(s) || link->memfd < 0 || link->side > 1 ||
        !udsi_ring_size_is_valid(size))
        return -EBADMSG;
    r = udsi_ringmem_map(link->memfd, udsi_ring_total(size), &base);
    if (r < 0)
        return r == -ENOMEM ? r : -EBADMSG;
    set_memory(link, link->memfd, base, size);
    link->ring.tail = uds_snapshot_get_u32(s);
    link->ring.out_tail = uds_snapshot_get_u32(s);
    link->ring.out_head = uds_snapshot_get_u32(s);
    link->ring.head = uds_snapshot_get_u32(s);
    link->ring.in_tail = uds_snapshot_get_u32(s);
    link->ring.sleep = uds_snapshot_get_u32(s);
    link->ring.due = UDSI_RING_DATA | UDSI_RING_SPACE; /* rather once too often */
    link->listening = true;
    r = get_batches(s, link);
    if (r < 0)
        return r;
    return uds_snapshot_error(s) || !udsi_ringlink_check(link) ? -EBADMSG : 0;
}

int udsi_ringlink_restore(uds_conn *conn, uds_snapshot *s)
{
    int r;

    conn->ring_asked = uds_snapshot_get_u32(s) != 0;
    if (uds_snapshot_get_u32(s) == 0)
        return uds_snapshot_error(s) || conn->out.over ? -EBADMSG : 0;
    conn->ring = link_new(conn);
    if (!conn->ring)
        return -ENOMEM;
    r = get_link(s, conn, conn->ring);
    if (r == 0 && conn->ring->in_over)
        conn->in.ring = conn->ring;
    return r;
}
