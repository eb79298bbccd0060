/* SPDX-License-Identifier: MIT */
#ifndef SBXI_DECISION_H
#define SBXI_DECISION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "filter.h"

/*
 * What a seccomp program decides, without how: a diagram. A node is an answer, or looks at one word of struct seccomp_data
 * under a mask and has a node for each range of its values. It is read from BPF (decision-read.c), two are merged into
 * what the kernel would make of both (decision.c), and the result is written as BPF (decision-write.c).
 *
 * Always true:
 *   - equal nodes are one node; a node's children were there before it, so there is no way in a circle
 *   - the first range begins at 0, the last ends at the mask, and neighbours lead to different nodes
 *   - what did not fit or is not understood sets @failed and leads to node 0, which kills
 */
struct sbxi_range {
    uint32_t from;
    uint32_t to; /* a node */
};

struct sbxi_node {
    bool answers;
    uint32_t action;       /* when it answers: SECCOMP_RET_… */
    uint32_t offset, mask; /* otherwise */
    uint32_t first, count; /* ranges */
};

enum {
    SBXI_MAX_NODES = 2048,
    SBXI_MAX_RANGES = 16384,
    SBXI_MAX_CODE = 4096 /* the kernel's */
};

struct sbxi_decision {
    struct sbxi_node nodes[SBXI_MAX_NODES];
    struct sbxi_range ranges[SBXI_MAX_RANGES];
    size_t nnodes, nranges;
    /* Ranges of nodes that are being made, a stack; @other is the second program's node while two are merged. */
    struct sbxi_pending {
        uint32_t from, to, other;
    } pending[SBXI_MAX_RANGES];
    size_t npending;
    unsigned depth;
    unsigned long work; /* a program that takes too much is left as it is */
    bool failed;
};

/* decision.c */
uint32_t sbxi_decision_answer(struct sbxi_decision *d, uint32_t action);
void sbxi_decision_push(struct sbxi_decision *d, uint32_t from, uint32_t to, uint32_t other);
/* Takes what is pending from @base on. */
uint32_t sbxi_decision_choice(struct sbxi_decision *d, uint32_t offset, uint32_t mask, size_t base);
/* False when this goes on for longer than any policy should; then it has failed. */
bool sbxi_decision_enter(struct sbxi_decision *d);
void sbxi_decision_leave(struct sbxi_decision *d);

/* decision-read.c: its first node. */
uint32_t sbxi_decision_read(struct sbxi_decision *d, const struct sbxi_filter *program);

/* decision-write.c: -E2BIG, -ENOMEM. */
int sbxi_decision_write(const struct sbxi_decision *d, uint32_t root, struct sbxi_filter *ret);

#endif
