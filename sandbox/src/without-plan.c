/* SPDX-License-Identifier: MIT */
/* For tests alone: defences that are one step of a plan, or one word of a spec. See without.h. */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "plan.h"
#include "without.h"

static const struct {
    const char *defence;
    enum sbxi_op op;
    const char *a; /* only of this path */
} steps[] = {
    {"hostname", SBXI_HOSTNAME, NULL},
    {"loopback", SBXI_LOOPBACK, NULL},
    {"cgroup-ns", SBXI_UNSHARE_CG, NULL},
    {"ns-net", SBXI_NETWORK, NULL},
    {"ns-net", SBXI_NETWORK_ENTER, NULL},
    {"private", SBXI_PRIVATE, NULL},
    {"uncover", SBXI_UNCOVER, NULL},
    {"mask", SBXI_MASK, NULL},
    {"proc-ro", SBXI_READONLY, NULL},
    {"seal", SBXI_SEAL, NULL},
    {"dev", SBXI_TMPFS, "/dev"},
    {"dev", SBXI_SEAL, "/dev"},
    {"dev", SBXI_SYMLINK, "/dev/ptmx"},
    {"dev", SBXI_MQUEUE, NULL},
    {"mqueue", SBXI_MQUEUE, NULL},
    {"disable-userns", SBXI_USERNS_LIMIT, NULL},
    {"disable-userns", SBXI_USERNS_NEST, NULL},
    {"disable-userns", SBXI_USERNS_CHECK, NULL},
    {"rlimits", SBXI_RLIMIT, NULL},
    {"bounds", SBXI_DROP_BOUNDS, NULL},
    {"ids", SBXI_IDS, NULL},
    {"caps", SBXI_NO_CAPS, NULL},
    {"nnp", SBXI_NO_NEW_PRIVS, NULL},
    {"landlock", SBXI_LANDLOCK, NULL},
    {"seccomp", SBXI_SECCOMP, NULL},
    {"time", SBXI_TIME, NULL},
};

bool sbxi_without_step(const struct sbxi_plan_step *step)
{
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++)
        if (steps[i].op == step->op && sbxi_without(steps[i].defence) &&
            (!steps[i].a || (step->a && strcmp(steps[i].a, step->a) == 0)))
            return true;
    return false;
}

void sbxi_without_plan(struct sbx_plan *plan)
{
    static const char *const namespaces[] = {"ns-user", "ns-mount", "ns-pid",   "ns-net",
                                             "ns-ipc",  "ns-uts",   "ns-cgroup"};
    for (size_t i = 0; i < sizeof namespaces / sizeof namespaces[0]; i++)
        if (sbxi_without(namespaces[i]))
            plan->isolate &= ~(1u << i);
    if (!(plan->isolate & SBX_NS_USER)) {
        plan->range = false;
        plan->style &= ~(uint32_t)SBXI_S_OWNED;
    }
    /* Mounts of a namespace that is not below the host's user namespace reach the host: that is no test, that is an accident. */
    if (sbxi_without("private") && !(plan->isolate & SBX_NS_USER) && !plan->joined_user) {
        fputs("UDS_WITHOUT=private: not without a user namespace: the host would be mounted over\n",
              stderr);
        _exit(64);
    }
    if (sbxi_without("limit-memory"))
        plan->limits.memory_bytes = 0;
    if (sbxi_without("limit-pids"))
        plan->limits.pids = 0;
    if (sbxi_without("limit-cpu"))
        plan->limits.cpu_percent = 0;
    if (sbxi_without("limit-weight"))
        plan->limits.cpu_weight = 0;
    if (sbxi_without("limit-io"))
        plan->limits.nio = 0;
    if (sbxi_without("limit-swap")) {
        plan->limits.swap_named = true;
        plan->limits.swap_bytes = SBX_UNLIMITED;
    }
    if (sbxi_without("refusal"))
        plan->degrade = UINT32_MAX;
}
