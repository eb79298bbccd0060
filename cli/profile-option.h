/* SPDX-License-Identifier: MIT */
#ifndef CLI_PROFILE_OPTION_H
#define CLI_PROFILE_OPTION_H

#include "run.h"

/*
 * --profile FILE[#NAME]: an entry of a stack file as the words of a command line, argv[0] first, NULL-terminated. They live as
 * long as the options. CLI_OK, or what to exit with after saying what is wrong.
 */
int run_load_profile(struct run_options *options,
                     const char *text,
                     char ***ret_argv,
                     int *ret_argc);

#define PROFILE_OPTIONS_HELP                                                                      \
    "  --profile FILE[#NAME]   options of an entry of a stack file, as if they stood here, and\n" \
    "                       its command if none is given\n"

#endif
