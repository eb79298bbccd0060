/* SPDX-License-Identifier: MIT */
/* A sandbox's network as people write it, and whether it is possible. */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sbx/net.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "error.h"
#include "kernel.h"
#include "network.h"
#include "plan.h"

static const char *const kinds[] = {
    [SBX_NET_DEFAULT] = "default", [SBX_NET_NONE] = "none",   [SBX_NET_HOST] = "host",
    [SBX_NET_NETNS] = "netns",     [SBX_NET_PASTA] = "pasta", [SBX_NET_VETH] = "veth",
};

const char *sbx_net_kind_name(enum sbx_net_kind kind)
{
    return (size_t)kind < sizeof kinds / sizeof kinds[0] ? kinds[kind] : NULL;
}

const char *sbx_net_address_print(const struct sbx_net_address *address,
                                  char ret[SBX_NET_ADDRESS_TEXT])
{
    char text[INET6_ADDRSTRLEN];
    if (!inet_ntop(address->family, address->bytes, text, sizeof text))
        ret[0] = '\0';
    else
        snprintf(ret, SBX_NET_ADDRESS_TEXT, "%s/%u", text, address->prefix);
    return ret;
}

static bool parse_ip(const char *text, struct sbx_net_address *ret)
{
    ret->family = strchr(text, ':') ? AF_INET6 : AF_INET;
    return inet_pton(ret->family, text, ret->bytes) == 1;
}

/* "10.1.2.3/24"; the length leaves room for two. */
static bool parse_network(char *text, struct sbx_net_address *ret)
{
    char *slash = strchr(text, '/'), *end;
    if (!slash || slash[1] < '0' || slash[1] > '9')
        return false;
    *slash = '\0';
    unsigned long prefix = strtoul(slash + 1, &end, 10);
    ret->prefix = (unsigned)prefix;
    return parse_ip(text, ret) && !*end && prefix >= 1 &&
           prefix <= (ret->family == AF_INET ? 31 : 127);
}

static bool is_neighbour(const struct sbx_net_address *a, const struct sbx_net_address *b)
{
    if (a->family != b->family || memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0)
        return false;
    for (unsigned i = 0; i < a->prefix; i++)
        if ((a->bytes[i / 8] ^ b->bytes[i / 8]) & (0x80u >> i % 8))
            return false;
    return true;
}

/* What follows "veth". */
static const char *parse_veth(char *text, struct sbx_net *net)
{
    char *next = strchr(text, ',');
    if (next)
        *next++ = '\0';
    if (*text && (*text != ':' || !text[1] || strlen(text + 1) >= sizeof net->netns))
        return "name a network namespace: veth:NAME";
    if (*text)
        snprintf(net->netns, sizeof net->netns, "%s", text + 1);
    while (next) {
        char *word = next;
        if ((next = strchr(word, ',')))
            *next++ = '\0';
        if (strncmp(word, "address=", 8) == 0) {
            if (!parse_network(word + 8, &net->address))
                return "address= takes an address and the length of its network, like 10.1.0.2/24";
        } else if (strncmp(word, "peer=", 5) == 0) {
            if (!parse_ip(word + 5, &net->peer))
                return "peer= takes an address, like 10.1.0.1";
        } else {
            return "after the name come address=IP/LENGTH and peer=IP";
        }
    }
    net->peer.prefix = net->address.prefix;
    if (!net->address.family != !net->peer.family)
        return "address= and peer= go together";
    if (net->address.family && !is_neighbour(&net->address, &net->peer))
        return "address= and peer= must be two of one network";
    return NULL;
}

static const char *parse(char *text, struct sbx_net *net)
{
    static const enum sbx_net_kind plain[] = {SBX_NET_NONE, SBX_NET_HOST, SBX_NET_PASTA};
    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        if (strcmp(text, kinds[plain[i]]) == 0) {
            net->kind = plain[i];
            return NULL;
        }
    if (strncmp(text, "netns:", 6) == 0) {
        net->kind = SBX_NET_NETNS;
        if (!text[6] || strlen(text + 6) >= sizeof net->netns)
            return "name a network namespace: netns:NAME";
        snprintf(net->netns, sizeof net->netns, "%s", text + 6);
        return NULL;
    }
    if (strncmp(text, "veth", 4) == 0 && strchr(":,", text[4])) {
        net->kind = SBX_NET_VETH;
        return parse_veth(text + 4, net);
    }
    return "is not none, host, netns:NAME, pasta or veth[:NAME][,address=IP/LENGTH,peer=IP]";
}

int sbx_net_parse(const char *text, struct sbx_net *ret, const char **ret_why)
{
    char copy[512];
    struct sbx_net net = {.rate_bytes = ret->rate_bytes};
    const char *why = "is too long";
    if (strlen(text) < sizeof copy) {
        strcpy(copy, text);
        why = parse(copy, &net);
    }
    if (!why && net.netns[0] && net.netns[0] != '/' &&
        (strchr(net.netns, '/') || net.netns[0] == '.'))
        why = "a network namespace has a name below /run/netns, or an absolute path";
    if (ret_why)
        *ret_why = why;
    if (why)
        return -EINVAL;
    *ret = net;
    return 0;
}

static int open_netns(sbx_plan *plan, struct sbx_error *error)
{
    char path[PATH_MAX];
    const char *name = plan->net.netns;
    snprintf(path, sizeof path, "%s%s", name[0] == '/' ? "" : "/run/netns/", name);
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return sbxi_error(error, errno, "sandbox %s: net: %s: %s; name a network namespace%s",
                          plan->name, path, strerror(errno),
                          name[0] == '/' ? "" : " of `ip netns list`");
    if (ioctl(fd, NS_GET_NSTYPE) != CLONE_NEWNET)
        return sbxi_error(error, EINVAL, "sandbox %s: net: %s: it is no network namespace",
                          plan->name, path);
    plan->netns = sbxi_take_fd(&fd);
    return 0;
}

static int check_veth(sbx_plan *plan, struct sbx_error *error)
{
    if (!plan->privileged)
        return sbxi_error(error, EPERM,
                          "sandbox %s: net: veth: only root can reach into another network; "
                          "--net=pasta needs no root",
                          plan->name);
    if (!plan->net.address.family && !plan->range)
        return sbxi_error(error, EINVAL,
                          "sandbox %s: net: veth: a sandbox without an id range of its own has no "
                          "addresses of its own either; name them: address=IP/LENGTH,peer=IP",
                          plan->name);
    return plan->net.netns[0] ? open_netns(plan, error) : 0;
}

static int check_own(sbx_plan *plan, struct sbx_error *error)
{
    if (!(plan->isolate & SBX_NS_NET))
        return sbxi_error(error, EINVAL,
                          "sandbox %s: net: %s: it needs a network namespace of its own; isolate "
                          "net, leave out --share-net and --join net",
                          plan->name, sbx_net_kind_name(plan->net.kind));
    if (plan->net.kind == SBX_NET_PASTA)
        return sbxi_pasta_check(plan, error);
    return plan->net.kind == SBX_NET_VETH ? check_veth(plan, error) : 0;
}

/* One that exists, or the host's, instead of a new one. */
static int check_other(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error)
{
    plan->isolate &= ~(uint32_t)SBX_NS_NET;
    if (sbxi_spec_joins(spec, SBX_NS_NET))
        return sbxi_error(error, EINVAL, "sandbox %s: net: it joins another network already",
                          plan->name);
    if (plan->net.kind == SBX_NET_HOST)
        return 0;
    int r = open_netns(plan, error);
    if (r == 0)
        plan->joins[plan->njoins++] = (struct sbx_join){.ns = SBX_NS_NET, .fd = plan->netns};
    return r;
}

int sbxi_net_check(sbx_plan *plan, const struct sbx_spec *spec, struct sbx_error *error)
{
    plan->net = spec->net;
    if (spec->bwrap && spec->net.kind)
        return sbxi_error(error, EINVAL, "sandbox %s: net: bubblewrap has no such thing",
                          plan->name);
    if (spec->net.rate_bytes && spec->net.kind != SBX_NET_VETH)
        return sbxi_error(error, EINVAL,
                          "sandbox %s: net-rate: only a veth has a rate; add --net=veth",
                          plan->name);
    if (spec->net.rate_bytes && spec->net.rate_bytes < SBX_NET_RATE_MIN)
        return sbxi_error(error, EINVAL, "sandbox %s: net-rate: less than %u bytes a second",
                          plan->name, SBX_NET_RATE_MIN);
    switch (spec->net.kind) {
    case SBX_NET_DEFAULT:
        return 0;
    case SBX_NET_HOST:
    case SBX_NET_NETNS:
        return check_other(plan, spec, error);
    case SBX_NET_NONE:
    case SBX_NET_PASTA:
    case SBX_NET_VETH:
        return check_own(plan, error);
    default:
        return sbxi_error(error, EINVAL, "sandbox %s: net: there is no such kind", plan->name);
    }
}
