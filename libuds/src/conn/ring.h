/* SPDX-License-Identifier: MIT */
#ifndef UDSI_CONN_RING_H
#define UDSI_CONN_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <sys/types.h>
#include <sys/uio.h>

/*
 * Two byte rings in memory that two processes share, docs/protocol.md "Rings".
 *
 *   0     words of side 0 (who made the memory): tail, head, sleep, core, 128 bytes each
 *   2048  words of side 1
 *   4096  bytes from side 0 to side 1, a power of two
 *   4096 + size  bytes from side 1 to side 0
 */

#define UDSI_RING_MIN   4096u
#define UDSI_RING_MAX   (16u << 20)
#define UDSI_RING_WORDS 4096u

/* A cache line each, and the one beside it, which some processors fetch along. Each word has one writer: the side. */
struct udsi_ring_word {
    _Atomic uint32_t value;
    uint8_t unused[124];
};

struct udsi_ring_words {
    struct udsi_ring_word tail; /* how many bytes it has written so far, modulo 2^32 */
    struct udsi_ring_word head; /* how many it has read */
    /* bits of udsi_ring_need, 0 awake; above them it counts its sleeps */
    struct udsi_ring_word sleep;
    struct udsi_ring_word core; /* where it last ran, 1 for the first; 0 unknown */
};

enum udsi_ring_need {
    UDSI_RING_DATA = 1,  /* ring when there is something to read */
    UDSI_RING_SPACE = 2, /* ring when the ring is at most half full */
};
#define UDSI_RING_NEEDS 3u

/*
 * One side's view. What it writes to the shared words it keeps here and never reads back.
 *
 * I1  tail - out_head <= size, and out_tail, what is published, lies between the two
 * I2  in_tail - head <= size
 */
struct udsi_ring {
    struct udsi_ring_words *mine;
    const struct udsi_ring_words *theirs;
    uint8_t *out;
    const uint8_t *in;
    uint32_t size;

    uint32_t tail, out_tail, out_head;
    uint32_t head, in_tail;
    uint32_t sleep; /* as in mine */
    uint32_t seen;  /* the peer's sleep word, as udsi_ring_must_ring() found it */
    uint32_t rung;  /* and the one that it was last woken from */
    uint32_t core;
    uint32_t due; /* bits of udsi_ring_need: what the peer is to be looked after for */
};

bool udsi_ring_size_is_valid(uint64_t size);
static inline size_t udsi_ring_total(uint32_t size)
{
    return UDSI_RING_WORDS + 2 * (size_t)size;
}

/* @base: udsi_ring_total(@size) bytes, all zero when the first side begins. @side 0 or 1. */
void udsi_ring_init(struct udsi_ring *ring, void *base, uint32_t size, unsigned side);

/* Writes what there is room for; not seen by the peer before udsi_ring_publish(). -EPROTO: the peer's index is impossible. */
ssize_t udsi_ring_write(struct udsi_ring *ring, const void *data, size_t len);
void udsi_ring_publish(struct udsi_ring *ring);

/* Moves what is there, as far as @iov goes; 0 nothing. -EPROTO: as above. */
ssize_t udsi_ring_read(struct udsi_ring *ring, const struct iovec *iov, size_t niov);

/* Does the peer sleep for something that it now has? Then wake it and say udsi_ring_rung(). */
bool udsi_ring_must_ring(struct udsi_ring *ring);
void udsi_ring_rung(struct udsi_ring *ring);

/* Says that we sleep for @needs from now on. Returns those that are met already: then do not. */
uint32_t udsi_ring_sleep(struct udsi_ring *ring, uint32_t needs);
void udsi_ring_wake(struct udsi_ring *ring);

/* Is there something to read, or is half of the ring free? One load: for spinning. */
bool udsi_ring_has_data(const struct udsi_ring *ring);
bool udsi_ring_has_space(const struct udsi_ring *ring);

/* Will the peer go on by itself, on another core than ours? */
bool udsi_ring_peer_runs(struct udsi_ring *ring);

bool udsi_ring_check(const struct udsi_ring *ring);

#endif
