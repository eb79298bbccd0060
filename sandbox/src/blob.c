/* SPDX-License-Identifier: MIT */
/* The plan in a memfd, in the form of steps.h, without the steps that this start has no use for. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <uds/fdset.h>

#include "cleanup.h"
#include "launch.h"
#include "without.h"

static bool is_left_out(const struct launch *launch, const struct sbxi_plan_step *step, bool cgroup)
{
    if (((step->flags & SBXI_F_NO_CGROUP) && cgroup) || SBXI_WITHOUT_STEP(step))
        return true;
    if (step->op == SBXI_ATTACH)
        return (step->flags & SBXI_F_NODE) && launch->nodes;
    return step->op == SBXI_NODES || (step->op == SBXI_OPEN && launch->plan->privileged)
               ? launch->tree[step->slot] < 0
               : false;
}

static uint32_t copy_bytes(char *base, uint32_t *at, const void *bytes, size_t length)
{
    uint32_t offset = *at;
    if (length)
        memcpy(base + offset, bytes, length);
    *at += (uint32_t)length;
    return offset;
}

/*
 * Under a limit of memory the kernel's killer would take PID 1 with it: clone.c. And who shares a memory had to be in one time
 * namespace (EINVAL; Debian's 6.1).
 */
static bool can_share(const struct launch *launch)
{
    const sbx_plan *plan = launch->plan;
    const uint32_t others = SBXI_S_BWRAP | SBXI_S_WAITS | SBXI_S_DIRECT;
    return !launch->apart && (plan->isolate & SBX_NS_PID) && !(plan->isolate & SBX_NS_TIME) &&
           plan->njoins == 0 && !(plan->style & others);
}

static uint32_t style_of(const struct launch *launch)
{
    const sbx_plan *plan = launch->plan;
    uint32_t style = plan->style | (plan->isolate & SBX_NS_PID ? SBXI_S_PID1 : 0u) |
                     (can_share(launch) ? SBXI_S_SHARES : 0u) |
                     (plan->limits.pids == 1 ? SBXI_S_ALONE : 0u);
    for (size_t i = 0; i < plan->njoins; i++)
        style |= SBXI_S_JOINS | (plan->joins[i].ns == SBX_NS_PID ? SBXI_S_SEEN : 0u);
    return style;
}

static void fill_blob(const struct launch *launch, bool cgroup, char *base, uint32_t size)
{
    const sbx_plan *plan = launch->plan;
    struct sbxi_blob *blob = (struct sbxi_blob *)(void *)base;
    struct sbxi_step *out = (struct sbxi_step *)(blob + 1);
    uint32_t at = (uint32_t)(sizeof *blob + plan->nsteps * sizeof *out);
    *blob = (struct sbxi_blob){.magic = SBXI_BLOB_MAGIC,
                               .size = size,
                               .npassed = (uint32_t)plan->npassed,
                               .style = style_of(launch),
                               .uid = plan->uid,
                               .gid = plan->gid};
    for (size_t i = 0; i < plan->nsteps; i++) {
        const struct sbxi_plan_step *step = &plan->steps[i];
        if (is_left_out(launch, step, cgroup))
            continue;
        *out = (struct sbxi_step){.op = step->op,
                                  .flags = step->flags,
                                  .slot = step->slot,
                                  .index = (uint32_t)i,
                                  .a_length = (uint32_t)step->a_length,
                                  .b_length = (uint32_t)step->b_length};
        memcpy(out->args, step->args, sizeof out->args);
        if (step->op == SBXI_GIVEN || step->op == SBXI_UPPER || step->op == SBXI_NOTIFY ||
            step->op == SBXI_NODES || (step->op == SBXI_OPEN && plan->privileged))
            out->flags |= SBXI_F_GIVEN;
        out->a = copy_bytes(base, &at, step->a, step->a_length);
        out->b = copy_bytes(base, &at, step->b, step->b_length);
        out++;
        blob->nsteps++;
    }
}

int sbxi_launch_write_blob(struct launch *launch, bool cgroup)
{
    const sbx_plan *plan = launch->plan;
    size_t size = sizeof(struct sbxi_blob) + plan->nsteps * sizeof(struct sbxi_step);
    for (size_t i = 0; i < plan->nsteps; i++)
        size += plan->steps[i].a_length + plan->steps[i].b_length;
    if (size > SBXI_MAX_BLOB)
        return -E2BIG;
    _cleanup_free_ char *bytes = calloc(1, size);
    if (!bytes)
        return -ENOMEM;
    fill_blob(launch, cgroup, bytes, (uint32_t)size);
    int r = uds_memfd_create("sandbox", &launch->blob);
    if (r < 0)
        return r;
    ssize_t n = pwrite(launch->blob, bytes, size, 0);
    return n == (ssize_t)size ? 0 : n < 0 ? -errno : -EIO;
}
