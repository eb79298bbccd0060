/* SPDX-License-Identifier: MIT */
#ifndef UDSI_RPC_HASH_H
#define UDSI_RPC_HASH_H

#include <stdint.h>
#include <string.h>

/*
 * uthash for tables keyed by a u64 id. It does not exit(3) when memory is short: after HASH_ADD, (item)->hh.tbl is NULL
 * if the item was not added. The hash is not secret: ids that a peer chooses get in only up to a small limit of calls.
 */

static inline unsigned udsi_hash_id(const void *key)
{
    uint64_t v;

    memcpy(&v, key, sizeof(v));
    v = (v ^ (v >> 31)) * 0x9e3779b97f4a7c15ULL;
    return (unsigned)(v >> 32);
}

#define HASH_NONFATAL_OOM 1
#define HASH_FUNCTION(key, len, ret_hash) \
    do {                                  \
        (void)(len);                      \
        (ret_hash) = udsi_hash_id(key);   \
    } while (0)
#include <uthash.h>

#endif
