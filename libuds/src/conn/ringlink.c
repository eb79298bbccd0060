/* SPDX-License-Identifier: MIT */

/*
 * Frames through shared memory, with the socket beside it.
 *
 * The bytes of a frame are the same as on the stream, and so are their bounds: the receiver reads them out of the ring
 * into its buffer, the sender writes its queue into the ring, and when that is full the queue grows to its limit and
 * no further. Nobody makes a system call while both run.
 *
 * The doorbell is a byte on the socket. A pipe would be cheaper, and cannot be trusted: its two ends share a mutex, which whoever
 * reads or writes it holds while the kernel copies from or to his memory. A peer whose memory does not come (userfaultfd, FUSE, a
 * cgroup that is throttled) made pwritev2(RWF_NOWAIT) wait for as long as it liked, unkillable (measured, 6.18;
 * docs/decisions/0006). A socket's sender takes no lock that the receiver holds while it copies.
 *
 * Descriptors travel on the socket, one byte a batch, sent before the frame that claims them is published: whoever parses
 * that frame finds them there. So the order of what comes over the socket is the order of the frames, and doorbells
 * in between mean nothing.
 *
 * A doorbell need not be read at once. In the blocking calls it is left lying, and an edge-triggered epoll tells of the
 * next, which saves a system call for each message; not more than four, for the smallest socket buffer that there can be
 * takes seven, and a doorbell that finds the socket full is not sent.
 */

#include "conn/ringlink.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <sys/epoll.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "clock.h"
#include "conn/conn.h"
#include "conn/msg.h"
#include "socket/io.h"
#include "socket/ringmem.h"

#define NAPS_MAX    4  /* doorbells that may lie in the socket */
#define DRAIN_MAX   16 /* receives in a row: a peer that rings without end does not hold the loop */
#define SPIN_NS     50000 /* above the price of waking somebody on another core */
#define SPIN_MIN_NS 1000
#define SPIN_RETRY  64 /* one wait in so many spins in full, whatever came of the last ones */

struct udsi_ringlink *udsi_ringlink_free(struct udsi_ringlink *link)
{
    if (!link)
        return NULL;
    for (size_t i = 0; i < link->nheld; i++)
        udsi_batch_drop(&link->held[i]);
    if (link->base)
        udsi_ringmem_unmap(link->base, udsi_ring_total(link->ring.size));
    udsi_close(link->memfd);
    udsi_close(link->nap_fd);
    free(link);
    return NULL;
}

static int broken(struct udsi_ringlink *link, enum udsi_rule rule)
{
    link->rule = rule;
    return -EPROTO;
}

/* Wakes the peer if it sleeps for what it now has. What cannot be sent now stays due. */
static int ring_bell(struct udsi_ringlink *link)
{
    uint8_t byte = 0;
    ssize_t n;

    if (!link->out_over || !udsi_ring_must_ring(&link->ring))
        return 0;
    n = udsi_send(link->fd, &(struct iovec){.iov_base = &byte, .iov_len = 1}, 1, NULL, 0);
    if (n < 0 && n != -EAGAIN) /* full: there is a byte in it already */
        return (int)n;
    udsi_ring_rung(&link->ring);
    return 0;
}

/* ---- receiving ---- */

int udsi_ringlink_hold(struct udsi_ringlink *link, struct udsi_batch *batch)
{
    if (link->nheld == UDSI_BATCHES) {
        udsi_batch_drop(batch);
        return broken(link, UDSI_RULE_RING_FDS);
    }
    link->held[link->nheld++] = *batch;
    *batch = (struct udsi_batch){0};
    return 0;
}

static int hold_ancillary(struct udsi_ringlink *link, struct udsi_ancillary *ancillary)
{
    struct udsi_batch batch = {0};
    int r;

    udsi_close(udsi_take_fd(&ancillary->pidfd));
    if (ancillary->nfds == 0 && !ancillary->truncated)
        return 0;
    if (ancillary->nfds > link->max_fds) {
        udsi_ancillary_clear(ancillary);
        return broken(link, UDSI_RULE_FD_COUNT);
    }
    r = udsi_batch_take(&batch, ancillary);
    return r < 0 ? r : udsi_ringlink_hold(link, &batch);
}

/*
 * Reads doorbells until the socket is empty, at its end, or has brought descriptors: those first need a look at the ring.
 * What a peer has rung beyond all need stays for the next time. 0 or -errno.
 */
static int drain(struct udsi_ringlink *link)
{
    link->more_lies = true;
    for (unsigned i = 0; i < DRAIN_MAX; i++) {
        struct udsi_ancillary ancillary;
        uint8_t bytes[1024];
        struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
        size_t held = link->nheld;
        ssize_t n = udsi_recv(link->fd, &iov, 1, MSG_DONTWAIT, &ancillary);
        int r;

        if (n < 0 && n != -EAGAIN)
            return (int)n;
        if (n == 0)
            link->ended = true;
        if (n > 0) {
            r = hold_ancillary(link, &ancillary);
            if (r < 0 || link->nheld > held)
                return r;
            if ((size_t)n == sizeof(bytes) || link->ending)
                continue;
        }
        link->listening = link->more_lies = false;
        link->naps = 0;
        return 0;
    }
    link->naps = NAPS_MAX;
    return 0;
}

static ssize_t read_ring(struct udsi_ringlink *link, const struct iovec *iov, size_t niov)
{
    ssize_t n = udsi_ring_read(&link->ring, iov, niov);

    if (n < 0)
        return broken(link, UDSI_RULE_RING_INDEX);
    if (n > 0)
        (void)ring_bell(link); /* gone, or no memory: the send side finds out, or tries again */
    return n;
}

ssize_t udsi_ringlink_read(struct udsi_ringlink *link, const struct iovec *iov, size_t niov)
{
    ssize_t n = read_ring(link, iov, niov);
    size_t held = link->nheld;
    int r;

    if (n != 0)
        return n;
    if (link->listening && !link->ended && (!link->lazy || link->naps >= NAPS_MAX)) {
        r = drain(link);
        if (r < 0)
            return r;
        /* What was published before the end, or before these descriptors were sent, is there by now. */
        n = read_ring(link, iov, niov);
        if (n != 0)
            return n;
        /* Two batches, and the frame that claims the first is not there: it never comes. */
        if (link->nheld > held && held > 0)
            return broken(link, UDSI_RULE_RING_FDS);
    }
    return link->ended ? 0 : -EAGAIN;
}

int udsi_ringlink_claim(struct udsi_ringlink *link, struct udsi_batch *ret)
{
    if (link->nheld == 0 && !link->ended) {
        int r = drain(link);

        if (r < 0)
            return r;
    }
    if (link->nheld == 0)
        return broken(link, UDSI_RULE_FDS_MISSING);
    *ret = link->held[0];
    link->held[0] = link->held[1];
    link->held[1] = (struct udsi_batch){0};
    link->nheld--;
    return 0;
}

/* ---- sending ---- */

static int publish(struct udsi_ringlink *link)
{
    udsi_ring_publish(&link->ring);
    return ring_bell(link);
}

/* The descriptors of the first frame, before any of its bytes can be seen, and after all bytes of the frames before it. */
static int send_fds(struct udsi_ringlink *link, struct udsi_sendq *queue)
{
    struct udsi_out *out = udsi_sendq_at(queue, 0);
    uint8_t byte = 0;
    ssize_t n;
    int r = publish(link);

    if (r < 0)
        return r;
    n = udsi_send(link->fd, &(struct iovec){.iov_base = &byte, .iov_len = 1}, 1, out->payload->fds,
                  out->nfds);
    link->socket_full = n == -EAGAIN;
    if (n < 0)
        return (int)n;
    udsi_sendq_unpin(queue);
    return 0;
}

/* What fits of a frame from byte @skip on. Bytes, or -EPROTO. */
static ssize_t write_frame(struct udsi_ring *ring, const struct udsi_out *out, size_t skip)
{
    const struct {
        const uint8_t *data;
        size_t len;
    } pieces[] = {
        {out->header, UDSI_HEADER_SIZE},
        {udsi_out_head(out), out->head_len},
        {out->body_len > 0 ? udsi_out_body(out) : NULL, out->body_len},
    };
    ssize_t total = 0;

    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        size_t len = pieces[i].len;
        ssize_t n;

        if (skip >= len) {
            skip -= len;
            continue;
        }
        len -= skip;
        n = udsi_ring_write(ring, pieces[i].data + skip, len);
        if (n < 0)
            return n;
        total += n;
        if ((size_t)n < len)
            break;
        skip = 0;
    }
    return total;
}

/* As many frames as there is room for, published a quarter of the ring at a time, so that the peer can begin. */
static int write_frames(struct udsi_ringlink *link, struct udsi_sendq *queue)
{
    while (queue->count > 0) {
        const struct udsi_out *out = udsi_sendq_at(queue, 0);
        size_t left = udsi_out_size(out) - queue->sent;
        ssize_t n;
        int r = out->nfds > 0 ? send_fds(link, queue) : 0;

        if (r < 0)
            return r;
        n = write_frame(&link->ring, out, queue->sent);
        if (n < 0)
            return broken(link, UDSI_RULE_RING_INDEX);
        if (n > 0)
            udsi_sendq_consume(queue, (size_t)n);
        if ((size_t)n < left)
            return -EAGAIN;
        if (link->ring.tail - link->ring.out_tail >= link->ring.size / 4) {
            r = publish(link);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

int udsi_ringlink_send(struct udsi_ringlink *link, struct udsi_sendq *queue)
{
    int r, s;

    link->socket_full = false;
    if (link->ended && queue->count > 0)
        return -EPIPE;
    r = write_frames(link, queue);
    s = publish(link);
    return r == 0 || r == -EAGAIN ? (s < 0 ? s : r) : r;
}

/* ---- waiting ---- */

static bool waits_for_room(const uds_conn *conn)
{
    return conn->ring->out_over && conn->send_error == 0 && conn->out.count > 0 &&
           !conn->ring->socket_full && conn->retry_at == 0;
}

/* Nobody can ring us: look again in a while, as after ETOOMANYREFS. */
static void look_again(uds_conn *conn)
{
    if (conn->retry_at == 0)
        conn->retry_at = udsi_now_ms() + UDSI_RETRY_MS;
}

uint32_t udsi_ringlink_sleep(uds_conn *conn)
{
    struct udsi_ringlink *link = conn->ring;
    uint32_t needs = 0;

    if (!link || conn->state == UDSI_CONN_CLOSED)
        return 0;
    if (link->ring.due != 0 && link->out_over)
        look_again(conn);
    if (link->in_over && udsi_conn_wants_input(conn))
        needs |= UDSI_RING_DATA;
    if (waits_for_room(conn)) {
        /* While no message is wanted nobody else empties the socket, and descriptors in it may be in the way. */
        if (!(needs & UDSI_RING_DATA) && link->in_over && link->listening && !link->ended &&
            link->nheld < UDSI_BATCHES)
            (void)drain(link);
        if (link->in_over && link->nheld < UDSI_BATCHES)
            needs |= UDSI_RING_SPACE;
        else
            look_again(conn);
    }
    if (link->ended || needs == 0)
        return needs;
    link->listening = true;
    link->naps++;
    return udsi_ring_sleep(&link->ring, needs);
}

void udsi_ringlink_wake(uds_conn *conn, bool lazy)
{
    udsi_ring_wake(&conn->ring->ring);
    conn->ring->lazy = lazy;
}

bool udsi_ringlink_wants_bell(const uds_conn *conn)
{
    return conn->ring && (conn->ring->ring.sleep & UDSI_RING_SPACE);
}

static uint64_t now_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__arm__)
    __asm__ volatile("yield" ::: "memory");
#else
    __asm__ volatile("" ::: "memory");
#endif
}

static bool is_there(const struct udsi_ring *ring, uint32_t needs)
{
    return needs == UDSI_RING_DATA ? udsi_ring_has_data(ring) : udsi_ring_has_space(ring);
}

/* What came of a spin decides how long the next may be. */
bool udsi_ringlink_spin(uds_conn *conn, uint32_t needs)
{
    struct udsi_ringlink *link = conn->ring;
    uint64_t until;

    /* What waits for the socket beside it, or for a time, gains nothing by room that there is. */
    if (!link || (needs == UDSI_RING_DATA ? !link->in_over : !waits_for_room(conn)))
        return false;
    if (is_there(&link->ring, needs))
        return true;
    if (!udsi_ring_peer_runs(&link->ring))
        return false;
    if (++link->waits % SPIN_RETRY == 0)
        link->spin_ns = SPIN_NS;
    until = now_ns() + link->spin_ns;
    do {
        for (unsigned i = 0; i < 64; i++) {
            if (is_there(&link->ring, needs)) {
                link->spin_ns = link->spin_ns * 2 < SPIN_NS ? link->spin_ns * 2 : SPIN_NS;
                return true;
            }
            relax();
        }
    } while (now_ns() < until);
    link->spin_ns = link->spin_ns / 2 > SPIN_MIN_NS ? link->spin_ns / 2 : SPIN_MIN_NS;
    return false;
}

/* -1 as long as there is none to be had. */
static int nap_fd(struct udsi_ringlink *link)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET};

    if (link->nap_fd >= 0)
        return link->nap_fd;
    link->nap_fd = epoll_create1(EPOLL_CLOEXEC);
    if (link->nap_fd >= 0 && epoll_ctl(link->nap_fd, EPOLL_CTL_ADD, link->fd, &event) < 0) {
        udsi_close(link->nap_fd);
        link->nap_fd = -1;
    }
    return link->nap_fd;
}

int udsi_ringlink_nap(uds_conn *conn, int timeout_ms)
{
    struct udsi_ringlink *link = conn->ring;
    struct pollfd pfd = {.fd = link->fd, .events = POLLIN};
    struct epoll_event event;
    /* What was left in the socket is no edge any more, were it the end; and a full one takes no doorbell that would be. */
    int fd = link->more_lies ? -1 : nap_fd(link), r;

    r = fd < 0 ? poll(&pfd, 1, timeout_ms) : epoll_wait(fd, &event, 1, timeout_ms);
    if (r < 0)
        return errno == EINTR ? 0 : -errno;
    /* The edge is used up: what else the socket has is looked for now. */
    if (fd >= 0 && r > 0 && (event.events & ~(uint32_t)EPOLLIN))
        link->ending = true;
    if (fd < 0 || link->ending || !udsi_ring_has_data(&link->ring))
        link->naps = NAPS_MAX;
    return r;
}

bool udsi_ringlink_check(const struct udsi_ringlink *link)
{
    return udsi_ring_check(&link->ring) && link->nheld <= UDSI_BATCHES &&
           (!link->offered || (!link->in_over && !link->out_over));
}
