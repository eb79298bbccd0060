/* SPDX-License-Identifier: MIT */
#ifndef CLI_LIFE_OPTIONS_H
#define CLI_LIFE_OPTIONS_H

#include <getopt.h>
#include <sbx/sandbox.h>
#include <stdbool.h>

/* Options of `uds run` about how the command lives and ends, and who hears of it. */
struct life_options {
    bool terminal; /* of its own, like ours */
};
#define LIFE_OPTIONS_INIT \
    {                     \
        .terminal = false \
    }

#define CLI_OPT_LIFE 0x4000 /* what getopt_long() returns for all of them */
#define CLI_LIFE_OPTIONS                                 \
    {"pty", no_argument, NULL, 't'},                     \
    {                                                    \
        "timeout", required_argument, NULL, CLI_OPT_LIFE \
    }

#define LIFE_OPTIONS_HELP                                                                      \
    "  -t, --pty            a terminal of its own: job control, Ctrl-C and its size work as\n" \
    "                       in ours; Ctrl-] three times within a second kills the command\n"   \
    "  --timeout 10s        wall clock\n"

/* CLI_OK, or CLI_USAGE after saying what is wrong. @name: of the option. */
int life_option(struct life_options *options,
                struct sbx_spec *spec,
                const char *name,
                const char *value);
/* After the last option. The same. */
int life_options_end(const struct life_options *options, struct sbx_spec *spec);

#endif
