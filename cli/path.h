/* SPDX-License-Identifier: MIT */
#ifndef CLI_PATH_H
#define CLI_PATH_H

/* @path from the root. Its last component is left as it is: it may not be there yet, or be a link. NULL: no memory, or
 * no current directory. The caller frees it. */
char *path_absolute(const char *path);

/* A program as a shell would find it, in places that nobody but root fills. NULL: there is none, or no memory. */
char *path_program(const char *name);

#endif
