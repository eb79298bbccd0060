/* SPDX-License-Identifier: MIT */
#ifndef CLI_ENV_OPTIONS_H
#define CLI_ENV_OPTIONS_H

#include "run.h"

/* Options of `uds run` that make the command's environment, in their order. It is empty at first. */
#define ENV_OPTIONS(code)                                                                   \
    {"setenv", required_argument, NULL, code}, {"unsetenv", required_argument, NULL, code}, \
        {"clearenv", no_argument, NULL, code},                                              \
    {                                                                                       \
        "keep-env", optional_argument, NULL, code                                           \
    }

#define ENV_OPTIONS_HELP                                                            \
    "  --setenv K V         one variable;  --unsetenv K, --clearenv\n"              \
    "  --keep-env[=K,…]     those of ours; without names all but LD_* and what\n" \
    "                       tells of descriptors and service managers\n"

/* @value2: of --setenv. CLI_OK, or what to exit with after saying what is wrong. */
int run_env_option(struct run_options *options,
                   const char *name,
                   const char *value,
                   const char *value2);
/* What --keep-env took of our variable @name: not of --setenv. */
void run_env_leave_out(struct run_options *options, const char *name);
/* After the last option. */
int run_env_finish(struct run_options *options);

#endif
