/* SPDX-License-Identifier: MIT */
/*
 * From a checked spec to the list of steps. Adding never fails in the middle: the first step that finds no memory drops
 * the whole list, later ones go to a spare, and sbx_plan_new() looks once, at the end.
 */

#include "plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/resource.h>

#include "cleanup.h"
#include "demand.h"
#include "environment.h"
#include "error.h"
#include "without.h"

void sbxi_plan_drop_steps(sbx_plan *plan)
{
    for (size_t i = 0; i < plan->nsteps; i++) {
        free(plan->steps[i].a);
        free(plan->steps[i].b);
    }
    free(plan->steps);
    plan->steps = NULL;
    plan->nsteps = 0;
}

/* Whoever adds another step finds a capacity and no list. */
void sbxi_plan_fail(sbx_plan *plan)
{
    sbxi_plan_drop_steps(plan);
    if (!plan->capacity)
        plan->capacity = 1;
    plan->spare = (struct sbxi_plan_step){0};
}

struct sbxi_plan_step *sbxi_plan_add_bytes(
    sbx_plan *plan, enum sbxi_op op, const void *a, size_t a_length, const void *b, size_t b_length)
{
    if (plan->nsteps == plan->capacity) {
        size_t capacity = plan->capacity ? plan->capacity * 2 : 64;
        struct sbxi_plan_step *steps =
            plan->capacity && !plan->steps ? NULL : realloc(plan->steps, capacity * sizeof *steps);
        if (!steps)
            goto fail;
        plan->steps = steps;
        plan->capacity = capacity;
    }
    if (!plan->steps)
        goto fail;
    struct sbxi_plan_step *step = &plan->steps[plan->nsteps];
    *step = (struct sbxi_plan_step){.op = op, .slot = -1, .fd = -1};
    plan->nsteps++;
    if ((a && !(step->a = malloc(a_length))) || (b && !(step->b = malloc(b_length))))
        goto fail;
    if (a)
        memcpy(step->a, a, a_length);
    if (b)
        memcpy(step->b, b, b_length);
    step->a_length = a ? a_length : 0;
    step->b_length = b ? b_length : 0;
    return step;
fail:
    sbxi_plan_fail(plan);
    return &plan->spare;
}

struct sbxi_plan_step *sbxi_plan_add(sbx_plan *plan, enum sbxi_op op, const char *a, const char *b)
{
    return sbxi_plan_add_bytes(plan, op, a, a ? strlen(a) + 1 : 0, b, b ? strlen(b) + 1 : 0);
}

struct sbxi_plan_step *sbxi_plan_add_tree(sbx_plan *plan, enum sbxi_op op, const char *a)
{
    struct sbxi_plan_step *step = sbxi_plan_add(plan, op, a, NULL);
    step->slot = plan->ntrees++;
    return step;
}

struct sbxi_plan_step *sbxi_plan_attach(sbx_plan *plan, int32_t slot, const char *target)
{
    struct sbxi_plan_step *step = sbxi_plan_add(plan, SBXI_ATTACH, target, NULL);
    step->slot = slot;
    return step;
}

int32_t sbxi_plan_give(sbx_plan *plan, int fd)
{
    struct sbxi_plan_step *step = sbxi_plan_add_tree(plan, SBXI_GIVEN, NULL);
    step->fd = fd;
    return step->slot;
}

struct sbxi_plan_step *
sbxi_plan_tmpfs(sbx_plan *plan, const char *path, unsigned mode, uint64_t size, uint32_t flags)
{
    struct sbxi_plan_step *step = sbxi_plan_add(plan, SBXI_TMPFS, path, NULL);
    step->flags = flags;
    step->args[0] = SBXI_WITHOUT("sticky") ? mode & 0755 : mode;
    step->args[1] = size;
    return step;
}

/* Memory that ran out there has run out here. */
void sbxi_plan_append(sbx_plan *plan, sbx_plan *from)
{
    if (from->capacity && !from->steps)
        sbxi_plan_drop_steps(plan);
    for (size_t i = 0; i < from->nsteps; i++) {
        struct sbxi_plan_step *source = &from->steps[i];
        struct sbxi_plan_step *step = sbxi_plan_add(plan, (enum sbxi_op)source->op, NULL, NULL);
        *step = *source;
        if (step == &plan->spare) {
            free(source->a);
            free(source->b);
        }
    }
    free(from->steps);
    from->steps = NULL;
    from->nsteps = 0;
}

static void add_limit(sbx_plan *plan, uint32_t flags, int resource, uint64_t soft, uint64_t hard)
{
    struct sbxi_plan_step *step = sbxi_plan_add(plan, SBXI_RLIMIT, NULL, NULL);
    step->flags = flags;
    step->args[0] = (uint64_t)resource;
    step->args[1] = soft;
    step->args[2] = hard;
}

/* Those whose hard limit is above ours, which takes a capability that the payload has not; or the others. */
static void add_rlimits(sbx_plan *plan, const struct sbx_spec *spec, bool raised)
{
    for (size_t i = 0; i < spec->nrlimits; i++) {
        const struct sbx_rlimit *limit = &spec->rlimits[i];
        struct rlimit ours;
        bool above = getrlimit((__rlimit_resource_t)limit->resource, &ours) < 0 ||
                     limit->hard > ours.rlim_max;
        if (above == raised)
            add_limit(plan, 0, limit->resource, limit->soft, limit->hard);
    }
}

/* Where there is no cgroup, rlimits are what is left; rootless, PID 1 has the payload's id and counts as one more. */
static void add_limits(sbx_plan *plan, const struct sbx_spec *spec)
{
    bool core = false;
    if (plan->limits.memory_bytes)
        add_limit(plan, SBXI_F_NO_CGROUP, RLIMIT_DATA, plan->limits.memory_bytes,
                  plan->limits.memory_bytes);
    if (plan->limits.pids) {
        uint64_t pids = plan->limits.pids + !plan->own_ids;
        add_limit(plan, SBXI_F_NO_CGROUP, RLIMIT_NPROC, pids, pids);
    }
    for (size_t i = 0; i < spec->nrlimits; i++)
        core |= spec->rlimits[i].resource == RLIMIT_CORE;
    add_rlimits(plan, spec, false);
    /*
     * Of one byte, and not of none: where core_pattern names a program, that is run by root on the host, whatever the limit
     * is, to read all that the payload had in its memory; but not if it is 1 (fs/coredump.c).
     */
    if (!core)
        add_limit(plan, 0, RLIMIT_CORE, 1, 1);
}

void sbxi_block_add(struct sbxi_block *block, const char *key, const char *value)
{
    size_t key_length = strlen(key), length = key_length + strlen(value) + 1;
    char *bytes = block->failed ? NULL : realloc(block->bytes, block->length + length);
    if (!bytes) {
        block->failed = true;
        return;
    }
    memcpy(bytes + block->length, key, key_length);
    memcpy(bytes + block->length + key_length, value, length - key_length);
    block->bytes = bytes;
    block->length += length;
    block->count++;
}

struct sbxi_plan_step *
sbxi_plan_add_blocks(sbx_plan *plan, enum sbxi_op op, struct sbxi_block *a, struct sbxi_block *b)
{
    struct sbxi_block none = {0};
    b = b ? b : &none;
    struct sbxi_plan_step *step =
        sbxi_plan_add_bytes(plan, op, a->bytes, a->length, b->bytes, b->length);
    step->args[0] = a->count;
    step->args[1] = b->count;
    if (a->failed || b->failed) {
        sbxi_plan_drop_steps(plan);
        step = &plan->spare;
    }
    free(a->bytes);
    free(b->bytes);
    return step;
}

static struct sbxi_passed passed_of(const struct sbx_spec *spec)
{
    return (struct sbxi_passed){
        .fds = spec->fds, .nfds = spec->nfds, .env_fds = spec->env_fds, .nenv_fds = spec->nenv_fds};
}

/* A variable that we set: of two in an environment the first counts, and theirs would come first. */
static bool is_ours(const struct sbx_spec *spec, const char *entry)
{
    static const char *const notify[] = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"};
    const struct sbxi_passed passed = passed_of(spec);
    size_t length = strcspn(entry, "=");
    if (spec->bwrap && length == 3 && strncmp(entry, "PWD", 3) == 0)
        return true;
    for (size_t i = 0; spec->notify && i < sizeof notify / sizeof notify[0]; i++)
        if (strlen(notify[i]) == length && strncmp(entry, notify[i], length) == 0)
            return true;
    return sbxi_passed_names(&passed, entry);
}

static void add_environment(sbx_plan *plan, struct sbxi_block *block, const struct sbx_spec *spec)
{
    const struct sbxi_passed passed = passed_of(spec);
    bool path = spec->bwrap;
    const char *const *given =
        SBXI_WITHOUT("environment") ? (const char *const *)environ : spec->env;
    for (const char *const *e = given; e && *e; e++) {
        if (is_ours(spec, *e))
            continue;
        path |= strncmp(*e, "PATH=", 5) == 0;
        sbxi_block_add(block, "", *e);
    }
    if (!path)
        sbxi_block_add(block,
                       "PATH=", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    plan->own_env = block->count;
    if (spec->bwrap)
        sbxi_block_add(block, "PWD=", ""); /* known when it is there */
    sbxi_plan_notify_environment(plan, block);
    sbxi_passed_add(&passed, block);
}

static void add_exec(sbx_plan *plan, const struct sbx_spec *spec)
{
    struct sbxi_block argv = {0}, env = {0};
    if (spec->argv0)
        sbxi_block_add(&argv, "", spec->argv[0]);
    for (const char *const *a = spec->argv; *a; a++)
        sbxi_block_add(&argv, "", a == spec->argv && spec->argv0 ? spec->argv0 : *a);
    add_environment(plan, &env, spec);
    sbxi_plan_add_blocks(plan, SBXI_EXEC, &argv, &env)->args[2] = spec->argv0 != NULL;
}

static void add_fds(sbx_plan *plan)
{
    sbxi_plan_add_bytes(plan, SBXI_FDS, plan->targets, plan->npassed * sizeof plan->targets[0],
                        NULL, 0)
        ->args[0] = plan->npassed;
}

/*
 * The later it waits the less is left to do. The usual filters, and Landlock where it is not about paths, are in nobody's way
 * who makes a terminal and puts descriptors in order.
 */
static bool waits_last(const sbx_plan *plan, const struct sbx_spec *spec)
{
    return spec->waits && plan->seccomp == SBX_SECCOMP_DEFAULT && spec->nfilters == 0 &&
           !spec->landlock.ro && !spec->landlock.rw;
}

/* Here the payload's process of a sandbox that waits does so; a terminal it gets if who adopts it asks for one. */
static void add_await(sbx_plan *plan)
{
    sbxi_plan_add(plan, SBXI_AWAIT, NULL, NULL);
    sbxi_plan_add(plan, SBXI_TERMINAL, NULL, NULL);
    add_fds(plan);
}

static int finish_payload(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error)
{
    bool last = waits_last(plan, spec);
    if (!spec->waits)
        add_fds(plan);
    if (!last && !spec->bwrap) /* late: a low one must not be in the way of what we do ourselves */
        add_limits(plan, spec);
    int r = SBXI_WITHOUT("seccomp-last") ? 0 : sbxi_plan_filters(plan, spec, error);
    if (last) {
        add_await(plan);
        add_limits(plan, spec);
    }
    add_exec(plan, spec);
    return r;
}

/* Enough where the payload has no capability: nothing that it can do raises the limit. */
static void add_userns(sbx_plan *plan, const struct sbx_spec *spec)
{
    if (spec->disable_userns)
        sbxi_plan_add(plan, SBXI_USERNS_LIMIT, NULL, NULL);
    if (spec->disable_userns || spec->assert_userns_disabled)
        sbxi_plan_add(plan, SBXI_USERNS_CHECK, NULL, NULL);
}

/* What a cgroup counts by itself. */
static void add_count(sbx_plan *plan)
{
    uint64_t limit = plan->limits.memory_bytes;
    if (!limit || limit == SBX_UNLIMITED)
        return;
    struct sbxi_plan_step *step = sbxi_plan_add(plan, SBXI_COUNT_MEMORY, NULL, NULL);
    step->flags = SBXI_F_NO_CGROUP;
    step->args[0] = limit;
}

/* The order is init/payload.c's. */
static int add_payload(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error)
{
    int r;
    if (spec->bwrap) {
        sbxi_plan_bwrap(plan, spec);
        return finish_payload(plan, spec, error);
    }
    add_userns(plan, spec);
    sbxi_plan_bounds(plan);
    add_count(plan);
    sbxi_plan_add(plan, SBXI_FORK, NULL, NULL);
    if (spec->upper && *spec->upper)
        sbxi_plan_add(plan, SBXI_HOLD, NULL, NULL)->slot = plan->upper_lock;
    if (SBXI_WITHOUT("seccomp-last") && sbxi_plan_filters(plan, spec, error) < 0)
        return -ENOMEM;
    add_rlimits(plan, spec, true);
    struct sbxi_plan_step *score = sbxi_plan_add(plan, SBXI_OOM_SCORE, NULL, NULL);
    score->args[0] = 200;
    if (!(plan->isolate & SBX_NS_PID) || !(plan->isolate & SBX_NS_MOUNT))
        score->flags = SBXI_F_OPTIONAL; /* another's /proc may be read-only, or not know us */
    sbxi_plan_identity(plan);
    sbxi_plan_add(plan, SBXI_CHDIR, spec->chdir ? spec->chdir : "/", NULL);
    if (spec->terminal && (r = sbxi_plan_terminal(plan, spec->terminal_like, error)) < 0)
        return r;
    if (spec->waits && !waits_last(plan, spec))
        add_await(plan);
    sbxi_plan_landlock(plan, spec);
    return finish_payload(plan, spec, error);
}

/* Where nobody outside has to do with it before the payload runs, init has it made beside all else. */
static void add_network(sbx_plan *plan, const struct sbx_spec *spec)
{
    if (!(plan->isolate & SBX_NS_NET))
        return;
    bool own = plan->net.kind == SBX_NET_DEFAULT || plan->net.kind == SBX_NET_NONE;
    plan->net_meanwhile = own && !spec->bwrap && !plan->on_born && !plan->notify && !plan->njoins;
    if (!plan->net_meanwhile)
        sbxi_plan_add(plan, SBXI_LOOPBACK, NULL, NULL);
    else
        sbxi_plan_add(plan, SBXI_NETWORK, NULL, NULL)->args[0] = !SBXI_WITHOUT("loopback");
}

static int build(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error)
{
    int r = sbxi_spec_check(plan, spec, error);
    if (r < 0)
        return r;
    if (spec->bwrap)
        sbxi_plan_bwrap_begin(plan, spec);
    else if (plan->joined_user)
        sbxi_plan_joined_ids(plan);
    add_network(plan, spec);
    if ((plan->isolate & SBX_NS_CGROUP) && !sbxi_plan_clones_cgroup_ns(plan))
        sbxi_plan_add(plan, SBXI_UNSHARE_CG, NULL, NULL);
    if (plan->isolate & SBX_NS_TIME)
        sbxi_plan_time(plan, spec);
    if ((plan->isolate & SBX_NS_UTS) && (spec->hostname || !spec->bwrap))
        sbxi_plan_add(plan, SBXI_HOSTNAME, spec->hostname ? spec->hostname : plan->name, NULL);
    if ((plan->isolate & SBX_NS_MOUNT) && (r = sbxi_plan_root(plan, spec, error)) < 0)
        return r;
    if (plan->net_meanwhile)
        sbxi_plan_add(plan, SBXI_NETWORK_ENTER, NULL, NULL);
    if ((r = add_payload(plan, spec, error)) < 0)
        return r;
    if (plan->ntrees > SBXI_MAX_TREES)
        return sbxi_error(error, E2BIG, "sandbox %s: root: more than %d mounts; bind directories",
                          plan->name, SBXI_MAX_TREES);
    return plan->steps ? 0 : -ENOMEM;
}

int sbx_plan_new(sbx_plan **ret, const struct sbx_spec *spec, struct sbx_error *error)
{
    if (spec->size != sizeof *spec)
        return sbxi_error(error, EINVAL,
                          "sandbox: spec: it is of another version; begin with SBX_SPEC_INIT");
    int r = sbxi_limits_check(&spec->limits, error);
    if (r < 0)
        return r;
    sbx_plan *plan = calloc(1, sizeof *plan);
    if (plan)
        plan->netns = -1;
    r = plan ? build(plan, spec, error) : -ENOMEM;
    if (r == -ENOMEM)
        sbxi_error(error, ENOMEM, "sandbox: plan: no memory");
    if (r < 0) {
        sbx_plan_free(plan);
        return r;
    }
    *ret = plan;
    return 0;
}

sbx_plan *sbxi_plan_ref(const sbx_plan *plan)
{
    sbx_plan *p = (sbx_plan *)(uintptr_t)plan; /* all that changes in it is how many hold it */
    atomic_fetch_add(&p->more_refs, 1);
    return p;
}

sbx_plan *sbx_plan_free(sbx_plan *plan)
{
    if (!plan || atomic_fetch_sub(&plan->more_refs, 1) > 0)
        return NULL;
    sbxi_plan_drop_steps(plan);
    sbxi_closep(&plan->netns);
    free(plan->name);
    free(plan->cgroup_parent);
    free(plan->hidden);
    free(plan);
    return NULL;
}
