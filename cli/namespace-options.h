/* SPDX-License-Identifier: MIT */
#ifndef CLI_NAMESPACE_OPTIONS_H
#define CLI_NAMESPACE_OPTIONS_H

#include "run.h"

/* Options of `uds run` that say which namespaces a sandbox has, and what is in them. */
/* clang-format off */
#define NAMESPACE_OPTIONS(code)                       \
    {"net", required_argument, NULL, code},           \
    {"net-rate", required_argument, NULL, code},      \
    {"join", required_argument, NULL, code},          \
    {"id-range", no_argument, NULL, code},            \
    {"unshare-time", no_argument, NULL, code},        \
    {"monotonic", required_argument, NULL, code},     \
    {"boottime", required_argument, NULL, code}
/* clang-format on */

#define NAMESPACE_OPTIONS_HELP                                                                     \
    "  --net none|host|netns:NAME|pasta   nothing but lo (default); ours; one that exists;\n"      \
    "                       what we can reach, through a pasta(1) process\n"                       \
    "  --net veth[:NAME][,address=IP/LENGTH,peer=IP]   root: a card whose other end is in the\n"   \
    "                       network namespace NAME, or in ours\n"                                  \
    "  --net-rate BYTES     of that card, a second, each way\n"                                    \
    "  --join NS=PATH|PID|fd:N   an existing namespace: net, ipc, uts, pid, mount, cgroup,\n"      \
    "                       time, user\n"                                                          \
    "  --id-range           without root: the ids of /etc/subuid too, by newuidmap\n"              \
    "  --monotonic OFFSET, --boottime OFFSET   clocks inside run that far ahead: 3600, -5m, 30d\n" \
    "                       (a time namespace; --unshare-time: one without an offset)\n"

/* CLI_OK, or what to exit with after saying what is wrong. */
int run_namespace_option(struct run_options *options, const char *name, const char *value);

#endif
