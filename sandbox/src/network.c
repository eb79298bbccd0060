/* SPDX-License-Identifier: MIT */
/* See network.h. */

#include "network.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "error.h"
#include "running.h"

static int open_namespace(pid_t pid, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

/* Also where nothing was said. */
static enum sbx_net_kind kind_of(const sbx_plan *plan)
{
    if (plan->net.kind)
        return plan->net.kind;
    if (plan->isolate & SBX_NS_NET)
        return SBX_NET_NONE;
    for (size_t i = 0; i < plan->njoins; i++)
        if (plan->joins[i].ns == SBX_NS_NET)
            return SBX_NET_NETNS;
    return SBX_NET_HOST;
}

int sbxi_network_start(sbx *s, const sbx_plan *plan, struct sbx_error *error)
{
    s->report.net.kind = kind_of(plan);
    s->report.net.rate_bytes = plan->net.rate_bytes;
    _cleanup_close_ int userns = sbxi_take_fd(&s->ns[0]), netns = sbxi_take_fd(&s->ns[1]);
    if (plan->net.kind != SBX_NET_VETH && plan->net.kind != SBX_NET_PASTA)
        return 0;
    if (userns < 0 || netns < 0) {
        userns = open_namespace(s->init_pid, "user");
        netns = open_namespace(s->init_pid, "net");
    }
    if (userns < 0 || netns < 0)
        return sbxi_error(error, userns < 0 ? -userns : -netns,
                          "sandbox %s: net: its namespaces cannot be opened: %s", plan->name,
                          strerror(userns < 0 ? -userns : -netns));
    return plan->net.kind == SBX_NET_VETH ? sbxi_veth_start(s, plan, netns, error)
                                          : sbxi_pasta_start(s, plan, userns, netns, error);
}

void sbxi_network_end(sbx *s)
{
    sbxi_pasta_end(s);
    sbxi_veth_end(&s->network);
}
