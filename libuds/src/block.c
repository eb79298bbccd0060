/* SPDX-License-Identifier: MIT */

/*
 * Per thread, a stack of free blocks for each class of sizes: 512 bytes, and 2^k + 512 for k = 10 … 16. The 512 on
 * top are for what stands before a body (struct uds_msg and a head), so that a body of a power of two, the size that
 * everybody uses, does not fall into the class of twice its size.
 *
 * Each stack keeps UDSI_BLOCK_KEEP bytes at most: 256 of the smallest, as many as uds_conn_process() gives out in one go.
 *
 * A thread's blocks are freed by the destructor of a pthread key. The key is deleted when the library is unloaded, for
 * no thread may run our code afterwards; threads that live on then keep what they have cached.
 *
 * Under AddressSanitizer blocks that wait are poisoned, so that a use after free is still seen.
 */

#include "block.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "poison.h"

#define CLASSES   8
#define SHIFT_MIN 10 /* class 1 is 2^10 + 512 */
#define SLOTS     (UDSI_BLOCK_KEEP / UDSI_BLOCK_SMALLEST)

/* The slots of all classes, side by side: those of rank c begin at first_slot(c). */
struct cache {
    bool registered; /* the key has a value in this thread */
    unsigned count[CLASSES];
    void *slots[SLOTS * 2];
};

static _Thread_local struct cache cache;
static pthread_key_t key;
static bool have_key;

/* The class of a size that is at most UDSI_BLOCK_LARGEST. */
static unsigned rank_of(size_t size)
{
    size_t rest = size > UDSI_BLOCK_SMALLEST ? size - UDSI_BLOCK_SMALLEST : 0;

    if (rest == 0)
        return 0;
    if (rest <= 1u << SHIFT_MIN)
        return 1;
    return (unsigned)(8 * sizeof(unsigned long) - (unsigned)__builtin_clzl(rest - 1)) - SHIFT_MIN +
           1;
}

static size_t size_of(unsigned rank)
{
    return rank == 0 ? UDSI_BLOCK_SMALLEST
                     : ((size_t)1 << (rank - 1 + SHIFT_MIN)) + UDSI_BLOCK_SMALLEST;
}

/* 256, then 128, 64 … : what UDSI_BLOCK_KEEP bytes come to, the 512 on top not counted. */
static unsigned slots_of(unsigned rank)
{
    return SLOTS >> rank;
}

static unsigned first_slot(unsigned rank)
{
    return 2 * SLOTS - (2 * SLOTS >> rank);
}

void udsi_block_trim(void)
{
    for (unsigned rank = 0; rank < CLASSES; rank++) {
        while (cache.count[rank] > 0) {
            void *block = cache.slots[first_slot(rank) + --cache.count[rank]];

            UDSI_SHOW(block, size_of(rank));
            free(block);
        }
    }
}

/* A destructor that runs after ours and frees messages registers us anew, and we run again. */
static void on_thread_end(void *value)
{
    (void)value;
    udsi_block_trim();
    cache.registered = false;
}

__attribute__((constructor)) static void make_key(void)
{
    have_key = pthread_key_create(&key, on_thread_end) == 0;
}

__attribute__((destructor)) static void delete_key(void)
{
    udsi_block_trim();
    if (have_key)
        (void)pthread_key_delete(key);
    have_key = false;
}

/* May this thread keep blocks? Without a destructor they would be lost with it. */
__attribute__((noinline)) static bool register_thread(void)
{
    cache.registered = have_key && pthread_setspecific(key, &cache) == 0;
    return cache.registered;
}

static inline void *take(unsigned rank)
{
    void *block;

    if (cache.count[rank] == 0)
        return malloc(size_of(rank));
    block = cache.slots[first_slot(rank) + --cache.count[rank]];
    UDSI_SHOW(block, size_of(rank));
    return block;
}

static inline void give_back(void *block, unsigned rank)
{
    if (cache.count[rank] == slots_of(rank) || !(cache.registered || register_thread())) {
        free(block);
        return;
    }
    UDSI_HIDE(block, size_of(rank));
    cache.slots[first_slot(rank) + cache.count[rank]++] = block;
}

__attribute__((noinline)) static void *alloc_larger(size_t size)
{
    return size <= UDSI_BLOCK_LARGEST ? take(rank_of(size)) : malloc(size);
}

__attribute__((noinline)) static void free_larger(void *block, size_t size)
{
    if (size <= UDSI_BLOCK_LARGEST)
        give_back(block, rank_of(size));
    else
        free(block);
}

/* Most are small: with a rank that the compiler knows, nothing is left to compute. */
void *udsi_block_alloc(size_t size)
{
    return size <= UDSI_BLOCK_SMALLEST ? take(0) : alloc_larger(size);
}

void udsi_block_free(void *block, size_t size)
{
    if (block && size <= UDSI_BLOCK_SMALLEST)
        give_back(block, 0);
    else if (block)
        free_larger(block, size);
}
