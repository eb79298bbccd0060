/* SPDX-License-Identifier: MIT */
/* See namespace-options.h. */
#include "namespace-options.h"

#include <errno.h>
#include <string.h>

#include "verbs.h"

static int set_offset(struct run_options *o, const char *name, const char *value, int64_t *ret_ns)
{
    int r = sbx_parse_offset(value, ret_ns);
    if (r < 0)
        return cli_usage("--%s %s: %s", name, value,
                         r == -ERANGE
                             ? "is more than 292 years"
                             : "is not an offset: seconds, or a number with ms, s, m, h or "
                               "d, and - in front if it is into the past");
    o->spec.isolate |= SBX_NS_TIME;
    return CLI_OK;
}

static int set_net(struct run_options *o, const char *value)
{
    const char *why;
    if (sbx_net_parse(value, &o->spec.net, &why) < 0)
        return cli_usage("--net %s: %s", value, why);
    return CLI_OK;
}

static int set_rate(struct run_options *o, const char *value)
{
    uint64_t bytes;
    if (sbx_parse_bytes(value, &bytes) < 0 || bytes < SBX_NET_RATE_MIN)
        return cli_usage("--net-rate %s: is not an amount of bytes a second, as 512K or 10M, of 1K "
                         "at least",
                         value);
    o->spec.net.rate_bytes = bytes;
    return CLI_OK;
}

int run_namespace_option(struct run_options *o, const char *name, const char *value)
{
    if (strcmp(name, "monotonic") == 0)
        return set_offset(o, name, value, &o->spec.monotonic_offset_ns);
    if (strcmp(name, "boottime") == 0)
        return set_offset(o, name, value, &o->spec.boottime_offset_ns);
    if (strcmp(name, "net") == 0)
        return set_net(o, value);
    if (strcmp(name, "net-rate") == 0)
        return set_rate(o, value);
    if (strcmp(name, "join") == 0)
        return run_add_join(o, value);
    if (strcmp(name, "id-range") == 0)
        o->spec.id_range = true;
    else
        o->spec.isolate |= SBX_NS_TIME; /* --unshare-time */
    return CLI_OK;
}
