/* SPDX-License-Identifier: MIT */
#ifndef TEST_ASK_H
#define TEST_ASK_H

/*
 * The filters as programs: an interpreter of classic BPF asks them about one system call at a time, so that calls which
 * would end this process can be asked about too.
 */

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <linux/audit.h>
#include <linux/seccomp.h>

#include "bpf.h"
#include "calls.h"

#ifdef __x86_64__
#define NATIVE  AUDIT_ARCH_X86_64
#define FOREIGN AUDIT_ARCH_I386
#else
#define NATIVE  AUDIT_ARCH_AARCH64
#define FOREIGN AUDIT_ARCH_ARM
#endif

/* As the kernel does: the stricter of both, if there are two. 0 = allowed, an errno, or -1 = killed. */
static inline int
ask_as(const struct sbxi_filter filters[2], uint32_t arch, const struct seccomp_data *ask)
{
    struct seccomp_data data = *ask;
    int answer = 0;
    data.arch = arch;
    for (int i = filters[1].code ? 1 : 0; i >= 0; i--) {
        uint32_t r = bpf_run(filters[i].code, filters[i].length, &data);
        switch (r & SECCOMP_RET_ACTION_FULL) {
        case SECCOMP_RET_ALLOW:
            break;
        case SECCOMP_RET_ERRNO:
            if (answer == 0) /* of the one loaded last */
                answer = (int)(r & SECCOMP_RET_DATA);
            break;
        default:
            return -1;
        }
    }
    return answer;
}
#define ASK(filters, number, ...) \
    ask_as(filters, NATIVE, &(struct seccomp_data){.nr = (number), .args = {__VA_ARGS__}})
static inline void discard(struct sbxi_filter filters[2])
{
    free(filters[0].code);
    free(filters[1].code);
}

#endif
