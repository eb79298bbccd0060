/* SPDX-License-Identifier: MIT */
/* Two seccomp programs merged into one: it answers as the kernel does with both, and is no harder to see through. */

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/capability.h>
#include <linux/filter.h>

#include "ask.h"
#include "decision.h"
#include "guard.h"
#include "prove.h"

#define STOP(code, k) (struct sock_filter) BPF_STMT(code, k)
#define JUMP(how, value, yes, no) \
    (struct sock_filter) BPF_JUMP(BPF_JMP | (how) | BPF_K, value, yes, no)
#define LOAD(word)     STOP(BPF_LD | BPF_W | BPF_ABS, 4 * (word))
#define RETURN(action) STOP(BPF_RET | BPF_K, action)
#define PROGRAM(...)                                           \
    ((struct sbxi_filter){(struct sock_filter[]){__VA_ARGS__}, \
                          sizeof((struct sock_filter[]){__VA_ARGS__})})

/* What seccomp_is_const_allow() of kernel/seccomp.c finds: the calls that are not asked about again. */
static bool is_always_allowed(const struct sbxi_filter *program, uint32_t number)
{
    const struct sock_filter *code = program->code;
    uint32_t a = 0;
    for (size_t pc = 0;; pc++) {
        const struct sock_filter *in = &code[pc];
        bool yes = false;
        switch (in->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            if (in->k > 4)
                return false;
            a = in->k == 4 ? NATIVE : number;
            continue;
        case BPF_RET | BPF_K:
            return in->k == SECCOMP_RET_ALLOW;
        case BPF_JMP | BPF_JA:
            pc += in->k;
            continue;
        case BPF_JMP | BPF_JEQ | BPF_K:
            yes = a == in->k;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            yes = a >= in->k;
            break;
        case BPF_JMP | BPF_JGT | BPF_K:
            yes = a > in->k;
            break;
        case BPF_JMP | BPF_JSET | BPF_K:
            yes = (a & in->k) != 0;
            break;
        default:
            return false;
        }
        pc += yes ? in->jt : in->jf;
    }
}

static void expect_merged(const struct sbxi_seccomp *asked, const char *what)
{
    struct sbxi_filter pair[2], one;
    struct sbx_error error = {0};
    struct seccomp_data call;
    cr_assert_eq(sbxi_seccomp_pair(asked, pair, &error), 0, "%s", error.text);
    cr_assert_eq(sbxi_filter_merge(pair, &one), 0, "%s", what);
    cr_assert(prove_same(pair, &one, &call), "%s: %d of %x (%llx, %llx, %llx)", what, call.nr,
              call.arch, call.args[0], call.args[1], call.args[2]);
    for (uint32_t number = 0; number < 500; number++)
        cr_assert_eq(is_always_allowed(&one, number),
                     is_always_allowed(&pair[0], number) && is_always_allowed(&pair[1], number),
                     "%s: %u", what, number);
    cr_assert_lt(one.length * 3, (pair[0].length + pair[1].length) * 2, "%s: %zu", what,
                 one.length);
    discard(pair);
    free(one.code);
}

Test(decision, answers_as_both_programs_of_our_profiles)
{
    UDS_TEST_GUARD;
    static const uint64_t caps[] = {0, UINT64_C(1) << CAP_SYS_ADMIN, UINT64_C(1) << CAP_SYS_NICE,
                                    UINT64_C(1) << CAP_NET_RAW | UINT64_C(1) << CAP_MKNOD};
    char what[64];
    for (size_t i = 0; i < sizeof caps / sizeof caps[0]; i++)
        for (int guarded = 0; guarded < 2; guarded++)
            for (int strict = 0; strict < 2; strict++) {
                const struct sbxi_seccomp asked = {
                    .profile = strict ? SBX_SECCOMP_STRICT : SBX_SECCOMP_DEFAULT,
                    .guarded = guarded,
                    .caps = caps[i],
                };
                snprintf(what, sizeof what, "caps %zu guarded %d strict %d", i, guarded, strict);
                expect_merged(&asked, what);
            }
}

static void expect_merged_file(const char *text)
{
    char path[] = "/tmp/seccomp-XXXXXX";
    const struct sbxi_seccomp asked = {.profile = SBX_SECCOMP_FILE, .file = path};
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    expect_merged(&asked, text);
    unlink(path);
}

#define WHERE(index, op, value, two)                                                               \
    "{\"index\": " index ", \"op\": \"SCMP_CMP_" op "\", \"value\": " value ", \"valueTwo\": " two \
    "}"
#define CALL(names, action, args) \
    "{\"names\": [" names "], \"action\": \"SCMP_ACT_" action "\", \"args\": [" args "]}"

Test(decision, answers_as_both_programs_of_a_file)
{
    UDS_TEST_GUARD;
    expect_merged_file("base none\notherwise kill\nallow read write ioctl clone socket\n");
    /* clang-format off */
    expect_merged_file("{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"syscalls\": ["
        CALL("\"read\", \"ioctl\", \"socket\"", "ALLOW", "") ","
        CALL("\"write\", \"sendto\"", "LOG", "") ","
        CALL("\"clone\"", "ALLOW", WHERE("0", "MASKED_EQ", "2114060288", "0")) ","
        CALL("\"sendmsg\"", "ALLOW", WHERE("0", "LT", "8589934592", "0")) ","
        CALL("\"setsockopt\"", "ALLOW", WHERE("1", "GE", "6", "0") "," WHERE("2", "NE", "30", "0")) ","
        CALL("\"prlimit64\"", "TRAP", WHERE("0", "GT", "1", "0")) ","
        CALL("\"prlimit64\"", "ALLOW", WHERE("0", "LE", "1", "0")) ","
        CALL("\"unshare\"", "KILL_PROCESS", "") "]}");
    /* clang-format on */
}

static uint32_t draw(uint32_t *seed, uint32_t n)
{
    *seed = *seed * 1664525 + 1013904223;
    return n > 0 ? (*seed >> 8) % n : 0;
}

static const uint32_t constants[] = {
    0, 1, 2, 3, 4, 7, 16, 17, 0x20000, NATIVE, 0xf000, 0x6000, 0x40000000, 0x7fffffff, 0xffffffff};
enum {
    CONSTANTS = sizeof constants / sizeof constants[0]
};

/* Any forward jumps between loads, masks, comparisons and answers. */
static size_t draw_program(uint32_t *seed, struct sock_filter code[64])
{
    static const uint16_t how[] = {BPF_JEQ, BPF_JGE, BPF_JGT};
    static const uint32_t answers[] = {SECCOMP_RET_ALLOW, SECCOMP_RET_LOG, SECCOMP_RET_ERRNO | 1,
                                       SECCOMP_RET_ERRNO | 38, SECCOMP_RET_KILL_PROCESS};
    size_t n = 8 + draw(seed, 56);
    for (size_t i = 0; i < n; i++) {
        uint32_t what = draw(seed, 10), left = (uint32_t)(n - i - 1);
        uint32_t value = constants[draw(seed, CONSTANTS)], bit = 1u << draw(seed, 3);
        uint8_t yes = (uint8_t)draw(seed, left < 8 ? left : 8),
                no = (uint8_t)draw(seed, left < 8 ? left : 8);
        if (left == 0 || what == 0) {
            code[i] = RETURN(answers[draw(seed, 5)]);
        } else if (i > 0 && what < 3) {
            code[i] = STOP(BPF_ALU | BPF_AND | BPF_K, what == 1 ? bit : value);
        } else if (i > 0 && what == 3) {
            code[i] = STOP(BPF_JMP | BPF_JA, yes);
        } else if (i > 0 && what < 8) {
            code[i] = JUMP(how[draw(seed, 3)], value, yes, no);
        } else {
            code[i] = LOAD(what == 9 ? 4 : draw(seed, 6));
            if (left > 12 && what == 9) { /* as libseccomp asks for a bit */
                code[++i] = STOP(BPF_ALU | BPF_AND | BPF_K, bit);
                code[++i] = JUMP(BPF_JEQ, bit, yes, draw(seed, 2) ? 0 : no);
            }
        }
    }
    return n * sizeof code[0];
}

Test(decision, answers_as_both_programs_of_any_two)
{
    UDS_TEST_GUARD;
    uint32_t seed = 1;
    unsigned merged = 0;
    for (int round = 0; round < 1000; round++) {
        struct sock_filter code[2][64];
        struct sbxi_filter pair[2], one;
        for (int i = 0; i < 2; i++)
            pair[i] = (struct sbxi_filter){code[i], draw_program(&seed, code[i])};
        if (sbxi_filter_merge(pair, &one) < 0)
            continue;
        merged++;
        for (int k = 0; k < 200; k++) {
            struct seccomp_data call = {.nr = (int)(constants[draw(&seed, CONSTANTS)])};
            for (int i = 0; i < 3; i++)
                call.args[i] = (uint64_t)constants[draw(&seed, CONSTANTS)] << 32 |
                               (constants[draw(&seed, CONSTANTS)] + draw(&seed, 3) - 1);
            call.arch = draw(&seed, 2) ? NATIVE : constants[draw(&seed, CONSTANTS)];
            cr_assert_eq(bpf_run(one.code, one.length, &call), prove_answer(pair, &call),
                         "round %d: %d of %x (%llx, %llx)", round, call.nr, call.arch, call.args[0],
                         call.args[1]);
        }
        free(one.code);
    }
    cr_assert_gt(merged, 900);
}

/* Comparisons reach 255 instructions: answers and arguments' checks of many numbers lie further away. */
Test(decision, is_written_over_any_distance)
{
    UDS_TEST_GUARD;
    struct sbxi_decision *d = calloc(1, sizeof *d);
    struct sbxi_filter one[2] = {{NULL, 0}, {NULL, 0}};
    enum {
        NUMBERS = 700
    };
    cr_assert_not_null(d);
    uint32_t allow = sbxi_decision_answer(d, SECCOMP_RET_ALLOW);
    uint32_t looks[NUMBERS];
    for (uint32_t i = 0; i < NUMBERS; i++) {
        sbxi_decision_push(d, 0, allow, 0);
        sbxi_decision_push(d, i + 1, sbxi_decision_answer(d, SECCOMP_RET_ERRNO | i % 90), 0);
        looks[i] = sbxi_decision_choice(d, 16, UINT32_MAX, 0);
    }
    for (uint32_t i = 0; i < NUMBERS; i++)
        sbxi_decision_push(d, i, i % 3 ? looks[i] : allow, 0);
    uint32_t root = sbxi_decision_choice(d, 0, UINT32_MAX, 0);
    cr_assert_eq(sbxi_decision_write(d, root, &one[0]), 0);
    for (unsigned i = 0; i < NUMBERS; i++) {
        int expected = i % 3 ? (int)i % 90 : 0;
        cr_assert_eq(ASK(one, (int)i, i), 0, "%u", i);
        cr_assert_eq(ASK(one, (int)i, i + 1), expected, "%u", i);
    }
    discard(one);
    free(d);
}

Test(decision, leaves_alone_what_it_does_not_understand)
{
    UDS_TEST_GUARD;
    const struct sbxi_filter allow = PROGRAM(RETURN(SECCOMP_RET_ALLOW));
    const struct sbxi_filter others[] = {
        {NULL, 0},
        PROGRAM(LOAD(0), JUMP(BPF_JSET, 4, 0, 0), RETURN(SECCOMP_RET_ALLOW)),
        PROGRAM(LOAD(0), STOP(BPF_ALU | BPF_ADD | BPF_K, 4), RETURN(SECCOMP_RET_ALLOW)),
        PROGRAM(LOAD(0), STOP(BPF_RET | BPF_A, 0)),
        PROGRAM(LOAD(0), STOP(BPF_ST, 0), RETURN(SECCOMP_RET_ALLOW)),
        PROGRAM(LOAD(0), JUMP(BPF_JEQ, 4, 1, 0), RETURN(SECCOMP_RET_ALLOW)), /* no end */
        PROGRAM(LOAD(0), STOP(BPF_JMP | BPF_JA, 0xfffffffe), RETURN(SECCOMP_RET_ALLOW)),
        PROGRAM(JUMP(BPF_JEQ, 4, 0, 0), RETURN(SECCOMP_RET_ALLOW)), /* nothing was loaded */
    };
    struct sbxi_filter one;
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        for (int first = 0; first < 2; first++) {
            const struct sbxi_filter pair[2] = {first ? others[i] : allow,
                                                first ? allow : others[i]};
            cr_assert_eq(sbxi_filter_merge(pair, &one), -ENOTSUP, "%zu", i);
        }
}
