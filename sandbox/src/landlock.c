/* SPDX-License-Identifier: MIT */
/* What the kernel knows of Landlock. The rules themselves are made where they apply, in uds-sandbox-init. */

#include <errno.h>

#include "error.h"
#include "kernel.h"
#include "plan.h"

int sbxi_landlock_abi(void)
{
    int abi = sbxi_landlock_create_ruleset(NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
    return abi < 0 ? -errno : abi;
}

/* Landlock against re-opening needs a root that is not the host's: a rule for "/" would allow the host's files too. */
int sbxi_landlock_check(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error)
{
    if (!spec->landlock_no_reopen)
        return 0;
    if (spec->root != SBX_ROOT_JAIL)
        return sbxi_error(error, EINVAL,
                          "sandbox %s: landlock: a file of the host cannot be told from the "
                          "sandbox's own when the host is its root; use a jail",
                          plan->name);
    if (sbxi_landlock_abi() <
        1) { /* the first will do: truncate(2), new in 3, is refused by seccomp */
        if (!(plan->degrade & SBX_DEGRADE_LANDLOCK))
            return sbxi_error(
                error, EOPNOTSUPP,
                "sandbox %s: landlock: this kernel has none; boot with lsm=landlock,…, "
                "or do without by --degrade=landlock",
                plan->name);
        plan->degraded |= SBX_DEGRADE_LANDLOCK;
        return 0;
    }
    plan->guarded = true;
    return 0;
}

void sbxi_plan_landlock(sbx_plan *plan)
{
    if (plan->guarded)
        sbxi_plan_add(plan, SBXI_LANDLOCK, NULL, NULL);
}
