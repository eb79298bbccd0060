/* SPDX-License-Identifier: MIT */
#ifndef CLI_SANDBOX_H
#define CLI_SANDBOX_H

#include <stdbool.h>

/* sandbox-ls.c. @run_dir: NULL = the default. An exit code. */
int sandbox_ls(const char *run_dir, bool as_json);

/* exec.c: `uds sandbox start TEMPLATE [--] COMMAND`, its options and exit codes; argv[0] is "start". */
int exec_start(int argc, char **argv);

#endif
