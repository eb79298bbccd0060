/* SPDX-License-Identifier: MIT */
#include "bpf.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/filter.h>

static void fail(const char *what, unsigned value)
{
    fprintf(stderr, "bpf: %s %x\n", what, value);
    abort();
}

uint32_t bpf_run(const void *code, size_t length, const struct seccomp_data *data)
{
    const struct sock_filter *program = code;
    size_t n = length / sizeof *program;
    uint32_t a = 0;
    for (size_t pc = 0; pc < n; pc++) {
        const struct sock_filter *i = &program[pc];
        bool jump = false;
        switch (i->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            memcpy(&a, (const char *)data + i->k, sizeof a);
            continue;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= i->k;
            continue;
        case BPF_RET | BPF_K:
            return i->k;
        case BPF_JMP | BPF_JA:
            pc += i->k;
            continue;
        case BPF_JMP | BPF_JEQ | BPF_K:
            jump = a == i->k;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            jump = a >= i->k;
            break;
        case BPF_JMP | BPF_JGT | BPF_K:
            jump = a > i->k;
            break;
        case BPF_JMP | BPF_JSET | BPF_K:
            jump = (a & i->k) != 0;
            break;
        default:
            fail("an instruction that no filter of ours has:", i->code);
        }
        pc += jump ? i->jt : i->jf;
    }
    fail("the program has no end after", (unsigned)n);
    return 0;
}
