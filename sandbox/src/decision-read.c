/* SPDX-License-Identifier: MIT */
/*
 * A program of classic BPF as a diagram. Jumps lead forward only and a word is loaded before it is looked at, so what lies
 * between a load and the next is a map from the word's values to where the program goes on.
 */
#include <stdlib.h>
#include <string.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "decision.h"

#define UNREAD UINT32_MAX

struct reader {
    struct sbxi_decision *d;
    struct sock_filter code[SBXI_MAX_CODE];
    size_t length;
    uint32_t loads[SBXI_MAX_CODE]; /* the node of the load there */
};

/* The values for which a comparison says yes. */
static bool compares(const struct sock_filter *in, uint64_t *ret_from, uint64_t *ret_last)
{
    bool above = in->code == (BPF_JMP | BPF_JGT | BPF_K);
    bool equal = in->code == (BPF_JMP | BPF_JEQ | BPF_K);
    *ret_from = (uint64_t)in->k + above;
    *ret_last = equal ? in->k : UINT32_MAX;
    return above || equal || in->code == (BPF_JMP | BPF_JGE | BPF_K);
}

/* Values from @lo to @hi are at @pc: pushes, in their order, where each range of them is no longer compared. */
static void follow(struct reader *reader, size_t pc, uint32_t lo, uint32_t hi)
{
    struct sbxi_decision *d = reader->d;
    uint64_t from, last;
    bool ends = !sbxi_decision_enter(d);
    while (!ends && pc < reader->length) {
        const struct sock_filter *in = &reader->code[pc];
        size_t yes = pc + 1 + in->jt, no = pc + 1 + in->jf;
        if (in->code == (BPF_JMP | BPF_JA)) {
            pc += 1 + (size_t)in->k;
        } else if (!compares(in, &from, &last)) {
            sbxi_decision_push(d, lo, (uint32_t)pc, 0);
            ends = true;
        } else if (from > hi || last < lo) {
            pc = no;
        } else {
            if (from > lo) {
                follow(reader, no, lo, (uint32_t)from - 1);
                lo = (uint32_t)from;
            }
            pc = yes;
            if (last < hi) {
                follow(reader, yes, lo, (uint32_t)last);
                lo = (uint32_t)last + 1;
                pc = no;
            }
        }
    }
    d->failed |= !ends; /* it has no end */
    sbxi_decision_leave(d);
}

/* What the program decides from @pc on, where @offset was loaded and cut to @mask; before the first load, nothing was. */
static uint32_t read_at(struct reader *reader, size_t pc, uint32_t offset, uint32_t mask)
{
    struct sbxi_decision *d = reader->d;
    const struct sock_filter *in = &reader->code[pc];
    bool loads = in->code == (BPF_LD | BPF_W | BPF_ABS);
    if (in->code == (BPF_RET | BPF_K))
        return sbxi_decision_answer(d, in->k);
    if (loads && reader->loads[pc] != UNREAD)
        return reader->loads[pc];
    if (loads) {
        offset = in->k;
        mask = UINT32_MAX;
    } else if (in->code == (BPF_ALU | BPF_AND | BPF_K)) {
        mask &= in->k;
    } else {
        d->failed = true; /* libseccomp writes no other */
    }
    uint32_t made = 0;
    if (sbxi_decision_enter(d)) {
        size_t base = d->npending;
        follow(reader, pc + 1, 0, mask);
        for (size_t i = base, end = d->npending; i < end && !d->failed; i++)
            d->pending[i].to = read_at(reader, d->pending[i].to, offset, mask);
        made = sbxi_decision_choice(d, offset, mask, base);
    }
    sbxi_decision_leave(d);
    if (loads)
        reader->loads[pc] = made;
    return made;
}

uint32_t sbxi_decision_read(struct sbxi_decision *d, const struct sbxi_filter *program)
{
    struct reader *reader = malloc(sizeof *reader);
    uint32_t root = 0;
    d->failed |= !reader || program->length == 0 || program->length > sizeof reader->code;
    if (!d->failed) {
        reader->d = d;
        reader->length = program->length / sizeof reader->code[0];
        memcpy(reader->code, program->code, program->length);
        memset(reader->loads, 0xff, sizeof reader->loads);
        root = read_at(reader, 0, 0, 0);
    }
    free(reader);
    return root;
}
