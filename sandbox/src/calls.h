/* SPDX-License-Identifier: MIT */
#ifndef SBXI_CALLS_H
#define SBXI_CALLS_H

#include <seccomp.h>

#include "filter.h"

/* A policy is a list of numbers with what becomes of them, made of a profile of ours or of a file; a filter is made of it. */

struct sbxi_call {
    int number;
    uint32_t action; /* SCMP_ACT_… */
    unsigned ncompare;
    struct scmp_arg_cmp compare[6];
};

struct sbxi_policy {
    uint32_t otherwise; /* what becomes of a call that is not listed */
    struct sbxi_call *calls;
    size_t ncalls, capacity;
    bool failed; /* memory ran out */
};

/* seccomp-policy.c. One action for all arguments, instead of what was said before of this number. */
void sbxi_policy_set(struct sbxi_policy *policy, int number, uint32_t action);
/* One more rule. */
void sbxi_policy_add(struct sbxi_policy *policy, const struct sbxi_call *call);
void sbxi_policy_free(struct sbxi_policy *policy);
void sbxi_policy_default(struct sbxi_policy *policy, const struct sbxi_seccomp *asked);
void sbxi_policy_strict(struct sbxi_policy *policy);
/* Calls that change a file that is only there to be read. */
void sbxi_policy_guard(struct sbxi_policy *policy);

/* seccomp-file.c: into an empty @policy. -errno with @error, which names line and cause. */
int sbxi_policy_read(struct sbxi_policy *policy,
                     const struct sbxi_seccomp *asked,
                     struct sbx_error *error);

/* seccomp-oci.c: the same from the JSON that container engines take. @text ends with a NUL. */
int sbxi_policy_read_oci(struct sbxi_policy *policy,
                         const struct sbxi_seccomp *asked,
                         const char *text,
                         struct sbx_error *error);

#endif
