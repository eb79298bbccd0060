/* SPDX-License-Identifier: MIT */
#ifndef UDSI_BLOCK_H
#define UDSI_BLOCK_H

#include <stddef.h>

/*
 * Memory for what comes and goes with every message: messages themselves, receive buffers, send rings. As malloc(3), but what
 * is given back waits in a small cache of the thread for the next of its size, so that a steady flow of messages
 * never reaches the heap. Whoever frees says the size again; no block has a header.
 *
 * A block may be freed by another thread than the one that made it. The cache goes with its thread.
 */

#define UDSI_BLOCK_SMALLEST 512u
#define UDSI_BLOCK_LARGEST  (64u * 1024 + UDSI_BLOCK_SMALLEST) /* larger ones are malloc's */
#define UDSI_BLOCK_KEEP     (128u * 1024) /* bytes that wait in each class of sizes, at most */

/* NULL when memory is short. Contents undefined. @size > 0. */
void *udsi_block_alloc(size_t size);

/* @block was made with the same @size; NULL is fine. */
void udsi_block_free(void *block, size_t size);

/* Gives what waits in this thread back to the heap. For tests, and for a thread's end. */
void udsi_block_trim(void);

#endif
