/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <sbx/net.h>
#include <string.h>
#include <unistd.h>

#include <sys/socket.h>

#include "guard.h"
#include "netlink.h"

Test(net_parse, knows_every_kind)
{
    UDS_TEST_GUARD;
    struct sbx_net net = {.rate_bytes = 7};
    char text[SBX_NET_ADDRESS_TEXT];
    for (int kind = SBX_NET_NONE; kind <= SBX_NET_VETH; kind++) {
        if (kind == SBX_NET_NETNS)
            continue;
        cr_assert_eq(sbx_net_parse(sbx_net_kind_name((enum sbx_net_kind)kind), &net, NULL), 0);
        cr_expect_eq(net.kind, (enum sbx_net_kind)kind);
    }
    cr_assert_eq(sbx_net_parse("netns:blue", &net, NULL), 0);
    cr_expect_str_eq(net.netns, "blue");
    cr_assert_eq(sbx_net_parse("veth:/run/x,address=10.1.0.2/24,peer=10.1.0.1", &net, NULL), 0);
    cr_expect_str_eq(net.netns, "/run/x");
    cr_expect_str_eq(sbx_net_address_print(&net.address, text), "10.1.0.2/24");
    cr_expect_str_eq(sbx_net_address_print(&net.peer, text), "10.1.0.1/24");
    cr_assert_eq(sbx_net_parse("veth,peer=fd00::1,address=fd00::2/127", &net, NULL), -EINVAL);
    cr_assert_eq(sbx_net_parse("veth,peer=fd00::1,address=fd00::2/64", &net, NULL), 0);
    cr_expect_eq(net.address.family, AF_INET6);
    cr_expect_eq(net.rate_bytes, 7);
}

Test(net_parse, refuses_with_a_reason_and_leaves_what_was_there)
{
    UDS_TEST_GUARD;
    static const char *const wrong[] = {
        "",
        "nothing",
        "netns",
        "netns:",
        "netns:../x",
        "netns:a/b",
        "veth:",
        "vethx",
        "veth:,address=10.0.0.2/24,peer=10.0.0.1",
        "veth,address=10.0.0.2/24",
        "veth,peer=10.0.0.1",
        "veth,address=10.0.0.2,peer=10.0.0.1",
        "veth,address=10.0.0.2/32,peer=10.0.0.1",
        "veth,address=10.0.0.2/0,peer=10.0.0.1",
        "veth,address=10.0.0.2/24x,peer=10.0.0.1",
        "veth,address=10.0.0.2/24,peer=10.0.1.1",
        "veth,address=10.0.0.2/24,peer=10.0.0.2",
        "veth,address=10.0.0.2/24,peer=fd00::1",
        "veth,address=10.0.0.256/24,peer=10.0.0.1",
        "veth,rate=1M",
        "pasta:-t,80",
    };
    struct sbx_net net = {.kind = SBX_NET_PASTA};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        const char *why = NULL;
        cr_expect_eq(sbx_net_parse(wrong[i], &net, &why), -EINVAL, "%s", wrong[i]);
        cr_expect_not_null(why, "%s", wrong[i]);
        cr_expect_eq(net.kind, SBX_NET_PASTA);
    }
}

Test(netlink, sends_nothing_that_did_not_fit)
{
    UDS_TEST_GUARD;
    struct sbxi_netlink m;
    char much[sizeof m.bytes] = {0};
    sbxi_netlink_begin(&m, 1, 0, much, 16);
    size_t opened = sbxi_netlink_open(&m, 1);
    sbxi_netlink_add(&m, 2, much, sizeof much);
    sbxi_netlink_add(&m, 3, much, 4);
    sbxi_netlink_close(&m, opened);
    cr_expect_eq(sbxi_netlink_call(-1, &m), -E2BIG);
}

Test(netlink, tells_what_the_kernel_answers)
{
    UDS_TEST_GUARD;
    struct sbxi_netlink m;
    const char body[16] = {0}; /* RTM_DELLINK of no link */
    int fd = sbxi_netlink_socket(-1, -1, 0);
    cr_assert_geq(fd, 0);
    sbxi_netlink_begin(&m, 17, 0, body, sizeof body);
    sbxi_netlink_add_text(&m, 3, "no-such-link");
    int r = sbxi_netlink_call(fd, &m);
    cr_expect(r == -ENODEV || r == -EPERM, "%d", r);
    /* The state of lo, unknown to the kernel: a byte of an answer. Of what is not there, there is none. */
    struct {
        unsigned char family, pad;
        unsigned short type;
        int index;
        unsigned flags, change;
    } link = {.index = 1};
    sbxi_netlink_begin(&m, 18, 0, &link, sizeof link);
    cr_expect_eq(sbxi_netlink_get_u8(fd, &m, sizeof link, 16), 0);
    cr_expect_eq(sbxi_netlink_get_u8(fd, &m, sizeof link, 999), -ENOENT);
    link.index = INT32_MAX;
    sbxi_netlink_begin(&m, 18, 0, &link, sizeof link);
    cr_expect_eq(sbxi_netlink_get_u8(fd, &m, sizeof link, 16), -EPROTO);
    close(fd);
}
