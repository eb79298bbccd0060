/* SPDX-License-Identifier: MIT */
#ifndef CLI_LIFE_OPTIONS_H
#define CLI_LIFE_OPTIONS_H

#include <getopt.h>
#include <sbx/sandbox.h>
#include <stdbool.h>
#include <stdint.h>

/* Options of `uds run` about how the command lives and ends, and who hears of it. */
struct life_options {
    bool terminal; /* of its own, like ours */
    bool die_with_parent;
    bool report;             /* on stderr at the start */
    int info, status, block; /* descriptors, -1 = none */
    int signals;             /* of attend.h: what ends the wait for @block */
    uint32_t isolate;        /* what @info and @status tell of at birth */
};
#define LIFE_OPTIONS_INIT                                    \
    {                                                        \
        .info = -1, .status = -1, .block = -1, .signals = -1 \
    }

#define CLI_OPT_LIFE 0x4000 /* what getopt_long() returns for all of them */
#define CLI_LIFE_OPTIONS                                                                 \
    {"pty", no_argument, NULL, 't'}, {"timeout", required_argument, NULL, CLI_OPT_LIFE}, \
        {"grace", required_argument, NULL, CLI_OPT_LIFE},                                \
        {"report", no_argument, NULL, CLI_OPT_LIFE},                                     \
        {"die-with-parent", no_argument, NULL, CLI_OPT_LIFE},                            \
        {"info-fd", required_argument, NULL, CLI_OPT_LIFE},                              \
        {"json-status-fd", required_argument, NULL, CLI_OPT_LIFE},                       \
    {                                                                                    \
        "block-fd", required_argument, NULL, CLI_OPT_LIFE                                \
    }

#define LIFE_OPTIONS_HELP                                                                         \
    "  -t, --pty            a terminal of its own: job control, Ctrl-C and its size work as\n"    \
    "                       in ours; Ctrl-] three times within a second kills the command\n"      \
    "  --timeout 10s        wall clock; then TERM, and after --grace (2s) a kill\n"               \
    "  --die-with-parent    when our parent dies, it is killed\n"                                 \
    "  --info-fd FD, --json-status-fd FD   told of its pid and namespaces before it runs, and\n"  \
    "                       the second of what was granted and how it ended: JSON, a line each\n" \
    "  --block-fd FD        it starts when FD can be read\n"

/* CLI_OK, or CLI_USAGE after saying what is wrong. @name: of the option. */
int life_option(struct life_options *options,
                struct sbx_spec *spec,
                const char *name,
                const char *value);
/* After the last option. The same. */
int life_options_end(struct life_options *options, struct sbx_spec *spec);
/* Before anything is made. 0, -errno. */
int life_begin(struct life_options *options, int signals);

#endif
