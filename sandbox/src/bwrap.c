/* SPDX-License-Identifier: MIT */
/*
 * A sandbox as bubblewrap makes it. What it shares with ours is the root (mounts.c); what differs is the process: it
 * stays the caller's in everything that no option changes, and nobody stands over it. Nothing here is privileged: host
 * paths are opened inside the user namespace, by the ids that the payload will have.
 */

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "plan.h"

/* PID 1 of a pid namespace reaps; without one somebody must hold what is to be held. */
static bool needs_init(const struct sbx_spec *spec)
{
    bool locks = spec->lock_files && *spec->lock_files;
    return !spec->as_pid1 && ((spec->isolate & SBX_NS_PID) || locks || spec->sync_fd >= 0);
}

int sbxi_bwrap_check(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error)
{
    const int fds[] = {spec->sync_fd, spec->block_fd, spec->userns2};
    const struct sbx_limits none = SBX_LIMITS_INIT;
    bool user = (spec->isolate & SBX_NS_USER) || sbxi_spec_joins(spec, SBX_NS_USER);
    if (memcmp(&spec->limits, &none, sizeof none) != 0 || spec->timeout_ms >= 0)
        return sbxi_error(error, EINVAL,
                          "sandbox %s: limits: bubblewrap has none; use them without it",
                          plan->name);
    if (spec->terminal)
        return sbxi_error(error, EINVAL, "sandbox %s: terminal: bubblewrap makes none", plan->name);
    if (!(spec->isolate & SBX_NS_MOUNT))
        return sbxi_error(error, EINVAL, "sandbox %s: isolate: add \"mount\"", plan->name);
    if (!user && ((spec->uid != (uid_t)-1 && spec->uid != getuid()) ||
                  (spec->gid != (gid_t)-1 && spec->gid != getgid())))
        return sbxi_error(error, EINVAL, "sandbox %s: uid: without a user namespace it is your own",
                          plan->name);
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        if (fds[i] >= 0 && fcntl(fds[i], F_GETFD) < 0)
            return sbxi_error(error, EBADF, "sandbox %s: descriptor %d is not open", plan->name,
                              fds[i]);
    if (spec->nkeep_fds > SBXI_MAX_PASSED - SBXI_MAX_NAMED)
        return sbxi_error(error, E2BIG, "sandbox %s: fds: at most %d can be inherited", plan->name,
                          SBXI_MAX_PASSED - SBXI_MAX_NAMED);
    for (size_t i = 0; i < spec->nkeep_fds; i++) {
        if (spec->keep_fds[i] < 3 || (i > 0 && spec->keep_fds[i] <= spec->keep_fds[i - 1]))
            return sbxi_error(error, EINVAL, "sandbox %s: fds: not ascending from 3", plan->name);
        plan->targets[plan->npassed] = spec->keep_fds[i];
        plan->passed[plan->npassed++] = spec->keep_fds[i];
    }
    plan->isolate = spec->isolate;
    plan->uid = spec->uid != (uid_t)-1 ? spec->uid : getuid();
    plan->gid = spec->gid != (gid_t)-1 ? spec->gid : getgid();
    plan->foreign_maps = spec->foreign_maps;
    plan->on_born = spec->on_born;
    plan->userdata = spec->userdata;
    plan->style = SBXI_S_BWRAP | (spec->new_session ? SBXI_S_SESSION : 0u) |
                  (spec->die_with_parent ? SBXI_S_DIE : 0u) |
                  (needs_init(spec) ? 0u : SBXI_S_DIRECT);
    return 0;
}

static void add_ids(sbx_plan *plan, enum sbxi_op op)
{
    struct sbxi_plan_step *step = sbxi_plan_add(plan, op, NULL, NULL);
    step->args[0] = plan->uid;
    step->args[1] = plan->gid;
}

void sbxi_plan_bwrap_begin(sbx_plan *plan, const struct sbx_spec *spec)
{
    bool named = spec->uid != (uid_t)-1 || spec->gid != (gid_t)-1;
    /* Also where it is our own number: root's 0 is another id there. */
    if (sbxi_spec_joins(spec, SBX_NS_USER) && named)
        add_ids(plan, SBXI_SWITCH_IDS);
}

/* A payload with capabilities could raise the limit of the namespace that it owns, so it gets one that does not. */
static void add_userns(sbx_plan *plan, const struct sbx_spec *spec)
{
    if (spec->userns2 >= 0) {
        int32_t slot = sbxi_plan_give(plan, spec->userns2);
        sbxi_plan_add(plan, SBXI_USERNS_JOIN, NULL, NULL)->slot = slot;
    }
    if (spec->disable_userns) {
        sbxi_plan_add(plan, SBXI_USERNS_LIMIT, NULL, NULL)->args[0] = 1;
        add_ids(plan, SBXI_USERNS_NEST);
    }
    if (spec->disable_userns || spec->assert_userns_disabled)
        sbxi_plan_add(plan, SBXI_USERNS_CHECK, NULL, NULL);
}

static void add_cwd(sbx_plan *plan, const struct sbx_spec *spec)
{
    struct sbxi_block block = {0};
    if (spec->chdir) {
        sbxi_plan_add(plan, SBXI_CHDIR, spec->chdir, NULL);
        return;
    }
    for (const char *const *dir = spec->cwd; dir && *dir; dir++)
        sbxi_block_add(&block, "", *dir);
    sbxi_block_add(&block, "", "/");
    sbxi_plan_add_blocks(plan, SBXI_FIND_CWD, &block, NULL);
}

void sbxi_plan_bwrap(sbx_plan *plan, const struct sbx_spec *spec)
{
    bool user = (spec->isolate & SBX_NS_USER) || sbxi_spec_joins(spec, SBX_NS_USER);
    add_userns(plan, spec);
    if (spec->block_fd >= 0) {
        int32_t slot = sbxi_plan_give(plan, spec->block_fd);
        sbxi_plan_add(plan, SBXI_WAIT, NULL, NULL)->slot = slot;
    }
    int32_t sync =
        spec->sync_fd >= 0 && needs_init(spec) ? sbxi_plan_give(plan, spec->sync_fd) : -1;
    if (needs_init(spec))
        sbxi_plan_add(plan, SBXI_FORK, NULL, NULL);
    if (sync >= 0)
        sbxi_plan_add(plan, SBXI_HOLD, NULL, NULL)->slot = sync;
    for (const char *const *path = spec->lock_files; path && *path; path++)
        sbxi_plan_add(plan, SBXI_LOCK_FILE, *path, NULL);
    sbxi_plan_add(plan, SBXI_NO_NEW_PRIVS, NULL, NULL);
    if (user) /* a new one gives all of it back */
        sbxi_plan_add(plan, SBXI_BOUNDS, NULL, NULL)->args[0] = spec->caps;
    sbxi_plan_add(plan, spec->keep_caps ? SBXI_AMBIENT : SBXI_CAPS, NULL, NULL)->args[0] =
        spec->caps;
    add_cwd(plan, spec);
    if (spec->die_with_parent)
        sbxi_plan_add(plan, SBXI_PARENT_DEATH, NULL, NULL);
}
