/* SPDX-License-Identifier: MIT */
#ifndef BENCH_BODY_H
#define BENCH_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * What travels. The rule on every row: each body is written once by its sender, to the place where it is sent from, and
 * every byte of it is read once by its receiver. Nobody wins by moving bytes that nobody touches.
 *
 * A verifying pass does the same with bodies that all differ: byte i of message n is a function of n and i, so that a
 * byte that is lost, doubled, moved or changed is seen. It is a pass of its own because making such bodies takes longer
 * than sending them.
 */

/* One direction, the sending end. */
struct body_source {
    size_t size;
    bool verify;
    uint64_t made; /* messages */
    uint8_t *bytes;
};

/* One direction, the receiving end. */
struct body_sink {
    size_t size;
    bool verify;
    bool wrong;     /* a byte was not what it had to be; stays set */
    uint64_t taken; /* bytes */
    uint64_t sum;   /* of what was read */
};

/* 0 or -ENOMEM. */
int body_source_init(struct body_source *source, size_t size, bool verify);
void body_source_deinit(struct body_source *source);
/* The next message's bytes, to be copied to where it is sent from; valid until the next call. */
const void *body_source_next(struct body_source *source);

/* Reads the next @len bytes of what the other side made: a piece of a stream, or one message. */
void body_sink_take(struct body_sink *sink, const void *data, size_t len);

#endif
