/* SPDX-License-Identifier: MIT */
/*
 * A pair of virtual network cards: eth0 in the sandbox, the other end where its owner wants it. All of it is set up from
 * here, as root, while the sandbox's first process waits. Whichever namespace goes, takes its end and with it the other; as
 * the kernel does that in its own time, the end outside is removed by name when the sandbox ends.
 *
 * Rates are token buckets (tc-tbf(8)): of what leaves the end outside, towards the sandbox, and of what leaves eth0. Only who
 * has CAP_NET_ADMIN over the sandbox's network could lift the latter, and the payload has it not.
 */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/veth.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "error.h"
#include "ids.h"
#include "netlink.h"
#include "running.h"

#define INNER "eth0"

enum {
    BURST_PER_S = 100,  /* a bucket holds 10 ms of the rate, but two frames at least */
    LATENCY_PER_S = 20, /* more waits for 50 ms before it is dropped */
    FRAME = 1514,
    CARRIER_MS = 2000,
    SMALLEST_BURST = 2 * FRAME,
    SMALLEST_QUEUE = 16 * FRAME,
};

static size_t address_size(const struct sbx_net_address *address)
{
    return address->family == AF_INET ? 4 : 16;
}

/* Four of 198.19.0.0/18 (a block for tests between networks, RFC 2544) go with each slice of ids. */
static void choose_addresses(struct sbx_net_report *net, uint32_t uid_first)
{
    uint32_t slice = (uid_first - SBXI_IDS_FIRST) / SBXI_IDS_COUNT;
    uint32_t base = (198u << 24 | 19u << 16) + slice * 4;
    struct sbx_net_address *both[] = {&net->peer, &net->address};
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t number = base + 1 + i;
        *both[i] = (struct sbx_net_address){.family = AF_INET, .prefix = 30};
        for (uint32_t k = 0; k < 4; k++)
            both[i]->bytes[k] = (uint8_t)(number >> (24 - 8 * k));
    }
}

static int get_index(int route, const char *name)
{
    struct ifreq request = {0};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    return ioctl(route, SIOCGIFINDEX, &request) < 0 ? -errno : request.ifr_ifindex;
}

static int make_pair(int route, const char *name, const char *alias, int netns)
{
    struct sbxi_netlink m;
    const struct ifinfomsg any = {.ifi_family = AF_UNSPEC};
    sbxi_netlink_begin(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &any, sizeof any);
    sbxi_netlink_add_text(&m, IFLA_IFNAME, name);
    sbxi_netlink_add_text(&m, IFLA_IFALIAS, alias);
    size_t info = sbxi_netlink_open(&m, IFLA_LINKINFO);
    sbxi_netlink_add_text(&m, IFLA_INFO_KIND, "veth");
    size_t data = sbxi_netlink_open(&m, IFLA_INFO_DATA);
    size_t peer = sbxi_netlink_open(&m, VETH_INFO_PEER);
    sbxi_netlink_append(&m, &any, sizeof any);
    sbxi_netlink_add_text(&m, IFLA_IFNAME, INNER);
    sbxi_netlink_add_u32(&m, IFLA_NET_NS_FD, (uint32_t)netns);
    sbxi_netlink_close(&m, peer);
    sbxi_netlink_close(&m, data);
    sbxi_netlink_close(&m, info);
    return sbxi_netlink_call(route, &m);
}

/* Of IPv6 there is what is asked for: else the ends would reach each other by addresses that nobody has given. */
static int forbid_link_local(int route, int index)
{
    struct sbxi_netlink m;
    const uint8_t none = IN6_ADDR_GEN_MODE_NONE;
    const struct ifinfomsg link = {.ifi_family = AF_UNSPEC, .ifi_index = index};
    sbxi_netlink_begin(&m, RTM_NEWLINK, 0, &link, sizeof link);
    size_t families = sbxi_netlink_open(&m, IFLA_AF_SPEC);
    size_t family = sbxi_netlink_open(&m, AF_INET6);
    sbxi_netlink_add(&m, IFLA_INET6_ADDR_GEN_MODE, &none, sizeof none);
    sbxi_netlink_close(&m, family);
    sbxi_netlink_close(&m, families);
    int r = sbxi_netlink_call(route, &m);
    return r == -EAFNOSUPPORT || r == -EOPNOTSUPP ? 0 : r; /* there is no IPv6 here */
}

static int add_address(int route, int index, const struct sbx_net_address *address)
{
    struct sbxi_netlink m;
    const struct ifaddrmsg body = {.ifa_family = (uint8_t)address->family,
                                   .ifa_prefixlen = (uint8_t)address->prefix,
                                   .ifa_flags =
                                       address->family == AF_INET6 ? IFA_F_NODAD : (uint8_t)0,
                                   .ifa_index = (uint32_t)index};
    sbxi_netlink_begin(&m, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof body);
    sbxi_netlink_add(&m, IFA_LOCAL, address->bytes, address_size(address));
    sbxi_netlink_add(&m, IFA_ADDRESS, address->bytes, address_size(address));
    return sbxi_netlink_call(route, &m);
}

static int bring_up(int route, int index)
{
    struct sbxi_netlink m;
    const struct ifinfomsg link = {
        .ifi_family = AF_UNSPEC, .ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
    sbxi_netlink_begin(&m, RTM_NEWLINK, 0, &link, sizeof link);
    return sbxi_netlink_call(route, &m);
}

static int add_default_route(int route, int index, const struct sbx_net_address *gateway)
{
    struct sbxi_netlink m;
    const struct rtmsg body = {.rtm_family = (uint8_t)gateway->family,
                               .rtm_table = RT_TABLE_MAIN,
                               .rtm_protocol = RTPROT_BOOT,
                               .rtm_scope = RT_SCOPE_UNIVERSE,
                               .rtm_type = RTN_UNICAST};
    sbxi_netlink_begin(&m, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof body);
    sbxi_netlink_add(&m, RTA_GATEWAY, gateway->bytes, address_size(gateway));
    sbxi_netlink_add_u32(&m, RTA_OIF, (uint32_t)index);
    return sbxi_netlink_call(route, &m);
}

static uint32_t at_least(uint64_t value, uint32_t least)
{
    return value < least ? least : value > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uint32_t)value;
}

static int set_rate(int route, int index, uint64_t rate)
{
    struct sbxi_netlink m;
    const struct tcmsg body = {.tcm_family = AF_UNSPEC,
                               .tcm_ifindex = index,
                               .tcm_handle = 0x10000,
                               .tcm_parent = TC_H_ROOT};
    uint32_t burst = at_least(rate / BURST_PER_S, SMALLEST_BURST);
    struct tc_tbf_qopt options = {
        .rate = {.linklayer = TC_LINKLAYER_ETHERNET,
                 .rate = rate > UINT32_MAX ? UINT32_MAX : (uint32_t)rate},
        .limit = at_least(rate / LATENCY_PER_S + burst, SMALLEST_QUEUE),
    };
    sbxi_netlink_begin(&m, RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE, &body, sizeof body);
    sbxi_netlink_add_text(&m, TCA_KIND, "tbf");
    size_t opened = sbxi_netlink_open(&m, TCA_OPTIONS);
    sbxi_netlink_add(&m, TCA_TBF_PARMS, &options, sizeof options);
    sbxi_netlink_add_u32(&m, TCA_TBF_BURST, burst);
    if (rate > UINT32_MAX)
        sbxi_netlink_add(&m, TCA_TBF_RATE64, &rate, sizeof rate);
    sbxi_netlink_close(&m, opened);
    return sbxi_netlink_call(route, &m);
}

static int
fail(const sbx_plan *plan, const char *what, int err, const char *advice, struct sbx_error *error)
{
    return sbxi_error(error, err, "sandbox %s: net: veth: %s: %s%s", plan->name, what,
                      strerror(err), advice);
}

static int set_up_end(const sbx_plan *plan,
                      int route,
                      const char *name,
                      const struct sbx_net_address *address,
                      struct sbx_error *error)
{
    char text[SBX_NET_ADDRESS_TEXT];
    uint64_t rate = plan->net.rate_bytes;
    int index = get_index(route, name), r = index < 0 ? index : 0;
    if (r == 0 && address->family == AF_INET)
        r = forbid_link_local(route, index);
    if (r < 0)
        return fail(plan, name, -r, "", error);
    if ((r = add_address(route, index, address)) < 0)
        return fail(plan, sbx_net_address_print(address, text), -r, "", error);
    if (rate && (r = set_rate(route, index, rate)) < 0)
        return fail(plan, "rate", -r,
                    r == -ENOENT ? "; the kernel has no token bucket (CONFIG_NET_SCH_TBF, module "
                                   "sch_tbf)"
                                 : "",
                    error);
    r = bring_up(route, index);
    return r < 0 ? fail(plan, name, -r, "", error) : index;
}

/*
 * The end that was brought up first drops what it has to send until the kernel's link watch has seen that the other one is
 * up too: a first answer, and a second is lost till the next try. Linux 6.8 sees to it when it is asked; before that it
 * comes to it in its own time.
 */
static void await_carrier(int route, const char *name)
{
    const struct ifinfomsg link = {.ifi_family = AF_UNSPEC, .ifi_index = get_index(route, name)};
    for (int waited_ms = 0; waited_ms < CARRIER_MS; waited_ms++) {
        struct sbxi_netlink m;
        sbxi_netlink_begin(&m, RTM_GETLINK, 0, &link, sizeof link);
        int state = sbxi_netlink_get_u8(route, &m, sizeof link, IFLA_OPERSTATE);
        if (state < 0 || state == IF_OPER_UP || (poll(NULL, 0, 1) < 0 && errno != EINTR))
            return;
    }
}

static int make_link(sbx *s, const sbx_plan *plan, int netns, struct sbx_error *error)
{
    int r = -EEXIST;
    for (int attempt = 0; r == -EEXIST && attempt < 8; attempt++) {
        uint32_t number;
        if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
            return fail(plan, "its name", EIO, "", error);
        snprintf(s->network.link, sizeof s->network.link, "uds%08x", number);
        r = make_pair(s->network.route, s->network.link, plan->name, netns);
    }
    return r < 0 ? fail(plan, "pair", -r,
                        r == -EOPNOTSUPP ? "; the kernel has none (CONFIG_VETH, module veth)" : "",
                        error)
                 : 0;
}

int sbxi_veth_start(sbx *s, const sbx_plan *plan, int netns, struct sbx_error *error)
{
    struct sbx_net_report *net = &s->report.net;
    net->address = plan->net.address;
    net->peer = plan->net.peer;
    if (!net->address.family)
        choose_addresses(net, s->report.uid_first);
    _cleanup_close_ int inner = sbxi_netlink_socket(-1, netns, 0);
    s->network.route = sbxi_netlink_socket(-1, plan->netns, 0);
    if (inner < 0 || s->network.route < 0)
        return fail(plan, "netlink", inner < 0 ? -inner : -s->network.route, "", error);
    int r = make_link(s, plan, netns, error);
    if (r < 0)
        return r;
    snprintf(net->link, sizeof net->link, "%s", s->network.link);
    if ((r = set_up_end(plan, s->network.route, net->link, &net->peer, error)) < 0 ||
        (r = set_up_end(plan, inner, INNER, &net->address, error)) < 0)
        return r;
    r = add_default_route(inner, r, &net->peer);
    await_carrier(s->network.route, net->link);
    return r < 0 ? fail(plan, "default route", -r, "", error) : 0;
}

void sbxi_veth_end(struct sbxi_network *network)
{
    struct sbxi_netlink m;
    const struct ifinfomsg any = {.ifi_family = AF_UNSPEC};
    if (network->route < 0)
        return;
    sbxi_netlink_begin(&m, RTM_DELLINK, 0, &any, sizeof any);
    sbxi_netlink_add_text(&m, IFLA_IFNAME, network->link);
    if (network->link[0])
        (void)sbxi_netlink_call(network->route, &m); /* ENODEV: it went with its peer */
    sbxi_closep(&network->route);
}
