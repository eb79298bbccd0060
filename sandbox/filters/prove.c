/* SPDX-License-Identifier: MIT */
/*
 * It knows nothing of how filters are merged: it runs them. What values a program tells apart is what it compares a word
 * with, and the neighbours of that.
 */
#include "prove.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/filter.h>

#include "bpf.h"

enum {
    WORDS = sizeof(struct seccomp_data) / 4,
    NR = offsetof(struct seccomp_data, nr) / 4,
    ARCH = offsetof(struct seccomp_data, arch) / 4,
    ARGS = offsetof(struct seccomp_data, args) / 4,
    MAX_CODE = 4096,
    MAX_VALUES = 8192,
    NUMBERS = 1100, /* more than any kernel has */
    X32 = 0x40000000,
};

struct values {
    uint32_t value[MAX_VALUES];
    size_t n;
};

struct proof {
    const struct sbxi_filter *pair, *one;
    struct values values[WORDS];
    struct values masks[WORDS];
    struct seccomp_data call;
};

static void add(struct values *values, uint32_t value)
{
    for (size_t i = 0; i < values->n; i++)
        if (values->value[i] == value)
            return;
    if (values->n == MAX_VALUES) {
        fputs("filters: more values than can be tried\n", stderr);
        abort();
    }
    values->value[values->n++] = value;
}

static uint32_t *word_of(struct proof *proof, size_t word)
{
    return (uint32_t *)&proof->call + word;
}

/* Where @in, which looks at @word, goes on. What it compares it with is kept. */
static void
step(struct proof *proof, const struct sock_filter *in, size_t word, bool known, uint16_t next[])
{
    const uint32_t a = *word_of(proof, word);
    bool yes = true, no = true;
    switch (in->code) {
    case BPF_RET | BPF_K:
        return;
    case BPF_LD | BPF_W | BPF_ABS:
        next[0] |= (uint16_t)(1u << in->k / 4);
        add(&proof->values[in->k / 4], 0);
        return;
    case BPF_ALU | BPF_AND | BPF_K:
        next[0] |= (uint16_t)(1u << word);
        add(&proof->masks[word], in->k);
        return;
    case BPF_JMP | BPF_JA:
        next[in->k] |= (uint16_t)(1u << word);
        return;
    case BPF_JMP | BPF_JSET | BPF_K:
        add(&proof->masks[word], in->k);
        break;
    case BPF_JMP | BPF_JEQ | BPF_K:
        no = !known || a != in->k;
        yes = !known || a == in->k;
        break;
    case BPF_JMP | BPF_JGE | BPF_K:
        no = !known || a < in->k;
        yes = !known || a >= in->k;
        break;
    case BPF_JMP | BPF_JGT | BPF_K:
        no = !known || a <= in->k;
        yes = !known || a > in->k;
        break;
    default:
        break; /* bpf_run() says so */
    }
    for (uint32_t by = 0; by < 3; by++)
        add(&proof->values[word], in->k - 1 + by);
    next[in->jt] |= (uint16_t)(yes << word);
    next[in->jf] |= (uint16_t)(no << word);
}

/* Along every way that the call's architecture and number leave open. With @all, along those that they do not, too. */
static void collect(struct proof *proof, const struct sbxi_filter *program, bool all)
{
    static struct sock_filter code[MAX_CODE];
    static uint16_t reached[MAX_CODE]; /* looking at which words */
    memcpy(code, program->code, program->length);
    size_t n = program->length / sizeof code[0];
    memset(reached, 0, n * sizeof reached[0]);
    reached[0] = 1;
    for (size_t pc = 0; pc < n; pc++)
        for (size_t word = 0; word < WORDS && reached[pc] >> word; word++)
            if (reached[pc] >> word & 1)
                step(proof, &code[pc], word, !all && word < ARGS, &reached[pc + 1]);
}

static void collect_all(struct proof *proof, bool all)
{
    for (size_t word = 0; word < WORDS; word++)
        proof->values[word].n = proof->masks[word].n = 0;
    collect(proof, &proof->pair[0], all);
    collect(proof, &proof->pair[1], all);
    collect(proof, proof->one, all);
    for (size_t word = 0; word < WORDS; word++) {
        struct values *values = &proof->values[word];
        const struct values *masks = &proof->masks[word];
        size_t n = values->n;
        if (n > 0)
            add(values, 1);
        if (n > 0)
            add(values, UINT32_MAX);
        for (size_t i = 0; i < masks->n; i++) {
            add(values, masks->value[i]);
            for (size_t k = 0; k < n; k++) /* bits that the mask takes off change nothing */
                add(values, values->value[k] | ~masks->value[i]);
        }
    }
}

uint32_t prove_answer(const struct sbxi_filter pair[2], const struct seccomp_data *call)
{
    uint32_t older = bpf_run(pair[0].code, pair[0].length, call);
    uint32_t newer = bpf_run(pair[1].code, pair[1].length, call);
    int32_t a = (int32_t)(older & SECCOMP_RET_ACTION_FULL);
    int32_t b = (int32_t)(newer & SECCOMP_RET_ACTION_FULL);
    return a < b ? older : newer;
}

/* All combinations of the values of words from @word on. */
static bool try(struct proof *proof, const struct values values[WORDS], size_t word)
{
    if (word == WORDS)
        return prove_answer(proof->pair, &proof->call) ==
               bpf_run(proof->one->code, proof->one->length, &proof->call);
    if (values[word].n == 0)
        return try(proof, values, word + 1);
    for (size_t i = 0; i < values[word].n; i++) {
        *word_of(proof, word) = values[word].value[i];
        if (!try(proof, values, word + 1))
            return false;
    }
    *word_of(proof, word) = 0;
    return true;
}

static bool try_number(struct proof *proof, uint32_t number)
{
    memset(proof->call.args, 0, sizeof proof->call.args);
    *word_of(proof, NR) = number;
    collect_all(proof, false);
    return try(proof, proof->values, ARGS);
}

bool prove_same(const struct sbxi_filter pair[2],
                const struct sbxi_filter *one,
                struct seccomp_data *ret_call)
{
    static struct values arches, numbers;
    struct proof *proof = calloc(1, sizeof *proof);
    bool same = true;
    if (!proof)
        abort();
    proof->pair = pair;
    proof->one = one;
    collect_all(proof, true);
    arches = proof->values[ARCH];
    numbers = proof->values[NR];
    for (uint32_t i = 0; i < NUMBERS; i++) {
        add(&numbers, i);
        add(&numbers, X32 + i);
    }
    for (size_t i = 0; i < arches.n && same; i++)
        for (size_t k = 0; k < numbers.n && same; k++) {
            *word_of(proof, ARCH) = arches.value[i];
            same = try_number(proof, numbers.value[k]);
        }
    *ret_call = proof->call;
    free(proof);
    return same;
}
