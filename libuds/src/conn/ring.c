/* SPDX-License-Identifier: MIT */

/*
 * Byte rings between two processes that do not trust each other.
 *
 * The peer can write every byte of the memory, ours included. So nothing that we wrote is read back, each index of the
 * peer is loaded once, checked (it may only move on, and by no more than there are bytes or room) and only then used, and bytes
 * are copied out before anybody looks at them. A peer that scribbles hurts what it sends itself, or is found out.
 *
 * Order. Bytes are written before the index that publishes them and read after it (release and acquire), the same the other
 * way for room. Sleeping is a handshake of two stores and two loads, which must not both be missed:
 *
 *     who sleeps:   sleep = n       who produces:   tail = t
 *                   look at tail                    look at sleep
 *
 * All four are sequentially consistent, so one of the two sees the other's store: either the sleeper does not sleep or
 * it is woken. On aarch64 that is stlr before ldar, an order that emulators do not all keep: under qemu-user 7.2 on x86
 * both sides miss in 1.5% of tries, a hang for whoever runs a foreign container. They keep a fence, so one stands between.
 *
 * The sleep word is written by the sleeper alone. A producer that cleared it would lose wake-ups: it reads the word, the
 * sleeper arms anew, the producer clears that. Instead the word counts the sleeps, and the producer remembers the one
 * that it has ended.
 */

#include "conn/ring.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "the words are shared between processes");
_Static_assert(sizeof(struct udsi_ring_words) <= UDSI_RING_WORDS / 2, "room for the words");

bool udsi_ring_size_is_valid(uint64_t size)
{
    return size >= UDSI_RING_MIN && size <= UDSI_RING_MAX && (size & (size - 1)) == 0;
}

void udsi_ring_init(struct udsi_ring *ring, void *base, uint32_t size, unsigned side)
{
    uint8_t *at = base;
    void *words[2] = {at, at + UDSI_RING_WORDS / 2};
    uint8_t *bytes[2] = {at + UDSI_RING_WORDS, at + UDSI_RING_WORDS + size};

    *ring = (struct udsi_ring){
        .mine = words[side],
        .theirs = words[1 - side],
        .out = bytes[side],
        .in = bytes[1 - side],
        .size = size,
    };
}

static void order_store_and_load(void)
{
#ifdef __aarch64__
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

static void say_core(struct udsi_ring *ring)
{
    /* glibc reads it from the rseq area of the thread: no system call. */
    uint32_t core = (uint32_t)(sched_getcpu() + 1);

    if (core == ring->core)
        return;
    ring->core = core;
    atomic_store_explicit(&ring->mine->core.value, core, memory_order_relaxed);
}

/* How far the peer has read of what we write. */
static int look_at_head(struct udsi_ring *ring)
{
    uint32_t head = atomic_load_explicit(&ring->theirs->head.value, memory_order_acquire);

    if (head - ring->out_head > ring->out_tail - ring->out_head)
        return -EPROTO;
    ring->out_head = head;
    return 0;
}

/* How far the peer has written of what we read. */
static int look_at_tail(struct udsi_ring *ring)
{
    uint32_t tail = atomic_load_explicit(&ring->theirs->tail.value, memory_order_acquire);
    uint32_t here = tail - ring->head;

    if (here > ring->size || here < ring->in_tail - ring->head)
        return -EPROTO;
    ring->in_tail = tail;
    return 0;
}

ssize_t udsi_ring_write(struct udsi_ring *ring, const void *data, size_t len)
{
    size_t room = ring->size - (ring->tail - ring->out_head), at, first;

    if (room < len) {
        int r = look_at_head(ring);

        if (r < 0)
            return r;
        room = ring->size - (ring->tail - ring->out_head);
    }
    if (len > room)
        len = room;
    at = ring->tail & (ring->size - 1);
    first = ring->size - at < len ? ring->size - at : len;
    memcpy(ring->out + at, data, first);
    if (first < len)
        memcpy(ring->out, (const uint8_t *)data + first, len - first);
    ring->tail += (uint32_t)len;
    return (ssize_t)len;
}

void udsi_ring_publish(struct udsi_ring *ring)
{
    if (ring->tail == ring->out_tail)
        return;
    say_core(ring);
    ring->out_tail = ring->tail;
    atomic_store_explicit(&ring->mine->tail.value, ring->tail, memory_order_seq_cst);
    ring->due |= UDSI_RING_DATA;
}

static void copy_out(struct udsi_ring *ring, void *to, size_t len)
{
    size_t at = ring->head & (ring->size - 1);
    size_t first = ring->size - at < len ? ring->size - at : len;

    memcpy(to, ring->in + at, first);
    if (first < len)
        memcpy((uint8_t *)to + first, ring->in, len - first);
    ring->head += (uint32_t)len;
}

ssize_t udsi_ring_read(struct udsi_ring *ring, const struct iovec *iov, size_t niov)
{
    uint32_t before = ring->head;
    int r = look_at_tail(ring);

    if (r < 0)
        return r;
    if (ring->in_tail == ring->head)
        return 0;
    for (size_t i = 0; i < niov && ring->head != ring->in_tail; i++) {
        size_t here = ring->in_tail - ring->head;

        copy_out(ring, iov[i].iov_base, here < iov[i].iov_len ? here : iov[i].iov_len);
    }
    say_core(ring);
    atomic_store_explicit(&ring->mine->head.value, ring->head, memory_order_seq_cst);
    if (ring->in_tail - ring->head <= ring->size / 2)
        ring->due |= UDSI_RING_SPACE;
    return (ssize_t)(ring->head - before);
}

bool udsi_ring_must_ring(struct udsi_ring *ring)
{
    if (ring->due == 0)
        return false;
    order_store_and_load();
    ring->seen = atomic_load_explicit(&ring->theirs->sleep.value, memory_order_seq_cst);
    if ((ring->seen & ring->due) && ring->seen != ring->rung)
        return true;
    ring->due = 0;
    return false;
}

void udsi_ring_rung(struct udsi_ring *ring)
{
    ring->rung = ring->seen; /* never the word as it is now: that sleep may be another one */
    ring->due = 0;
}

uint32_t udsi_ring_sleep(struct udsi_ring *ring, uint32_t needs)
{
    uint32_t tail, head, met = 0;

    ring->sleep = ((ring->sleep & ~UDSI_RING_NEEDS) + UDSI_RING_NEEDS + 1) | needs;
    atomic_store_explicit(&ring->mine->sleep.value, ring->sleep, memory_order_seq_cst);
    order_store_and_load();
    tail = atomic_load_explicit(&ring->theirs->tail.value, memory_order_seq_cst);
    head = atomic_load_explicit(&ring->theirs->head.value, memory_order_seq_cst);
    if (tail != ring->head)
        met |= UDSI_RING_DATA;
    if (ring->tail - head <= ring->size / 2)
        met |= UDSI_RING_SPACE;
    return met & needs;
}

void udsi_ring_wake(struct udsi_ring *ring)
{
    if (!(ring->sleep & UDSI_RING_NEEDS))
        return;
    ring->sleep &= ~UDSI_RING_NEEDS;
    atomic_store_explicit(&ring->mine->sleep.value, ring->sleep, memory_order_relaxed);
}

bool udsi_ring_has_data(const struct udsi_ring *ring)
{
    return atomic_load_explicit(&ring->theirs->tail.value, memory_order_relaxed) != ring->head;
}

bool udsi_ring_has_space(const struct udsi_ring *ring)
{
    uint32_t head = atomic_load_explicit(&ring->theirs->head.value, memory_order_relaxed);

    return ring->tail - head <= ring->size / 2;
}

bool udsi_ring_peer_runs(struct udsi_ring *ring)
{
    uint32_t sleep = atomic_load_explicit(&ring->theirs->sleep.value, memory_order_relaxed);
    uint32_t core = atomic_load_explicit(&ring->theirs->core.value, memory_order_relaxed);

    say_core(ring);
    if (core == 0 || core == ring->core)
        return false;
    /* Asleep, and nobody has woken it: it has nothing to do before we have. */
    return !(sleep & UDSI_RING_NEEDS) || sleep == ring->rung;
}

bool udsi_ring_check(const struct udsi_ring *ring)
{
    return ring->tail - ring->out_head <= ring->size &&
           ring->out_tail - ring->out_head <= ring->tail - ring->out_head &&
           ring->in_tail - ring->head <= ring->size;
}
