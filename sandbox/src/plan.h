/* SPDX-License-Identifier: MIT */
#ifndef SBXI_PLAN_H
#define SBXI_PLAN_H

#include <limits.h>
#include <sbx/sandbox.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "steps.h"
#include "subids.h"

/*
 * A checked spec as a list of steps. Nothing in it points into the spec except the numbers of borrowed descriptors.
 * Immutable after sbx_plan_new(), so one plan can be started many times.
 */
struct sbxi_plan_step {
    uint32_t op, flags;
    int32_t slot; /* of SBXI_OPEN…: tree table; -1 = none */
    uint64_t args[3];
    int fd;      /* of SBXI_GIVEN: borrowed */
    void *a, *b; /* owned; strings with their NUL, or blocks */
    size_t a_length, b_length;
};

struct sbx_plan {
    atomic_uint more_refs; /* besides the one that sbx_plan_new() gave: of sandboxes that run */
    char *name;
    char *cgroup_parent;
    bool no_cgroup, assert_all;
    enum sbx_counting counting;
    uint32_t isolate, degrade;
    uint32_t degraded;         /* omissions that are certain before anything is tried */
    bool privileged;           /* CAP_SYS_ADMIN: the launcher opens host paths */
    bool range;                /* a user namespace with an id range of its own */
    struct sbxi_subids subids; /* rootless: the range, if it has one */
    bool joined_user;          /* the user namespace is one of @joins */
    bool own_ids;              /* the payload's are not those of its init */
    bool jail;                 /* the root holds only what is named */
    enum sbx_seccomp seccomp;
    char *hidden;     /* the run directory, where a payload could write there; NULL: it cannot */
    bool guarded;     /* Landlock against re-opening, and seccomp that goes with it */
    uint64_t caps;    /* the payload's, by bit */
    int landlock_abi; /* what the rules are made for; 0: there are none */
    unsigned filters; /* how many are loaded */
    uid_t uid;        /* payload's, inside */
    gid_t gid;
    struct sbx_limits limits;
    int timeout_ms, grace_ms;
    bool notify;
    int ready_ms, watchdog_ms;
    struct sbx_fdstore *fdstore;
    int stdio[3];
    int passed[SBXI_MAX_PASSED];
    int32_t targets[SBXI_MAX_PASSED]; /* the numbers that they get, ascending */
    size_t npassed;
    uint32_t style;    /* enum sbxi_style; PID1 is decided when it starts */
    bool foreign_maps; /* of a user namespace: not ours to write */
    struct sbx_join joins[SBXI_MAX_JOINS];
    size_t njoins;
    struct sbx_net net;
    int netns;          /* what @net names; owned, -1 = none */
    bool net_meanwhile; /* init has it made; else it is part of the clone, or there is none */
    int (*on_born)(const struct sbx_report *report, void *userdata);
    void *userdata;
    uint64_t own_env; /* the first of SBXI_EXEC's environment: what is not about descriptors */
    struct sbxi_plan_step *steps;
    size_t nsteps, capacity;
    int32_t ntrees;
    int32_t upper_lock;          /* slot of what PID 1 holds; meant only with an SBXI_UPPER step */
    struct sbxi_plan_step spare; /* where steps go after memory ran out */
};

/* spec.c: can a sandbox be called so? */
int sbxi_name_check(const char *name, struct sbx_error *error);
/* spec.c: is it possible as a whole. Fills the scalars of @plan. */
int sbxi_spec_check(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error);

/* plan.c: adding. After the first failure (-ENOMEM) @plan->steps is NULL and the rest do nothing. */
struct sbxi_plan_step *sbxi_plan_add(sbx_plan *plan, enum sbxi_op op, const char *a, const char *b);
/* The slot that a step fills is a fresh one. */
struct sbxi_plan_step *sbxi_plan_add_tree(sbx_plan *plan, enum sbxi_op op, const char *a);
/* SBXI_ATTACH of what an earlier step opened. */
struct sbxi_plan_step *sbxi_plan_attach(sbx_plan *plan, int32_t slot, const char *target);

struct sbxi_plan_step *
sbxi_plan_tmpfs(sbx_plan *plan, const char *path, unsigned mode, uint64_t size, uint32_t flags);
/* Another one for sbx_plan_free() to drop. */
sbx_plan *sbxi_plan_ref(const sbx_plan *plan);
void sbxi_plan_drop_steps(sbx_plan *plan);
/* Moves all steps of @from to the end of @plan. */
void sbxi_plan_append(sbx_plan *plan, sbx_plan *from);

struct sbxi_plan_step *sbxi_plan_add_bytes(sbx_plan *plan,
                                           enum sbxi_op op,
                                           const void *a,
                                           size_t a_length,
                                           const void *b,
                                           size_t b_length);
/* As if memory had run out. */
void sbxi_plan_fail(sbx_plan *plan);
/* A slot with @fd in it. */
int32_t sbxi_plan_give(sbx_plan *plan, int fd);
static inline bool sbxi_plan_is_bwrap(const sbx_plan *plan)
{
    return plan->style & SBXI_S_BWRAP;
}

/* Where there are cgroups to join first, and namespaces, its cgroup namespace is a step of init's. */
static inline bool sbxi_plan_clones_cgroup_ns(const sbx_plan *plan)
{
    return sbxi_plan_is_bwrap(plan) || (plan->no_cgroup && plan->njoins == 0);
}

/* Strings one behind the other, to become a step's a or b. */
struct sbxi_block {
    char *bytes;
    size_t length;
    uint64_t count;
    bool failed;
};
void sbxi_block_add(struct sbxi_block *block, const char *key, const char *value);
/* Takes both blocks, @b may be NULL; their counts are args[0] and args[1]. */
struct sbxi_plan_step *
sbxi_plan_add_blocks(sbx_plan *plan, enum sbxi_op op, struct sbxi_block *a, struct sbxi_block *b);

/* mounts.c: checks spec->mounts; then their steps: what touches the host into @plan, the rest into @later. */
int sbxi_mounts_check(const sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error);
void sbxi_plan_mounts(sbx_plan *plan, sbx_plan *later, const struct sbx_spec *spec);

/* secret.c: the same of spec->secrets. */
int sbxi_secrets_check(const sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error);
void sbxi_plan_secrets(sbx_plan *plan, sbx_plan *later, const struct sbx_spec *spec);

/* hide.c: sets plan->hidden; no mount is to show what lies there. */
int sbxi_hide_check(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error);
/* What is opened for host path @source, with SBXI_F_REAL if anything is hidden; and SBXI_OPEN of it. */
const char *sbxi_plan_real(sbx_plan *plan, const char *source, char real[PATH_MAX]);
struct sbxi_plan_step *sbxi_plan_open(sbx_plan *plan, const char *source);
/* What is hidden, where host path @source is seen as @target, becomes a mask in @later. */
void sbxi_plan_hide(const sbx_plan *plan, sbx_plan *later, const char *source, const char *target);

/* system.c: /dev and /proc, or the same elsewhere. Of /dev the slot where its tmpfs stays, to be sealed. */
int32_t
sbxi_plan_dev(sbx_plan *plan, sbx_plan *later, const char *target, const struct sbx_spec *spec);
void sbxi_plan_proc(sbx_plan *plan,
                    sbx_plan *later,
                    const char *target,
                    const struct sbx_spec *spec);

/* bwrap.c: what bubblewrap would check; the steps from a finished root to the payload's execve but for that one. */
int sbxi_bwrap_check(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error);
void sbxi_plan_bwrap(sbx_plan *plan, const struct sbx_spec *spec);
/* Before the root: ids of a user namespace that was joined. */
void sbxi_plan_bwrap_begin(sbx_plan *plan, const struct sbx_spec *spec);

/* identity.c: privilege, user namespace, ids. */
int sbxi_identity_check(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error);
/* What init becomes in a user namespace that is joined. */
void sbxi_plan_joined_ids(sbx_plan *plan);

/* joins.c: namespaces that exist already. */
int sbxi_joins_check(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error);
bool sbxi_spec_joins(const struct sbx_spec *spec, enum sbx_ns ns);
/* CLONE_NEW… of one enum sbx_ns. */
int sbxi_ns_flag(uint32_t bit);

/* net.c: opens the network namespace that the spec names. */
int sbxi_net_check(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error);

/* timens.c: a time namespace of its own, from check to step. */
int sbxi_time_check(const sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error);
void sbxi_plan_time(sbx_plan *plan, const struct sbx_spec *spec);

/* terminal.c: the step that makes the payload's terminal, as @like is if that is one. */
int sbxi_plan_terminal(sbx_plan *plan, int like, struct sbx_error *error);
/* What @like is, and what a terminal is that nobody looks at, if it is -1. -errno: it is no terminal. */
int sbxi_terminal_read(struct sbxi_terminal *ret, int like);

/* notify.c: is NOTIFY_SOCKET possible; its step, and what it adds to the environment. */
int sbxi_notify_check(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error);
void sbxi_plan_notify(sbx_plan *plan);
void sbxi_plan_notify_environment(const sbx_plan *plan, struct sbxi_block *block);

/* root.c: the steps that build / */
int sbxi_plan_root(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error);

/* print.c: "attach /tmp/x" for lists and errors. */
void sbxi_step_describe(const struct sbxi_plan_step *step, char *ret, size_t size);
/* "attach": what a step of this kind does. */
const char *sbxi_step_what(uint32_t op);
/* What to do about @err in @step, or "". */
const char *sbxi_step_advice(const struct sbxi_plan_step *step, int err);

/* caps.c: plan->caps, of spec->caps those that are known here; the launcher's own where it makes no user namespace. */
int sbxi_caps_check(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error);
/* "net_admin net_raw", "all", "none" */
void sbxi_caps_describe(uint64_t caps, char *ret, size_t size);

/* landlock.c */
int sbxi_landlock_check(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error);
void sbxi_plan_landlock(sbx_plan *plan, const struct sbx_spec *spec);
void sbxi_landlock_describe(const struct sbxi_plan_step *step, char *ret, size_t size);

/* confine.c: ids, capabilities and no_new_privs; seccomp, which is last. */
void sbxi_plan_bounds(sbx_plan *plan);
void sbxi_plan_identity(sbx_plan *plan);
int sbxi_plan_filters(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error);

#endif
