/* SPDX-License-Identifier: MIT */
#include "path.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

char *path_absolute(const char *path)
{
    char cwd[PATH_MAX], *whole = NULL;
    if (path[0] == '/')
        return strdup(path);
    if (getcwd(cwd, sizeof cwd) == NULL ||
        asprintf(&whole, "%s/%s", strcmp(cwd, "/") == 0 ? "" : cwd, path) < 0)
        return NULL;
    return whole;
}
