/* SPDX-License-Identifier: MIT */
/* See net-report.h. */
#include "net-report.h"

#include "table.h"

static void add_address(struct json *json, const char *key, const struct sbx_net_address *address)
{
    char text[SBX_NET_ADDRESS_TEXT];
    json_key(json, key);
    json_string(json, sbx_net_address_print(address, text));
}

void cli_json_net(struct json *json, const struct sbx_net_report *net)
{
    json_key(json, "net");
    json_open(json, '{');
    json_key(json, "kind");
    json_string(json, sbx_net_kind_name(net->kind));
    if (net->kind == SBX_NET_VETH) {
        add_address(json, "address", &net->address);
        add_address(json, "peer", &net->peer);
        json_key(json, "link");
        json_string(json, net->link);
        json_key(json, "rate_bytes");
        json_uint(json, net->rate_bytes);
    }
    if (net->kind == SBX_NET_PASTA) {
        json_key(json, "pasta_pid");
        json_uint(json, (uint64_t)net->pasta);
    }
    json_close(json, '}');
}

void cli_say_net(const struct sbx_net_report *net, FILE *out)
{
    char own[SBX_NET_ADDRESS_TEXT], peer[SBX_NET_ADDRESS_TEXT], rate[24];
    (void)fprintf(out, "  net          %s", sbx_net_kind_name(net->kind));
    if (net->kind == SBX_NET_VETH)
        (void)fprintf(out, " %s, the other end %s is %s", sbx_net_address_print(&net->address, own),
                      net->link, sbx_net_address_print(&net->peer, peer));
    if (net->rate_bytes)
        (void)fprintf(out, ", %s a second each way",
                      format_bytes(net->rate_bytes, rate, sizeof(rate)));
    if (net->kind == SBX_NET_PASTA)
        (void)fprintf(out, " by process %d", (int)net->pasta);
    (void)fputc('\n', out);
}
