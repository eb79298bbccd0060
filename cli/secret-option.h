/* SPDX-License-Identifier: MIT */
#ifndef CLI_SECRET_OPTION_H
#define CLI_SECRET_OPTION_H

#include "run.h"

/* --secret NAME=FD|file:/PATH|env:VARIABLE: /run/secrets/NAME inside. CLI_OK, or what to exit with after saying what is wrong. */
int run_add_secret(struct run_options *options, const char *text);
/* After the last option: those that were said in words, which are then no longer in our environment. */
int run_open_secrets(struct run_options *options);
void run_free_secrets(struct run_options *options);

#define SECRET_OPTIONS_HELP                                                                    \
    "  --secret NAME=FD     what FD holds, at /run/secrets/NAME, for the command alone; also " \
    "NAME=file:/PATH\n"                                                                        \
    "                       or NAME=env:VARIABLE\n"

#endif
