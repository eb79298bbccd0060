/* SPDX-License-Identifier: MIT */
/* Namespaces that exist already and are to be joined: are they what they are said to be? */

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>

#include <linux/capability.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>

#include "error.h"
#include "kernel.h"
#include "plan.h"

int sbxi_ns_flag(uint32_t bit)
{
    static const int flags[] = {CLONE_NEWUSER, CLONE_NEWNS,  CLONE_NEWPID,    CLONE_NEWNET,
                                CLONE_NEWIPC,  CLONE_NEWUTS, CLONE_NEWCGROUP, CLONE_NEWTIME};
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (bit == 1u << i)
            return flags[i];
    return 0;
}

bool sbxi_spec_joins(const struct sbx_spec *spec, enum sbx_ns ns)
{
    for (size_t i = 0; i < spec->njoins; i++)
        if (spec->joins[i].ns == ns)
            return true;
    return false;
}

/* The kernel would enter a namespace of another kind just as well. */
static int check_kind(const sbx_plan *plan, const struct sbx_join *join, struct sbx_error *error)
{
    const char *name = sbx_ns_name((uint32_t)join->ns);
    if (fcntl(join->fd, F_GETFD) < 0)
        return sbxi_error(error, EBADF, "sandbox %s: join: %s: descriptor %d is not open",
                          plan->name, name, join->fd);
    int kind = ioctl(join->fd, NS_GET_NSTYPE);
    if (kind < 0)
        return sbxi_error(error, EINVAL,
                          "sandbox %s: join: %s: what is named is no namespace; name a file as "
                          "/proc/PID/ns/…, or one that such a file is mounted on",
                          plan->name, name);
    for (uint32_t bit = 1; bit <= SBX_NS_TIME; bit <<= 1)
        if (sbxi_ns_flag(bit) == kind && bit != (uint32_t)join->ns)
            return sbxi_error(error, EINVAL,
                              "sandbox %s: join: %s: what is named is a namespace of kind %s",
                              plan->name, name, sbx_ns_name(bit));
    return 0;
}

int sbxi_joins_check(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error)
{
    if (spec->disable_userns && !(plan->isolate & SBX_NS_USER))
        return sbxi_error(error, EINVAL,
                          "sandbox %s: disable-userns: it needs a user namespace of its own, whose "
                          "limit it is",
                          plan->name);
    if (spec->disable_userns && !spec->bwrap && (spec->caps >> CAP_SYS_RESOURCE & 1))
        return sbxi_error(error, EINVAL,
                          "sandbox %s: disable-userns: who has sys_resource may raise that limit "
                          "again; leave out one of the two, as by --cap-drop sys_resource",
                          plan->name);
    const size_t most = sizeof plan->joins / sizeof plan->joins[0] - 1; /* one may be the net's */
    if (spec->njoins > most)
        return sbxi_error(error, E2BIG, "sandbox %s: join: at most %zu namespaces", plan->name,
                          most);
    uint32_t named = 0;
    for (size_t i = 0; i < spec->njoins; i++) {
        uint32_t ns = (uint32_t)spec->joins[i].ns;
        if (named & ns)
            return sbxi_error(error, EINVAL, "sandbox %s: join: %s: named twice; one is enough",
                              plan->name, sbx_ns_name(ns));
        named |= ns;
        if (ns & plan->isolate & ~(uint32_t)SBX_NS_PID)
            return sbxi_error(error, EINVAL, "sandbox %s: join: %s: it has one of its own too",
                              plan->name, sbx_ns_name(ns));
        int r = check_kind(plan, &spec->joins[i], error);
        if (r < 0)
            return r;
        plan->joins[plan->njoins++] = spec->joins[i];
    }
    return 0;
}
