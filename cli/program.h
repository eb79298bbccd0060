/* SPDX-License-Identifier: MIT */
#ifndef CLI_PROGRAM_H
#define CLI_PROGRAM_H

/*
 * Becomes the program @name of ours, which is where sbx_find_program() says.
 * Returns only if that did not work, after saying why.
 */
void cli_become(const char *name, char *const *argv);

#endif
