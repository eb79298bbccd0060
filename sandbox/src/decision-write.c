/* SPDX-License-Identifier: MIT */
/*
 * A diagram as a program. It is written from its end, because jumps lead forward: what one leads to is there already. A
 * comparison reaches 255 instructions; where that is not enough, the answer is written once more, or a jump that reaches.
 *
 * When a program is loaded the kernel goes through it for each number that it has, to know which it need not ask about, so
 * the ways count as much as the length: a range of numbers weighs what it has of them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/filter.h>

#include "decision.h"

#define NOWHERE UINT32_MAX

enum {
    REACH = 255,
    MAX_WEIGHT = 64, /* measured, with the two below: what loads our profiles fastest */
    MAX_CHAIN = 3,   /* single values are compared with one after the other */
    CUT = 32,        /* what two comparisons instead of one for a single value weigh */
};

struct writer {
    const struct sbxi_decision *d;
    struct sock_filter code[SBXI_MAX_CODE]; /* [0] is the last instruction */
    uint32_t length;
    bool failed;
    struct place {
        uint32_t begin; /* where the node's code begins, … */
        uint32_t near;  /* … and the last jump to there, or copy */
    } places[SBXI_MAX_NODES];
};

/* Nothing is known of what becomes a range's last value in use, so no range weighs more than some. */
static uint32_t weigh(const struct sbxi_range *ranges, uint32_t i, uint32_t last)
{
    uint32_t width = i < last ? ranges[i + 1].from - ranges[i].from : MAX_WEIGHT;
    return width < MAX_WEIGHT ? width : MAX_WEIGHT;
}

static uint32_t put(struct writer *writer, struct sock_filter in)
{
    if (writer->length == SBXI_MAX_CODE) {
        writer->failed = true;
        return 0;
    }
    writer->code[writer->length] = in;
    return writer->length++;
}

/* Makes @place one that the next instruction can jump to. */
static bool bring_near(struct writer *writer, struct place *place)
{
    const struct sock_filter *there = &writer->code[place->begin];
    const struct sock_filter jump = BPF_STMT(BPF_JMP | BPF_JA, writer->length - place->begin - 1);
    if (writer->failed || writer->length - place->near - 1 <= REACH)
        return false;
    place->near = put(writer, there->code == (BPF_RET | BPF_K) ? *there : jump);
    return true;
}

static uint32_t
compare(struct writer *writer, uint16_t how, uint32_t value, struct place *yes, struct place *no)
{
    while (bring_near(writer, yes) || bring_near(writer, no))
        ; /* what one needs may push the other out of reach */
    return put(writer, (struct sock_filter)BPF_JUMP(BPF_JMP | how | BPF_K, value,
                                                    (uint8_t)(writer->length - yes->near - 1),
                                                    (uint8_t)(writer->length - no->near - 1)));
}

/* A single value among others that all lead to the same: one comparison instead of two. */
static bool is_exception(const struct sbxi_range *ranges, uint32_t i)
{
    return ranges[i + 1].from - ranges[i].from == 1 && ranges[i - 1].to == ranges[i + 1].to;
}

static bool are_exceptions(const struct sbxi_range *ranges, uint32_t first, uint32_t last)
{
    if ((last - first) % 2 || (last - first) / 2 > MAX_CHAIN)
        return false;
    for (uint32_t i = first + 1; i < last; i += 2)
        if (!is_exception(ranges, i))
            return false;
    return true;
}

/* The range where the right half begins. */
static uint32_t find_middle(const struct sbxi_range *ranges, uint32_t first, uint32_t last)
{
    uint32_t total = 0, left = 0, best = first + 1, least = UINT32_MAX;
    for (uint32_t i = first; i <= last; i++)
        total += weigh(ranges, i, last);
    for (uint32_t i = first + 1; i <= last; i++) {
        left += weigh(ranges, i - 1, last);
        uint32_t off = left > total - left ? 2 * left - total : total - 2 * left;
        bool cuts =
            (i < last && is_exception(ranges, i)) || (i > first + 1 && is_exception(ranges, i - 1));
        off += cuts ? CUT : 0;
        if (off < least) {
            least = off;
            best = i;
        }
    }
    return best;
}

/* Comparisons that find the range, from @first to @last, of what is in the accumulator. */
static struct place *search(struct writer *writer,
                            const struct sbxi_range *ranges,
                            uint32_t first,
                            uint32_t last,
                            struct place *made)
{
    struct place *at = &writer->places[ranges[first].to], left, right;
    if (are_exceptions(ranges, first, last)) {
        for (uint32_t i = first + 1; i < last; i += 2) {
            struct place *yes = &writer->places[ranges[i].to];
            made->begin = made->near = compare(writer, BPF_JEQ, ranges[i].from, yes, at);
            at = made;
        }
        return at;
    }
    uint32_t middle = find_middle(ranges, first, last);
    struct place *yes = search(writer, ranges, middle, last, &right);
    struct place *no = search(writer, ranges, first, middle - 1, &left);
    made->begin = made->near = compare(writer, BPF_JGE, ranges[middle].from, yes, no);
    return made;
}

static void write_node(struct writer *writer, uint32_t which)
{
    const struct sbxi_node *node = &writer->d->nodes[which];
    const struct sbxi_range *ranges = &writer->d->ranges[node->first];
    struct place *place = &writer->places[which], made;
    if (place->begin != NOWHERE)
        return;
    for (uint32_t i = node->count; !node->answers && i > 0; i--)
        write_node(writer, ranges[i - 1].to);
    if (node->answers) {
        place->begin = put(writer, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, node->action));
    } else {
        bool bits = node->mask != UINT32_MAX && node->count == 2 && ranges[1].from == 1;
        if (bits)
            compare(writer, BPF_JSET, node->mask, &writer->places[ranges[1].to],
                    &writer->places[ranges[0].to]);
        else
            search(writer, ranges, 0, node->count - 1, &made);
        if (!bits && node->mask != UINT32_MAX)
            put(writer, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, node->mask));
        place->begin =
            put(writer, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, node->offset));
    }
    place->near = place->begin;
}

int sbxi_decision_write(const struct sbxi_decision *d, uint32_t root, struct sbxi_filter *ret)
{
    struct writer *writer = malloc(sizeof *writer);
    if (!writer)
        return -ENOMEM;
    writer->d = d;
    writer->length = 0;
    writer->failed = false;
    memset(writer->places, 0xff, sizeof writer->places); /* NOWHERE */
    write_node(writer, root);
    struct sock_filter *code = malloc(writer->length * sizeof *code);
    int r = writer->failed ? -E2BIG : code ? 0 : -ENOMEM;
    for (uint32_t i = 0; r == 0 && i < writer->length; i++)
        code[i] = writer->code[writer->length - 1 - i];
    if (r == 0)
        *ret = (struct sbxi_filter){code, writer->length * sizeof *code};
    else
        free(code);
    free(writer);
    return r;
}
