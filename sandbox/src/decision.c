/* SPDX-License-Identifier: MIT */
/*
 * Two seccomp programs become one. The kernel runs all that are loaded and takes the strictest answer; it also translates
 * each when it is loaded, which costs a start more than the calls that the payload makes, and by the instruction.
 */
#include "decision.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/seccomp.h>

enum {
    MAX_DEPTH = 512,
    MAX_WORK = 100000
};

bool sbxi_decision_enter(struct sbxi_decision *d)
{
    d->depth++;
    if (d->depth > MAX_DEPTH || d->work++ > MAX_WORK)
        d->failed = true;
    return !d->failed;
}

void sbxi_decision_leave(struct sbxi_decision *d)
{
    d->depth--;
}

static uint32_t add(struct sbxi_decision *d, const struct sbxi_node *node)
{
    if (d->nnodes == SBXI_MAX_NODES) {
        d->failed = true;
        return 0;
    }
    d->nodes[d->nnodes] = *node;
    return (uint32_t)d->nnodes++;
}

uint32_t sbxi_decision_answer(struct sbxi_decision *d, uint32_t action)
{
    for (uint32_t i = 0; i < d->nnodes; i++)
        if (d->nodes[i].answers && d->nodes[i].action == action)
            return i;
    return add(d, &(struct sbxi_node){.answers = true, .action = action});
}

void sbxi_decision_push(struct sbxi_decision *d, uint32_t from, uint32_t to, uint32_t other)
{
    if (d->npending == SBXI_MAX_RANGES)
        d->failed = true;
    else
        d->pending[d->npending++] = (struct sbxi_pending){from, to, other};
}

static void add_range(struct sbxi_decision *d, struct sbxi_node *node, uint32_t from, uint32_t to)
{
    if (node->count > 0 && d->ranges[node->first + node->count - 1].to == to)
        return;
    if (node->first + node->count == SBXI_MAX_RANGES)
        d->failed = true;
    else
        d->ranges[node->first + node->count++] = (struct sbxi_range){from, to};
}

/* Values @from to @last lead to @to; if that looks at the same word again, to what it would find. */
static void add_ranges(
    struct sbxi_decision *d, struct sbxi_node *node, uint32_t from, uint32_t last, uint32_t to)
{
    const struct sbxi_node *next = &d->nodes[to];
    if (next->answers || next->offset != node->offset || next->mask != node->mask) {
        add_range(d, node, from, to);
        return;
    }
    for (uint32_t i = 0; i < next->count; i++) {
        const struct sbxi_range *range = &d->ranges[next->first + i];
        bool ends = i + 1 < next->count && range[1].from <= from;
        if (!ends && range->from <= last)
            add_range(d, node, range->from > from ? range->from : from, range->to);
    }
}

/* Bits that are asked for one after the other and lead to the same are asked for at once. */
static void join_bits(struct sbxi_decision *d, struct sbxi_node *node)
{
    struct sbxi_range *range = &d->ranges[node->first];
    if (node->count != 2)
        return;
    if ((node->mask & (node->mask - 1)) == 0)
        range[1].from = 1; /* one bit: there is nothing between 0 and it */
    const struct sbxi_node *next = &d->nodes[range[0].to];
    const struct sbxi_range *then = &d->ranges[next->first];
    if (range[1].from == 1 && !next->answers && next->offset == node->offset && next->count == 2 &&
        then[1].from == 1 && then[1].to == range[1].to) {
        node->mask |= next->mask;
        range[0].to = then[0].to;
    }
}

static bool
same(const struct sbxi_decision *d, const struct sbxi_node *a, const struct sbxi_node *b)
{
    return !a->answers && a->offset == b->offset && a->mask == b->mask && a->count == b->count &&
           memcmp(&d->ranges[a->first], &d->ranges[b->first], a->count * sizeof d->ranges[0]) == 0;
}

uint32_t sbxi_decision_choice(struct sbxi_decision *d, uint32_t offset, uint32_t mask, size_t base)
{
    struct sbxi_node node = {.offset = offset, .mask = mask, .first = (uint32_t)d->nranges};
    for (size_t i = base; i < d->npending && !d->failed; i++)
        add_ranges(d, &node, d->pending[i].from,
                   i + 1 < d->npending ? d->pending[i + 1].from - 1 : mask, d->pending[i].to);
    d->npending = base;
    if (d->failed)
        return 0;
    if (node.count == 1)
        return d->ranges[node.first].to;
    join_bits(d, &node);
    for (uint32_t i = 0; i < d->nnodes; i++)
        if (same(d, &d->nodes[i], &node))
            return i;
    d->nranges += node.count;
    return add(d, &node);
}

/* Which of two nodes looks first: at the architecture, the number, then arguments; answers come last. */
static uint64_t turn(const struct sbxi_node *node)
{
    if (node->answers)
        return UINT64_MAX;
    bool arch = node->offset == offsetof(struct seccomp_data, arch);
    return (arch ? 0 : (uint64_t)node->offset + 1) << 32 | node->mask;
}

/* As the kernel does: of answers of the same kind the one of the program that was loaded last, @newer. */
static uint32_t stricter(const struct sbxi_decision *d, uint32_t older, uint32_t newer)
{
    int32_t a = (int32_t)(d->nodes[older].action & SECCOMP_RET_ACTION_FULL);
    int32_t b = (int32_t)(d->nodes[newer].action & SECCOMP_RET_ACTION_FULL);
    return a < b ? older : newer;
}

static bool allows(const struct sbxi_node *node)
{
    return node->answers && node->action == SECCOMP_RET_ALLOW;
}

/* The ranges of both, where both look at the same; of the one whose turn it is, where not. */
static void pair_ranges(struct sbxi_decision *d, uint32_t older, uint32_t newer)
{
    const struct sbxi_node *a = &d->nodes[older], *b = &d->nodes[newer];
    const struct sbxi_range *x = &d->ranges[a->first], *y = &d->ranges[b->first];
    bool walk_a = turn(a) <= turn(b), walk_b = turn(b) <= turn(a);
    uint32_t i = 0, k = 0;
    for (;;) {
        uint32_t from = walk_a ? x[i].from : 0;
        if (walk_b && y[k].from > from)
            from = y[k].from;
        sbxi_decision_push(d, from, walk_a ? x[i].to : older, walk_b ? y[k].to : newer);
        bool more_a = walk_a && i + 1 < a->count, more_b = walk_b && k + 1 < b->count;
        if (!more_a && !more_b)
            return;
        uint32_t at_a = more_a ? x[i + 1].from : UINT32_MAX;
        uint32_t at_b = more_b ? y[k + 1].from : UINT32_MAX;
        i += more_a && at_a <= at_b;
        k += more_b && at_b <= at_a;
    }
}

static uint32_t merge(struct sbxi_decision *d, uint32_t older, uint32_t newer)
{
    const struct sbxi_node *a = &d->nodes[older], *b = &d->nodes[newer];
    if (a->answers && b->answers)
        return stricter(d, older, newer);
    if (older == newer || allows(b))
        return older;
    if (allows(a))
        return newer;
    uint32_t made = 0;
    if (sbxi_decision_enter(d)) {
        const struct sbxi_node *first = turn(a) <= turn(b) ? a : b;
        size_t base = d->npending;
        pair_ranges(d, older, newer);
        for (size_t i = base, end = d->npending; i < end && !d->failed; i++)
            d->pending[i].to = merge(d, d->pending[i].to, d->pending[i].other);
        made = sbxi_decision_choice(d, first->offset, first->mask, base);
    }
    sbxi_decision_leave(d);
    return made;
}

int sbxi_filter_merge(const struct sbxi_filter pair[2], struct sbxi_filter *ret)
{
    struct sbxi_decision *d = malloc(sizeof *d);
    if (!d)
        return -ENOMEM;
    d->nnodes = d->nranges = d->npending = 0;
    d->depth = 0;
    d->work = 0;
    d->failed = false;
    sbxi_decision_answer(d, SECCOMP_RET_KILL_PROCESS); /* node 0 */
    uint32_t older = sbxi_decision_read(d, &pair[0]);
    uint32_t newer = sbxi_decision_read(d, &pair[1]);
    uint32_t root = merge(d, older, newer);
    int r = d->failed ? -ENOTSUP : sbxi_decision_write(d, root, ret);
    free(d);
    return r;
}
