/* SPDX-License-Identifier: MIT */
/* NOTIFY_SOCKET in a plan: is it possible, its one step, its variables. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "notify.h"
#include "plan.h"

/* Something of the host's there, and the socket would be made on the host. */
static bool is_covered(const char *target)
{
    size_t length = strlen(target);
    while (length > 1 && target[length - 1] == '/')
        length--;
    return length == 1 || (strncmp(target, SBXI_NOTIFY_PATH, length) == 0 &&
                           (SBXI_NOTIFY_PATH[length] == '/' || !SBXI_NOTIFY_PATH[length]));
}

static const char *find_cover(const struct sbx_spec *spec)
{
    for (size_t i = 0; i < spec->nbinds; i++)
        if (is_covered(spec->binds[i].target))
            return spec->binds[i].target;
    for (size_t i = 0; i < spec->nmounts; i++)
        if ((spec->mounts[i].type == SBX_MOUNT_BIND || spec->mounts[i].type == SBX_MOUNT_OVERLAY) &&
            is_covered(spec->mounts[i].target))
            return spec->mounts[i].target;
    return NULL;
}

int sbxi_notify_check(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error)
{
    if (!spec->notify && (spec->ready_ms || spec->watchdog_ms || spec->fdstore))
        return sbxi_error(error, EINVAL,
                          "sandbox %s: notify: readiness, watchdog and fdstore need it; ask for it",
                          plan->name);
    if (!spec->notify)
        return 0;
    if (spec->bwrap)
        return sbxi_error(error, EINVAL, "sandbox %s: notify: bubblewrap has none", plan->name);
    if (spec->ready_ms < 0 || spec->watchdog_ms < 0)
        return sbxi_error(error, EINVAL, "sandbox %s: notify: a time is negative", plan->name);
    if (!(plan->isolate & SBX_NS_MOUNT))
        return sbxi_error(error, EINVAL,
                          "sandbox %s: notify: its socket lies in a root of its own; isolate "
                          "mount, leave out --share-mount",
                          plan->name);
    const char *cover = find_cover(spec);
    if (cover)
        return sbxi_error(error, EINVAL,
                          "sandbox %s: notify: its socket is " SBXI_NOTIFY_PATH
                          ", which would be the host's: mount %s elsewhere",
                          plan->name, cover);
    plan->notify = true;
    plan->ready_ms = spec->ready_ms;
    plan->watchdog_ms = spec->watchdog_ms;
    plan->fdstore = spec->fdstore;
    return 0;
}

void sbxi_plan_notify(sbx_plan *plan)
{
    if (!plan->notify)
        return;
    struct sbxi_plan_step *step = sbxi_plan_add_tree(plan, SBXI_NOTIFY, SBXI_NOTIFY_PATH);
    step->args[0] = plan->fdstore ? sbxi_fdstore_get_max(plan->fdstore) : 0;
}

void sbxi_plan_notify_environment(const sbx_plan *plan, struct sbxi_block *block)
{
    char usec[32];
    if (!plan->notify)
        return;
    sbxi_block_add(block, "NOTIFY_SOCKET=", SBXI_NOTIFY_PATH);
    if (!plan->watchdog_ms)
        return;
    snprintf(usec, sizeof usec, "%lld", plan->watchdog_ms * 1000LL);
    sbxi_block_add(block, "WATCHDOG_USEC=", usec);
    sbxi_block_add(block, "WATCHDOG_PID=", ""); /* known when it is forked */
}
