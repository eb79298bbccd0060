/* SPDX-License-Identifier: MIT */
#ifndef CLI_NOTIFY_OPTIONS_H
#define CLI_NOTIFY_OPTIONS_H

#include <sbx/notify.h>

#include "json.h"
#include "run.h"

/* Options of `uds run` about NOTIFY_SOCKET, and what is said of what comes through it. */
#define NOTIFY_OPTIONS(code)                                                               \
    {"notify", no_argument, NULL, code}, {"ready-timeout", required_argument, NULL, code}, \
    {                                                                                      \
        "watchdog", required_argument, NULL, code                                          \
    }

#define NOTIFY_OPTIONS_HELP                                                        \
    "  --notify             NOTIFY_SOCKET for it, as sd_notify(3) has it\n"        \
    "  --ready-timeout 30s  and it is killed if it has not said READY=1 by then\n" \
    "  --watchdog 10s       and it is killed if it does not say WATCHDOG=1 that often\n"

/* CLI_OK, or what to exit with after saying what is wrong. */
int run_notify_option(struct run_options *options, const char *name, const char *value);

/* What was said already. */
struct run_notify {
    struct sbx_notify told;
    unsigned lines;
};
/*
 * After each sbx_process(): refusals go to stderr, the rest to our own service manager if there is one. True: it is ready or
 * stopping, and was not.
 */
bool run_notify_follow(const struct run_options *options, const sbx *s, struct run_notify *notify);
/* "notify": {…}; nothing without --notify. */
void run_notify_json(struct json *json,
                     const struct run_options *options,
                     const struct run_notify *notify);

#endif
