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

int run_namespace_option(struct run_options *o, const char *name, const char *value)
{
    if (strcmp(name, "monotonic") == 0)
        return set_offset(o, name, value, &o->spec.monotonic_offset_ns);
    if (strcmp(name, "boottime") == 0)
        return set_offset(o, name, value, &o->spec.boottime_offset_ns);
    if (strcmp(name, "join") == 0)
        return run_add_join(o, value);
    if (strcmp(name, "id-range") == 0)
        o->spec.id_range = true;
    else
        o->spec.isolate |= SBX_NS_TIME; /* --unshare-time */
    return CLI_OK;
}
