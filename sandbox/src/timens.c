/* SPDX-License-Identifier: MIT */
/* A time namespace: what can be said of it before anything is made, and its step. */

#include <errno.h>
#include <unistd.h>

#include "error.h"
#include "plan.h"

int sbxi_time_check(const sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error)
{
    if (!(plan->isolate & SBX_NS_TIME)) {
        if (spec->monotonic_offset_ns || spec->boottime_offset_ns)
            return sbxi_error(error, EINVAL,
                              "sandbox %s: time: an offset needs a time namespace of its own; add "
                              "\"time\" to isolate",
                              plan->name);
        return 0;
    }
    if (spec->bwrap)
        return sbxi_error(error, EINVAL, "sandbox %s: isolate: bubblewrap has no time namespace",
                          plan->name);
    if (access("/proc/self/ns/time_for_children", F_OK) < 0)
        return sbxi_error(error, EOPNOTSUPP,
                          "sandbox %s: isolate: this kernel has no time namespaces "
                          "(CONFIG_TIME_NS, Linux 5.6); leave out \"time\"",
                          plan->name);
    return 0;
}

void sbxi_plan_time(sbx_plan *plan, const struct sbx_spec *spec)
{
    struct sbxi_plan_step *step = sbxi_plan_add(plan, SBXI_TIME, NULL, NULL);
    step->args[0] = (uint64_t)spec->monotonic_offset_ns;
    step->args[1] = (uint64_t)spec->boottime_offset_ns;
}
