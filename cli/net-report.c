/* SPDX-License-Identifier: MIT */
/* See net-report.h. */
#include "net-report.h"

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
