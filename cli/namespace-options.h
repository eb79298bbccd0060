/* SPDX-License-Identifier: MIT */
#ifndef CLI_NAMESPACE_OPTIONS_H
#define CLI_NAMESPACE_OPTIONS_H

#include "run.h"

/* Options of `uds run` that say which namespaces a sandbox has, and what is in them. */
/* clang-format off */
#define NAMESPACE_OPTIONS(code)                       \
    {"join", required_argument, NULL, code},          \
    {"id-range", no_argument, NULL, code},            \
    {"unshare-time", no_argument, NULL, code},        \
    {"monotonic", required_argument, NULL, code},     \
    {"boottime", required_argument, NULL, code}
/* clang-format on */

#define NAMESPACE_OPTIONS_HELP                                                                     \
    "  --join NS=PATH|PID|fd:N   an existing namespace: net, ipc, uts, pid, mount, cgroup,\n"      \
    "                       time, user\n"                                                          \
    "  --id-range           without root: the ids of /etc/subuid too, by newuidmap\n"              \
    "  --monotonic OFFSET, --boottime OFFSET   clocks inside run that far ahead: 3600, -5m, 30d\n" \
    "                       (a time namespace; --unshare-time: one without an offset)\n"

/* CLI_OK, or what to exit with after saying what is wrong. */
int run_namespace_option(struct run_options *options, const char *name, const char *value);

#endif
