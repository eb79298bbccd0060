/* SPDX-License-Identifier: MIT */
/*
 * May a cgroup with these limits be made, and what may be left out if not? Control by control: what the backend lacks is
 * an error that names both, unless its omission is permitted; then it is dropped, and noted. Makes nothing.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cgroup-internal.h"
#include "demand.h"
#include "error.h"

static uint32_t offered(const struct sbxi_cgroup_layout *layout)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < layout->n; i++)
        if (!layout->hierarchies[i].v2 || layout->backend == &sbxi_cgroup_v2)
            bits |= layout->hierarchies[i].controllers;
    return bits;
}

/* The controls of @demand whose controller is not there. */
static uint32_t without_controller(const struct sbxi_cgroup_layout *layout, uint32_t demand)
{
    uint32_t there = offered(layout), missing = 0;
    for (uint32_t bit = 1; bit <= demand; bit <<= 1)
        if ((demand & bit) && !(sbxi_demand_controllers(bit) & there))
            missing |= bit;
    return missing;
}

int sbxi_cgroup_check_demand(const struct sbxi_cgroup_layout *layout,
                             struct sbx_limits *limits,
                             uint32_t degrade,
                             uint32_t *degraded,
                             struct sbx_error *error)
{
    for (uint32_t permitted = 0;;) {
        const char *why = NULL;
        uint32_t demand = sbxi_demand_of(limits) & ~permitted;
        uint32_t missing = without_controller(layout, demand);
        uint32_t lacking = layout->backend->lacks(layout, limits, demand & ~missing, &why);
        uint32_t bit = (missing | lacking) & -(missing | lacking);
        if (!bit)
            return 0;
        uint32_t may = sbxi_demand_degrade(bit);
        const char *name = sbxi_demand_name(bit);
        const char *word = may ? sbx_degrade_name(may) : "",
                   * or = may ? ", or permit --degrade=" : "";
        if (!(may & degrade) && (missing & bit))
            return sbxi_error(
                error, EOPNOTSUPP,
                "cgroup: %s limit: the %s backend has no %s controller here; mount or "
                "delegate it%s%s",
                name, layout->backend->name, sbxi_demand_controller_name(bit), or, word);
        if (!(may & degrade))
            return sbxi_error(error, EOPNOTSUPP, "cgroup: %s: the %s backend lacks it: %s%s%s",
                              name, layout->backend->name, why, or, word);
        *degraded |= may;
        permitted |= bit;
        sbxi_demand_drop(limits, bit);
    }
}

static int check_access(const struct sbxi_cgroup_layout *layout,
                        const struct sbx_limits *limits,
                        struct sbx_error *error)
{
    uint32_t controllers = sbxi_demand_controllers(sbxi_demand_of(limits));
    for (size_t i = 0; i < layout->n; i++) {
        const struct sbxi_hierarchy *h = &layout->hierarchies[i];
        char path[SBXI_RECORD_PATH_MAX];
        if (!layout->backend->wants(layout, h, controllers))
            continue;
        snprintf(path, sizeof path, "%s%s", h->mount, h->own);
        if (faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) < 0)
            return sbxi_control_error(error, errno == ENOENT ? ESTALE : errno,
                                      layout->backend->name, h, "", "a new directory");
    }
    return 0;
}

int sbxi_cgroup_omit(int r, const struct sbx_limits *limits, uint32_t degrade, uint32_t *degraded)
{
    uint32_t demand = sbxi_demand_of(limits), used = 0;
    if (degrade & SBX_DEGRADE_IO)
        demand &= ~(uint32_t)SBXI_WANT_BUFFERED_WRITES;
    bool all = true; /* of what was asked besides numbers, if anything */
    for (uint32_t bit = 1; bit <= demand; bit <<= 1)
        if (demand & bit) {
            used |= sbxi_demand_degrade(bit);
            all &= (sbxi_demand_degrade(bit) & degrade) != 0;
        }
    if (all) {
        *degraded = SBX_DEGRADE_STATS | used;
        return 0;
    }
    if (degrade & SBX_DEGRADE_CGROUP) {
        *degraded = SBX_DEGRADE_CGROUP;
        return 0;
    }
    return r;
}

int sbxi_cgroup_decide(const struct sbxi_cgroup_layout *layout,
                       struct sbx_limits *limits,
                       bool look,
                       uint32_t degrade,
                       uint32_t *degraded,
                       struct sbx_error *error)
{
    int r;
    if (!layout->backend)
        r = sbxi_error(error, EOPNOTSUPP,
                       "cgroup: no cgroup hierarchy that contains us is mounted; mount cgroup2 on "
                       "/sys/fs/cgroup");
    else if ((r = sbxi_cgroup_check_demand(layout, limits, degrade, degraded, error)) >= 0 && look)
        r = check_access(layout, limits, error);
    return r >= 0 ? 1 : sbxi_cgroup_omit(r, limits, degrade, degraded);
}

/* Of what is said by whom: a group would be nothing without a cgroup. */
int sbxi_cgroup_advise(const struct sbxi_cgroup_layout *layout, int r, struct sbx_error *error)
{
    bool place = r == -EACCES || r == -EPERM || r == -EROFS || r == -EBUSY;
    size_t used = error ? strlen(error->text) : 0;
    if (!used || (!place && r != -EOPNOTSUPP) || strstr(error->text, "--degrade="))
        return r;
    snprintf(error->text + used, sizeof error->text - used, "%s%s",
             !place            ? ""
             : layout->lasting ? "; a place elsewhere is named by --parent"
                               : "; a place elsewhere is named by --cgroup-parent",
             layout->lasting ? ""
                             : "; to do without is --degrade=cgroup, in a stack file degrade: "
                               "[cgroup]");
    return r;
}

int sbxi_cgroup_check(const struct sbxi_cgroup_layout *layout,
                      const struct sbx_limits *limits,
                      uint32_t degrade,
                      uint32_t *ret_degraded,
                      struct sbx_error *error)
{
    struct sbx_limits copy = *limits;
    uint32_t degraded = 0;
    int r = sbxi_cgroup_decide(layout, &copy, true, degrade, &degraded, error);
    if (r < 0)
        return sbxi_cgroup_advise(layout, r, error);
    *ret_degraded = degraded;
    return 0;
}
