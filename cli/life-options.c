/* SPDX-License-Identifier: MIT */
#include "life-options.h"

#include <string.h>
#include <unistd.h>

#include "value.h"
#include "verbs.h"

static int bad(const char *option, const char *value, const char *why)
{
    return cli_usage("--%s %s: %s", option, value, why);
}

int life_option(struct life_options *o, struct sbx_spec *spec, const char *name, const char *value)
{
    if (strcmp(name, "pty") == 0) {
        o->terminal = true;
        return CLI_OK;
    }
    if (parse_duration(value, &spec->timeout_ms) < 0 || spec->timeout_ms == 0)
        return bad(name, value, "is not a duration above 0, as 10s or 500ms");
    return CLI_OK;
}

int life_options_end(const struct life_options *o, struct sbx_spec *spec)
{
    if (!o->terminal)
        return CLI_OK;
    if (!isatty(0))
        return cli_usage("--pty: standard input is no terminal: leave out --pty");
    spec->terminal = true;
    spec->terminal_like = 0;
    return CLI_OK;
}
