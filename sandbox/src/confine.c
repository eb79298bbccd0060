/* SPDX-License-Identifier: MIT */
/* Who the payload is, what it may, and which system calls it has: the steps that take away all else. */

#include <stdlib.h>

#include "filter.h"
#include "plan.h"
#include "ready.h"

/* Once, for PID 1 and all that it starts; where some are given, each payload drops its own. */
void sbxi_plan_bounds(sbx_plan *plan)
{
    if (!plan->caps && (plan->privileged || plan->joined_user || (plan->isolate & SBX_NS_USER)))
        sbxi_plan_add(plan, SBXI_DROP_BOUNDS, NULL, NULL);
}

void sbxi_plan_identity(sbx_plan *plan)
{
    if (plan->own_ids) {
        struct sbxi_plan_step *ids = sbxi_plan_add(plan, SBXI_IDS, NULL, NULL);
        ids->args[0] = plan->uid;
        ids->args[1] = plan->gid;
        ids->flags = plan->joined_user ? SBXI_F_OPTIONAL : 0;
        ids->args[2] = plan->caps != 0;
    }
    if (plan->caps)
        sbxi_plan_add(plan, SBXI_GRANT, NULL, NULL)->args[0] = plan->caps;
    else
        sbxi_plan_add(plan, SBXI_NO_CAPS, NULL, NULL);
    sbxi_plan_add(plan, SBXI_NO_NEW_PRIVS, NULL, NULL);
}

static void add_filter(sbx_plan *plan, const void *code, size_t length)
{
    sbxi_plan_add_bytes(plan, SBXI_SECCOMP, code, length, NULL, 0);
    plan->filters++;
}

static int add_profile(sbx_plan *plan, const struct sbxi_seccomp *asked, struct sbx_error *error)
{
    struct sbxi_filter filters[2];
    for (const struct sbxi_ready *ready = sbxi_ready; ready->profile >= 0 && !asked->caps; ready++)
        if (ready->profile == (int)asked->profile && ready->guarded == asked->guarded) {
            add_filter(plan, ready->code, ready->length);
            return 0;
        }
    int r = sbxi_seccomp_build(asked, filters, error);
    for (int i = 0; r == 0 && i < 2; i++) {
        if (filters[i].length > 0)
            add_filter(plan, filters[i].code, filters[i].length);
        free(filters[i].code);
    }
    return r;
}

int sbxi_plan_filters(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error)
{
    const struct sbxi_seccomp asked = {
        .profile = plan->seccomp,
        .file = spec->seccomp_file,
        .guarded = plan->guarded,
        .caps = plan->caps,
        .host_caps = !(plan->isolate & SBX_NS_USER) && !plan->joined_user,
    };
    int r = asked.profile != SBX_SECCOMP_NONE ? add_profile(plan, &asked, error) : 0;
    if (r < 0)
        return r;
    for (size_t i = 0; i < spec->nfilters; i++)
        add_filter(plan, spec->filters[i].code, spec->filters[i].length);
    return 0;
}
