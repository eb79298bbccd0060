/* SPDX-License-Identifier: MIT */
/*
 * The run directory is not seen inside where a payload could write there: who changes a record there has its own user's
 * cleaner kill and remove other things than a sandbox's. A directory that it lies in may be shown; then an empty one covers
 * it, and what goes over that later is the caller's to say. A range of ids that is the sandbox's alone writes there nothing.
 */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/capability.h>

#include "error.h"
#include "plan.h"
#include "rundir.h"

/* What of @path is behind @base: "" if they are the same, NULL if it is not in there. */
static const char *behind(const char *path, const char *base)
{
    size_t length = strcmp(base, "/") == 0 ? 0 : strlen(base);
    return strncmp(path, base, length) == 0 && (path[length] == '/' || path[length] == '\0')
               ? path + length
               : NULL;
}

static int refuse(const sbx_plan *plan, const char *source, struct sbx_error *error)
{
    return sbxi_error(error, EPERM,
                      "sandbox %s: mounts: %s: records of running sandboxes lie there, which a "
                      "command must not change; name what lies beside them",
                      plan->name, source);
}

static bool is_refused(const sbx_plan *plan, const char *real)
{
    const char *rest = behind(real, plan->hidden);
    return rest && (!*rest || behind(rest, "/records") || behind(rest, "/groups"));
}

/* What covers a directory is a mount, which who may mount takes away. */
static int check(const sbx_plan *plan,
                 const struct sbx_spec *spec,
                 const char *source,
                 struct sbx_error *error)
{
    char real[PATH_MAX];
    if (!realpath(source, real))
        return 0;
    if (is_refused(plan, real))
        return refuse(plan, source, error);
    if ((spec->caps >> CAP_SYS_ADMIN & 1) && behind(plan->hidden, real))
        return sbxi_error(error, EPERM,
                          "sandbox %s: mounts: %s: records of running sandboxes lie in it, and who "
                          "has sys_admin uncovers them; leave out one of the two, or have the run "
                          "directory elsewhere",
                          plan->name, source);
    return 0;
}

static int check_all(const sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < spec->nbinds; i++)
        r = check(plan, spec, spec->binds[i].source, error);
    for (size_t i = 0; r == 0 && i < spec->nmounts; i++) {
        const struct sbx_mount *m = &spec->mounts[i];
        if ((m->type == SBX_MOUNT_BIND || m->type == SBX_MOUNT_OVERLAY) && m->source)
            r = check(plan, spec, m->source, error);
    }
    return r;
}

int sbxi_hide_check(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error)
{
    char path[PATH_MAX];
    if (spec->bwrap || plan->range || !(plan->isolate & SBX_NS_MOUNT) ||
        sbxi_rundir_resolve(path, spec->run_dir) < 0)
        return 0; /* where there can be none, there is nothing to hide */
    if (!(plan->hidden = strdup(path)))
        return -ENOMEM;
    return check_all(plan, spec, error);
}

/*
 * The name that is looked at is what is opened, without a link on the way: somebody of the payload's id could put one there
 * meanwhile that leads to the run directory.
 */
const char *sbxi_plan_real(sbx_plan *plan, const char *source, char real[PATH_MAX])
{
    if (!plan->hidden || !realpath(source, real))
        return source;
    if (is_refused(plan, real))
        sbxi_plan_fail(plan); /* it was another when sbxi_hide_check() looked at it */
    return real;
}

struct sbxi_plan_step *sbxi_plan_open(sbx_plan *plan, const char *source)
{
    char real[PATH_MAX];
    struct sbxi_plan_step *step =
        sbxi_plan_add_tree(plan, SBXI_OPEN, sbxi_plan_real(plan, source, real));
    step->flags = plan->hidden ? (uint32_t)SBXI_F_REAL : 0;
    return step;
}

void sbxi_plan_hide(const sbx_plan *plan, sbx_plan *later, const char *source, const char *target)
{
    char real[PATH_MAX], inside[PATH_MAX];
    const char *rest = plan->hidden && realpath(source, real) ? behind(plan->hidden, real) : NULL;
    if (!rest || !*rest)
        return;
    if (strcmp(target, "/") == 0)
        target = "";
    if ((size_t)snprintf(inside, sizeof inside, "%s%s", target, rest) >= sizeof inside)
        sbxi_plan_fail(later);
    else
        sbxi_plan_add(later, SBXI_MASK, inside, NULL);
}
