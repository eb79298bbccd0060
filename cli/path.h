/* SPDX-License-Identifier: MIT */
#ifndef CLI_PATH_H
#define CLI_PATH_H

/* @path from the root. Its last component is left as it is: it may not be there yet, or be a link. NULL: no memory, or
 * no current directory. The caller frees it. */
char *path_absolute(const char *path);

#endif
