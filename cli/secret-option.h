/* SPDX-License-Identifier: MIT */
#ifndef CLI_SECRET_OPTION_H
#define CLI_SECRET_OPTION_H

#include "run.h"

/* --secret NAME=FD: /run/secrets/NAME inside. CLI_OK, or what to exit with after saying what is wrong. */
int run_add_secret(struct run_options *options, const char *text);
/* After the last option: they go over whatever options have put at /run. */
int run_end_secrets(struct run_options *options);

#define SECRET_OPTIONS_HELP \
    "  --secret NAME=FD     what FD holds, at /run/secrets/NAME, for the command alone\n"

#endif
