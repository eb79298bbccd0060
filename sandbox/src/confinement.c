/* SPDX-License-Identifier: MIT */
/*
 * What confines the payload of a plan, for a process that its init starts later: the payload's own steps but for those that
 * init has done for all its children, that are about the payload's descriptors, or that say what it runs.
 */

#include "confinement.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "launch.h"

static bool is_for_all(const struct sbxi_plan_step *step, bool cgroup)
{
    if (step->slot >= 0 || ((step->flags & SBXI_F_NO_CGROUP) && cgroup))
        return false;
    switch (step->op) {
    case SBXI_HOLD:
    case SBXI_LOCK_FILE:
    case SBXI_AWAIT:
    case SBXI_TERMINAL:
    case SBXI_FDS:
    case SBXI_EXEC:
        return false;
    default:
        return true;
    }
}

static void add_copy(sbx_plan *to, const struct sbxi_plan_step *step)
{
    struct sbxi_plan_step *copy = sbxi_plan_add_bytes(to, (enum sbxi_op)step->op, step->a,
                                                      step->a_length, step->b, step->b_length);
    copy->flags = step->flags;
    memcpy(copy->args, step->args, sizeof copy->args);
    if (step->op == SBXI_OOM_SCORE) /* a root without /proc: as init's is, then */
        copy->flags |= SBXI_F_OPTIONAL;
}

/* After the payload's directory, and before Landlock: the terminal is opened by its name. */
static void add_request(sbx_plan *to)
{
    struct sbxi_plan_step *request = sbxi_plan_add(to, SBXI_REQUEST, NULL, NULL);
    request->slot = 0;
    request->flags = SBXI_F_GIVEN;
    sbxi_plan_add(to, SBXI_TERMINAL, NULL, NULL);
}

/* Its environment goes with it, but for what names descriptors that are the payload's. */
static void add_exec(sbx_plan *to, const sbx_plan *plan, const struct sbxi_plan_step *step)
{
    const char *entry = step->b;
    size_t length = 0;
    for (uint64_t i = 0; i < plan->own_env; i++)
        length += strlen(entry + length) + 1;
    sbxi_plan_add_bytes(to, SBXI_EXEC, NULL, 0, step->b, length)->args[1] = plan->own_env;
}

int sbxi_confinement_write(const sbx_plan *plan, bool cgroup)
{
    sbx_plan confined = {.style = plan->style & ~(uint32_t)(SBXI_S_DIRECT | SBXI_S_WAITS),
                         .uid = plan->uid,
                         .gid = plan->gid};
    struct launch launch = {.plan = &confined, .blob = -1};
    size_t i = 0;
    while (i < plan->nsteps && plan->steps[i].op != SBXI_FORK)
        i++;
    for (i++; i < plan->nsteps; i++) {
        const struct sbxi_plan_step *step = &plan->steps[i];
        if (is_for_all(step, cgroup))
            add_copy(&confined, step);
        if (step->op == SBXI_CHDIR)
            add_request(&confined);
        else if (step->op == SBXI_FDS)
            sbxi_plan_add(&confined, SBXI_FDS, NULL, NULL);
        else if (step->op == SBXI_EXEC)
            add_exec(&confined, plan, step);
    }
    int r = confined.steps ? sbxi_launch_write_blob(&launch, cgroup) : -ENOMEM;
    sbxi_plan_drop_steps(&confined);
    if (r < 0 && launch.blob >= 0)
        close(launch.blob);
    return r < 0 ? r : launch.blob;
}
