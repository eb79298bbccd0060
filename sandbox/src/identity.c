/* SPDX-License-Identifier: MIT */
/*
 * Whose ids a sandbox has. Outside its user namespace they are:
 *
 *   range    root:      65536 that nobody else has (ids.h)
 *   subids   rootless:  those of /etc/subuid from 1 on, the caller's own as 0 for init, which opens host paths
 *   one id   rootless:  the caller's own
 *   joined   those of a namespace that exists already
 *   host     --host-root, or no user namespace
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <linux/capability.h>
#include <sys/syscall.h>

#include "cleanup.h"
#include "error.h"
#include "ids.h"
#include "plan.h"
#include "subids.h"

/* In a user namespace root may be nobody special: can it map the block that sandboxes take their ids from? */
static bool have_id_block(void)
{
    unsigned long inside, outside, count;
    _cleanup_fclose_ FILE *map = fopen("/proc/self/uid_map", "re");
    while (map && fscanf(map, "%lu %lu %lu", &inside, &outside, &count) == 3)
        if (inside <= SBXI_IDS_FIRST &&
            inside + count >= SBXI_IDS_FIRST + (unsigned long)SBXI_IDS_COUNT * SBXI_IDS_SLICES)
            return true;
    return false;
}

/* Root in a container may lack what makes root root; it is then treated like any other user. */
static bool have_privilege(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2] = {0};
    const uint32_t need = 1u << CAP_SYS_ADMIN | 1u << CAP_SETUID | 1u << CAP_SETGID;
    if (geteuid() != 0 || syscall(SYS_capget, &header, data) < 0)
        return false;
    return (data[0].effective & need) == need && have_id_block();
}

/* Has it a user namespace, and may it do without? */
static int
check_namespace(const sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error)
{
    bool own = spec->isolate & SBX_NS_USER;
    if (spec->host_root && !plan->privileged)
        return sbxi_error(error, EPERM, "sandbox %s: host-root: only root can; run it as root",
                          plan->name);
    if (spec->host_root && plan->joined_user)
        return sbxi_error(error, EINVAL,
                          "sandbox %s: host-root: it has the ids of the user namespace that it "
                          "joins; leave out one of them",
                          plan->name);
    if (spec->host_root || own || plan->joined_user)
        return 0;
    if (plan->privileged)
        return sbxi_error(error, EINVAL,
                          "sandbox %s: isolate: started by root it needs a user namespace; "
                          "isolate user, leave out --share-user, or keep host ids with "
                          "--host-root",
                          plan->name);
    if (spec->isolate)
        return sbxi_error(error, EPERM,
                          "sandbox %s: isolate: without root every namespace needs a user "
                          "namespace; isolate user, leave out --share-user",
                          plan->name);
    return 0;
}

/* Rootless, ids beside our own; or what is to be said about having one only. */
static int check_range(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error)
{
    if (spec->id_range && !(plan->isolate & SBX_NS_USER))
        return sbxi_error(error, EINVAL,
                          "sandbox %s: id-range: it needs a user namespace of its own; leave it "
                          "out, or --share-user, --host-root, --join user",
                          plan->name);
    if (plan->range || !(plan->isolate & SBX_NS_USER))
        return 0;
    if (spec->id_range) {
        int r = sbxi_subids_find(&plan->subids, plan->name, error);
        if (r == 0 || !(spec->degrade & SBX_DEGRADE_ID_RANGE) || spec->assert_all)
            return r;
        error->err = 0;
    } else if (spec->assert_all) {
        return sbxi_error(error, EPERM,
                          "sandbox %s: ids: rootless it has one id instead of a range of its own; "
                          "run it as root, with --id-range, or without --assert",
                          plan->name);
    }
    plan->degraded |= SBX_DEGRADE_ID_RANGE;
    return 0;
}

static void choose_ids(sbx_plan *plan, const struct sbx_spec *spec)
{
    bool many = plan->range || plan->subids.count || plan->joined_user;
    bool named = spec->uid != (uid_t)-1 || spec->gid != (gid_t)-1;
    bool fixed = !plan->privileged && !plan->subids.count;
    plan->uid = spec->uid != (uid_t)-1 ? spec->uid : fixed ? geteuid() : many ? 1000 : 0;
    plan->gid = spec->gid != (gid_t)-1 ? spec->gid : fixed ? getegid() : many ? 1000 : 0;
    plan->own_ids = plan->privileged || plan->subids.count || (plan->joined_user && named);
    plan->style = many && plan->own_ids ? SBXI_S_OWNED : 0;
}

int sbxi_identity_check(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error)
{
    plan->privileged = have_privilege();
    plan->joined_user = sbxi_spec_joins(spec, SBX_NS_USER);
    int r = check_namespace(plan, spec, error);
    if (r < 0)
        return r;
    plan->isolate = spec->isolate & ~(spec->host_root ? (uint32_t)SBX_NS_USER : 0u);
    plan->jail = spec->root == SBX_ROOT_JAIL;
    plan->range = plan->privileged && (plan->isolate & SBX_NS_USER);
    plan->on_born = spec->on_born;
    plan->userdata = spec->userdata;
    if ((r = check_range(plan, spec, error)) < 0)
        return r;
    choose_ids(plan, spec);
    uint32_t last = plan->range ? SBXI_IDS_COUNT - 1 : plan->subids.count;
    if ((plan->range || plan->subids.count) && (plan->uid > last || plan->gid > last))
        return sbxi_error(error, EINVAL, "sandbox %s: %s: ids inside go from 0 to %u", plan->name,
                          plan->uid > last ? "uid" : "gid", last);
    if (!plan->privileged && !(plan->isolate & SBX_NS_USER) && !plan->joined_user &&
        (plan->uid != geteuid() || plan->gid != getegid()))
        return sbxi_error(error, EPERM, "sandbox %s: uid: without a user namespace it is your own",
                          plan->name);
    return 0;
}

void sbxi_plan_joined_ids(sbx_plan *plan)
{
    struct sbxi_plan_step *step = sbxi_plan_add(plan, SBXI_SWITCH_IDS, NULL, NULL);
    step->flags = SBXI_F_OPTIONAL;
    step->args[0] = plan->uid;
    step->args[1] = plan->gid;
    step->args[2] = plan->own_ids;
}
