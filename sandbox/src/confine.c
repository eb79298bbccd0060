/* SPDX-License-Identifier: MIT */
/* Who the payload is, what it may, and which system calls it has: the steps that take away all else. */

#include <stdlib.h>

#include "plan.h"

void sbxi_plan_identity(sbx_plan *plan)
{
    if (plan->privileged || plan->joined_user || (plan->isolate & SBX_NS_USER))
        sbxi_plan_add(plan, SBXI_DROP_BOUNDS, NULL, NULL);
    if (plan->own_ids) {
        struct sbxi_plan_step *ids = sbxi_plan_add(plan, SBXI_IDS, NULL, NULL);
        ids->args[0] = plan->uid;
        ids->args[1] = plan->gid;
        ids->flags = plan->joined_user ? SBXI_F_OPTIONAL : 0;
    }
    sbxi_plan_add(plan, SBXI_NO_CAPS, NULL, NULL);
    sbxi_plan_add(plan, SBXI_NO_NEW_PRIVS, NULL, NULL);
}

int sbxi_plan_filters(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error)
{
    struct sbxi_filter filters[2];
    int r = plan->seccomp ? sbxi_seccomp_build(plan->guarded, filters, error) : 0;
    if (r < 0)
        return r;
    for (int i = 0; plan->seccomp && i < 2; i++) {
        sbxi_plan_add_bytes(plan, SBXI_SECCOMP, filters[i].code, filters[i].length, NULL, 0);
        free(filters[i].code);
    }
    for (size_t i = 0; i < spec->nfilters; i++)
        sbxi_plan_add_bytes(plan, SBXI_SECCOMP, spec->filters[i].code, spec->filters[i].length,
                            NULL, 0);
    return 0;
}
