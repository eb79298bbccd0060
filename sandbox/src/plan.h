/* SPDX-License-Identifier: MIT */
#ifndef SBXI_PLAN_H
#define SBXI_PLAN_H

#include <sbx/sandbox.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "steps.h"

/*
 * A checked spec as a list of steps. Nothing in it points into the spec except the numbers of borrowed descriptors.
 * Immutable after sbx_plan_new(), so one plan can be started many times.
 */
struct sbxi_plan_step {
    uint32_t op, flags;
    int32_t slot; /* of SBXI_OPEN…: tree table; -1 = none */
    uint64_t args[3];
    void *a, *b; /* owned; strings with their NUL, or blocks */
    size_t a_length, b_length;
};

struct sbx_plan {
    char *name;
    char *cgroup_parent;
    uint32_t isolate, degrade;
    uint32_t degraded; /* omissions that are certain before anything is tried */
    bool privileged;   /* CAP_SYS_ADMIN: the launcher opens host paths */
    bool range;        /* a user namespace with an id range of its own */
    bool jail;         /* the root holds only what is named */
    bool seccomp;      /* a filter is loaded */
    bool guarded;      /* Landlock against re-opening, and seccomp that goes with it */
    uid_t uid;         /* payload's, inside */
    gid_t gid;
    struct sbx_limits limits;
    int timeout_ms;
    int stdio[3];
    int passed[SBXI_MAX_PASSED];
    size_t npassed;
    struct sbxi_plan_step *steps;
    size_t nsteps, capacity;
    int32_t ntrees;
    struct sbxi_plan_step spare; /* where steps go after memory ran out */
};

/* spec.c: is it possible as a whole. Fills the scalars of @plan. */
int sbxi_spec_check(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error);

/* plan.c: adding. After the first failure (-ENOMEM) @plan->steps is NULL and the rest do nothing. */
struct sbxi_plan_step *sbxi_plan_add(sbx_plan *plan, enum sbxi_op op, const char *a, const char *b);
/* The slot that a step fills is a fresh one. */
struct sbxi_plan_step *sbxi_plan_add_tree(sbx_plan *plan, enum sbxi_op op, const char *a);
/* SBXI_ATTACH of what an earlier step opened. */
void sbxi_plan_attach(sbx_plan *plan, int32_t slot, const char *target);

/* Moves all steps of @from to the end of @plan. */
void sbxi_plan_append(sbx_plan *plan, sbx_plan *from);

/* root.c: the steps that build / */
int sbxi_plan_root(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error);

/* print.c: "attach /tmp/x" for lists and errors. */
void sbxi_step_describe(const struct sbxi_plan_step *step, char *ret, size_t size);
/* What to do about @err in @step, or "". */
const char *sbxi_step_advice(const struct sbxi_plan_step *step, int err);

/* seccomp.c: BPF as bytes, malloc'ed. [0] looks at arguments (everything else passes), [1] at numbers. */
struct sbxi_filter {
    void *code;
    size_t length;
};
int sbxi_seccomp_build(bool guarded, struct sbxi_filter ret[2], struct sbx_error *error);

/* landlock.c: ABI version, or -errno. */
int sbxi_landlock_abi(void);

#endif
