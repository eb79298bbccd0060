/* SPDX-License-Identifier: MIT */
#ifndef ROUTER_FDCOPY_H
#define ROUTER_FDCOPY_H

#include <stdint.h>

#include <uds/msg.h>

#include "fdpolicy.h"

#define FDCOPY_MAX   (64ull << 20) /* largest file that is copied */
#define FDCOPY_CHUNK (512u << 10)  /* bytes per turn of the loop */

struct event_base;

/* A read-only file on its way into a sealed memfd, a chunk per loop turn so that nobody waits for it. */
struct fdcopy;

/* @msg: the message with the copy in place of the file, a reference of the callee; NULL when it failed with @error. */
typedef void (*fdcopy_done_fn)(uds_msg *msg,
                               int error,
                               const struct fdpolicy_copies *copies,
                               void *arg);

/**
 * fdcopy_start() - replace descriptor @index of @msg
 * @size: how much of the file, as it was charged
 * @copies: those of @msg that are copies already; NULL none
 * @done: called once from the loop, never from inside this function
 * Errors: -EFBIG @size is larger than FDCOPY_MAX; -EXDEV it lies on a filesystem whose reads may hang (network,
 *         FUSE); -EMFILE, -ENOMEM.
 */
int fdcopy_start(struct fdcopy **ret,
                 struct event_base *base,
                 uds_msg *msg,
                 size_t index,
                 uint64_t size,
                 const struct fdpolicy_copies *copies,
                 fdcopy_done_fn done,
                 void *arg);
/** fdcopy_get_memfd() - where it goes; -1 once it is done. */
int fdcopy_get_memfd(const struct fdcopy *copy);
/** fdcopy_free() - also while it runs; @done is not called then. NULL is fine. Returns NULL. */
struct fdcopy *fdcopy_free(struct fdcopy *copy);
/** fdcopy_peek() - what it works on, to start it again elsewhere. */
uds_msg *fdcopy_peek(const struct fdcopy *copy, struct fdpolicy_copies *ret_copies);

#endif
